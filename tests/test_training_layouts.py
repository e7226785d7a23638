"""Every parallel layout trains as one process does; a killed run continues to the bit."""

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from training_runs import SHAPE, toy_run

from hare.core.errors import HareError
from hare.model.convert import config_of_hugging_face, read_checkpoint, read_config, read_weights
from hare.training.checkpoints import checkpoints
from hare.training.cluster.estimate import Layout
from hare.training.cluster.growth import checkpoint_files
from hare.training.launch import train, train_all
from hare.training.run import METRICS_FILE, TrainedRun, TrainingRun
from hare.training.study import export_difference

TIED = dataclasses.replace(SHAPE, tied_embeddings=True)
TWO_REPLICAS = {"data_parallel": 2, "gradient_accumulation": 2}
LAYOUTS = {
    "dp2": TWO_REPLICAS,
    "dp2-zero1": TWO_REPLICAS | {"zero_stage": 1},
    "tp2-all-reduce": {"tensor_parallel": 2},
    "tp2-reduce-scatter": {"tensor_parallel": 2, "tensor_parallel_mode": "reduce_scatter"},
    "pp2-1f1b": {"pipeline_parallel": 2},
}
MASKED = {"mask_documents": True}
MASKED_LAYOUTS = {
    "masked-tp2-recomputed": MASKED | {
        "tensor_parallel": 2, "tensor_parallel_mode": "reduce_scatter", "recompute_activations": True,
    },
    "masked-pp2": MASKED | {"pipeline_parallel": 2},
    "masked-dp2-recomputed": MASKED | TWO_REPLICAS | {"recompute_activations": True},
}
TIED_LAYOUTS = {"tied-tp2": {"tensor_parallel": 2}, "tied-pp2": {"pipeline_parallel": 2}}
SECONDS_TO_START = 240


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrainedRun]:
    """All runs of this file, by name; three launches are killed on the way."""
    root = tmp_path_factory.mktemp("training")
    shapes = {"one": SHAPE, "tied": TIED, "killed": SHAPE}
    alone = {name: toy_run(root, name, model=model) for name, model in shapes.items()}
    _kill_in(list(alone.values()), 2)
    alone |= {
        "truncated": _with_truncated_checkpoint(alone["killed"], root),
        "restarted": _from_weights_alone(alone["one"], root, "restarted"), "masked": toy_run(root, "masked", **MASKED),
    }
    killed = {
        "dp2-killed": toy_run(root, "dp2-killed", **TWO_REPLICAS),
        "tp2-killed": toy_run(root, "tp2-killed", tensor_parallel=2),
    }
    for number in range(2):
        _kill_in(list(killed.values()), number)
    pairs = killed | {
        "tp2-truncated": _with_truncated_checkpoint(killed["tp2-killed"], root),
        "tp2-from-dp2": _from_weights_alone(killed["dp2-killed"], root, "tp2-from-dp2", tensor_parallel=2),
    }
    changed = LAYOUTS | MASKED_LAYOUTS
    pairs |= {name: toy_run(root, name, **changes) for name, changes in changed.items()}
    pairs |= {name: toy_run(root, name, model=TIED, **changes) for name, changes in TIED_LAYOUTS.items()}
    runs = alone | pairs
    return dict(zip(runs, train_all(list(runs.values())), strict=True))


def _kill_in(runs: list[TrainingRun], number: int) -> None:
    """Start training in a process of its own and kill it, with all its children, past a checkpoint of one run."""
    for run in runs:
        run.folder.mkdir(parents=True, exist_ok=True)
        run.save()
    script = (
        "import sys; from pathlib import Path; from hare.training.run import TrainingRun; "
        "from hare.training.launch import train_all; train_all([TrainingRun.load(Path(p)) for p in sys.argv[1:]])"
    )
    process = subprocess.Popen([sys.executable, "-c", script, *(str(run.folder) for run in runs)])
    metrics = runs[number].folder / METRICS_FILE
    deadline = time.monotonic() + SECONDS_TO_START
    family: list[psutil.Process] = []  # found out early: looking for it takes as long as some steps
    while not metrics.exists() or metrics.read_text().count("\n") < 10:
        assert process.poll() is None and time.monotonic() < deadline, "training did not come to that run"
        if metrics.exists() and not family:
            family = psutil.Process(process.pid).children(recursive=True)
        time.sleep(0.002)
    for child in family or psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(ProcessLookupError):  # one may die of another's death first
            os.kill(child.pid, signal.SIGKILL)
    process.kill()
    process.wait()
    assert 8 in [checkpoint.step for checkpoint in checkpoints(runs[number].folder / "checkpoints")]


def _with_truncated_checkpoint(killed: TrainingRun, root: Path) -> TrainingRun:
    """A copy of the killed run with a second, newer checkpoint of which a file was cut short."""
    run = dataclasses.replace(killed, folder=root / "runs" / killed.folder.name.replace("killed", "truncated"))
    shutil.copytree(killed.folder, run.folder)
    newer = run.folder / "checkpoints" / "16"
    shutil.rmtree(newer, ignore_errors=True)
    shutil.copytree(run.folder / "checkpoints" / "8", newer)
    victim = next(newer.rglob("optimizer_*.pt"))
    victim.write_bytes(victim.read_bytes()[:1000])
    return run


def _from_weights_alone(ended: TrainingRun, root: Path, name: str, **changes: object) -> TrainingRun:
    """A short new run that starts from the last weights of ``ended``."""
    start = ended.folder / "checkpoints" / "20"
    return dataclasses.replace(toy_run(root, name, train_steps=4, **changes), weights=start)


@pytest.mark.parametrize("name", [*LAYOUTS, *TIED_LAYOUTS, *MASKED_LAYOUTS])
def test_losses_of_every_layout_equal_one_process(trained: dict[str, TrainedRun], name: str) -> None:
    one = trained["tied" if name in TIED_LAYOUTS else "masked" if name in MASKED_LAYOUTS else "one"]
    expected, metrics = one.metrics(), trained[name].metrics()
    assert len(metrics) == 20
    assert np.abs(metrics["loss"] - expected["loss"]).max() < 1e-5
    assert np.abs(metrics["gradient_norm"] - expected["gradient_norm"]).max() < 1e-5
    nats, right = trained[name].heldout()["nats"], one.heldout()["nats"]
    assert np.abs(nats - right).max() < 1e-3


@pytest.mark.parametrize("name", [*LAYOUTS, *TIED_LAYOUTS, "one", "tied"])
def test_exports_equal_the_module_in_training(trained: dict[str, TrainedRun], name: str) -> None:
    difference, largest = export_difference(trained[name])
    assert difference < 1e-5 and difference < 8e-7 * largest, (difference, largest)


@pytest.mark.parametrize("name", LAYOUTS)
def test_weights_of_every_layout_equal_one_process(trained: dict[str, TrainedRun], name: str) -> None:
    expected, weights = (load_file(trained[which].hf / "model.safetensors") for which in ("one", name))
    assert weights.keys() == expected.keys()
    assert all(torch.allclose(weights[key], expected[key], atol=1e-5) for key in expected)


def test_export_and_import_are_exact(trained: dict[str, TrainedRun]) -> None:
    for name in ("one", "tied", "tp2-reduce-scatter", "pp2-1f1b"):
        checkpoint = trained[name].checkpoint
        config, whole = read_config(checkpoint), read_checkpoint(checkpoint)
        assert config_of_hugging_face(trained[name].hf) == config
        again = read_weights(trained[name].hf, config)
        assert again.keys() == whole.keys() and all(torch.equal(again[key], whole[key]) for key in whole)


def test_shard_metadata_hold_plain_numbers(trained: dict[str, TrainedRun]) -> None:
    for file in trained["tp2-all-reduce"].checkpoint.rglob("model_*.safetensors"):
        with safe_open(file, "pt") as shard:
            assert "int64" not in str(shard.metadata())


@pytest.mark.parametrize(("name", "uninterrupted"), [
    ("killed", "one"), ("truncated", "one"), ("dp2-killed", "dp2"), ("tp2-killed", "tp2-all-reduce"),
    ("tp2-truncated", "tp2-all-reduce"),
])
def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(
    trained: dict[str, TrainedRun], name: str, uninterrupted: str
) -> None:
    same = ["step", "loss", "learning_rate", "gradient_norm"]
    expected, resumed = trained[uninterrupted], trained[name]
    assert resumed.metrics()[same].equals(expected.metrics()[same])
    assert resumed.heldout().equals(expected.heldout())
    assert (resumed.hf / "model.safetensors").read_bytes() == (expected.hf / "model.safetensors").read_bytes()


def test_a_restart_from_weights_alone_starts_where_they_ended(trained: dict[str, TrainedRun]) -> None:
    first, last = trained["restarted"].metrics()["loss"].iloc[0], trained["one"].metrics()["loss"].iloc[-1]
    fresh = trained["one"].metrics()["loss"].iloc[0]
    assert abs(first - last) < abs(first - fresh)


def test_weights_alone_go_on_under_another_layout(trained: dict[str, TrainedRun]) -> None:
    expected, losses = (trained[name].metrics()["loss"] for name in ("restarted", "tp2-from-dp2"))
    assert np.abs(losses - expected).max() < 1e-4


def test_masking_documents_changes_the_loss(trained: dict[str, TrainedRun]) -> None:
    assert np.abs(trained["masked"].metrics()["loss"] - trained["one"].metrics()["loss"]).max() > 1e-4


def test_every_step_tells_speed_and_time_left(trained: dict[str, TrainedRun]) -> None:
    metrics = trained["dp2"].metrics()
    assert (metrics["mfu"] > 0).all() and (metrics["tokens_per_s"] > 0).all()
    assert metrics["seconds_left"].iloc[-1] == 0 < metrics["seconds_left"].iloc[0]


def test_the_first_step_after_a_resume_has_its_learning_rate(trained: dict[str, TrainedRun]) -> None:
    """nanotron 0.4 takes it at 0."""
    assert trained["killed"].metrics().set_index("step")["learning_rate"].loc[9:].min() > 0


def test_tensor_parallel_shards_start_different(trained: dict[str, TrainedRun]) -> None:
    """nanotron 0.4 draws the same numbers on every tensor-parallel rank; after one run halves would still be twins."""
    for name, whole in read_checkpoint(trained["tp2-all-reduce"].checkpoint).items():
        if whole.dim() == 2:
            first, second = whole.chunk(2, dim=1 if "o_proj" in name or "down_proj" in name else 0)
            assert (first - second).abs().max() > 1e-2, name


def test_a_complete_run_is_not_run_again(trained: dict[str, TrainedRun], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    assert train(trained["one"].run) == trained["one"]


def test_only_the_last_checkpoint_stays(trained: dict[str, TrainedRun]) -> None:
    assert [checkpoint.step for checkpoint in checkpoints(trained["one"].run.folder / "checkpoints")] == [20]


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_checkpoint_has_as_many_files_as_the_plan_for_more_gpus_counts(
    trained: dict[str, TrainedRun], name: str
) -> None:
    training = trained[name].run.training
    layout = Layout(
        training.data_parallel, training.tensor_parallel, training.pipeline_parallel, training.micro_batch,
        training.gradient_accumulation, held=0, state_gb=0.0, activations_gb=0.0,
    )
    files = [path for path in trained[name].checkpoint.rglob("*") if path.is_file()]
    files = [path for path in files if path.name != "probe.safetensors"]  # the last checkpoint's alone
    assert len(files) == checkpoint_files(SHAPE, layout, training.zero_stage), sorted(path.name for path in files)


def test_another_layout_is_refused_by_name(trained: dict[str, TrainedRun]) -> None:
    run = trained["one"].run
    other = dataclasses.replace(run, training=dataclasses.replace(run.training, tensor_parallel=2))
    with pytest.raises(HareError, match=r"(?s)tensor_parallel 1 → 2.*weights alone"):
        train(other)


def test_another_setting_or_other_data_are_refused_by_name(trained: dict[str, TrainedRun]) -> None:
    run = trained["one"].run
    other = dataclasses.replace(run, training=dataclasses.replace(run.training, learning_rate=1e-3))
    with pytest.raises(HareError, match=r"training\.learning_rate was 0\.003, now 0\.001"):
        train(other)
    mixture = dataclasses.replace(run.mixture, fingerprints=run.mixture.fingerprints | {"d1": "other"})
    with pytest.raises(HareError, match=r"mixture\.fingerprints\.d1 was .*, now other"):
        train(dataclasses.replace(run, mixture=mixture))


def test_the_run_says_what_it_was(trained: dict[str, TrainedRun]) -> None:
    record = json.loads((trained["dp2"].run.folder / "run.json").read_text())
    assert record["identity"]["training"]["data_parallel"] == 2
    assert TrainingRun.load(trained["dp2"].run.folder) == trained["dp2"].run

"""Bad input: each fault stops with a message that names it, and loses nothing."""

import dataclasses
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch
from one_process import one_process
from training_runs import SHAPE, toy_run, toy_tokens

from hare.core.errors import HareError
from hare.tokens.packed import fingerprint
from hare.training import preflight, worker
from hare.training.checkpoints import checkpoints
from hare.training.launch import prepare, train, worker_environment
from hare.training.preflight import refuse_faults, refuse_more_processes_than_gpus, refuse_other_world, refuse_used_port
from hare.training.run import METRICS_FILE, TrainingRun
from hare.training.worker import train_here

SECONDS_TO_START, SECONDS_TO_END = 240, 20


@pytest.fixture(scope="module", autouse=True)
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with one_process(tmp_path_factory.mktemp("store")):
        yield


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> TrainingRun:
    """A short run that has come to its end, with two checkpoints."""
    run = toy_run(tmp_path_factory.mktemp("ended"), "ended", train_steps=4, checkpoint_interval=2, tensorboard=False)
    prepare([run])
    train_here(run)
    return run


def test_a_killed_launcher_leaves_no_process(tmp_path: Path) -> None:
    run = toy_run(tmp_path, "endless", train_steps=100_000)
    prepare([run])
    script = (
        "import sys; from pathlib import Path; from hare.training.run import TrainingRun; "
        "from hare.training.launch import train; train(TrainingRun.load(Path(sys.argv[1])))"
    )
    launcher = subprocess.Popen([sys.executable, "-c", script, str(run.folder)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + SECONDS_TO_START
    while not (run.folder / METRICS_FILE).exists():
        assert launcher.poll() is None and time.monotonic() < deadline, "training did not start"
        time.sleep(0.1)
    family = psutil.Process(launcher.pid).children(recursive=True)
    assert family, "torchrun and its worker"
    launcher.kill()
    launcher.wait()
    assert not psutil.wait_procs(family, timeout=SECONDS_TO_END)[1], "processes outlived their launcher"


def test_a_loss_that_is_not_a_number_stops_and_keeps_what_was_good(tmp_path: Path) -> None:
    run = toy_run(tmp_path, "run", learning_rate=1e30, schedule="constant", checkpoint_interval=1, warmup_steps=1)
    prepare([run])
    with pytest.raises(HareError, match=r"The (loss|gradient norm) of step 3 is (nan|inf) \(samples 8 to 11 of run\)"):
        train_here(run)
    remaining = checkpoints(run.folder / "checkpoints")
    assert [checkpoint.step for checkpoint in remaining] == [2, 1]
    assert not any(checkpoint.damage() for checkpoint in remaining)


def test_a_fault_is_left_for_the_launcher_and_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = toy_run(tmp_path, "run")
    files = run.mixture.files | {"d1": str(toy_tokens(tmp_path / "other.ds", 7))}
    run = dataclasses.replace(run, mixture=dataclasses.replace(run.mixture, files=files))
    run.folder.mkdir(parents=True)
    run.save()
    listed = tmp_path / "list" / "runs.json"
    listed.parent.mkdir()
    listed.write_text(json.dumps([str(run.folder)]))
    assert worker.main(listed) == 1
    error = json.loads(listed.with_name(worker.ERROR_FILE).read_text())
    assert "has changed since this run was planned" in error["problem"] and error["fix"]
    assert capsys.readouterr().err.startswith("hare: ")


def test_a_gpu_with_too_little_memory_is_named_with_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(run: TrainingRun, stop: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nGPU 0 has …")

    monkeypatch.setattr(worker, "train_here", full)
    run = toy_run(tmp_path, "run")
    prepare([run])
    listed = tmp_path / "runs.json"
    listed.write_text(json.dumps([str(run.folder)]))
    assert worker.main(listed) == 1
    error = json.loads(listed.with_name(worker.ERROR_FILE).read_text())
    assert error["problem"].endswith("Tried to allocate 2 GiB.") and "micro_batch" in error["fix"]


def test_tokens_outside_the_vocabulary_stop_the_run(tmp_path: Path) -> None:
    run = toy_run(tmp_path, "run")
    path = Path(run.mixture.files["d1"])
    tokens = bytearray(path.read_bytes())
    tokens[1::2] = b"\x02" * (len(tokens) // 2)  # every token at least 512
    path.write_bytes(tokens)
    fingerprints = run.mixture.fingerprints | {"d1": fingerprint(path)}
    run = dataclasses.replace(run, mixture=dataclasses.replace(run.mixture, fingerprints=fingerprints))
    prepare([run])
    with pytest.raises(HareError, match=r"holds token \d+, but the vocabulary has 512 entries"):
        train_here(run)


def test_a_checkpoint_of_another_shape_is_refused_by_name(tmp_path: Path, ended: TrainingRun) -> None:
    weights = ended.folder / "checkpoints" / "4"
    wider = dataclasses.replace(SHAPE, intermediate_size=96)
    with pytest.raises(HareError, match="of another shape: intermediate_size 88 instead of 96"):
        refuse_faults(dataclasses.replace(toy_run(tmp_path, "run", model=wider), weights=weights))
    refuse_faults(dataclasses.replace(toy_run(tmp_path, "run"), weights=weights))


def _with_token(tokenizer: Path, folder: Path, number: int) -> Path:
    """A copy of a tokenizer with one more piece of that id."""
    shutil.copytree(tokenizer, folder)
    described = json.loads((folder / "tokenizer.json").read_text())
    described["model"]["vocab"] |= {"more": number}
    (folder / "tokenizer.json").write_text(json.dumps(described))
    return folder


def test_a_vocabulary_larger_than_the_embedding_is_refused(tmp_path: Path, ended: TrainingRun) -> None:
    run = dataclasses.replace(toy_run(tmp_path, "run"), weights=ended.folder / "checkpoints" / "4")
    tokenizer = _with_token(run.tokenizer, tmp_path / "larger", 520)
    with pytest.raises(HareError, match=r"The tokenizer has 521 tokens, more than the embedding of .* with 512 rows"):
        refuse_faults(dataclasses.replace(run, tokenizer=tokenizer))


def test_a_vocabulary_beyond_16_bits_is_refused(tmp_path: Path) -> None:
    run = toy_run(tmp_path, "run")
    with pytest.raises(HareError, match="has 65537 tokens, but token files number at most 65536"):
        refuse_faults(dataclasses.replace(run, tokenizer=_with_token(run.tokenizer, tmp_path / "larger", 1 << 16)))


def test_another_tokenizer_of_the_same_size_is_another_run(tmp_path: Path) -> None:
    run = toy_run(tmp_path, "run")
    run.folder.mkdir(parents=True)
    run.save()
    other = _with_token(run.tokenizer, tmp_path / "other", 3)
    with pytest.raises(HareError, match="holds another run: tokenizer was"):
        refuse_faults(dataclasses.replace(run, tokenizer=other))


def test_weights_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(HareError, match="holds neither a checkpoint"):
        refuse_faults(dataclasses.replace(toy_run(tmp_path, "run"), weights=tmp_path / "nowhere"))


def test_more_processes_than_places_are_refused(tmp_path: Path) -> None:
    run = toy_run(tmp_path, "run", data_parallel=2, gradient_accumulation=2)
    refuse_other_world(run, 2)
    with pytest.raises(HareError, match=r"4 processes were started, but run has places for 2 \(data 2 x tensor 1"):
        refuse_other_world(run, 4)
    with pytest.raises(HareError, match="1 processes were started"):
        train_here(run)


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_more_processes_than_gpus(64)  # without a GPU processes share the cores
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    refuse_more_processes_than_gpus(8)
    with pytest.raises(HareError, match="needs 16 processes, one per GPU, but this machine has 8"):
        refuse_more_processes_than_gpus(16)


def test_a_port_in_use_is_refused() -> None:
    with socket.socket() as listener:
        listener.bind(("", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(HareError, match=rf"Port {port} .* Address already in use"):
            refuse_used_port(port)
    refuse_used_port(port)


def test_options_without_their_packages_are_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(HareError, match="package tensorboard is not installed"):
        train(toy_run(tmp_path, "run", tensorboard=True))
    with pytest.raises(HareError, match="package torchao is not installed"):
        train(toy_run(tmp_path, "run", precision="float8"))
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(HareError, match="no C\\+\\+ compiler"):
        train(toy_run(tmp_path, "run", torch_compile=True))
    assert not (tmp_path / "runs").exists()


def test_an_odd_vocabulary_cannot_be_split(tmp_path: Path) -> None:
    with pytest.raises(HareError, match="vocabulary of 512 cannot be split over tensor_parallel 3"):
        preflight.refuse_faults(toy_run(tmp_path, "run", tensor_parallel=3))


def test_a_pipeline_rank_without_work_is_refused(tmp_path: Path) -> None:
    shallow = dataclasses.replace(SHAPE, layers=1)
    refuse_faults(toy_run(tmp_path, "run", model=shallow))
    with pytest.raises(HareError, match="Pipeline rank 1 of 2 would have nothing to do"):
        refuse_faults(toy_run(tmp_path, "run", model=shallow, pipeline_parallel=2))


def test_tensor_parallelism_gets_one_stream_of_work(tmp_path: Path) -> None:
    alone, split = (toy_run(tmp_path, "run", tensor_parallel=size).training for size in (1, 2))
    assert "CUDA_DEVICE_MAX_CONNECTIONS" not in worker_environment(alone)
    assert worker_environment(split)["CUDA_DEVICE_MAX_CONNECTIONS"] == "1"


def test_what_is_shown_of_a_run_does_not_make_it_another(tmp_path: Path) -> None:
    run = toy_run(tmp_path, "run")
    shown = dataclasses.replace(run, training=dataclasses.replace(run.training, tensorboard=True, runs_at_once=7))
    masked = dataclasses.replace(run, training=dataclasses.replace(run.training, mask_documents=True))
    assert run.identity() == shown.identity() != masked.identity()

"""The small parts of training: checkpoints on disk, journal, schedules, settings, held-out bytes, faults."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from training_runs import OPTIMISATION, SEQUENCE_LENGTH, VOCABULARY, toy_run, toy_tokens

import hare.model.nanotron.shim  # noqa: F401
from hare.core.errors import HareError
from hare.model.config import HareConfig
from hare.model.nanotron.defects import refuse_unsupported
from hare.tokens.tokenizer import Vocabulary
from hare.training.batches import micro_batch
from hare.training.checkpoints import Checkpoint, checkpoints, last_good, prune, publish, refuse_other_layout
from hare.training.heldout import bits_per_byte, heldout_sequences
from hare.training.journal import Journal, keep_curves
from hare.training.launch import train
from hare.training.settings import nanotron_settings, schedule
from hare.training.trainer import HareTrainer

# isort: split
from nanotron.config import LRSchedulerArgs, get_config_from_file
from nanotron.helpers import lr_scheduler_builder

LAYOUT = {"data_parallel": 1, "tensor_parallel": 1}


def written(folder: Path, step: int, text: str = "weights") -> Checkpoint:
    file = folder / ".partial" / str(step) / "model" / "part.bin"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    return publish(folder, step, LAYOUT, kept=2)


def test_checkpoints_are_ordered_by_number_and_pruned(tmp_path: Path) -> None:
    for step in (8, 9, 10, 100):
        written(tmp_path, step)
    assert [checkpoint.step for checkpoint in checkpoints(tmp_path)] == [100, 10]
    assert not (tmp_path / ".partial").exists()


@pytest.mark.parametrize("damage", ["cut", "missing", "no manifest", "half a manifest"])
def test_the_last_good_checkpoint_is_found(tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = written(tmp_path, 9), written(tmp_path, 10)
    victim = bad.folder / ("manifest.json" if "manifest" in damage else "model/part.bin")
    if damage in ("missing", "no manifest"):
        victim.unlink()
    else:
        victim.write_bytes(victim.read_bytes()[:3])
    assert last_good(tmp_path) == good
    assert str(bad.folder) in capsys.readouterr().out


def test_no_checkpoint_is_no_fault(tmp_path: Path) -> None:
    assert last_good(tmp_path / "nowhere") is None
    prune(tmp_path / "nowhere", kept=1)


def test_another_layout_is_refused(tmp_path: Path) -> None:
    checkpoint = written(tmp_path, 5)
    refuse_other_layout(checkpoint, LAYOUT)
    with pytest.raises(HareError, match=r"data_parallel 1 → 2"):
        refuse_other_layout(checkpoint, LAYOUT | {"data_parallel": 2})


def test_the_journal_goes_on_as_the_checkpoint_keeps_it(tmp_path: Path) -> None:
    run = toy_run(tmp_path, "run")
    checkpoint = run.folder / "checkpoints" / "2"
    checkpoint.mkdir(parents=True)
    rows = ['{"step": 1, "loss": 1.0}\n', '{"step": 2, "loss": 1.0}\n']
    for name in ("metrics.jsonl", "heldout.jsonl"):
        (run.folder / name).write_text("".join(rows))
    keep_curves(run, checkpoint)
    (run.folder / "metrics.jsonl").write_text("damaged\n" + rows[1] + '{"step": 4, "lo')
    (run.folder / "heldout.jsonl").unlink()
    Journal(run, 2)
    assert (run.folder / "metrics.jsonl").read_text() == (run.folder / "heldout.jsonl").read_text() == "".join(rows)
    Journal(run, 0)
    assert (run.folder / "metrics.jsonl").read_text() == ""


def rates(**changes: object) -> list[float]:
    """Learning rates that nanotron's scheduler gives for each step."""
    training = dataclasses.replace(OPTIMISATION, train_steps=20, warmup_steps=4, **changes)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([parameter], lr=training.learning_rate)
    wrapped = SimpleNamespace(get_base_optimizer=lambda: optimizer)
    scheduler = lr_scheduler_builder(wrapped, LRSchedulerArgs(**schedule(training)), training.train_steps)
    learning_rates = []
    for _ in range(training.train_steps):
        learning_rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return learning_rates


@pytest.mark.parametrize("kind", ["constant", "cosine", "wsd"])
def test_schedules_warm_up_and_end_where_they_should(kind: str) -> None:
    learning_rates = rates(schedule=kind)
    top, bottom = OPTIMISATION.learning_rate, OPTIMISATION.min_learning_rate
    assert learning_rates[:5] == pytest.approx([top * step / 4 for step in range(5)])
    assert max(learning_rates) == pytest.approx(top)
    assert learning_rates[4:] == sorted(learning_rates[4:], reverse=True)
    if kind == "constant":
        assert learning_rates[4:] == pytest.approx([top] * 16)
    if kind == "cosine":
        half = top - (top - bottom) / 2
        assert learning_rates[12] == pytest.approx(half)
    if kind == "wsd":
        assert learning_rates[4:17] == pytest.approx([top] * 13)
        assert bottom <= learning_rates[-1] < top / 2


def test_nanotron_reads_its_settings_back(tmp_path: Path) -> None:
    run = toy_run(tmp_path, "run", precision="bfloat16", zero_stage=1)
    path = tmp_path / "nanotron.yaml"
    path.write_text(yaml.safe_dump(nanotron_settings(run, tmp_path, None)))
    config = get_config_from_file(path, model_config_class=HareConfig)
    assert config.model.model_config == HareConfig.of(run.model, Vocabulary(VOCABULARY))
    assert config.model.dtype == torch.bfloat16 and config.optimizer.accumulate_grad_in_fp32
    refuse_unsupported(config)
    config.parallelism.tp_linear_async_communication = True
    with pytest.raises(HareError, match="tp_linear_async_communication"):
        refuse_unsupported(config)


def test_runs_get_folders_of_their_own(tmp_path: Path) -> None:
    run = toy_run(tmp_path, "run")
    here = run.keyed(tmp_path, "d1")
    assert here.folder == run.keyed(tmp_path, "d1").folder
    other = dataclasses.replace(run, training=dataclasses.replace(run.training, learning_rate=1e-3))
    assert here.folder != other.keyed(tmp_path, "d1").folder
    more_seeds = dataclasses.replace(run, training=dataclasses.replace(run.training, training_seeds=(0, 1, 2)))
    assert here.folder == more_seeds.keyed(tmp_path, "d1").folder


def test_a_mixture_of_another_length_is_refused(tmp_path: Path) -> None:
    run = toy_run(tmp_path, "run")
    other = dataclasses.replace(run, training=dataclasses.replace(run.training, train_steps=21))
    with pytest.raises(HareError, match=r"80 samples, but the run takes 84"):
        train(other)


def test_tokens_outside_the_vocabulary_are_refused() -> None:
    trainer = SimpleNamespace(model_config=SimpleNamespace(vocab_size=10))
    with pytest.raises(HareError, match="token 10, but the vocabulary has 10"):
        micro_batch(trainer, np.array([[1, 10, 3]]))


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_names_its_batch(tmp_path: Path, loss: float) -> None:
    trainer = SimpleNamespace(
        consumed_train_samples=40, global_batch_size=4, iteration_step=10, run=toy_run(tmp_path, "run")
    )
    with pytest.raises(HareError, match=r"step 10 .*samples 36 to 39"):
        HareTrainer._refuse_nonfinite(trainer, "loss", loss)


def test_heldout_windows_are_spread(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = toy_run(tmp_path, "run")
    files = run.heldout | {"short": toy_tokens(tmp_path / "short.ds", 1, SEQUENCE_LENGTH)}
    windows = heldout_sequences(files, run.tokenizer, SEQUENCE_LENGTH, 3)
    assert windows.categories == ["toy"] * 3 and windows.numbers == [0, 1, 2]
    assert windows.tokens.shape == (3, SEQUENCE_LENGTH + 1)
    assert (windows.bytes == 3 * SEQUENCE_LENGTH).all()
    assert "short is left out" in capsys.readouterr().out
    with pytest.raises(HareError, match="No held-out file"):
        heldout_sequences({"short": files["short"]}, run.tokenizer, SEQUENCE_LENGTH, 3)


def test_bits_per_byte() -> None:
    assert bits_per_byte(np.log(256) * 5, 5) == pytest.approx(8.0)

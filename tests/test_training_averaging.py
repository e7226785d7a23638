"""The mean of the last checkpoints: which steps, what is exported, and that a kill or damage changes nothing in it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from one_process import one_process
from safetensors.torch import load_file
from training_runs import OPTIMISATION, toy_run

from hare.core.sections import Training
from hare.training.averaging import WEIGHTS, averaged_steps, mean_weights
from hare.training.checkpoints import Checkpoint, checkpoints, last_good, publish
from hare.training.launch import prepare, train
from hare.training.run import TrainedRun, finished
from hare.training.study import export_difference
from hare.training.worker import train_here

SHORT = {"train_steps": 6, "checkpoint_interval": 4, "averaged_checkpoints": 3, "validation_interval": 6}


@pytest.fixture(scope="module", autouse=True)
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with one_process(tmp_path_factory.mktemp("store")):
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    run = toy_run(tmp_path_factory.mktemp("averaged"), "run", **SHORT)
    prepare([run])
    train_here(run)
    return train(run)


@pytest.mark.parametrize(("steps", "count", "expected"), [
    (800, 4, [770, 780, 790, 800]), (440, 1, [440]), (6, 3, [4, 5, 6]), (2, 4, [1, 2]), (1, 4, [1]),
])
def test_averaged_steps_are_the_last_or_neighbours(steps: int, count: int, expected: list[int]) -> None:
    training = Training(train_steps=steps, averaged_checkpoints=count)
    assert averaged_steps(training) == expected


def test_the_export_is_the_mean_of_the_last_checkpoints(trained: TrainedRun) -> None:
    assert list(trained.exports) == [4, 5, 6]
    each = [load_file(folder / WEIGHTS) for folder in trained.exports.values()]
    for name, mean in load_file(trained.hf / WEIGHTS).items():
        assert torch.allclose(mean, sum(weights[name] for weights in each) / 3, atol=1e-7)
    assert any(not torch.equal(each[0][name], each[2][name]) for name in each[0])
    difference, largest = export_difference(trained)
    assert difference < 1e-5 and difference < 8e-7 * largest
    assert [checkpoint.step for checkpoint in checkpoints(trained.run.folder / "checkpoints")] == [6]


def test_a_run_without_one_of_its_exports_is_not_finished(trained: TrainedRun, tmp_path: Path) -> None:
    aside = tmp_path / "kept"
    shutil.move(trained.exports[5], aside)
    assert finished(trained.run) is None
    shutil.move(aside, trained.exports[5])
    assert finished(trained.run) == trained


def test_a_damaged_checkpoint_of_the_mean_is_trained_again(trained: TrainedRun, tmp_path: Path) -> None:
    run = toy_run(tmp_path, "run", **SHORT)
    prepare([run])
    train_here(run)
    (run.folder / "checkpoints" / "5" / "manifest.json").write_text("{")
    assert last_good(run.folder / "checkpoints", averaged_steps(run.training)) == Checkpoint(
        run.folder / "checkpoints" / "4"
    )
    train_here(run)
    assert (train(run).hf / WEIGHTS).read_bytes() == (trained.hf / WEIGHTS).read_bytes()


def test_only_forerunners_that_are_needed_must_be_whole(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        file = tmp_path / ".partial" / str(step) / "part.bin"
        file.parent.mkdir(parents=True)
        file.write_text("weights")
        publish(tmp_path, step, {"data_parallel": 1}, kept=3)
    (tmp_path / "2" / "part.bin").unlink()
    newest = last_good(tmp_path, needed=(1, 3))
    assert newest is not None and newest.step == 3
    earlier = last_good(tmp_path, needed=(2, 3))
    assert earlier is not None and earlier.step == 1


def test_the_mean_of_one_checkpoint_is_that_checkpoint(trained: TrainedRun) -> None:
    last = trained.exports[6]
    assert all(torch.equal(mean, load_file(last / WEIGHTS)[name]) for name, mean in mean_weights([last]).items())
    assert averaged_steps(OPTIMISATION) == [20]

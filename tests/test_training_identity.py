"""A run is what it reads and the code that computes it; what it left is used only while it is what was written."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from one_process import one_process
from training_runs import toy_run, toy_tokens

from hare.core import code
from hare.core.errors import HareError
from hare.core.seals import content_of
from hare.tokens.packed import fingerprint
from hare.training import run as run_module
from hare.training.launch import prepare, train
from hare.training.run import DONE_FILE, METRICS_FILE, RUN_FILE, TrainingRun, finished
from hare.training.worker import train_here


@pytest.fixture(scope="module", autouse=True)
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with one_process(tmp_path_factory.mktemp("store")):
        yield


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> TrainingRun:
    """A short run that has come to its end, exported."""
    root = tmp_path_factory.mktemp("ended")
    run = toy_run(root, "ended", train_steps=4, checkpoint_interval=2, tensorboard=False).keyed(root / "runs", "run")
    prepare([run])
    train_here(run)
    train(run)
    return run


@pytest.fixture
def ended(original: TrainingRun, tmp_path: Path) -> TrainingRun:
    """A copy of it that may be damaged."""
    folder = tmp_path / "runs" / original.folder.name
    shutil.copytree(original.folder, folder)
    return dataclasses.replace(original, folder=folder)


CHANGES = {
    "training/settings.py": ("1e-8", "1e-7"), "training/trainer.py": ("PROBE_TOKENS = 32", "PROBE_TOKENS = 31"),
    "training/worker.py": ("set_num_threads(run.training.cpu_threads)", "set_num_threads(1)"),
    "training/batches.py": ("tokens[:, 1:]", "tokens[:, 2:]"), "model/layers.py": ("import torch", "import torch as t"),
    "tokens/mixture.py": ("import numpy as np", "import numpy"), "tokens/permutation.py": ("return", "yield"),
    "model/weights.py": ("import torch", "import torch as t"), "model/convert.py": ("indent=2", "indent=3"),
}


def _with(monkeypatch: pytest.MonkeyPatch, name: str, old: str, new: str) -> None:
    """As if the module held another line."""
    file = code.PACKAGE / name
    text = file.read_text()
    assert old in text, f"{name} no longer holds {old!r}"
    real = code.text_of
    monkeypatch.setattr(code, "text_of", lambda path: text.replace(old, new, 1) if path == file else real(path))
    _forget()


def _forget() -> None:
    for cached in (code._facts, run_module._code):
        cached.cache_clear()


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    _forget()


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_line_makes_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    run = toy_run(tmp_path, "run")
    before = run.keyed(tmp_path, "run").folder
    run.folder.mkdir(parents=True)
    run.save()
    _with(monkeypatch, name, *CHANGES[name])
    assert run.keyed(tmp_path, "run").folder != before
    with pytest.raises(HareError, match=rf"code\.hare/{name} was \w+, now \w+"):
        run.refuse_other_identity()


@pytest.mark.parametrize(("name", "old", "new"), [
    ("training/trainer.py", '"""One process\'s share', '"""A process\'s share'),
    ("training/preflight.py", "lower", "reduce"), ("core/errors.py", '"Fix:"', '"Do:"'),
    ("training/study.py", "parity", "equality"), ("training/processes.py", "0.1", "0.2"),
])
def test_words_and_what_computes_nothing_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, old: str, new: str
) -> None:
    before = toy_run(tmp_path, "run").identity()
    _with(monkeypatch, name, old, new)
    assert toy_run(tmp_path, "run").identity() == before


def test_start_weights_count_by_content_not_by_place(tmp_path: Path, original: TrainingRun) -> None:
    for weights in (original.folder / "hf", original.folder / "checkpoints" / "4"):
        there = Path(shutil.copytree(weights, tmp_path / weights.name / "elsewhere"))
        run = dataclasses.replace(toy_run(tmp_path, "run"), weights=weights)
        moved = dataclasses.replace(run, weights=there)
        assert run.identity() == moved.identity()
        victim = next(there.rglob("model*.safetensors"))
        _flip(victim)
        assert run.identity() != moved.identity()


def test_every_input_and_setting_counts(tmp_path: Path) -> None:
    run = toy_run(tmp_path, "run")
    before = run.identity()
    files = run.mixture.fingerprints | {"d1": fingerprint(toy_tokens(tmp_path / "other.ds", 9))}
    described = json.loads((run.tokenizer / "tokenizer.json").read_text())
    (tmp_path / "other").mkdir()
    other = Path(shutil.copytree(run.tokenizer, tmp_path / "other" / "tokenizer"))
    described["model"]["vocab"] = dict(sorted(described["model"]["vocab"].items(), reverse=True))
    (other / "tokenizer.json").write_text(json.dumps(described))
    for changes in (
        {"seed": 1}, {"tokenizer": other}, {"heldout": {"toy": toy_tokens(tmp_path / "h.ds", 3, 300)}},
        {"mixture": dataclasses.replace(run.mixture, fingerprints=files)},
        {"model": dataclasses.replace(run.model, layers=3)},
        {"training": dataclasses.replace(run.training, weight_decay=0.2)},
    ):
        assert dataclasses.replace(run, **changes).identity() != before, changes


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES: list[Callable[[Path], None]] = [_flip, _cut, _empty, Path.unlink]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["hf/model.safetensors", "hf/config.json", "hf/tokenizer.json", DONE_FILE])
def test_a_damaged_export_is_made_again_from_the_checkpoint(
    ended: TrainingRun, monkeypatch: pytest.MonkeyPatch, name: str, damage: Callable[[Path], None]
) -> None:
    monkeypatch.setattr("hare.training.processes.subprocess.Popen", None)
    before = content_of(ended.folder / "hf")
    damage(ended.folder / name)
    trained = train(ended)
    assert content_of(trained.hf) == before and finished(ended) == trained


@pytest.mark.parametrize("text", ["null", "[]", "1", '{"checkpoint": 1, "hf": 2}', '{"hf": {}}'])
def test_a_done_file_that_says_nothing_is_written_again(ended: TrainingRun, text: str) -> None:
    (ended.folder / DONE_FILE).write_text(text)
    assert finished(ended) is None
    assert finished(train(ended).run) is not None


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [METRICS_FILE, RUN_FILE, "heldout.jsonl"])
def test_what_else_is_damaged_changes_no_curve(
    ended: TrainingRun, original: TrainingRun, name: str, damage: Callable[[Path], None]
) -> None:
    damage(ended.folder / name)
    expected = train(original)
    trained = train(ended)
    assert trained.metrics().equals(expected.metrics()) and trained.heldout().equals(expected.heldout())
    assert TrainingRun.load(ended.folder) == ended


def test_curves_are_whole_again_after_a_resume(ended: TrainingRun, original: TrainingRun) -> None:
    (ended.folder / DONE_FILE).unlink()
    shutil.rmtree(ended.folder / "hf")
    checkpoint = ended.folder / "checkpoints" / "4"
    assert finished(ended) is None
    for name in (METRICS_FILE, "heldout.jsonl"):
        (ended.folder / name).write_text("damaged")
        assert (checkpoint / name).read_bytes() == (original.folder / "checkpoints" / "4" / name).read_bytes()
    assert train(ended).metrics()["step"].tolist() == [1, 2, 3, 4]


def test_the_advice_about_a_damaged_description_works(ended: TrainingRun, tmp_path: Path) -> None:
    unnamed = dataclasses.replace(ended, folder=ended.folder.rename(tmp_path / "runs" / "mine"))
    _cut(unnamed.folder / RUN_FILE)
    with pytest.raises(HareError, match="run.json cannot be read") as caught:
        prepare([unnamed])
    assert f"delete {unnamed.folder}" in caught.value.fix
    with pytest.raises(HareError, match="run.json cannot be read"):
        TrainingRun.load(unnamed.folder)
    shutil.rmtree(unnamed.folder)
    prepare([unnamed])
    assert TrainingRun.load(unnamed.folder) == unnamed

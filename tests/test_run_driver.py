"""The driver on a chain of three tiny notebooks: what runs, what does not, and what remains."""

import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from toychain import PROFILE, ToyStep, toy_chain, toy_notebook, toy_step

from hare.core.errors import HareError
from hare.core.paths import REPOSITORY, Workspace
from hare.core.reading import read_record
from hare.driver.cost import STAGES_CSV
from hare.driver.executed import names_of_this_machine, without
from hare.driver.reproduce import Choice, alone, reason_to_run, reproduce
from hare.driver.state import read_state
from hare.driver.status import status

LOOK_AROUND = """
import os, sys, warnings
from hare.core.paths import REPOSITORY
from hare.core.progress import track
assert os.environ.get("WANTED_PYTHON", sys.executable) == sys.executable
assert os.environ["HF_HUB_OFFLINE"] == os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] == "1"
warnings.warn("look here")
print("work lies in", stage.work, "and code in", REPOSITORY)
sum(track(range(3), "counting", "things"))
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which the toy chain has been run once, beside a registered kernel that is not this interpreter."""
    root = tmp_path_factory.mktemp("finished")
    kernel = root / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(
        json.dumps({"argv": ["/bin/false"], "display_name": "Wrong", "language": "python"})
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(root / "jupyter"))
        patch.setenv("HARE_WORK", str(root / "work"))
        patch.setenv("HARE_RESULTS", str(root / "results"))
        patch.setenv("WANTED_PYTHON", sys.executable)
        chain = toy_chain(root / "notebooks", {"synthesis": LOOK_AROUND})
        assert reproduce(PROFILE, chain=chain) == 3
    yield root


@pytest.fixture
def copied(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ToyStep, ...]:
    """The chain, over a copy of the finished folder that the test may change."""
    root = tmp_path / "copy"
    shutil.copytree(finished, root)
    monkeypatch.setenv("HARE_WORK", str(root / "work"))
    monkeypatch.setenv("HARE_RESULTS", str(root / "results"))
    return tuple(
        toy_step(name, stage, needs, root / "notebooks")
        for name, stage, needs in (
            ("01_count", "corpus", ()), ("02_double", "synthesis", ("corpus",)),
            ("03_add", "decontamination", ("corpus", "synthesis")),
        )
    )


def _workspace() -> Workspace:
    return Workspace(PROFILE.name)


def test_results_and_notebooks_are_where_they_belong(finished: Path) -> None:
    results = finished / "results" / "toy"
    assert json.loads((results / "decontamination" / "metrics.json").read_text())["metrics"] == {"total": 4}
    names = sorted(path.name for path in (results / "notebooks").iterdir())
    assert names == [f"{name}.ipynb" for name in ("01_count", "02_double", "03_add")]
    assert not (finished / "work" / "toy" / "progress.json").exists()


def test_executed_notebooks_reveal_neither_machine_nor_time(finished: Path) -> None:
    secrets = (str(finished), str(REPOSITORY), str(Path.home()), sys.prefix, "start_time", "iopub", "/bin/false")
    for path in (finished / "results" / "toy" / "notebooks").iterdir():
        text = path.read_text()
        for secret in secrets:
            assert secret not in text, f"{secret} stands in {path.name}"
    notebook = json.loads((finished / "results" / "toy" / "notebooks" / "02_double.ipynb").read_text())
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    printed = "".join(line for output in outputs for line in output.get("text", []))
    assert "work lies in work/toy/synthesis and code in ." in printed
    assert "cell:" in printed and "UserWarning: look here" in printed
    assert "counting: 3 things" in printed


def test_cost_is_recorded_with_provenance(finished: Path) -> None:
    bench = finished / "results" / "toy" / "bench"
    recorded = json.loads((bench / "metrics.json").read_text())
    states = [json.loads((finished / "work" / "toy" / "steps" / f"0{n}.json").read_text()) for n in (1, 2, 3)]
    total = sum(state["wall_seconds"] for state in states)
    assert recorded["metrics"]["reproduce_wall_seconds"] == pytest.approx(total, abs=0.1)
    assert recorded["metrics"]["reproduce_peak_rss_mb"] == max(state["peak_rss_mb"] for state in states) > 50
    assert recorded["provenance"].keys() >= {"git_commit", "packages", "hardware", "wall_seconds", "started_at"}
    assert (bench / STAGES_CSV).read_text().count("\n") == 4


def test_a_second_run_does_nothing(copied: tuple[ToyStep, ...], capfd: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in _workspace().results.rglob("*") if path.is_file()}
    assert reproduce(PROFILE, chain=copied) == 0
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert capfd.readouterr().err.count("unchanged, not run again") == 3


def test_a_changed_notebook_runs_again_and_only_what_depends_on_it_follows(copied: tuple[ToyStep, ...]) -> None:
    text = copied[1].source.read_text()
    copied[1].source.write_text(text.replace("+ 1\\n", "+ 11\\n"))
    assert [bool(reason_to_run(step, PROFILE)) for step in copied] == [False, True, False]
    assert reason_to_run(copied[1], PROFILE) == "the notebook changed"
    assert reproduce(PROFILE, chain=copied) == 2
    assert (_workspace().work / "decontamination" / "number.txt").read_text() == "14"


def test_a_changed_parameter_is_named(copied: tuple[ToyStep, ...]) -> None:
    other = dataclasses.replace(PROFILE, synthesis=dataclasses.replace(PROFILE.synthesis, topics=7))
    assert [reason_to_run(step, other) for step in copied] == [None, "parameter topics changed", None]


def test_changed_code_reaches_only_the_notebooks_that_import_it(
    copied: tuple[ToyStep, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hare.driver import keys

    digest = keys._digest
    monkeypatch.setattr(keys, "_digest", lambda file: "new" if file.name == "stage.py" else digest(file))
    assert {reason_to_run(step, PROFILE) for step in copied} == {"hare/core/stage.py changed"}
    monkeypatch.setattr(keys, "_digest", lambda file: "new" if file.parts[-2] == "evaluation" else digest(file))
    assert {reason_to_run(step, PROFILE) for step in copied} == {None}


@pytest.mark.parametrize(
    "name",
    ["work/synthesis/number.txt", "work/synthesis/manifest.json", "results/synthesis/metrics.json",
     "results/notebooks/02_double.ipynb"],
)
def test_a_missing_file_is_noticed(copied: tuple[ToyStep, ...], name: str) -> None:
    root, rest = name.split("/", 1)
    (getattr(_workspace(), root) / rest).unlink()
    assert reason_to_run(copied[1], PROFILE) == f"{name} is gone or was changed"
    assert reason_to_run(copied[0], PROFILE) is None


@pytest.mark.parametrize("name", ["work/synthesis/number.txt", "results/synthesis/metrics.json"])
def test_a_file_that_was_edited_is_noticed_but_not_one_that_was_only_touched(
    copied: tuple[ToyStep, ...], name: str
) -> None:
    root, rest = name.split("/", 1)
    path = getattr(_workspace(), root) / rest
    os.utime(path)
    assert reason_to_run(copied[1], PROFILE) is None
    path.write_text(path.read_text() + " ")
    assert reason_to_run(copied[1], PROFILE) == f"{name} is gone or was changed"


def test_only_and_from_choose_and_refuse(copied: tuple[ToyStep, ...], capfd: pytest.CaptureFixture[str]) -> None:
    (_workspace().work / "synthesis" / "number.txt").unlink()
    with pytest.raises(HareError, match="03_add needs what 02_double makes, but work/synthesis/number.txt is gone"):
        reproduce(PROFILE, Choice(only="3"), copied)
    assert reproduce(PROFILE, Choice(only="02"), copied) == 1
    assert reproduce(PROFILE, Choice(first="2"), copied) == 0
    with pytest.raises(HareError, match="No notebook is numbered .07.*\n.*01, 02, 03"):
        reproduce(PROFILE, Choice(only="07"), copied)
    copied[0].source.write_text(copied[0].source.read_text().replace("# 01_count", "# Count"))
    capfd.readouterr()
    assert reproduce(PROFILE, Choice(first="2"), copied) == 0
    assert "01_count · out of date (the notebook changed); its earlier result is used" in capfd.readouterr().err


def test_force_starts_afresh(copied: tuple[ToyStep, ...]) -> None:
    checkpoint = _workspace().work / "corpus" / "checkpoint"
    checkpoint.write_text("half a run")
    before = read_state(copied[0], _workspace())
    assert reproduce(PROFILE, Choice(only="01", force=True), copied) == 1
    assert not checkpoint.exists()
    assert read_state(copied[0], _workspace()) != before


def test_status_shows_what_is_done_and_why_the_rest_is_not(copied: tuple[ToyStep, ...]) -> None:
    (_workspace().work / "synthesis" / "number.txt").unlink()
    (_workspace().work / "steps" / "03.json").unlink()
    lines = status(PROFILE, copied)
    assert "01_count" in lines[1] and "done" in lines[1]
    assert "out of date" in lines[2] and "work/synthesis/number.txt is gone or was changed" in lines[2]
    assert lines[3].endswith("not run yet")
    assert len(lines) == 4
    with alone(PROFILE):
        assert status(PROFILE, copied)[-1].startswith("  running now:")


def test_a_damaged_state_means_not_done(copied: tuple[ToyStep, ...]) -> None:
    (_workspace().work / "steps" / "01.json").write_text('{"key": ')
    assert reason_to_run(copied[0], PROFILE) == "it has not run to its end yet"


def test_names_of_the_machine_are_replaced_whole(roots: Path) -> None:
    names = names_of_this_machine(Workspace("toy"))
    assert without(str(roots / "work" / "toy" / "corpus"), names) == "work/toy/corpus"
    assert without(f"{sys.prefix}/lib/x.py", names) == ".venv/lib/x.py"
    assert without(f"{REPOSITORY}/hare/cli.py", names) == "./hare/cli.py"
    assert without(f"{REPOSITORY}-other/x", names) != ".-other/x"


def test_a_common_word_as_host_and_a_nameless_user_change_nothing(
    roots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1000")

    monkeypatch.setattr("hare.driver.executed.getpass.getuser", nameless)
    for host, shown in (("laptop", "results/laptop on laptop"), ("gpu-node7", "results/laptop on laptop")):
        monkeypatch.setattr("hare.driver.executed.socket.gethostname", lambda host=host: host)
        assert without("results/laptop on laptop", names_of_this_machine(Workspace("toy"))) == shown
    assert without("on gpu-node7", names_of_this_machine(Workspace("toy"))) == "on localhost"


def test_a_step_on_request_waits_to_be_named_and_later_ones_do_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARE_WORK", str(tmp_path / "work"))
    monkeypatch.setenv("HARE_RESULTS", str(tmp_path / "results"))
    count, double, add = toy_chain(tmp_path / "notebooks")
    chain = (count, dataclasses.replace(double, on_request=True), add)
    nbformat.write(toy_notebook(dataclasses.replace(add, needs=("corpus",)), PROFILE), add.source)
    assert reproduce(PROFILE, chain=chain) == 2
    assert f"on request: hare reproduce {PROFILE.option} --from 02" in "\n".join(status(PROFILE, chain))
    assert set(json.loads((_workspace().results / "bench" / "metrics.json").read_text())["metrics"]) >= {
        "stage_wall_seconds.corpus", "stage_wall_seconds.decontamination"
    }
    assert reproduce(PROFILE, chain=chain) == 0
    assert reproduce(PROFILE, Choice(first="2"), chain) == 2, "the step itself, and the one that may read it"
    assert reproduce(PROFILE, chain=chain) == 0


def test_a_step_that_reads_only_results_works_from_a_record_without_artifacts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HARE_WORK", str(tmp_path / "work"))
    monkeypatch.setenv("HARE_RESULTS", str(tmp_path / "results"))
    count, _, draw = toy_chain(tmp_path / "notebooks")
    draw = dataclasses.replace(draw, needs=("corpus",), reads_results=True)
    nbformat.write(toy_notebook(dataclasses.replace(draw, needs=()), PROFILE), draw.source)
    reproduce(PROFILE, Choice(only="1"), (count, draw))
    shutil.rmtree(tmp_path / "work")
    assert reproduce(PROFILE, Choice(only="3"), (count, draw)) == 1
    assert "01_count · its recorded results are used" in capfd.readouterr().err
    record = _workspace().results / draw.stage / "metrics.json"
    for harm in (record.unlink, lambda: record.write_text("{")):  # no picture: `hare figures` does not make it again
        harm()
        assert reproduce(PROFILE, Choice(only="3"), (count, draw)) == 1 and read_record(record)
    shutil.rmtree(tmp_path / "work")
    (_workspace().results / "corpus" / "metrics.json").unlink()
    with pytest.raises(HareError, match="needs what 01_count makes, but it has not run to its end"):
        reproduce(PROFILE, Choice(only="3"), (count, draw))

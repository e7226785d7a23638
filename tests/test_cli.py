"""The command line: exit codes, messages, and what the doctor and the benchmarks say."""

import json
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest

from hare.bench import groups as benchmarks
from hare.cli import CANNOT, INTERRUPTED, main
from hare.core.errors import HareError
from hare.core.paths import Workspace
from hare.core.profile import Profile, load_profile
from hare.core.progress import Progress, track
from hare.driver import doctor
from hare.driver.reproduce import Choice
from hare.driver.watch import Cursor, Watch, describe, read_progress, spelled

SMOKE = load_profile("smoke")


def test_status_of_a_fresh_clone(roots: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--profile", "smoke"]) == 0
    assert capsys.readouterr().out.startswith("profile smoke: ")


def test_an_error_of_ours_is_a_message_and_exit_code_2(roots: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--profile", "labtop"]) == CANNOT
    error = capsys.readouterr().err
    assert error.startswith("hare: There is no profile 'labtop'.") and "Fix: choose one of" in error


def test_an_interruption_is_exit_code_130(roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hare.driver.reproduce.reproduce", interrupted)
    assert main(["reproduce", "--profile", "smoke"]) == INTERRUPTED


def test_a_termination_signal_is_an_interruption(roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hare.driver.reproduce.reproduce", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
    assert main(["reproduce", "--profile", "smoke"]) == INTERRUPTED


def test_a_benchmark_that_cannot_be_used_is_refused_before_anything_runs(
    roots: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("registry", "arc_challenge"):
        monkeypatch.delitem(sys.modules, f"hare.benchmarks.{name}", raising=False)
        monkeypatch.delattr(f"hare.benchmarks.{name}", raising=False)
    monkeypatch.setattr("hare.benchmarks.spec.SPLITS", ("test",))
    monkeypatch.setattr("hare.driver.reproduce.reproduce", lambda *_: pytest.fail("it must not come to this"))
    assert main(["reproduce", "--profile", "smoke"]) == CANNOT
    assert "The benchmark spec 'arc_challenge' is incomplete: sources" in capsys.readouterr().err


def test_reproduce_passes_the_choice_on(roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def reproduce(profile: Profile, choice: Choice) -> int:
        calls.append((profile, choice))
        return 0

    monkeypatch.setattr("hare.driver.reproduce.reproduce", reproduce)
    assert main(["reproduce", "--profile", "smoke", "--from", "05", "--force"]) == 0
    (profile, choice), = calls
    assert profile == SMOKE and (choice.first, choice.only, choice.force) == ("05", None, True)


@pytest.mark.parametrize("arguments", [[], ["dance"], ["reproduce", "--from", "01", "--only", "02"]])
def test_invalid_arguments_are_refused_with_the_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == CANNOT


def test_the_command_is_installed() -> None:
    helped = subprocess.run([sys.executable, "-m", "hare.cli", "--help"], capture_output=True, text=True, check=True)
    assert all(command in helped.stdout for command in ("reproduce", "figures", "status", "doctor", "bench"))


def test_the_doctor_says_what_to_do(
    roots: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HARE_CACHE", str(roots / "cache"))
    monkeypatch.setattr(doctor, "index_url", lambda: "http://127.0.0.1:9/simple")
    monkeypatch.setattr(doctor, "GB_MEMORY_WANTED", 1e9)
    monkeypatch.setattr(doctor, "_CPU_FLOPS", 1.0)
    monkeypatch.setattr(doctor, "_gpus", list)
    monkeypatch.setattr(doctor, "_GB_ARCHIVES", 1e9)
    assert main(["doctor", "--profile", "smoke"]) == 1
    output = capsys.readouterr().out
    for line in (
        "fail  memory", "close other programs",
        "fail  disk", "$HARE_WORK", "fail  GPU", "this profile trains on", "fail  index", "127.0.0.1 cannot be reached",
        "PIP_INDEX_URL", "warn  archives", "0 of ",
    ):
        assert line in output, line


def test_an_unreachable_index_is_not_a_fault_when_everything_is_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "index_url", lambda: "http://127.0.0.1:9/simple")
    monkeypatch.setattr(doctor, "missing", list)
    check = doctor._index()
    assert check.verdict == "warn" and "every archive is in the cache" in check.fix


def test_unwritable_folders_are_reported(roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (roots / "file").write_text("in the way")
    monkeypatch.setenv("HARE_RESULTS", str(roots / "file" / "below"))
    check = doctor._folders(Workspace("smoke"))
    assert check.verdict == "fail" and "could not be written" in check.message


def test_the_paper_needs_its_gpus_and_a_laptop_none() -> None:
    cluster = load_profile("cluster")
    assert doctor.tokens_per_run(cluster) == pytest.approx(600e9, rel=0.001)
    assert doctor.gpus_needed(cluster, 1_123_117_056) == 16
    assert doctor.gpus_needed(load_profile("laptop"), 9_000_000) == 0
    assert 1e3 < doctor.disk_needed_gb(cluster, 1_123_117_056) < 1e5


def test_a_benchmark_is_recorded_and_printed(
    roots: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for group, name in (("corpus", "cleaning_mb_per_s_per_core"), ("training", "training_tokens_per_s")):
        module = types.ModuleType(f"hare.bench.{group}")
        module.bench = lambda profile, name=name: {name: 2.5}  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
    assert main(["bench", "--profile", "smoke", "corpus", "training"]) == 0
    assert "cleaning_mb_per_s_per_core" in capsys.readouterr().out
    recorded = json.loads((Workspace("smoke").results / "bench" / "metrics.json").read_text())
    assert recorded["metrics"] == {"cleaning_mb_per_s_per_core": 2.5, "training_tokens_per_s": 2.5}
    assert set(recorded["provenance"]["groups"]) == {"bench corpus", "bench training"}


def test_an_unknown_benchmark_and_a_study_never_run_are_named(roots: Path) -> None:
    with pytest.raises(HareError, match="no benchmark named dance.*\n.*corpus, decontamination"):
        benchmarks.bench(SMOKE, ["dance"])
    with pytest.raises(HareError, match="stages.csv is missing: profile smoke has not been run to its end"):
        benchmarks.bench(SMOKE, ["stages"])


def test_the_progress_line_gives_task_share_rate_and_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = types.SimpleNamespace(now=100.0)
    monkeypatch.setattr("hare.driver.watch.time", types.SimpleNamespace(monotonic=lambda: clock.now))
    state = {"task": "training d1", "unit": "tokens", "done": 250.0, "earlier": 0.0, "total": 1000.0}
    state |= {"seconds": 10.0, "at": 110.0}
    assert describe(state) == ["training d1 25%", "25 tokens/s", "30 s left"]
    assert describe(state | {"earlier": 150.0}) == ["training d1 25%", "10 tokens/s", "1 min 15 s left"]
    assert describe(state | {"earlier": 250.0}) == ["training d1 25%"], "nothing is known of the pace yet"
    assert describe(state | {"total": None}) == ["training d1 250 tokens", "25 tokens/s"]
    file = tmp_path / "progress.json"
    watch = Watch("[5/8] 05_pretrain_arms", Cursor(9, since=clock.now), file, sys.stderr)
    watch.cursor.move(4)
    assert watch.line() == "[5/8] 05_pretrain_arms · cell 4/9 · 0 s so far"
    file.write_text(json.dumps(state))
    clock.now = 110.0
    expected = "[5/8] 05_pretrain_arms · cell 4/9 · training d1 25% · 25 tokens/s · 30 s left · 10 s so far"
    assert watch.line() == expected
    watch.cursor.move(5)
    assert watch.line() == expected.replace("cell 4", "cell 5")
    clock.now = 111.0
    watch.cursor.move(6)  # what an earlier cell reported says nothing of this one
    assert watch.line() == "[5/8] 05_pretrain_arms · cell 6/9 · 11 s so far"
    file.write_text("{")
    assert watch.line() == "[5/8] 05_pretrain_arms · cell 6/9 · 11 s so far"
    assert [spelled(seconds) for seconds in (0.4, 59.6, 185, 7800)] == ["0 s", "1 min 00 s", "3 min 05 s", "2 h 10 min"]


def test_a_step_that_is_part_of_another_prints_no_line_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HARE_PROGRESS", str(tmp_path / "progress.json"))
    for _ in track(range(2), "measure models", "models"):
        list(track(range(5), "one model", "texts"))
    list(track(range(3), "afterwards", "texts"))
    lines = [line.replace(",", " in").partition(" in")[0] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["measure models: 2 models", "afterwards: 3 texts"]
    monkeypatch.setattr(Progress, "_open", 0)
    Progress.is_part()
    list(track(range(3), "in a worker", "texts"))
    assert not capsys.readouterr().out


def test_a_report_from_the_start_of_a_cell_is_shown_whatever_the_files_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of a file lags behind the clock by up to a tick of the kernel, and is set back with the clock."""
    file = tmp_path / "progress.json"
    monkeypatch.setenv("HARE_PROGRESS", str(file))
    cursor = Cursor(9)
    cursor.move(4)
    with Progress("training d1", None, "tokens"):
        os.utime(file, (0, 0))
        state = read_progress(file, cursor.since)
    assert state and state["task"] == "training d1"
    cursor.move(5)
    assert read_progress(file, cursor.since) is None

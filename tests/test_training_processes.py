"""The processes of a launch: nobody from outside can reach them, and none outlives another."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from listening import listeners, reachable
from training_runs import toy_run

from hare.core.errors import HareError
from hare.training.launch import prepare, train_all
from hare.training.processes import STORE, loopback_interface, place, started
from hare.training.run import TrainingRun

TRAIN = (
    "import sys; from pathlib import Path; from hare.training.run import TrainingRun; "
    "from hare.training.launch import train; train(TrainingRun.load(Path(sys.argv[1])))"
)
SHORT = {"train_steps": 2, "checkpoint_interval": 2}
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare")


def test_no_layout_listens_beyond_this_machine(tmp_path: Path) -> None:
    layouts = {
        "one": {}, "dp2": {"data_parallel": 2, "gradient_accumulation": 2}, "tp2": {"tensor_parallel": 2},
        "pp2": {"pipeline_parallel": 2},
    }
    with listeners() as addresses:
        train_all([toy_run(tmp_path, name, **SHORT, **changes) for name, changes in layouts.items()])
    assert addresses, "the processes talk to each other: some socket must have been seen"
    assert not reachable(addresses)


@AS_ROOT
def test_a_machine_whose_own_name_does_not_resolve_trains(tmp_path: Path) -> None:
    run = _planned(tmp_path)
    named = 'hostname nobody-knows-me.invalid && exec "$@"'
    command = ["unshare", "--uts", "sh", "-c", named, "sh", sys.executable, "-c", TRAIN, str(run.folder)]
    subprocess.run(command, check=True, timeout=240)
    assert (run.folder / "done.json").exists()


@AS_ROOT
def test_a_machine_without_loopback_is_told_so(tmp_path: Path) -> None:
    command = ["unshare", "--net", sys.executable, "-c", TRAIN, str(_planned(tmp_path).folder)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert "HareError: This machine has no loopback address" in ended.stderr
    assert "ip link set lo up" in ended.stderr


def _planned(folder: Path) -> TrainingRun:
    run = toy_run(folder, "run", **SHORT)
    prepare([run])
    return run


def test_a_process_has_its_place(tmp_path: Path) -> None:
    there = place(tmp_path / "store", 1, 2)
    assert there["RANK"] == there["LOCAL_RANK"] == "1" and there["WORLD_SIZE"] == "2"
    assert there[STORE] == str(tmp_path / "store")
    assert there["GLOO_SOCKET_IFNAME"] == there["NCCL_SOCKET_IFNAME"] == loopback_interface()
    assert "MASTER_PORT" not in there


def test_loopback_may_be_called_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    address = psutil.net_if_addrs()[loopback_interface()]
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"en0": [], "loop7": address})
    assert loopback_interface() == "loop7"
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"en0": []})
    with pytest.raises(HareError, match="no loopback address"):
        loopback_interface()


def test_when_one_process_fails_the_others_end() -> None:
    script = (
        "import os, sys, time; os.write(1, f\"rank {os.environ['RANK']}\\n\".encode()); "
        "os.environ['RANK'] == '1' and sys.exit(7); time.sleep(600)"
    )
    with started(["-c", script], 2, {}) as ranks:
        assert sorted(ranks.output) == ["rank 0\n", "rank 1\n"]
        assert ranks.wait() == 7
        assert all(process.poll() is not None for process in ranks.processes)


def test_processes_end_with_the_body_and_print_what_they_like() -> None:
    script = r"import sys, time; sys.stdout.buffer.write(b'\xff\n'); sys.stdout.flush(); time.sleep(600)"
    with pytest.raises(KeyboardInterrupt), started(["-c", script], 2, {"HARE_TEST": "1"}) as ranks:
        assert next(iter(ranks.output)) == "\N{REPLACEMENT CHARACTER}\n"
        raise KeyboardInterrupt
    assert all(process.poll() is not None for process in ranks.processes)


def test_a_process_ends_when_its_launcher_is_killed() -> None:
    inner = "import time; from hare.training.processes import end_with_launcher; end_with_launcher(); time.sleep(600)"
    outer = (
        "import sys; from hare.training.processes import started\n"
        f"with started(['-c', {inner!r}], 2, {{}}) as ranks:\n"
        " print(*(process.pid for process in ranks.processes), flush=True); ranks.wait()"
    )
    launcher = subprocess.Popen([sys.executable, "-c", outer], stdout=subprocess.PIPE, text=True)
    assert launcher.stdout is not None
    family = [psutil.Process(int(pid)) for pid in launcher.stdout.readline().split()]
    time.sleep(0.1)
    launcher.kill()
    launcher.communicate()
    assert len(family) == 2 and not psutil.wait_procs(family, timeout=60)[1]

"""A Slurm job's batch process, with stand-ins for Slurm's commands; on a real Slurm see tests/slurm."""

import json
import os
import signal
import socket
from pathlib import Path

import pytest
from training_runs import toy_run

from hare.core import slurm
from hare.core.errors import HareError
from hare.core.profile import load_profile
from hare.driver.status import status
from hare.training.cluster import job as jobs
from hare.training.cluster.job import SlurmJob, free_port, run_job
from hare.training.cluster.scripts import SLURM, TORCHRUN, scripts
from hare.training.run import TrainingRun

REPORT = """{name} step 5/20 loss 1.0
Root Cause (first observed failure):
[0]:
  time      : 2026-01-01_00:00:00
  host      : node1
  rank      : 0 (local_rank: 0)
  exitcode  : -15 (pid: 11)
  host      : node2
  rank      : 3 (local_rank: 1)
  exitcode  : -9 (pid: 12)
  host      : node2
  rank      : 2 (local_rank: 0)
  exitcode  : 1 (pid: 13)
"""
COMMANDS = {
    "srun": 'shift; exec "$@"', "scancel": "true",
    "scontrol": 'case "$2" in hostnames) echo node1;; job) cat "$LAB/shown";; *) exit 1;; esac',
    "sbatch": 'echo "$@" >> "$LAB/submitted"; exit "$(cat "$LAB/refuses")"',
}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of stand-ins and scripts; the ranks' step prints ``report`` and ends with the code in ``code``."""
    for name, text in COMMANDS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    files = {"shown": "PreemptTime=None", "refuses": "0", "code": "1", "report": "", TORCHRUN: (
        'cat "$LAB/report"; exit "$(cat "$LAB/code")"'
    )}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name, value in {"LAB": str(tmp_path), "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "node1"}.items():
        monkeypatch.setenv(name, value)
    before = signal.getsignal(signal.SIGUSR1)
    yield tmp_path
    signal.signal(signal.SIGUSR1, before)


@pytest.fixture
def run(lab: Path, monkeypatch: pytest.MonkeyPatch) -> TrainingRun:
    """The one run of the job."""
    run = toy_run(lab, "arm")
    run.folder.mkdir(parents=True)
    monkeypatch.setattr(jobs, "planned_runs", lambda profile: [run])
    (lab / "report").write_text(REPORT.format(name="arm"))
    return run


def test_a_dead_rank_is_named_and_tried_again_but_not_for_ever(run: TrainingRun, lab: Path, capsys) -> None:
    for _ in range(jobs.TRIES - 1):
        run_job("smoke", lab)
    submitted = (lab / "submitted").read_text().splitlines()
    assert submitted == [f"--dependency=afterany:7 {lab / SLURM}"] * (jobs.TRIES - 1)
    assert "Rank 3 on node2 ended with exit code -9." in capsys.readouterr().out
    with pytest.raises(HareError, match="Rank 3 on node2 ended with exit code -9. This was try 3"):
        run_job("smoke", lab)
    assert json.loads((lab / "runs.json").read_text()) == [str(run.folder)]
    assert "exitcode" in (run.folder / "train.log").read_text()


def test_what_a_worker_reports_ends_the_job(run: TrainingRun, lab: Path) -> None:
    (lab / TORCHRUN).write_text("""echo '{"problem": "no tokens", "fix": "make them"}' > "$LAB/error.json"; exit 1""")
    with pytest.raises(HareError, match="no tokens"):
        run_job("smoke", lab)
    assert not (lab / "submitted").exists()


def test_a_preempted_job_waits_for_slurm(run: TrainingRun, lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(seconds: float = 0.0) -> None:
        raise SystemExit(0)

    monkeypatch.setattr(jobs, "wait_for_the_end", ended)
    (lab / "shown").write_text("   PreemptTime=2026-01-01T00:00:00 SuspendTime=None\n")
    with pytest.raises(SystemExit):
        run_job("smoke", lab)
    assert not (lab / "submitted").exists()


def test_where_slurm_refuses_all_the_way_to_go_on_is_said(run: TrainingRun, lab: Path) -> None:
    (lab / "refuses").write_text("1")
    with pytest.raises(HareError, match="submit it by hand: sbatch "):
        run_job("smoke", lab)


def test_a_trained_job_exports_and_says_what_is_left(run: TrainingRun, lab: Path, monkeypatch, capsys) -> None:
    (lab / "code").write_text("0")
    monkeypatch.setattr(jobs, "train_all", lambda runs: [])
    run_job("smoke", lab)
    assert "--from 05" in capsys.readouterr().out


def test_near_its_end_the_job_ends_the_step(lab: Path) -> None:
    job = SlurmJob(lab)
    os.kill(os.getpid(), signal.SIGUSR1)
    assert job.time_is_up


def test_a_port_in_use_is_passed_over(lab: Path) -> None:
    job = SlurmJob(lab)
    first = free_port(job)
    with socket.socket() as other:
        other.bind(("", first))
        assert first < free_port(job)


def test_scripts_quote_what_they_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARE_WORK", str(tmp_path / "work here"))
    profile = load_profile("smoke")
    files = scripts(profile, toy_run(tmp_path, "a"), tmp_path / "a folder", (2, 4))
    assert f"HARE_WORK='{tmp_path / 'work here'}'" in files[SLURM]
    assert f'--output="{tmp_path}/a folder/slurm-%j.log"' in files[SLURM]
    assert "--nnodes=2 --nproc-per-node=4" in files[TORCHRUN]


def test_the_status_names_what_waits_on_the_cluster(roots: Path, lab: Path) -> None:
    (lab / "squeue").write_text("#!/bin/bash\necho '12|PENDING|Resources'; echo '11|RUNNING|None'\n")
    (lab / "squeue").chmod(0o755)
    lines = status(load_profile("smoke"))
    assert lines[-2:] == ["  Slurm job 11: running", "  Slurm job 12: pending, waits for Resources"]


def test_options_of_sbatch_are_read() -> None:
    assert slurm.options("--time=4:00:00 --comment='a b' --exclusive", "here") == {
        "time": "4:00:00", "comment": "a b", "exclusive": ""
    }

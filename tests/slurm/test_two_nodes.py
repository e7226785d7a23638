"""On a real Slurm of two nodes (`make test-slurm`): what one machine gives, through every interruption."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from hare.core import slurm
from hare.core.errors import HareError
from hare.core.files import read_jsonl, sha256_of, write_json
from hare.core.paths import REPOSITORY
from hare.core.profile import Profile, load_profile
from hare.corpus.executors import launch
from hare.corpus.pipeline import filtering
from hare.corpus.sources.registry import source_named
from hare.training.cluster.scripts import SLURM
from hare.training.command import dry_run, planned_runs
from hare.training.launch import train
from hare.training.run import METRICS_FILE
from tests.training_runs import toy_tokenizer, toy_tokens

pytestmark = pytest.mark.skipif("HARE_TEST_SLURM" not in os.environ, reason="make test-slurm")
SOURCES = (source_named("tales"), source_named("king-james-bible"))
PATIENCE = 1200.0  # seconds for what Slurm is to do


def until(happened: Callable[[], bool], event: str) -> None:
    """Wait for it."""
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, f"still no sign of: {event}\n{shown('squeue')}"
        time.sleep(0.3)


def shown(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


# --- cleaning ---------------------------------------------------------------------------------------------------------


def cleaned(executor: str, folder: Path, sbatch: str = "--mem-per-cpu=1G") -> Path:
    """Filter two sources to ``folder``, under an executor."""
    config = replace(
        load_profile("smoke").corpus, max_mb_per_source=1.0, cleaning_executor=executor, cleaning_workers=2,
        cleaning_sbatch=sbatch,
    )
    launch("filter", filtering(config, SOURCES, folder), config, folder / "logs", [1.0, 1.0])
    return folder


def parts(folder: Path) -> dict[str, str]:
    """Digest of each part of a cleaning."""
    return {part: sha256_of(folder / part) for part in ("filtered", "signatures", "raw", "removed")}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What cleaning gives on one machine."""
    return parts(cleaned("local", tmp_path_factory.mktemp("local")))


def test_cleaning_gives_the_same_bytes(local: dict[str, str], tmp_path: Path) -> None:
    assert parts(cleaned("slurm", tmp_path / "with a blank")) == local


def test_a_driver_that_is_killed_and_started_again_corrupts_nothing(local: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    code = f"from tests.slurm.test_two_nodes import *; cleaned('slurm', Path({str(folder)!r}))"
    driver = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY)
    until(lambda: "RUNNING" in shown("squeue", "--format=%T"), "a running task")
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    before = set(shown("squeue", "--noheader", "--format=%A").split())
    assert parts(cleaned("slurm", folder)) == local
    assert before, "the driver was killed too late"
    assert not any(b"\0" in path.read_bytes() for path in (folder / "filtered").glob("*.jsonl"))


def test_cancelled_tasks_are_told_and_run_again(local: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "cancelled"
    code = f"from tests.slurm.test_two_nodes import *; cleaned('slurm', Path({str(folder)!r}))"
    driver = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
    until(lambda: "RUNNING" in shown("squeue", "--format=%T"), "a running task")
    subprocess.run(["scancel", "--me"], check=True)
    assert re.search("of 2 tasks of 'filter' failed", driver.communicate()[1])
    assert parts(cleaned("slurm", folder)) == local


def test_what_the_cluster_does_not_grant_is_said(tmp_path: Path) -> None:
    with pytest.raises(HareError, match="(?s)invalid partition.*cleaning_sbatch"):
        cleaned("slurm", tmp_path / "refused", "--partition=none")


def test_a_driver_inside_a_job_of_its_own(local: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "inside"
    code = f"from tests.slurm.test_two_nodes import *; cleaned('slurm', Path({str(folder)!r}))"
    script = f"#!/bin/bash\n{sys.executable} -c \"{code}\"\n"
    command = ["sbatch", "--array=0", "--mem=500", "--wait", f"--output={tmp_path}/log", f"--chdir={REPOSITORY}"]
    subprocess.run(command, input=script, text=True, check=True)
    assert parts(folder) == local, (tmp_path / "log").read_text()


# --- training ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    """Two machines of two ranks, on toy tokens; every path holds a blank."""
    work = tmp_path / "work here"
    for name in ("HARE_WORK", "HARE_RESULTS"):
        monkeypatch.setenv(name, str(work))
    path = tmp_path / "my profiles" / "two-by-two.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump({
        "extends": "smoke", "cluster": {"gpus_per_node": 2}, "finetuning": {"finetuned_arm": "d1"},
        "training": {
            "arms": {"d1": {"d1": 1.0}}, "data_parallel": 4, "micro_batch": 1, "gradient_accumulation": 1,
            "train_steps": 100, "cpu_threads": 1, "checkpoint_interval": 1000, "validation_interval": 1000,
        },
    }))
    tokens = work / "two-by-two" / "tokens"
    for seed, part in enumerate(("d1", "d2", "d3")):
        toy_tokens(tokens / f"{part}.ds", seed, 60_000)
    toy_tokens(tokens / "heldout" / "toy.ds", 0, 300)
    toy_tokenizer(tokens / "tokenizer")
    (tokens / "index.json").write_text("{}")
    write_json(tokens / "manifest.json", {file.name: sha256_of(file) for file in sorted(tokens.iterdir())})
    return load_profile(str(path))


def submitted(profile: Profile) -> str:
    """The job's number, submitted from a clean shell."""
    folder = Path(dry_run(profile).rsplit("The files lie in ", 1)[1].rstrip("."))
    clean = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": os.environ["HOME"], "SLURM_CONF": os.environ["SLURM_CONF"]}
    answer = subprocess.run(["sbatch", str(folder / SLURM)], env=clean, capture_output=True, text=True, check=True)
    return answer.stdout.split()[-1]


def rows(folder: Path) -> list[tuple[int, float, float]]:
    """Step, loss and gradient norm of each step so far."""
    path = folder / METRICS_FILE
    lines = read_jsonl(path) if path.exists() else []
    return [(row["step"], row["loss"], row["gradient_norm"]) for row in lines]


def ended(job: str) -> bool:
    """Whether Slurm has done with it."""
    return not shown("squeue", "--noheader", "--jobs", job).strip()


def further(folder: Path, steps: int = 5) -> None:
    """Wait until the run has taken some more steps than now."""
    before = len(rows(folder))
    until(lambda: len(rows(folder)) >= before + steps, f"{steps} more steps")


def newest_rank(work: Path) -> int:
    """Process of one of this test's ranks, whatever else trains here; torchrun, with the same list, is older."""
    listed = work / "scale_out" / "runs.json"
    return int(shown("pgrep", "--full", "--newest", f"hare.training.worker {re.escape(str(listed))}").split()[0])


def test_training_through_every_interruption(profile: Profile, tmp_path: Path) -> None:
    """Time limit, requeue, a dead rank, preemption, cancelled and submitted again: the losses of an undisturbed run."""
    (run,) = planned_runs(profile)
    job = submitted(profile)
    further(run.folder)
    subprocess.run(["scancel", "--batch", "--signal=USR1", job], check=True)  # as before the time limit
    until(lambda: len(list((run.folder / "checkpoints").glob("[1-9]*"))) > 0, "a checkpoint on the signal")
    until(lambda: "PENDING" in shown("squeue", "--noheader", "--format=%T", "--jobs", job), "the job in the queue")
    further(run.folder)
    subprocess.run(["scontrol", "requeue", job], check=True)  # repeats what was not saved
    until(lambda: "PENDING" in shown("squeue", "--noheader", "--format=%T", "--jobs", job), "the job in the queue")
    further(run.folder)
    os.kill(newest_rank(run.folder.parents[2]), signal.SIGKILL)
    until(lambda: "PENDING" in shown("squeue", "--noheader", "--format=%T", "--jobs", job), "the job in the queue")
    further(run.folder)
    saved = len(rows(run.folder))
    higher = ["sbatch", "--partition=high", "--nodes=2", "--exclusive", "--wrap=sleep 5", "--output=/dev/null"]
    subprocess.run(higher, check=True)
    until(lambda: "PENDING" in shown("squeue", "--noheader", "--format=%T", "--jobs", job), "the job in the queue")
    assert max(int(path.name) for path in (run.folder / "checkpoints").glob("[1-9]*")) >= saved
    further(run.folder)
    subprocess.run(["scancel", job], check=True)
    until(lambda: ended(job), "the end of the job")
    last = submitted(profile)
    until(lambda: ended(last), "the end of the training")
    log = "".join(path.read_text() for path in run.folder.parents[2].glob("scale_out/slurm-*.log"))
    assert (run.folder / "done.json").exists(), log[-3000:]
    assert re.search(r"Rank \d on \S+ ended with exit code -9", log), log
    assert "@news" not in log and (run.folder / "train.log").stat().st_size > 0

    whole = replace(run, folder=tmp_path / "undisturbed")
    train(whole)
    interrupted = max(abs(one[1] - two[1]) for one, two in zip(rows(run.folder), rows(whole.folder), strict=True))
    print(f"largest difference in loss between the interrupted run and the undisturbed one: {interrupted:.1e}")
    assert interrupted == 0.0
    single = replace(run, folder=tmp_path / "single", training=replace(
        run.training, data_parallel=1, gradient_accumulation=4
    ))
    train(single)
    apart = max(abs(one[1] - two[1]) for one, two in zip(rows(single.folder), rows(run.folder), strict=True))
    print(f"largest difference in loss between 2 x 2 ranks and one process: {apart:.1e}")
    assert apart < 1e-3


def test_what_fails_in_the_same_way_again_is_not_tried_again(profile: Profile) -> None:
    (run,) = planned_runs(profile)
    job = submitted(profile)
    (run.folder / "run.json").unlink()
    tokens = next(iter(run.mixture.files.values()))
    Path(tokens).write_bytes(b"")
    until(lambda: ended(job), "the end of the job")
    log = "".join(path.read_text() for path in run.folder.parents[2].glob("scale_out/slurm-*.log"))
    assert "hare: " in log and "Back into the queue" not in log, log


def test_the_reason_to_wait_is_known(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SBATCH_PARTITION", "short")
    command = ["sbatch", "--job-name=waits", "--time=24:00:00", "--partition=short", "--wrap=true"]
    subprocess.run([*command, "--output=/dev/null"], check=True)
    (job,) = slurm.jobs("waits") or []
    until(lambda: (slurm.jobs("waits") or [job])[0].reason == "PartitionTimeLimit", "the reason")
    slurm.end("waits")
    assert slurm.jobs("waits") == []

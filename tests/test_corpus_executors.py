"""Where cleaning runs: the same steps under Slurm (stand-ins for its commands) and Ray, and what is said on failure."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hare.core.errors import HareError
from hare.core.files import sha256_of
from hare.core.sections import Corpus
from hare.corpus import executors, slurm_executor
from hare.corpus.executors import LocalExecutor, cluster, executor_for, launch
from hare.corpus.pipeline import filtering
from hare.corpus.slurm_executor import end_jobs, job_name
from hare.corpus.sources.registry import source_named

CONFIG = Corpus(
    max_mb_per_source=0.03, heldout_fraction=0.2, cleaning_executor="local", cleaning_workers=1, cleaning_sbatch="",
    corpus_seed=0,
    hub_shards=0,
)
SOURCES = (source_named("tales"), source_named("king-james-bible"))
_SBATCH = """#!/bin/bash
script="${@: -1}"
grep -q merge_stats "$script" || cp "$script" "$FAKE_SLURM/script"
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$script")
if [ -z "$FAKE_SLURM_IS_DOWN" ] && ! grep -q merge_stats "$script"; then
  for task in $(seq 0 "$last"); do
    SLURM_ARRAY_TASK_ID=$task SLURM_NODELIST=localhost bash "$script" >> "$FAKE_SLURM/log" 2>&1
  done
fi
echo "Submitted batch job 7"
"""
_SRUN = """#!/bin/bash
while [ "${1:0:1}" = - ]; do if [ "$1" = -n ]; then shift; fi; shift; done
exec "$@"
"""
_COMMANDS = {"sbatch": _SBATCH, "srun": _SRUN, "squeue": "#!/bin/bash\n", "scontrol": "#!/bin/bash\necho localhost\n"}


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with commands that stand in for Slurm's: a job runs before sbatch returns."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, text in _COMMANDS.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(folder))
    return folder


def _filtered(executor: str, folder: Path, sbatch: str = "") -> Path:
    config = replace(CONFIG, cleaning_executor=executor, cleaning_sbatch=sbatch)
    launch("filter", filtering(config, SOURCES, folder), config, folder / "logs", [1.0, 2.0])
    return folder


def test_slurm_runs_the_same_steps_to_the_same_shards(slurm: Path, tmp_path: Path, monkeypatch) -> None:
    """Blanks in the path, and the driver inside a job array of its own."""
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "4000")
    local, remote = _filtered("local", tmp_path / "local"), _filtered("slurm", tmp_path / "far away", "--account=lab")
    for part in ("filtered", "signatures", "raw", "removed"):
        assert sha256_of(local / part) == sha256_of(remote / part)
    script = (slurm / "script").read_text()
    assert "#SBATCH --array=0-1%1\n" in script and "#SBATCH --partition" not in script
    assert "--qos" not in script and f"launch_pickled_pipeline '{remote / 'logs' / 'executor.pik'}'" in script
    assert "#SBATCH --time" not in script and "#SBATCH --account=lab\n" in script


def test_tasks_that_slurm_lost_end_the_run_with_their_number(slurm: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("FAKE_SLURM_IS_DOWN", "1")
    with pytest.raises(HareError, match="2 of 2 tasks of 'filter' failed; task 0: it left no message"):
        _filtered("slurm", tmp_path / "remote")


def _write(slurm: Path, name: str, text: str) -> None:
    (slurm / name).write_text(f"#!/bin/bash\n{text}\n")
    (slurm / name).chmod(0o755)


def test_jobs_of_an_earlier_call_are_waited_for_and_not_repeated(slurm: Path, tmp_path: Path, monkeypatch) -> None:
    """The stand-in knows job 5 until it is asked a second time; only then is a job submitted."""
    monkeypatch.setattr(slurm_executor, "_SECONDS_BETWEEN_QUESTIONS", 0.0)
    _write(slurm, "squeue", """
echo asked >> "$FAKE_SLURM/asked"
if [ "$(wc -l < "$FAKE_SLURM/asked")" -le 2 ]; then echo '5|RUNNING|None'; fi""")
    _write(slurm, "sbatch", 'wc -l < "$FAKE_SLURM/asked" >> "$FAKE_SLURM/submitted"\n' + _SBATCH)
    remote = _filtered("slurm", tmp_path / "remote")
    assert int((slurm / "submitted").read_text().split()[0]) >= 4
    assert sha256_of(remote / "filtered") == sha256_of(_filtered("local", tmp_path / "local") / "filtered")


def test_a_controller_that_is_away_for_a_moment_ends_nothing(tmp_path: Path, slurm: Path, monkeypatch) -> None:
    monkeypatch.setattr(slurm_executor, "_SECONDS_BETWEEN_QUESTIONS", 0.0)
    executor = executor_for(replace(CONFIG, cleaning_executor="slurm"), [], tmp_path / "logs", [1.0])
    _write(slurm, "squeue", "echo '5|PENDING|PartitionTimeLimit'; echo '6|PENDING|Resources'")
    assert executor.is_queued() and executor.waits_for == "PartitionTimeLimit, Resources"
    _write(slurm, "squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")
    assert executor.is_queued() and executor.waits_for
    _write(slurm, "squeue", "echo '5|RUNNING|None'; echo '6|PENDING|Resources'")
    assert executor.is_queued() and executor.waits_for == ""
    _write(slurm, "squeue", "")
    assert not executor.is_queued()


def test_a_refused_job_says_what_slurm_said(slurm: Path, tmp_path: Path) -> None:
    _write(slurm, "sbatch", "echo 'sbatch: error: invalid partition specified: fast' >&2; exit 1")
    with pytest.raises(HareError, match="(?s)invalid partition specified: fast.*cleaning_sbatch"):
        _filtered("slurm", tmp_path / "remote")
    _write(slurm, "squeue", "exit 1")
    with pytest.raises(HareError, match="does not answer, so .* was not submitted"):
        _filtered("slurm", tmp_path / "remote")


def test_a_failed_task_is_told_in_its_own_words(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "logs" / "task_00001.log"
    log.parent.mkdir(parents=True)
    log.write_text("Traceback\n  File x\nhare.core.errors.HareError: no archive.\n  Fix: fetch it\n")
    assert executors._last_words(tmp_path / "logs", 1) == "hare.core.errors.HareError: no archive. Fix: fetch it"
    assert executors._last_words(tmp_path / "logs", 0) == "it left no message"


def test_jobs_that_write_to_a_stale_folder_are_ended_first(slurm: Path, tmp_path: Path) -> None:
    (tmp_path / "logs" / "filter").mkdir(parents=True)
    (tmp_path / "logs" / "filter" / "executor.pik").touch()
    _write(slurm, "squeue", 'echo "$@" >> "$FAKE_SLURM/asked"; [ -f "$FAKE_SLURM/ended" ] || echo "5|RUNNING|None"')
    _write(slurm, "scancel", 'echo "$@" >> "$FAKE_SLURM/ended"')
    end_jobs(tmp_path / "logs")
    assert (slurm / "ended").read_text() == "5\n"
    assert job_name(tmp_path / "logs" / "filter") in (slurm / "asked").read_text()


@pytest.mark.parametrize("text", ["-p cpu", "cpu", "--time=1 --", "--comment='a"])
def test_what_is_no_option_of_sbatch_is_refused_with_its_key(text: str, tmp_path: Path) -> None:
    with pytest.raises(HareError, match="corpus.cleaning_sbatch = "):
        executor_for(replace(CONFIG, cleaning_executor="slurm", cleaning_sbatch=text), [], tmp_path, [1.0])


def test_a_missing_executor_is_named_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HareError, match="sbatch"):
        _filtered("slurm", tmp_path / "slurm")
    monkeypatch.setattr(executors, "find_spec", lambda name: None)
    with pytest.raises(HareError, match="the package ray"):
        _filtered("ray", tmp_path / "ray")


def test_ray_gets_the_steps_the_tasks_and_the_workers(tmp_path: Path) -> None:
    steps = filtering(CONFIG, SOURCES, tmp_path)
    config = replace(CONFIG, cleaning_executor="ray", cleaning_workers=3)
    executor = executor_for(config, steps, tmp_path / "logs", [1.0, 2.0])
    assert type(executor).__name__ == "RayPipelineExecutor" and executor.pipeline is steps
    assert (executor.tasks, executor.workers, executor.skip_completed) == (2, 3, True)
    assert executor.logging_dir.path == str(tmp_path / "logs")


def test_ray_cleans_to_the_same_shards_and_leaves_nothing_running(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    local = _filtered("local", tmp_path / "local")
    with cluster("ray"):
        remote = _filtered("ray", tmp_path / "remote")
        config = replace(CONFIG, cleaning_executor="ray")
        steps = filtering(config, (SOURCES[0], replace(SOURCES[1], category="none such")), tmp_path / "broken")
        with pytest.raises(HareError, match="1 of 2 tasks of 'filter' failed"):
            launch("filter", steps, config, tmp_path / "broken" / "logs", [1.0, 2.0])
    assert not ray.is_initialized()
    for part in ("filtered", "signatures", "raw", "removed"):
        assert sha256_of(local / part) == sha256_of(remote / part)
    assert [path.name for path in (tmp_path / "broken" / "logs" / "completions").iterdir()] == ["00000"]
    assert "none such" in (tmp_path / "broken" / "logs" / "logs" / "task_00001.log").read_text()
    _filtered("ray", tmp_path / "remote")
    assert not ray.is_initialized()  # nothing was left to do


def test_the_longest_tasks_start_first(tmp_path: Path) -> None:
    executor = LocalExecutor([1.0, 5.0, 3.0], pipeline=[], tasks=3, workers=2, logging_dir=str(tmp_path))
    assert executor.get_incomplete_ranks() == [1, 2, 0]
    executor.mark_rank_as_completed(1)
    assert executor.get_incomplete_ranks() == [2, 0]


def _kills_itself(data: object = None, rank: int = 0, _world_size: int = 1) -> Iterator[object]:
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    yield from ()


def _passes(data: object = None, rank: int = 0, _world_size: int = 1) -> Iterator[object]:
    yield from ()


def _fails(data: object = None, rank: int = 0, _world_size: int = 1) -> Iterator[object]:
    if rank == 1:
        raise HareError("The source has vanished.", "look for it")
    yield from ()


@pytest.mark.parametrize(("step", "message"), [(_kills_itself, "task 1 was ended"), (_fails, "vanished")])
def test_a_task_that_is_killed_or_fails_ends_the_run_and_keeps_the_others(step, message: str, tmp_path: Path) -> None:
    executor = LocalExecutor([3.0, 2.0, 1.0], pipeline=[step], tasks=3, workers=2, logging_dir=str(tmp_path))
    with pytest.raises(HareError, match=message):
        executor.run()
    assert 1 in executor.get_incomplete_ranks(skip_completed=True)
    again = LocalExecutor([3.0, 2.0, 1.0], pipeline=[_passes], tasks=3, workers=2, logging_dir=str(tmp_path))
    again.run()
    assert again.get_incomplete_ranks(skip_completed=True) == []

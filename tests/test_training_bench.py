"""What `hare bench training` makes of its blocks, and the turns that its processes take; nothing is trained here."""

import io
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from hare.bench import training as benchmark
from hare.bench.training_contestants import REPLY, Turns
from hare.core.errors import HareError
from hare.core.profile import load_profile

SMOKE = load_profile("smoke")
SECONDS = {"trainer": 1.0, "returning": 1.04, "plain": 0.98, "hf": 1.5, "ours": 1.2, "hf_side_by_side": 1.3}


def blocks(teams: Mapping[str, Sequence[benchmark.Contestant]]) -> benchmark.Blocks:
    """Every team's blocks at its own speed, on a machine that slows all of them alike."""
    for team in teams.values():
        assert all(run.processes == 1 and (run.folder / "run.json").exists() for _, run in team)
        assert len({run.folder for _, run in team}) == len(team), "side by side, each has a folder of its own"
        assert len(team) == 1 or sum(run.training.cpu_threads for _, run in team) <= 2, "no more threads than cores"
    if "ours" in teams:
        [(_, wide)] = teams["hf"]
        assert wide.training.cpu_threads == 2, "Hugging Face's Trainer alone has every core"
    return {
        name: [{"seconds": SECONDS[name] * slow, "peak_mb": 500.0} for slow in (1.0, 3.0, 1.0)] for name in teams
    }


def test_ratios(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "in_turns", blocks)
    monkeypatch.setattr(benchmark, "cores", lambda: 2)
    monkeypatch.setattr(benchmark, "at_once", lambda runs: len(runs))
    monkeypatch.setattr(benchmark, "matrix_flops", lambda precision: 1e9)
    metrics, tokens = benchmark.bench(SMOKE), SMOKE.training.global_batch * 128
    assert metrics["training_vs_plain_loop"] == pytest.approx(0.98)
    assert metrics["training_vs_hf_trainer"] == pytest.approx(1.5)
    assert metrics["training_memory_kept_vs_returned"] == pytest.approx(1.04)
    assert metrics["training_tokens_per_s"] == pytest.approx(tokens)
    assert metrics["training_peak_rss_mb"] == metrics["training_hf_trainer_peak_rss_mb"] == 500.0
    assert metrics["training_machine_runs"] == 2
    assert metrics["training_machine_tokens_per_s"] == pytest.approx(2 * tokens / 1.2)
    assert metrics["training_machine_hf_trainer_tokens_per_s"] == pytest.approx(tokens / 1.5)
    assert metrics["training_machine_hf_trainer_side_by_side_tokens_per_s"] == pytest.approx(2 * tokens / 1.3)
    assert metrics["training_machine_vs_hf_trainer"] == pytest.approx(2 * 1.5 / 1.2)
    assert metrics["training_machine_vs_hf_trainer_side_by_side"] == pytest.approx(1.3 / 1.2)


def test_a_team_takes_its_block_at_once_and_counts_by_its_slowest(tmp_path: Path) -> None:
    """Each replies only once the other has been told to begin as well."""
    scripts = [
        f"import sys, time, pathlib; sys.stdin.readline(); pathlib.Path({str(tmp_path / mine)!r}).touch()\n"
        f"while not pathlib.Path({str(tmp_path / other)!r}).exists(): time.sleep(0.01)\n"
        f"print({REPLY + json.dumps({'seconds': seconds, 'peak_mb': 100.0})!r}, flush=True)"
        for mine, other, seconds in (("a", "b", 1.0), ("b", "a", 2.0))
    ]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    processes = [subprocess.Popen([sys.executable, "-c", script], text=True, **pipes) for script in scripts]
    with benchmark.random_run(SMOKE.model, benchmark.alone(SMOKE.training), 128, 512) as run:
        replies = benchmark._block_of_all([("trainer", run), ("trainer", run)], processes, 3)
    for process in processes:
        process.communicate()
    assert replies == {"seconds": 2.0, "peak_mb": 200.0}


def test_turns_are_waited_for_and_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("2\n3\nend\n"))
    turns, steps = Turns(), 0
    while turns.another():
        steps += 1
    reports = [json.loads(line.removeprefix(REPLY)) for line in capsys.readouterr().out.splitlines()]
    assert steps == 5 and len(reports) == 2
    assert all(report["seconds"] >= 0 and report["peak_mb"] > 1 for report in reports)


def test_a_process_that_stops_is_an_error_with_its_log(tmp_path: Path) -> None:
    log = tmp_path / "plain.err"
    with log.open("w") as errors:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
        command = [sys.executable, "-c", "raise SystemExit('random.ds is missing')"]
        process = subprocess.Popen(command, text=True, **pipes)
        with pytest.raises(HareError, match=r"(?s)process 'plain' stopped:.*random\.ds is missing"):
            benchmark.block("plain", process, log, 1)
        process.communicate()

"""What `hare bench training` makes of its blocks, and the turns that its processes take; nothing is trained here."""

import io
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from hare.bench import training as benchmark
from hare.bench.training_contestants import REPLY, Turns
from hare.core.errors import HareError
from hare.core.profile import load_profile
from hare.training.run import TrainingRun

SMOKE = load_profile("smoke")
SECONDS = {"trainer": 1.0, "plain": 0.98, "hf": 1.5}


def blocks(runs: Mapping[str, tuple[str, TrainingRun]]) -> benchmark.Blocks:
    """Every contestant's blocks at its own speed, on a machine that slows all of them alike."""
    assert all(run.processes == 1 and (run.folder / "run.json").exists() for _, run in runs.values())
    return {
        name: [{"seconds": SECONDS[name] * slow, "peak_mb": 500.0, "loss": 2.0} for slow in (1.0, 3.0, 1.0)]
        for name in runs
    }


def test_ratios(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "in_turns", blocks)
    monkeypatch.setattr(benchmark, "matrix_flops", lambda precision: 1e9)
    found = benchmark.bench(SMOKE)
    assert found["training_vs_plain_loop"] == pytest.approx(0.98)
    assert found["training_vs_hf_trainer"] == pytest.approx(1.5)
    assert found["training_tokens_per_s"] == pytest.approx(SMOKE.training.global_batch * 128)
    assert found["training_peak_rss_mb"] == found["training_hf_trainer_peak_rss_mb"] == 500.0


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

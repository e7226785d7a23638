"""A run under torchrun that is asked to end saves what it reached, and goes on from there to the same bits."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hare.core.files import read_jsonl, write_json
from hare.training.checkpoints import checkpoints
from hare.training.cluster.stop import EXIT_CODE, StopRequest
from hare.training.launch import prepare, train, watch
from hare.training.run import METRICS_FILE, TrainingRun
from tests.training_runs import toy_run


def _started(run: TrainingRun, listed: Path) -> subprocess.Popen[str]:
    prepare([run])
    write_json(listed, [str(run.folder)])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1",
        f"--master-port={port}", "-m", "hare.training.worker", str(listed),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _rows(run: TrainingRun) -> list[dict]:
    path = run.folder / METRICS_FILE
    return [{key: row[key] for key in ("step", "loss", "gradient_norm")} for row in read_jsonl(path)]


def test_a_run_that_is_asked_to_end_goes_on_from_its_last_step(tmp_path: Path) -> None:
    changes = {"data_parallel": 2, "gradient_accumulation": 2, "train_steps": 120, "checkpoint_interval": 1000}
    stopped, whole = toy_run(tmp_path, "stopped", **changes), toy_run(tmp_path, "whole", **changes)
    process = _started(stopped, tmp_path / "runs.json")
    while not (stopped.folder / METRICS_FILE).exists() or not _rows(stopped):
        time.sleep(0.05)
        assert process.poll() is None, process.communicate()[0]
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    (saved,) = checkpoints(stopped.folder / "checkpoints")
    assert saved.step == _rows(stopped)[-1]["step"] < 120, output

    for run in (stopped, whole):
        train(run)
    assert _rows(stopped) == _rows(whole)


def test_without_torchrun_no_signal_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    before = signal.getsignal(signal.SIGTERM)
    assert not StopRequest().agreed() and signal.getsignal(signal.SIGTERM) is before
    assert EXIT_CODE == os.EX_TEMPFAIL


def test_each_run_keeps_its_own_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [toy_run(tmp_path, "a"), toy_run(tmp_path, "b")]
    for run in runs:
        run.folder.mkdir(parents=True)
    lines = [
        "starting\n", '@news {"run": "a", "step": 3}\n', "a step 3/20 loss 1\n", "warning\n", "b step 1/20 loss 2\n",
        "another\n", "b step 20/20 loss 1\n",
    ]
    assert watch(lines, runs) == [line for line in lines if "@news" not in line]
    assert (runs[0].folder / "train.log").read_text() == "starting\na step 3/20 loss 1\nwarning\n"
    assert (runs[1].folder / "train.log").read_text() == "b step 1/20 loss 2\nanother\nb step 20/20 loss 1\n"
    assert capsys.readouterr().out.splitlines()[0] == "b step 20/20 loss 1", "one line of each run"


def test_the_pace_of_a_run_that_goes_on_counts_its_own_steps_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "progress.json"
    monkeypatch.setenv("HARE_PROGRESS", str(state))
    monkeypatch.setattr("hare.core.progress._SECONDS_BETWEEN_REPORTS", 0)
    begun, new = toy_run(tmp_path, "begun", train_steps=20), toy_run(tmp_path, "new", train_steps=20)
    (begun.folder / "checkpoints" / "15").mkdir(parents=True)
    seen = []
    steps = [("begun", 16), ("new", 1), ("begun", 20)]
    lines = [f'@news {{"run": "{name}", "step": {step}}}\n' for name, step in steps]
    watch(lines, [begun, new], lambda: seen.append(json.loads(state.read_text())))
    assert [(at["done"], at["earlier"], at["total"]) for at in seen] == [(16, 15, 40), (17, 15, 40), (21, 15, 40)]

"""An evaluation that is killed goes on where it stopped, and ends as if it had not been."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hare.core.sections import Evaluation
from hare.evaluation import backend
from hare.evaluation.harness import Candidate, evaluate
from hare.evaluation.journal import Journal
from hare.evaluation.tasks import load
from tests.evaluation_toys import local_benchmarks, save_model  # noqa: F401

NAME, ITEMS = "winogrande", 20
CONFIG = Evaluation((NAME,), ITEMS, 1, 1, 50, 0)
TOKENS = 24  # per sequence of a batch, so that there are many batches
SLOW_EVALUATION = """
import sys, time
from pathlib import Path
import datasets
from hare.benchmarks import registry
from hare.evaluation import backend
from hare.evaluation.harness import evaluate
from hare.evaluation.tasks import load
from tests.evaluation_toys import registry_of, write_benchmarks
from tests.test_evaluation_journal import CONFIG, NAME, TOKENS, candidate
folder = Path(sys.argv[1])
datasets.config.HF_DATASETS_CACHE = folder / "datasets"
for name, function in registry_of(write_benchmarks(folder)).items():
    setattr(registry, name, function)
backend.TOKENS_PER_SEQUENCE = TOKENS
read = backend.SharedPrefixLM._read
backend.SharedPrefixLM._read = lambda self, batch: (time.sleep(0.2), read(self, batch))[1]
evaluate(candidate(folder / "model"), load([NAME]), CONFIG, folder / "cut")
"""


def candidate(folder: Path) -> Candidate:
    return Candidate("d1", 0, folder, ITEMS)


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def killed_after_some_batches(folder: Path) -> Path:
    """Run an evaluation in a process of its own, kill it outright when it has kept three batches; its journal."""
    command = [sys.executable, "-c", SLOW_EVALUATION, str(folder)]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[1])
    finished = folder / "cut"
    try:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and process.poll() is None:
            journals = list(finished.rglob("*.journal"))
            if journals and len(lines(journals[0])) >= 3:
                break
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    (journal,) = finished.rglob("*.journal")
    assert process.returncode == -signal.SIGKILL and not list(finished.rglob("*.json"))
    return journal


def test_a_killed_evaluation_goes_on_and_ends_alike(
    tmp_path: Path, local_benchmarks: dict, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:
    monkeypatch.setattr(backend, "TOKENS_PER_SEQUENCE", TOKENS)
    model = save_model(tmp_path / "model")
    journal = killed_after_some_batches(tmp_path)
    batches_kept = len(lines(journal))
    with journal.open("a", encoding="utf-8") as file:
        file.write('["half a li')  # as a kill in the middle of a write leaves it
    read, batches = backend.SharedPrefixLM._read, []
    monkeypatch.setattr(backend.SharedPrefixLM, "_read", lambda lm, batch: batches.append(batch) or read(lm, batch))
    resumed = evaluate(candidate(model), load([NAME]), CONFIG, tmp_path / "cut")
    read_again = len(batches)
    assert not journal.exists()
    whole = evaluate(candidate(model), load([NAME]), CONFIG, tmp_path / "whole")
    assert resumed == whole, "to the last digit"
    assert batches_kept >= 3 and batches_kept + read_again == len(batches) - read_again, "no batch is read twice"


def test_a_journal_gives_back_what_it_was_given(tmp_path: Path) -> None:
    first = Journal(tmp_path / "a" / "b.journal")
    assert first.answer([[1, 2]], lambda: [[0.1 + 0.2, True]]) == [[0.1 + 0.2, True]]
    first.close()
    again = Journal(tmp_path / "a" / "b.journal")
    assert again.answer([[1, 2]], pytest.fail) == [[0.1 + 0.2, True]]
    assert again.answer([[1, 3]], lambda: 7) == again.answer([[1, 3]], pytest.fail) == 7

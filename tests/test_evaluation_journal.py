"""An evaluation that is killed goes on where it stopped, and ends as if it had not been."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hare.core.sections import Evaluation
from hare.evaluation import backend
from hare.evaluation.harness import Candidate, read_questions
from hare.evaluation.heldout import Question
from hare.evaluation.journal import Journal
from tests.evaluation_toys import WORDS, save_model

CONFIG = Evaluation((), 0, 1, 1, 50, 0)
TOKENS = 24  # a batch, so that there are many
SLOW_EVALUATION = """
import sys, time
from pathlib import Path
from hare.evaluation import backend
from tests.test_evaluation_journal import CONFIG, QUESTIONS, TOKENS, candidate
from hare.evaluation.harness import read_questions
backend.TOKENS_PER_SEQUENCE = TOKENS
read = backend.SharedPrefixLM._read
backend.SharedPrefixLM._read = lambda self, batch: (time.sleep(0.2), read(self, batch))[1]
read_questions(candidate(Path(sys.argv[1])), QUESTIONS, CONFIG, Path(sys.argv[2]))
"""


def question(number: int) -> Question:
    context = f"{' '.join(WORDS[: number % 9 + 3])} number {number} is"
    return Question("set", "group", f"d{number}", context, (" red", " blue and green"), number % 2, context)


QUESTIONS = [question(number) for number in range(40)] + [Question("set", "text", "d", "", ("only a text",), 0, "")]


def candidate(folder: Path) -> Candidate:
    return Candidate("d1", 0, folder, 0)


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def killed_after_some_batches(model: Path, finished: Path) -> Path:
    """Run an evaluation in a process of its own, kill it outright when it has kept three batches; its journal."""
    command = [sys.executable, "-c", SLOW_EVALUATION, str(model), str(finished)]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[1])
    try:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and process.poll() is None:
            found = list(finished.rglob("*.journal"))
            if found and len(lines(found[0])) >= 3:
                break
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    (journal,) = finished.rglob("*.journal")
    assert process.returncode == -signal.SIGKILL and not list(finished.rglob("*.json"))
    return journal


def test_a_killed_evaluation_goes_on_and_ends_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "TOKENS_PER_SEQUENCE", TOKENS)
    model = save_model(tmp_path / "model")
    journal = killed_after_some_batches(model, tmp_path / "cut")
    kept = len(lines(journal))
    with journal.open("a", encoding="utf-8") as file:
        file.write('["half a li')  # as a kill in the middle of a write leaves it
    opened: list[Journal] = []
    monkeypatch.setattr("hare.evaluation.harness.Journal", lambda path: opened.append(Journal(path)) or opened[-1])
    resumed = read_questions(candidate(model), QUESTIONS, CONFIG, tmp_path / "cut")
    assert opened[0].recalled == kept >= 3 and not journal.exists()
    whole = read_questions(candidate(model), QUESTIONS, CONFIG, tmp_path / "whole")
    assert opened[1].recalled == 0
    assert json.dumps(resumed) == json.dumps(whole), "to the last digit"
    assert {row["benchmark"] for row in whole} == {"group", "text"} and "score" not in whole[-1]


def test_a_journal_gives_back_what_it_was_given(tmp_path: Path) -> None:
    first = Journal(tmp_path / "a" / "b.journal")
    assert first.answer([[1, 2]], lambda: [[0.1 + 0.2, True]]) == [[0.1 + 0.2, True]]
    first.close()
    again = Journal(tmp_path / "a" / "b.journal")
    assert again.answer([[1, 2]], pytest.fail) == [[0.1 + 0.2, True]] and again.recalled == 1
    assert again.answer([[1, 3]], lambda: 7) == 7 and again.recalled == 1

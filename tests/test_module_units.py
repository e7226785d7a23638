"""Modules that longer tests use in passing, each tested directly."""

import gc
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hare.core import progress
from hare.core.contradictions import benchmark_names, contradictions, worth_naming
from hare.core.errors import HareError
from hare.core.files import folder_written_whole, read_jsonl, written_whole
from hare.core.profile import changed, load_profile
from hare.corpus.sources import dm_mathematics
from hare.data.archives import archive_of
from hare.driver.execute import NotebookStopped, _stopped
from hare.synthesis.checks.word_lists import word_list
from hare.training.heldout import HeldoutSequences
from hare.training.validation import nats_by_sequence
from tests.one_process import one_process

# isort: split
import nanotron.distributed as dist


def test_profiles_that_ship_contradict_nothing_and_a_rule_names_every_key_it_reads() -> None:
    profile = load_profile("smoke")
    assert list(contradictions(profile)) == []
    object.__setattr__(profile.model, "attention_heads", 7)
    broken = list(contradictions(profile))
    assert ("model.attention_heads", "model.hidden_size") in [keys for keys, _, _ in broken]
    named = worth_naming(broken, {"model.hidden_size"})
    assert named and not any("hidden_size 7" in line or line.startswith("model.attention_heads") for line in named)


def test_benchmarks_are_the_files_that_define_a_spec() -> None:
    assert benchmark_names() >= {"arc_challenge", "gsm8k", "mmlu"} and "forms" not in benchmark_names()
    with pytest.raises(HareError, match="choose at least one of arc_challenge"):
        changed(load_profile("smoke"), {"leak_benchmark": "forms"}, "here", ("leak_benchmark",))


def test_a_stopped_notebook_keeps_its_message_or_names_the_error() -> None:
    refused = _stopped(4, SimpleNamespace(traceback=HareError("no disk", "free some")._render_traceback_()))
    assert isinstance(refused, NotebookStopped)
    assert (refused.cell, refused.problem, refused.fix) == (4, "no disk", "free some")
    traceback = ["Cell In[3], line 1", "File x.py", "ValueError: odd"]
    other = _stopped(3, SimpleNamespace(traceback=traceback, ename="ValueError", evalue="odd"))
    assert other.problem == "ValueError: odd (Cell In[3], line 1; File x.py)" and other.fix == "correct the cause"


def test_mathematics_is_made_a_dozen_problems_per_document(monkeypatch: pytest.MonkeyPatch) -> None:
    archive = archive_of("mathematics-dataset")
    monkeypatch.setattr(dm_mathematics, "DOCUMENTS_PER_MODULE", 2)
    monkeypatch.setattr(dm_mathematics, "MODULES", ("arithmetic__add_or_sub",))
    documents = dict(dm_mathematics.mathematics_problems(archive, ()))
    assert list(documents) == ["arithmetic__add_or_sub-000", "arithmetic__add_or_sub-001"]
    assert all(text.count("Question: ") == text.count("\nAnswer: ") == 12 for text in documents.values())
    monkeypatch.setattr(dm_mathematics, "MODULES", ("numbers__round_number",))  # draws between floats
    assert len(dict(dm_mathematics.mathematics_problems(archive, ()))) == 2
    monkeypatch.setattr(dm_mathematics, "MODULES", ("arithmetic__nonsense",))
    with pytest.raises(HareError, match="The mathematics generator failed: KeyError"):
        list(dm_mathematics.mathematics_problems(archive, ()))


def test_a_cleaning_worker_starts_with_everything_loaded() -> None:
    from hare.corpus import workers

    try:
        assert "hare.corpus.pipeline" in sys.modules and gc.get_freeze_count() > 0
        assert workers.language._model() is workers.language._model()
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("name", ["of_writing", "denies", "turns", "leaning"])
def test_word_lists_are_in_lower_case(name: str) -> None:
    assert len(word_list(name)) > 10 and all(word == word.lower() for word in word_list(name))


class _Model:
    """Scores a sequence by the sum of its inputs, so that a mix-up of sequences would show."""

    input_pp_rank = output_pp_rank = 0

    def __call__(self, input_ids: torch.Tensor, label_ids: torch.Tensor) -> dict[str, torch.Tensor]:
        assert len(input_ids) <= 2
        return {"nats": input_ids.sum(1).float()}


def test_every_heldout_sequence_gets_its_own_loss_whatever_the_micro_batch(tmp_path: Path) -> None:
    tokens = np.arange(20).reshape(5, 4)
    heldout = HeldoutSequences(["a"] * 5, list(range(5)), np.full(5, 9), tokens)
    with one_process(tmp_path):
        group = dist.new_group(ranks=[0])
        trainer = SimpleNamespace(
            parallel_context=SimpleNamespace(dp_pg=group, pp_pg=group), micro_batch_size=2, unwrapped_model=_Model(),
            model_config=SimpleNamespace(vocab_size=20, mask_documents=False, bos_token_id=1),
        )
        assert nats_by_sequence(trainer, heldout).tolist() == tokens[:, :-1].sum(1).tolist()


@pytest.mark.parametrize(("done", "seconds", "line"), [
    (39_165, 2.0, "39,165 texts in 2.0 s (19,582 texts/s)"), (2, 4.0, "2 texts in 4.0 s (0.5 texts/s)"),
    (0.522987, 1.0, "0.523 texts in 1.0 s (0.523 texts/s)"), (41, 0.001, "41 texts, at once"),
])
def test_a_closing_line_tells_done_time_and_rate_in_plain_digits(
        done: float, seconds: float, line: str, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter((0.0, *[seconds] * 9))
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(progress.Progress, "_open", 0)
    with progress.Progress("read", 3, "texts") as shown:
        shown.advance(done)
    assert f"read: {line}\n" in capsys.readouterr().out


@pytest.mark.parametrize(("batch", "done", "line"), [
    (True, 100, "1,000 texts, 900 of them earlier, in 4.0 s (25 texts/s)"), (False, 100, None),
    (True, 0, "900 texts, at once"),
])
def test_what_was_done_earlier_is_counted_and_is_no_part_of_the_rate(
        batch: bool, done: float, line: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    state, clock = tmp_path / "progress.json", iter((0.0, *[4.0] * 9))
    monkeypatch.setenv("HARE_PROGRESS", str(state)) if batch else monkeypatch.delenv("HARE_PROGRESS", raising=False)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(progress.Progress, "_open", 0)
    with progress.Progress("read", 1000, "texts") as shown:
        shown.resume(900)
        shown.advance(done)
        bar = shown._bar
    if batch:
        assert f"read: {line}\n" in capsys.readouterr().out
        assert json.loads(state.read_text())["earlier"] == 900
    else:
        assert (bar.n, bar.initial) == (1000, 900), "tqdm leaves out of the rate what a bar begins with"


def test_threads_that_share_a_progress_take_their_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARE_PROGRESS", str(tmp_path / "progress.json"))
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_REPORTS", 0.0)
    with progress.Progress("read", None, "texts") as shown, ThreadPoolExecutor(4) as threads:
        list(threads.map(shown.advance, [1] * 400))
    assert shown.done == 400 and json.loads((tmp_path / "progress.json").read_text())["done"] == 400


def test_progress_that_cannot_be_shown_ends_no_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARE_PROGRESS", str(tmp_path / "gone" / "progress.json"))
    with progress.Progress("read", 2, "texts") as shown:
        shown.advance()
    assert shown.done == 1


@pytest.mark.parametrize("content", [
    b'{"a": 1}\n{"a": "\xff"}\n', '{"a": 1}\n{"a": "é"}'.encode()[:-3], b'{"a": 1}\n{', b'{"a": 1}\n' + b"[" * 100_000,
])
def test_a_damaged_line_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    rows = read_jsonl(path)
    assert next(rows) == {"a": 1}
    with pytest.raises(HareError, match=r"rows\.jsonl, line 2 is not valid JSON"):
        next(rows)


def test_a_folder_that_was_moved_elsewhere_stays_there(tmp_path: Path) -> None:
    (tmp_path / "disk" / "old").mkdir(parents=True)
    (tmp_path / "d1").symlink_to(tmp_path / "disk" / "old")
    with folder_written_whole(tmp_path / "d1") as folder:
        (folder / "a").write_text("1")
    assert (tmp_path / "d1").is_symlink() and (tmp_path / "disk" / "old" / "a").read_text() == "1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d1", "disk"]


def test_the_file_that_stood_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "shard").mkdir()
    with pytest.raises(HareError, match=r"shard could not be used: Is a directory"), (
            written_whole(tmp_path / "out" / "d1.ds")):
        (tmp_path / "shard").read_text()
    with pytest.raises(HareError, match=r"out.d1\.ds could not be written"), written_whole(tmp_path / "out" / "d1.ds"):
        raise OSError(28, "No space left on device")

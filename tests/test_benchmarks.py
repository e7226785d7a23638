"""The benchmarks' rows: public row counts, the hub's schema, and messages about missing or damaged data."""

import gzip
import json
from pathlib import Path

import pytest

from hare.benchmarks import registry as benchmarks
from hare.benchmarks import sources
from hare.core.errors import HareError

PUBLIC_ROWS = {
    ("arc_challenge", "train"): 1119, ("arc_challenge", "validation"): 299, ("arc_challenge", "test"): 1172,
    ("hellaswag", "train"): 39905, ("hellaswag", "validation"): 10042,
    ("winogrande", "train"): 40398, ("winogrande", "validation"): 1267,
    ("gsm8k", "test"): 1319,
}
FIELDS = {
    "arc_challenge": {"id", "question", "choices", "answerKey"},
    "hellaswag": {"ind", "activity_label", "ctx_a", "ctx_b", "ctx", "endings", "source_id", "split", "split_type",
                  "label"},
    "winogrande": {"sentence", "option1", "option2", "answer"},
    "gsm8k": {"question", "answer"},
}


@pytest.fixture(autouse=True)
def _without_extra_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARE_EXTRA_DATA", raising=False)


@pytest.mark.parametrize(("name", "split"), PUBLIC_ROWS)
def test_row_counts_and_fields_are_the_public_ones(name: str, split: str) -> None:
    rows = benchmarks.rows(name, split)
    assert len(rows) == PUBLIC_ROWS[name, split]
    assert all(set(row) == FIELDS[name] for row in rows)


def test_a_file_of_requests_without_its_prompts_gives_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a bundle keeps of the evaluation requests in an archive."""
    first = {"request_type": "loglikelihood", "doc": {"id": 1, "query": "é"}, "request": {"context": "c" * 9000},
             "idx": 0, "task_name": "toy", "doc_id": 0}
    lines = [first, first | {"idx": 1}, first | {"doc": {"id": 2}, "doc_id": 1}, first | {"doc_id": 1_000_000}]
    whole = gzip.compress("".join(f"{json.dumps(line)}\n" for line in lines).encode())
    small = sources.requests_without_prompts(whole)
    assert len(small) < 1000 and small == sources.requests_without_prompts(small)
    rows = []
    for data in (whole, small):
        monkeypatch.setattr(sources, "read_member", lambda archive, member, data=data: data)
        rows.append(list(sources.requests(sources.OLMO, "toy", dict).read()))
    assert rows[0] == rows[1] == [{"id": 1, "query": "é"}, {"id": 2}]


def test_mmlu_has_57_subjects_and_the_public_number_of_rows() -> None:
    subjects = benchmarks.subsets("mmlu")
    counts = {
        split: sum(len(benchmarks.rows("mmlu", split, subject)) for subject in subjects)
        for split in ("dev", "validation", "test")
    }
    assert len(subjects) == 57
    assert benchmarks.available("mmlu") and benchmarks.splits("mmlu") == ["dev", "validation", "test"]
    assert counts == {"dev": 285, "validation": 1531, "test": 14042}


@pytest.mark.parametrize("name", ["arc_challenge", "hellaswag", "winogrande", "gsm8k"])
def test_every_row_has_a_question_a_gold_answer_and_texts_that_hold_them(name: str) -> None:
    for split in benchmarks.splits(name):
        for row in benchmarks.rows(name, split):
            question, answer = benchmarks.question_answer(name, row)
            assert question.strip() or row["sentence"].strip().startswith("_")
            assert answer.strip()
            assert len(benchmarks.texts(name, row)) >= 2


def test_no_rebuilt_item_appears_twice_and_the_splits_are_disjoint() -> None:
    ids = [row["id"] for split in benchmarks.splits("arc_challenge") for row in benchmarks.rows("arc_challenge", split)]
    assert len(ids) == len(set(ids)) == 1119 + 299 + 1172


def test_winogrande_question_and_answer_join_to_the_filled_sentence() -> None:
    row = {"sentence": "Sarah beat Maria, so _ won.", "option1": "Sarah", "option2": "Maria", "answer": "1"}
    assert " ".join(benchmarks.question_answer("winogrande", row)) == "Sarah beat Maria, so Sarah won."


def test_a_hellaswag_train_row_gives_the_stock_task_the_prompt_it_was_rebuilt_from() -> None:
    from lm_eval.tasks.hellaswag.utils import preprocess

    row = benchmarks.rows("hellaswag", "train")[0]
    prompt = preprocess(f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}")
    assert prompt.startswith("Removing ice from car: Then, the man writes over the snow")
    assert prompt.endswith("wearing winter clothes smiles. Then")
    assert [preprocess(ending) for ending in row["endings"]] == row["endings"]


def test_a_file_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    path = benchmarks.file("arc_challenge", "validation")
    monkeypatch.setattr(benchmarks, "write_jsonl", None)
    assert benchmarks.file("arc_challenge", "validation") == path


def test_without_extra_data_what_is_missing_is_named() -> None:
    assert benchmarks.splits("gsm8k") == ["test"]
    assert benchmarks.available("gsm8k") and "train" in benchmarks.available("gsm8k").why
    assert not benchmarks.available("truthfulqa")
    assert benchmarks.rewrites("gsm8k", "test") == []
    with pytest.raises(HareError, match=r"truthfulqa has no split 'validation'(.|\n)*HARE_EXTRA_DATA"):
        benchmarks.rows("truthfulqa", "validation")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: benchmarks.rows("arc", "test"), "no benchmark 'arc'"),
        (lambda: benchmarks.rows("mmlu", "test", "alchemy"), "no subset 'alchemy'"),
        (lambda: benchmarks.rows("mmlu", "test"), "no subset ''"),
        (lambda: benchmarks.rows("hellaswag", "test"), "no split 'test'"),
        (lambda: benchmarks.question_answer("hellaswag", {"activity_label": "a", "ctx": "b", "endings": ["c"],
                                                          "label": ""}), "no usable gold label"),
    ],
)
def test_wrong_requests_are_refused_by_name(call, message: str) -> None:
    with pytest.raises(HareError, match=message):
        call()


def _write_extra(folder: Path, relative: str, rows: list[dict]) -> None:
    path = folder / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)


def test_extra_data_is_read_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARE_EXTRA_DATA", str(tmp_path))
    monkeypatch.setattr(benchmarks, "cache_folder", lambda: tmp_path / "cache")
    original = {"question": "How many?", "answer": "2\n#### 2"}
    _write_extra(tmp_path, "gsm8k/train.jsonl.gz", [original])
    _write_extra(tmp_path, "gsm8k_rewritten/train-1.jsonl.gz",
                 [original | {"rewritten_question": "What number?", "rewritten_answer": "2.\n#### 2"}])
    (tmp_path / "truthfulqa").mkdir()
    (tmp_path / "truthfulqa/TruthfulQA.csv").write_text(
        "Type,Category,Question,Best Answer,Correct Answers,Incorrect Answers,Source\n"
        "A,B,Is it?,No,No; It is not.,Yes; It 'is',S\n", encoding="utf-8")

    assert benchmarks.rows("gsm8k", "train") == [original]
    [[rewritten]] = benchmarks.rewrites("gsm8k", "train")
    assert rewritten == {"question": "What number?", "answer": "2.\n#### 2", "original_question": "How many?",
                         "original_answer": "2\n#### 2"}
    [row] = benchmarks.rows("truthfulqa", "validation")
    assert row["mc1_targets"] == {"choices": ["No.", "Yes.", "It 'is'."], "labels": [1, 0, 0]}
    assert row["mc2_targets"] == {"choices": ["No.", "It is not.", "Yes.", "It 'is'."], "labels": [1, 1, 0, 0]}
    assert benchmarks.texts("truthfulqa", row) == ["Is it?", "No.", "Yes.", "It 'is'.", "It is not."]
    assert [benchmarks.rows_from(*split) for split in (("gsm8k", "train"), ("gsm8k", "test"))] == [
        "extra data", "index archive"]


@pytest.mark.parametrize("damage", ["truncated", "not gzip", "missing field"])
def test_damaged_extra_data_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    monkeypatch.setenv("HARE_EXTRA_DATA", str(tmp_path))
    monkeypatch.setattr(benchmarks, "cache_folder", lambda: tmp_path / "cache")
    _write_extra(tmp_path, "gsm8k/train.jsonl.gz",
                 [{"question": f"{i}?", **({} if damage == "missing field" else {"answer": "1"})} for i in range(99)])
    path = tmp_path / "gsm8k/train.jsonl.gz"
    path.write_bytes({"truncated": path.read_bytes()[:-40], "not gzip": b"{}",
                      "missing field": path.read_bytes()}[damage])
    with pytest.raises(HareError, match=r"train.jsonl.gz is not a gzipped JSON-lines file"):
        benchmarks.rows("gsm8k", "train")
    assert not list((tmp_path / "cache").rglob("*.jsonl"))

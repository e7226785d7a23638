"""The tokenizer against sentencepiece, and documents against the token files made from them."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from hare.core.errors import HareError
from hare.core.files import write_json, write_jsonl
from hare.tokens.packing import index, pack, pack_by_category
from hare.tokens.planning import composition
from hare.tokens.tokenizer import Tokenizer
from hare.tokens.vocabulary import disagreements, make

BEGIN, END = 1, 2
pieces = st.sampled_from(["a", "b", " ", "  ", "   ", "\n", "\t", "the", "ing", "ous", "é", "漢", "😀", "▁", "0", "17"])
texts = st.one_of(st.text(max_size=60), st.lists(pieces, max_size=40).map("".join))


def documents(folder: Path, rows: list[tuple[str, str, str]]) -> Path:
    """Two shards of rows (text, source, category)."""
    shaped = [
        {"text": text, "id": str(number), "metadata": {"source": source, "category": category}}
        for number, (text, source, category) in enumerate(rows)
    ]
    half = len(shaped) // 2
    write_jsonl(folder / "00000.jsonl", shaped[:half])
    write_jsonl(folder / "00001.jsonl", shaped[half:])
    return folder


ROWS = [
    ("Two  hares met.", "tales", "books"), ("def f():\n    return 1", "library", "code"), ("Ça va?", "tales", "books"),
    ("A strike-through </s> in <s>markup</s>.", "posts", "web"), ("漢字 and 😀", "posts", "web"),
]


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return make("mistral-32k", {}, tmp_path_factory.mktemp("vocabulary") / "tokenizer")


@given(some=st.lists(texts, min_size=20, max_size=40))
@settings(max_examples=25)
def test_ids_equal_sentencepieces_own_on_any_text(paper: Tokenizer, some: list[str]) -> None:
    assert disagreements(paper, [text.replace("\0", "") for text in some]) == []


@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁"), max_size=80))
@settings(max_examples=200)
def test_text_comes_back(paper: Tokenizer, text: str) -> None:
    assert paper.decode(paper.encode(text)) == text


def test_begin_and_end_are_set_on_purpose(paper: Tokenizer) -> None:
    assert (paper.begin, paper.end, paper.size) == (BEGIN, END, 32_000)
    ids = paper.hugging_face()("The hare").input_ids
    assert ids[0] == BEGIN and ids[1:] == paper.encode("The hare")
    assert paper.packing.encode("The hare").ids == [*ids, END]


def test_control_tokens_spelled_in_training_text_stay_text(paper: Tokenizer) -> None:
    assert paper.hugging_face()("x</s>").input_ids.count(END) == 1
    ids = paper.packing.encode("<s>x</s>").ids
    assert ids.count(BEGIN) == ids.count(END) == 1


def test_the_saved_folder_loads_as_the_same_tokenizer(paper: Tokenizer, tmp_path: Path) -> None:
    for file in paper.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    write_json(tmp_path / "config.json", {"model_type": "mistral", "vocab_size": paper.size})
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    for text in ("a   b\n\n  indented\tcode", " leading", "", "漢字"):
        assert loaded(text).input_ids == [BEGIN, *paper.encode(text)]
    assert loaded.bos_token == "<s>" and loaded.eos_token == "</s>"


def test_a_file_holds_its_documents_in_order_and_counts_them(paper: Tokenizer, tmp_path: Path) -> None:
    packed = pack(documents(tmp_path / "d1", ROWS), tmp_path / "d1.ds", paper)
    reference = paper.packing
    expected = [number for text, _, _ in ROWS for number in reference.encode(text).ids]
    assert np.fromfile(tmp_path / "d1.ds", dtype="<u2").tolist() == expected
    assert packed.counts == {
        "tokens": len(expected), "documents": len(ROWS), "bytes": sum(len(text.encode()) for text, _, _ in ROWS),
    }
    table = composition({"d1": packed})
    assert table.source.tolist() == ["library", "posts", "tales"] and table.documents.tolist() == [1, 2, 2]


def test_categories_get_files_of_their_own(paper: Tokenizer, tmp_path: Path) -> None:
    by_category = pack_by_category(documents(tmp_path / "heldout", ROWS), tmp_path / "held", paper)
    assert sorted(path.name for path in (tmp_path / "held").iterdir()) == ["books.ds", "code.ds", "web.ds"]
    whole = pack(tmp_path / "heldout", tmp_path / "whole.ds", paper).counts
    assert {key: sum(part.counts[key] for part in by_category.values()) for key in whole} == whole
    listed = index({}, by_category)
    assert listed["heldout/code.ds"]["tokens"] * 2 == (tmp_path / "held" / "code.ds").stat().st_size


def test_packing_twice_gives_the_same_bytes(paper: Tokenizer, tmp_path: Path) -> None:
    folder = documents(tmp_path / "d1", ROWS * 50)
    digests = set()
    for number in range(2):
        pack(folder, tmp_path / f"{number}.ds", paper)
        digests.add(hashlib.sha256((tmp_path / f"{number}.ds").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_a_folder_without_text_is_refused_and_leaves_nothing(paper: Tokenizer, tmp_path: Path) -> None:
    folder = documents(tmp_path / "d2", [("", "s", "c"), ("", "s", "c")])
    with pytest.raises(HareError, match="holds no document with text"):
        pack(folder, tmp_path / "d2.ds", paper)
    assert [path.name for path in tmp_path.iterdir()] == ["d2"]


def test_a_damaged_shard_ends_in_one_message(paper: Tokenizer, tmp_path: Path) -> None:
    folder = documents(tmp_path / "d3", ROWS)
    (folder / "00000.jsonl").write_text(json.dumps({"text": "x", "id": "0", "metadata": {}}) + "\n{\"text\": \"y\n")
    with pytest.raises(HareError, match=r"00000\.jsonl, line 2 is not valid JSON"):
        pack(folder, tmp_path / "d3.ds", paper)
    assert not (tmp_path / "d3.ds").exists()

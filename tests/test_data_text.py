"""Text tools and shards shared by the stages."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hare.core.errors import HareError
from hare.data.shards import read_documents, shard_files, write_documents
from hare.data.text import is_punctuated, rank, sentences
from hare.data.words import words


def test_sentences_end_where_a_reader_sees_an_end() -> None:
    text = "Dr. Smith came.  He said: \"Go.\" (It was late.) The U.S. team won 3.5 points!\nWhy?"
    assert sentences(text)[0] == "Dr. Smith came." and sentences(text)[-1] == "Why?"
    assert sentences("") == [] and sentences(" \n ") == []


@given(st.text(max_size=200))
def test_sentences_keep_every_word(text: str) -> None:
    assert words(" ".join(sentences(text))) == words(text)


@pytest.mark.parametrize(("text", "punctuated"), [
    ("It ended.", True), ('"It ended."', True), ("it ended.", False), ("It ended", False), ("", False),
])
def test_text_without_punctuation_is_recognised(text: str, punctuated: bool) -> None:
    assert is_punctuated(text) is punctuated


@given(st.integers(0, 99), st.text(max_size=20))
def test_a_rank_depends_on_seed_and_key_alone(seed: int, key: str) -> None:
    assert rank(seed, key) == rank(seed, key) < 2**64
    assert rank(seed, key) != rank(seed + 1, key)


def test_documents_are_read_back_in_order_from_atomic_shards(tmp_path: Path) -> None:
    rows = [{"id": f"a/{number}", "text": "Ä\u2028ß", "metadata": {"source": "a"}} for number in range(5)]
    assert write_documents(tmp_path / "d1", iter(rows), shard_rows=2) == 5
    assert [shard.name for shard in shard_files(tmp_path / "d1")] == ["00000.jsonl", "00001.jsonl", "00002.jsonl"]
    assert list(read_documents(tmp_path / "d1")) == rows


def test_a_folder_without_documents_and_a_damaged_line_are_named(tmp_path: Path) -> None:
    with pytest.raises(HareError, match=r"holds no \.jsonl shards"):
        list(read_documents(tmp_path))
    (tmp_path / "00000.jsonl").write_text("")
    with pytest.raises(HareError, match="holds no document"):
        list(read_documents(tmp_path))
    (tmp_path / "00000.jsonl").write_text('{"id": "a"}\n{"id": \n')
    with pytest.raises(HareError, match=r"00000\.jsonl, line 2"):
        list(read_documents(tmp_path))

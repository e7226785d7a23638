"""Cleaning blocks: what each removes, what it leaves alone, and that nothing vanishes without a trace."""

import re
from pathlib import Path

import numpy as np
import orjson
import pytest
from datatrove.data import Document
from hypothesis import given, settings
from hypothesis import strategies as st

from hare.corpus.block import Removal, utf8_length
from hare.corpus.blocks import Completeness, Language, PersonalInformation, Repetition, Soundness
from hare.corpus.completeness import ends_whole, sentence_verdict
from hare.corpus.personal import is_iban, without_personal_information
from hare.corpus.readers import MALFORMED
from hare.corpus.repetition import repeated_line_share
from hare.corpus.words import words_of

SENTENCE = "The quick brown fox jumped over the lazy dog while the old farmer watched from his porch. "
GERMAN = "Der Bundestag hat heute mit großer Mehrheit beschlossen, die Beratungen über das Gesetz zu vertagen. "


def _document(text: str, category: str = "wikipedia", identifier: str = "a/1", punctuated: bool = True) -> Document:
    return Document(text=text, id=identifier, metadata={"source": "a", "category": category, "punctuated": punctuated})


def _verdict(kind: type, document: Document, folder: Path) -> object:
    block = kind(folder)
    block.start(0)
    return block.judge(document)


@pytest.mark.parametrize(("text", "reason"), [
    ("", "empty"), (" \n\t", "empty"), (f"{MALFORMED}unexpected end: {{", "malformed row"),
    ("word " * 20 + "\ufffd" * 5, "broken encoding"), ("x" * 100_000_000, "too large"),
])
def test_rows_that_are_no_text_are_refused_by_name(text: str, reason: str, tmp_path: Path) -> None:
    verdict = _verdict(Soundness, _document(text), tmp_path)
    assert isinstance(verdict, Removal) and verdict.reason == reason


def test_an_id_seen_before_is_refused(tmp_path: Path) -> None:
    block = Soundness(tmp_path)
    block.start(0)
    assert block.judge(_document(SENTENCE)) == []
    assert block.judge(_document("Another text.")) == Removal("id seen before", 1.0)


def test_mojibake_is_mended_and_told(tmp_path: Path) -> None:
    document = _document("She said that the cafÃ© was closed, itâ€™s a pity.")
    verdict = _verdict(Soundness, document, tmp_path)
    assert [edit.reason for edit in verdict] == ["mojibake"]
    assert document.text == "She said that the café was closed, it’s a pity."


def test_language_finds_foreign_and_half_foreign_texts(tmp_path: Path) -> None:
    assert _verdict(Language, _document(SENTENCE * 8), tmp_path) == []
    for text in (GERMAN * 8, SENTENCE * 4 + GERMAN * 8):
        verdict = _verdict(Language, _document(text), tmp_path)
        assert isinstance(verdict, Removal) and verdict.reason == "not English but de"
    assert _verdict(Language, _document(GERMAN * 8, "code"), tmp_path) == []


@pytest.mark.parametrize(("text", "left"), [
    ("See https://example.com/a?b=c#d, and go.", "See, and go."),
    ("See (http://example.com/a_(b)) there.", "See there."),
    ("Read [the guide](https://example.com/x) first.", "Read the guide first."),
    ("Visit docs.example.org/start today.", "Visit today."),
    ("Write to jane.doe+x@mail.example.co.uk now.", "Write to <email> now."),
    ("Write to jane [at] example [dot] com now.", "Write to <email> now."),
    ("Call +44 20 7946 0958 or (202) 555-0143.", "Call <phone> or <phone>."),
    ("From 8.8.8.8 and 2001:4860:4860::8888 it came.", "From <ip> and <ip> it came."),
    ("Pay to GB82 WEST 1234 5698 7654 32 now.", "Pay to <iban> now."),
])
def test_links_and_personal_information_go(text: str, left: str) -> None:
    assert without_personal_information(text)[0] == left


@pytest.mark.parametrize("text", [
    "Version 10.4.2 of 2019-05-12, ISBN 978-0-306-40615-7.", "The host 192.168.0.1 is private, 127.0.0.1 is here.",
    "Node.js and ASP.NET, e.g. this; from 1914-1918.", "Population: 67,326,569 (2023), 243,610 sq km.",
    "GB83 WEST 1234 5698 7654 32 has wrong check digits.", "Acts 12:24 says so; at 10:30:15 it rang.",
])
def test_harmless_look_alikes_stay(text: str) -> None:
    assert without_personal_information(text) == (text, [])


def test_code_keeps_its_attributes(tmp_path: Path) -> None:
    text = "value = self.net.forward(a @ b.de)\nassert value == 555-0100-2000\n"
    assert without_personal_information(text, code=True) == (text, [])


def test_a_document_of_links_is_removed(tmp_path: Path) -> None:
    text = " ".join(f"https://example.com/{k}" for k in range(9))
    verdict = _verdict(PersonalInformation, _document(text), tmp_path)
    assert isinstance(verdict, Removal) and verdict.score > 0.9


@given(st.integers(0, 10**12))
def test_iban_check_digits(number: int) -> None:
    account = f"DE00{number:018d}"
    digits = "".join(str(int(c, 36)) for c in account[4:] + account[:4])
    valid = f"DE{98 - int(digits) % 97:02d}{number:018d}"
    assert is_iban(valid)
    assert not is_iban(valid[:-1] + str((int(valid[-1]) + 1) % 10))


@pytest.mark.parametrize(("text", "whole"), [
    ("It ended.", True), ('He said "so."', True), ("It ended.[12]", True), ("It ended.\n\nJIMMY CARTER", True),
    ("It went on and", False), ("", False), ("One line only without end", False),
])
def test_an_end_is_recognised(text: str, whole: bool) -> None:
    assert ends_whole(text) is whole


def test_a_cut_end_is_trimmed_or_removed(tmp_path: Path) -> None:
    document = _document(SENTENCE * 5 + "And then the")
    verdict = _verdict(Completeness, document, tmp_path)
    assert [edit.reason for edit in verdict] == ["end trimmed"] and document.text == (SENTENCE * 5).strip()
    mostly_cut = SENTENCE * 2 + "and then " * 40
    assert isinstance(sentence_verdict(mostly_cut, 20), Removal)
    unpunctuated = _document("the quick brown fox " * 20, "forum", punctuated=False)
    assert _verdict(Completeness, unpunctuated, tmp_path) == []


def test_code_has_to_parse(tmp_path: Path) -> None:
    whole = "def double(value):\n    return value * 2\n" * 5
    assert _verdict(Completeness, _document(whole, "code"), tmp_path) == []
    verdict = _verdict(Completeness, _document(whole + "def broken(", "code"), tmp_path)
    assert isinstance(verdict, Removal) and verdict.reason == "does not parse"


@pytest.mark.parametrize("text", [
    "\n".join(["Home | News | Log in", "Subscribe now", "Share this", "Click here", SENTENCE]),
    "\n".join([SENTENCE] * 8), "and again " * 40, " ".join(f"{word} #" for word in (SENTENCE * 3).split()),
])
def test_boilerplate_and_repetition_go(text: str, tmp_path: Path) -> None:
    assert isinstance(_verdict(Repetition, _document(text), tmp_path), Removal)


@given(st.lists(st.text(alphabet="abc \n", max_size=12), max_size=12))
def test_repeated_lines_are_a_share(lines: list[str]) -> None:
    text = "\n".join(lines)
    share, at = repeated_line_share(text)
    assert 0 <= share <= 1 and 0 <= at <= len(text)


@settings(max_examples=60)
@given(st.text(max_size=200))
def test_words_agree_with_a_plain_loop(text: str) -> None:
    plain = [word.encode("utf-8", errors="replace") for word in re.findall(r"\w+", text.lower())]
    words = words_of(text)
    assert [int(n) for n in words.lengths] == [len(word) for word in plain]
    same = {(a, b) for a in range(len(plain)) for b in range(len(plain)) if plain[a] == plain[b]}
    assert {(a, b) for a in range(len(plain)) for b in range(len(plain)) if words.hashes[a] == words.hashes[b]} == same


@given(st.lists(st.sampled_from("abcd"), max_size=30), st.integers(1, 6))
def test_shingles_are_equal_exactly_where_words_are(letters: list[str], size: int) -> None:
    shingles = words_of(" ".join(letters)).shingles(size)
    runs = [tuple(letters[k : k + size]) for k in range(len(letters) - size + 1)]
    runs = runs or ([tuple(letters)] if letters else [])
    assert len(np.unique(shingles)) == len(set(runs)) and len(shingles) == len(runs)


TEXTS = (SENTENCE * 3, GERMAN * 6, "", "short", "no end " * 30)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(TEXTS)), max_size=12))
def test_documents_in_are_documents_out_plus_removals(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    folder = tmp_path_factory.mktemp("trace")
    arriving = [_document(text, identifier=f"a/{name}") for name, text in rows]
    for kind in (Soundness, Language, Completeness):
        block = kind(folder)
        leaving = list(block.run(iter(arriving), rank=0))
        written = folder / "removed" / block.name / "00000.jsonl"
        removed = [orjson.loads(line) for line in written.read_bytes().splitlines()] if written.exists() else []
        assert len(arriving) == len(leaving) + len(removed)
        assert all(row["reason"] and row["block"] == block.name and "score" in row for row in removed)
        assert block.stats["bytes_out"].total == sum(utf8_length(document.text) for document in leaving)
        arriving = leaving

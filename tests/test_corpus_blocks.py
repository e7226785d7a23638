"""Cleaning blocks: what each removes, what it leaves alone, and that nothing vanishes without a trace."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import orjson
import pytest
import xxhash
from datatrove.data import Document
from hypothesis import given, settings
from hypothesis import strategies as st

from hare.core.errors import HareError
from hare.core.files import read_jsonl
from hare.core.sections import Corpus
from hare.corpus import blocks, statistics
from hare.corpus.block import Removal, utf8_length
from hare.corpus.blocks import Completeness, Language, PersonalInformation, Repetition, Soundness
from hare.corpus.completeness import ends_whole, sentence_verdict
from hare.corpus.numbers import is_iban
from hare.corpus.personal import without_personal_information
from hare.corpus.pipeline import clean
from hare.corpus.repetition import _repeated_words, repeated_line_share
from hare.corpus.rules import RULES
from hare.corpus.shared_lines import line_hash, lines_of, shared, without_lines
from hare.corpus.sources.readers import MALFORMED, _decoded, parsed_lines
from hare.corpus.sources.source import Source
from hare.data.document_words import Words, _words_of, prepare, words_of
from hare.data.vocabulary import Vocabulary
from hare.data.words import words

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


@pytest.mark.parametrize(("text", "redacted"), [
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
def test_links_and_personal_information_go(text: str, redacted: str) -> None:
    assert without_personal_information(text)[0] == redacted


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


@pytest.mark.parametrize("text", ["*** --- ***", "?!?!", "。。。", "—"])
def test_signs_alone_are_no_text_where_no_other_block_has_removed_them(text: str, tmp_path: Path) -> None:
    assert isinstance(_verdict(Repetition, _document(text), tmp_path), Removal)


@given(st.lists(st.text(alphabet="abc \n", max_size=12), max_size=12))
def test_repeated_lines_are_a_share(lines: list[str]) -> None:
    text = "\n".join(lines)
    share, at = repeated_line_share(text)
    assert 0 <= share <= 1 and 0 <= at <= len(text)


@settings(max_examples=60)
@given(st.text(max_size=200))
def test_words_agree_with_the_definition(text: str) -> None:
    listed = words(text)
    document = words_of(text)
    assert document.sizes.tolist() == [len(word.encode()) for word in listed]
    assert len(set(zip(listed, document.hashes.tolist(), strict=True))) == len(set(listed))


@given(st.lists(st.sampled_from("abcd"), max_size=30), st.integers(1, 6))
def test_ngrams_are_equal_exactly_where_words_are(letters: list[str], size: int) -> None:
    ngrams = words_of(" ".join(letters)).ngrams(size)
    runs = [tuple(letters[k : k + size]) for k in range(len(letters) - size + 1)]
    runs = runs or ([tuple(letters)] if letters else [])
    assert len(np.unique(ngrams)) == len(set(runs)) and len(ngrams) == len(runs)


@settings(max_examples=60)
@given(st.lists(st.text(max_size=80), min_size=1, max_size=8), st.integers(1, 6))
def test_words_found_together_are_those_found_one_by_one(texts: list[str], size: int) -> None:
    known = Vocabulary(words_of(SENTENCE).hashes.tolist())
    alone = [_words_of.__wrapped__(text) for text in texts]
    prepare(texts)
    for text, expected in zip(texts, alone, strict=True):
        document = words_of(text)
        for name in ("sizes", "hashes"):
            assert getattr(document, name).tolist() == getattr(expected, name).tolist()
        assert document.ngrams(size).tolist() == expected.ngrams(size).tolist()
        _counted_as_one_by_one(document, text, known)


def _counted_as_one_by_one(document: Words, text: str, known: Vocabulary) -> None:
    without = "".join(str(int(bool(re.fullmatch("[0-9]+", word)))) for word in words(text))
    belongs = known.holds(document.hashes).tolist()
    assert document.bytes == document.sizes.sum() and document.with_letters == without.count("0")
    assert document.numbers_in_a_row == ("111" in without)
    assert document.known(known, 1) == set(document.hashes[belongs].tolist())
    pairs = document.ngrams(2) if len(document) > 1 else document.hashes[:0]
    assert document.known(known, 2) == set(pairs[known.holds(pairs)].tolist())
    bounds = [part * len(document) // 3 for part in range(4)]
    assert document.known_by_part(known, 3) == [sum(belongs[low:high]) for low, high in pairwise(bounds)]


@settings(max_examples=60)
@given(st.text(alphabet="aé\u0301\u00ad\u200bÂ©â€™ \x07\ufffd.", max_size=60))
def test_a_look_at_all_suspicious_characters_together_changes_nothing(text: str) -> None:
    def repaired() -> tuple:
        document = _document(text)
        return Soundness(Path())._repaired(document), document.text

    usual = repaired()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_SUSPICIOUS", re.compile(""))  # finds something in every text
        assert repaired() == usual


@settings(max_examples=60)
@given(st.sets(st.integers(0, 200), max_size=60), st.lists(st.integers(0, 2**64 - 1), max_size=20))
def test_a_vocabulary_holds_its_own_hashes_and_no_others(numbers: set[int], others: list[int]) -> None:
    members = {xxhash.xxh64_intdigest(str(number)) for number in numbers}
    hashes = np.array([0, *members, *others], dtype=np.uint64)
    assert Vocabulary(members).holds(hashes).tolist() == [int(one) in members for one in hashes]


@settings(max_examples=100)
@given(st.lists(st.sampled_from("abcdefghijkl"), min_size=40, max_size=120), st.sampled_from(["wikipedia", "math"]))
def test_repeated_words_are_measured_wherever_they_can_matter(letters: list[str], category: str) -> None:
    rules, pairs = RULES[category], list(pairwise(letters))
    spans = [tuple(letters[k : k + 8]) for k in range(len(letters) - 7)]
    share = 2 * max(Counter(pairs).values()) / len(letters)
    repeated = 1 - len(set(spans)) / len(spans)
    expected = {
        "one pair of words": share > rules.most_repeated_bigram,
        "repeated spans of words": repeated > rules.most_repeated_spans,
    }
    measured = _repeated_words(words_of(" ".join(letters)), rules)
    too_high = {measure.name for measure in measured if measure.value > measure.high}
    assert too_high == {name for name, outside in expected.items() if outside}


TEXTS = (SENTENCE * 3, GERMAN * 6, "", "short", "no end " * 30)


@settings(max_examples=20)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(TEXTS)), max_size=12))
def test_documents_in_are_documents_out_plus_removals(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    folder = tmp_path_factory.mktemp("trace")
    arriving = [_document(text, identifier=f"a/{name}") for name, text in rows]
    for kind in (Soundness, Language, Completeness):
        block = kind(folder)
        leaving = list(block.run(iter(arriving), rank=0))
        file = folder / "removed" / block.name / "00000.jsonl"
        removed = [orjson.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else []
        assert len(arriving) == len(leaving) + len(removed)
        assert all(row["reason"] and row["block"] == block.name and "score" in row for row in removed)
        assert block.stats["bytes_out"].total == sum(utf8_length(document.text) for document in leaving)
        arriving = leaving


def _sound(seed: int) -> str:
    """A document unlike the others."""
    draw = np.random.default_rng(seed)
    ends = ("er", "side", "top", "house")
    nouns = [f"{start}{end}" for start in ("farm", "river", "mountain", "castle") for end in ends]
    verbs = ("walked towards", "looked after", "remembered", "painted", "ran away from", "listened to")
    return " ".join(f"The {draw.choice(nouns)} {draw.choice(verbs)} the {draw.choice(nouns)} of {draw.integers(1000)}."
                    for _ in range(12))


def _ugly(_archive: object, _members: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Everything that a careless dump holds, beside sound documents."""
    for number in range(4):
        yield f"sound-{number}", _sound(number)
    yield "latin-1", _decoded("Der Süden und die Größe der Flüsse für alle Völker".encode("latin-1") * 5)
    yield "empty", ""
    yield "blank", " \n\t\n "
    yield "one-line", "x" * 100_000_000
    rows = ['{"text": ', "{]", "", "17", '{"title": "no text"}', '{"text": "' + _sound(7) + '\u2028Here it ends."}']
    for key, row in parsed_lines("\n".join(rows), ("text",)):
        yield key, row if isinstance(row, str) else row["text"]
    yield "sound-0", "The same id a second time. " * 8
    yield "surrogates", "\ud800 \udfff " * 40
    yield "surrogate", f"A lone surrogate \ud800 stands here. {' '.join(map(_sound, (8, 9, 10)))}"


def test_a_careless_dump_is_cleaned_without_a_crash_or_a_silent_loss(tmp_path: Path) -> None:
    source = Source("ugly", "web", "sotu", (), _ugly, "CC0", "made for a test")
    config = Corpus(max_mb_per_source=1000.0, heldout_fraction=0.2, cleaning_workers=1)
    cleaned = clean(config, (source,), tmp_path)
    flow = statistics.flow(cleaned)  # refuses when documents in are not documents out plus removals, at every block
    assert (flow["documents_in"] == flow["documents_out"] + flow["documents_removed"]).all()
    reasons = {row["id"].removeprefix("ugly/"): row["reason"] for row in statistics.removed(cleaned)}
    assert reasons["latin-1"] == reasons["surrogates"] == "broken encoding" and reasons["one-line"] == "too large"
    assert reasons["empty"] == reasons["blank"] == "empty" and reasons["sound-0"] == "id seen before"
    assert [reasons[f"{number:06d}"] for number in (0, 1, 3, 4)] == ["malformed row"] * 4
    ids = {row["id"] for part in ("d1", "heldout") for path in (cleaned.folder / part).glob("*.jsonl")
           for row in read_jsonl(path)}
    assert ids == {*(f"ugly/sound-{number}" for number in range(4)), "ugly/000005", "ugly/surrogate"}


def test_a_source_that_vanished_is_refused_by_name_before_any_work(tmp_path: Path) -> None:
    source = Source("gone", "web", "no-such-package", (), _ugly, "CC0", "made for a test")
    with pytest.raises(HareError, match="no-such-package"):
        clean(Corpus(max_mb_per_source=1.0, heldout_fraction=0.2, cleaning_workers=1), (source,), tmp_path)
    assert not any(tmp_path.iterdir())


NOTICE = "This notice stands in every document of the dump, word for word."


def test_a_shared_line_stays_in_its_first_document_only() -> None:
    texts = [f"Heading {number}:\n  {NOTICE.upper()}\n{_sound(number)}" for number in range(3)]
    lines = np.concatenate([lines_of(str(number), text) for number, text in enumerate(texts)])
    goes = shared(lines)
    assert lines["line"][goes].tolist() == [line_hash(NOTICE)] * 2
    assert lines["document"][0] not in lines["document"][goes]
    assert without_lines(texts[1], {line_hash(NOTICE)}) == (_sound(1), [NOTICE.upper()])
    assert not shared(np.concatenate([lines_of(str(number), text) for number, text in enumerate(texts[:2])])).any()
    assert len(shared(lines_of("a", "one line alone is for document-level deduplication to look at"))) == 0


@given(st.lists(st.lists(st.integers(0, 5), max_size=6), max_size=8))
def test_shared_lines_agree_with_a_plain_count(documents: list[list[int]]) -> None:
    texts = ["\n".join(["Title", *(f"line number {k} of those that may be shared" for k in ks)]) for ks in documents]
    lines = np.concatenate([lines_of(str(number), text) for number, text in enumerate(texts)] or [lines_of("", "")])
    holders = {k: [number for number, ks in enumerate(documents) if k in ks] for k in range(6)}
    expected = sum(len(sharers) - 1 for sharers in holders.values() if len(sharers) >= 3)
    assert int(shared(lines).sum()) == expected

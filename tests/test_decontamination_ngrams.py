"""The n-gram index against plain Python sets of word tuples, which say what it must answer."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hare.data import words as words_module
from hare.data.hash_set import HashSet
from hare.data.words import word_hashes, word_spans, words
from hare.decontamination.ngrams import find_matches, ngram_hashes

SMALL_WORDS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=30).map(" ".join)
ANY_TEXT = st.text(max_size=200) | SMALL_WORDS


def grams(text: str, n: int) -> list[tuple[str, ...]]:
    listed = words(text)
    return [tuple(listed[i : i + n]) for i in range(len(listed) - n + 1)]


def index_of(texts: list[str], sizes: list[int]) -> dict[int, HashSet]:
    return {
        n: HashSet(np.concatenate([np.zeros(0, np.uint64)] + [ngram_hashes(word_hashes([t]).hashes, n) for t in texts]))
        for n in sizes
    }


@given(st.lists(ANY_TEXT, max_size=8))
def test_as_many_word_hashes_as_words_and_equal_exactly_when_the_words_are(texts: list[str]) -> None:
    hashed, listed = word_hashes(texts), [words(text) for text in texts]
    assert hashed.counts.tolist() == [len(text_words) for text_words in listed]
    flat = [word for text_words in listed for word in text_words]
    pairs = set(zip(flat, hashed.hashes.tolist(), strict=True))
    assert len(pairs) == len({word for word, _ in pairs}) == len({number for _, number in pairs})


MARKED_UP = st.lists(st.sampled_from(
    ["word", "Two", " ", "_", "*", "&amp;", "&#39;", "&eacute;", "&lt;b&gt;", "<b>", "</b>", "<", "&", ";", "\u00ad",
     "\u200b", "e\u0301", "\ufb01", "\uff21\uff22", "\u2019", "\n", "3", "<!-- x -->", "ब", "ि"]), max_size=40,
).map("".join)


@given(st.text(max_size=300) | MARKED_UP)
def test_spans_cut_the_words_out_of_the_text(text: str) -> None:
    spans, expected = word_spans(text), words(text)
    assert len(spans) == len(expected)
    assert all(start < end for start, end in spans)
    assert all(word in "".join(words(text[start:end])) for (start, end), word in zip(spans, expected, strict=True))


@given(MARKED_UP)
def test_marked_up_texts_have_as_many_hashes_as_words(text: str) -> None:
    assert word_hashes([text]).counts.tolist() == [len(words(text))]


PLAIN = "Janet's ducks lay 16 eggs per day, and she re-sells what's left for $2."


@pytest.mark.parametrize("disguised", [
    "_Janet's_ **ducks** lay *16* `eggs` ~~per~~ __day__, and she _re_-_sells_ what's left for $2.",
    "Ja\u00adnet's du\u00adcks lay 1\u200b6 eg\ufeffgs per day, and she re-sells what's left for $2.",
    "Janet&#39;s ducks lay 16 eggs per&nbsp;day, and she re&#x2d;sells what&apos;s left for &dollar;2.",
    "Janet&amp;#39;s ducks lay 16 eggs per day&comma; and she re-sells what&rsquo;s left for $2.",
    "<p>Janet's <em>ducks</em> lay <b class='x'>16</b> eggs<br/>per day, and <!-- an aside -->she re-sells "
    "what's left for $2.",
    "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in PLAIN),
    "Janet\u2019s DUCKS lay 16 eggs\u00a0per day,\u2028and she re\u2011sells what\u2019s left for $2.",
    "Janet's ducks\nlay 16 eggs per\r\n   day, and she\n> re-sells what's\n\tleft for $2.",
])
def test_what_a_page_does_to_a_text_does_not_hide_its_words(disguised: str) -> None:
    assert words(disguised) == words(PLAIN)
    assert word_hashes([disguised]).hashes.tolist() == word_hashes([PLAIN]).hashes.tolist()


def test_every_character_of_unicode_is_folded_as_the_definition_says() -> None:
    planes = (range(0xD800), range(0xE000, 0x20000), range(0x20000, sys.maxunicode + 1, 97))
    characters = [chr(code) for plane in planes for code in plane]
    for low in range(0, len(characters), 1 << 15):
        text = " x ".join(characters[low : low + (1 << 15)])
        listed, hashed = words(text), word_hashes([text]).hashes.tolist()
        assert len(listed) == len(hashed)
        assert len(set(zip(listed, hashed, strict=True))) == len(set(listed)) == len(set(hashed))


@pytest.mark.parametrize("size", [7, 8, 9, 15, 16, 17, 63, 64, 65, 72, 200_000])
def test_words_of_every_length_differ_in_their_last_letter(size: int) -> None:
    hashes = word_hashes(["x" * size, "x" * (size - 1) + "y", "x" * (size - 1), "X" * size + "!"]).hashes
    assert len(set(hashes.tolist())) == 3 and hashes[0] == hashes[3]


def test_a_lone_surrogate_separates_words_as_the_definition_says() -> None:
    assert words("ab\ud800cd") == ["ab", "cd"]
    assert (word_hashes(["ab\ud800cd"]).hashes == word_hashes(["ab cd"]).hashes).all()


@given(st.lists(ANY_TEXT, max_size=6), st.integers(3, 40))
@settings(max_examples=50)
def test_blocks_change_nothing(texts: list[str], block: int) -> None:
    whole = word_hashes(texts)
    before = words_module._BLOCK
    words_module._BLOCK = block
    try:
        cut = word_hashes(texts)
    finally:
        words_module._BLOCK = before
    assert (whole.hashes == cut.hashes).all() and (whole.offsets == cut.offsets).all()


@given(ANY_TEXT, st.integers(1, 16))
def test_ngram_hashes_are_equal_exactly_when_the_ngrams_are(text: str, n: int) -> None:
    hashes, listed = ngram_hashes(word_hashes([text]).hashes, n).tolist(), grams(text, n)
    assert len(hashes) == len(listed)
    assert len(set(zip(hashes, listed, strict=True))) == len(set(hashes)) == len(set(listed))


@given(st.lists(st.integers(0, 2**64 - 1), max_size=60), st.lists(st.integers(0, 2**64 - 1), max_size=60))
def test_the_hash_set_answers_as_a_python_set_does(members: list[int], others: list[int]) -> None:
    hashes = np.array(members + others, np.uint64)
    known = HashSet(np.array(members, np.uint64))
    expected = [value in set(members) for value in members + others]
    assert known.contains(hashes).tolist() == known.contains_likely(hashes).tolist() == expected


def test_the_hash_set_answers_for_many_members_and_neighbours() -> None:
    members = np.random.default_rng(0).integers(0, 2**64, 100_000, dtype=np.uint64)
    hashes = np.concatenate((members, members + np.uint64(1)))
    assert (HashSet(members).contains(hashes) == np.isin(hashes, members)).all()


@given(
    st.lists(SMALL_WORDS, max_size=6), st.lists(SMALL_WORDS, max_size=8),
    st.sets(st.integers(2, 9), min_size=1, max_size=5),
)
@settings(max_examples=200)
def test_matches_equal_those_of_python_sets(indexed: list[str], texts: list[str], sizes: set[int]) -> None:
    matches = find_matches(word_hashes(texts), index_of(indexed, sorted(sizes)))
    for n in sizes:
        known = {gram for text in indexed for gram in grams(text, n)}
        hits_by_text = [[gram in known for gram in grams(text, n)] for text in texts]
        assert matches.counts(n).tolist() == [sum(hits) for hits in hits_by_text]
        assert [None if np.isnan(share) else share for share in matches.shares(n)] == [
            sum(hits) / len(hits) if hits else None for hits in hits_by_text
        ]
        assert list(zip(*(a.tolist() for a in matches.longest_spans(n)), strict=True)) == [
            longest_run(hits, n) for hits in hits_by_text
        ]


def longest_run(hits: list[bool], n: int) -> tuple[int, int]:
    first = longest = run = 0
    for place, hit in enumerate(hits):
        run = run + 1 if hit else 0
        if run > longest:
            first, longest = place - run + 1, run
    return (first, longest + n - 1) if longest else (0, 0)


def test_empty_texts_and_texts_shorter_than_n_have_no_share() -> None:
    matches = find_matches(word_hashes(["", "...", "one two", "one two three"]), index_of(["one two three"], [3]))
    assert np.isnan(matches.shares(3)[:3]).all() and matches.shares(3)[3] == 1
    assert find_matches(word_hashes([]), index_of([], [3])).counts(3).tolist() == []


def test_work_is_linear_in_the_text() -> None:
    """Ten times the text asks ten times as many questions of the index, in blocks of bounded size."""
    sizes: list[int] = []

    class Counting(HashSet):
        def contains(self, hashes: np.ndarray) -> np.ndarray:
            sizes.append(len(hashes))
            return super().contains(hashes)

    index = {5: Counting(ngram_hashes(word_hashes(["to be or not to be"]).hashes, 5))}
    text = "the quick brown fox jumps over the lazy dog " * 20_000
    totals = []
    for copies in (1, 10):
        sizes.clear()
        find_matches(word_hashes([text] * copies), index)
        totals.append(sum(sizes))
        assert max(sizes) <= 1 << 15
    assert totals[1] == pytest.approx(10 * totals[0], rel=0.001)

"""Item coverage against its definition in plain Python, and the disguises and hosts that must not hide an item."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hare.data.hash_set import HashSet
from hare.data.words import WordHashes, word_hashes, words
from hare.decontamination.coverage import SEED_NGRAM, ItemCoverageRule, Places, _ranges
from hare.decontamination.index import BenchmarkIndex, Split
from hare.decontamination.ngrams import distinct_ngrams, find_matches, ngram_hashes
from hare.decontamination.rarity import Rarity

NOUNS = ["planet", "river", "engine", "doctor", "letter", "garden", "silver", "window", "winter", "marble", "copper",
         "lantern", "harbour", "thistle", "velvet", "glacier", "walnut", "falcon", "meadow", "quartz", "ribbon",
         "cinder"]


def item(number: int) -> str:
    rng = random.Random(number)
    return " ".join(f"{rng.choice(NOUNS)}{rng.randrange(50)}" for _ in range(20))


ITEMS = [item(number) for number in range(40)]


def index_of(items: list[str], question_words: int = 14) -> BenchmarkIndex:
    hashed = word_hashes(items)
    questions = np.minimum(hashed.counts, question_words).astype(np.int32)
    return BenchmarkIndex((Split("toy", "", "test", 0, len(items)),), hashed, np.arange(len(items), dtype=np.int32),
                          questions, {SEED_NGRAM: distinct_ngrams(hashed, SEED_NGRAM)})


INDEX = index_of(ITEMS)
RULE = ItemCoverageRule.of(INDEX)
PADDING = " ".join(f"word{number} of the quiet evening" for number in range(200))


def coverage(*texts: str) -> tuple[list[float], list[int]]:
    covered = RULE.coverage(find_matches(word_hashes(texts), INDEX.sets))
    return covered.share.tolist(), covered.item.tolist()


def test_an_item_is_covered_whole_wherever_it_stands() -> None:
    texts = [ITEMS[7], f"{PADDING} {ITEMS[7]} {PADDING}", f"{ITEMS[7]} {PADDING}", f"{PADDING} {ITEMS[7]}", PADDING, ""]
    share, items = coverage(*texts)
    assert share[:4] == pytest.approx([1] * 4) and items[:4] == [7] * 4
    assert share[4:] == [0, 0] and items[4:] == [-1, -1]


@pytest.mark.parametrize("disguise", [
    lambda text: text.upper(),
    lambda text: "\n> ".join(text.split()),
    lambda text: " ".join(f"_{word}_" if place % 8 == 0 else word for place, word in enumerate(text.split())),
    lambda text: " ".join(f"**{word}**" if place % 3 == 0 else word for place, word in enumerate(text.split())),
    lambda text: text.replace("e", "e\u00ad"),
    lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    lambda text: "".join(f"&#{ord(c)};" if c.isalpha() else c for c in text),
    lambda text: " ".join(f"<em>{word}</em>" for word in text.split()),
])
def test_a_disguise_hides_nothing(disguise) -> None:
    share, items = coverage(f"{PADDING} {disguise(ITEMS[3])} {PADDING}")
    assert share == pytest.approx([1]) and items == [3]


def test_other_words_and_another_order_lower_the_share_by_their_weight() -> None:
    parts = ITEMS[5].split()
    shuffled = [*parts[10:], *parts[:10]]
    replaced = [*parts[:16], "other", "words", "stand", "here"]
    (of_shuffled, of_replaced), _ = coverage(" ".join(shuffled), f"{PADDING} {' '.join(replaced)} {PADDING}")
    assert of_shuffled == pytest.approx(1)
    assert of_replaced == pytest.approx(1), "its question, the first 14 words, is whole"


def test_a_lone_run_of_eight_words_is_far_from_an_item() -> None:
    run = " ".join(ITEMS[2].split()[:8])
    (share,), _ = coverage(f"{PADDING} {run} {PADDING}")
    assert 0 < share < 0.7 and not RULE.drops(find_matches(word_hashes([run]), INDEX.sets))[0]


def test_an_item_that_says_too_little_is_not_judged_and_is_counted() -> None:
    index = index_of([*ITEMS, "what is it that it is what it is"])
    rule = ItemCoverageRule.of(index)
    covered = rule.coverage(find_matches(word_hashes(["what is it that it is what it is"]), index.sets))
    assert covered.share.tolist() == [0] and rule.too_short() == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcdefghij"), min_size=8, max_size=14), min_size=1, max_size=4),
       st.lists(st.sampled_from("abcdefghijxyz"), max_size=60))
def test_the_share_is_that_of_the_definition(items: list[list[str]], text: list[str]) -> None:
    index = index_of([" ".join(one) for one in items], question_words=100)
    rule = ItemCoverageRule(index, Rarity.of(index), Places.of(index, SEED_NGRAM), least_nats=0.0)
    share = rule.coverage(find_matches(word_hashes([" ".join(text)]), index.sets)).share[0]
    assert share == pytest.approx(by_definition(items, text), abs=1e-5)


def by_definition(items: list[list[str]], text: list[str]) -> float:
    best = 0.0
    for one in items:
        weight = {word: math.log(len(items) / sum(word in other for other in items)) for word in set(one)}
        reach = len(one) // 2 + SEED_NGRAM
        for place in range(len(one) - SEED_NGRAM + 1):
            for start in range(len(text) - SEED_NGRAM + 1):
                if one[place: place + SEED_NGRAM] == text[start: start + SEED_NGRAM]:
                    stretch = set(text[max(0, start - place - reach): start - place + len(one) + reach])
                    total = sum(weight.values())
                    covered = sum(value for word, value in weight.items() if word in stretch)
                    best = max(best, covered / total if total else 0.0)
    return best


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=10))
def test_ranges_are_listed_one_after_the_other(ranges: list[tuple[int, int]]) -> None:
    first, count = (np.array([pair[k] for pair in ranges], np.int64) for k in (0, 1))
    assert _ranges(first, count).tolist() == [n for low, size in ranges for n in range(low, low + size)]


def test_rarity_counts_each_word_once_per_item() -> None:
    index = index_of(["a a b", "b c", "b b"])
    rarity = Rarity.of(index)
    place, known = rarity.places(word_hashes(["a b c d"]).hashes)
    assert known.tolist() == [True, True, True, False]
    assert rarity.frequency[place[:3]].tolist() == [1, 3, 1]
    assert rarity.nats[place[1]] == 0 and rarity.nats[place[0]] == pytest.approx(math.log(3))


def test_distinct_ngrams_do_not_cross_from_one_text_to_the_next() -> None:
    hashed = word_hashes(["a b c", "d e"])
    assert len(distinct_ngrams(hashed, 2)) == 3 and isinstance(hashed, WordHashes)
    assert not distinct_ngrams(hashed, 2).contains(ngram_hashes(word_hashes(["c d"]).hashes, 2))[0]
    assert isinstance(distinct_ngrams(hashed, 9), HashSet) and words("c D") == ["c", "d"]

"""Passages, topics, seeds, near-duplicates, prompts."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hare.core.errors import HareError
from hare.data.minhash import VALUES
from hare.data.shards import read_documents, write_documents
from hare.data.text import sentences
from hare.synthesis import passages as p
from hare.synthesis.duplicates import NearDuplicates, signatures
from hare.synthesis.prompts import SEED_CHARACTERS, fill, forms_for, load_families, shortened
from hare.synthesis.seeds import Seed, draw_seeds
from hare.synthesis.topics import fit_topics

_SUBJECTS = {
    "sea": "waves tide harbour sailor vessel anchor current island coast storm",
    "law": "court judge statute appeal verdict contract clause tribunal lawyer liability",
    "music": "violin melody chord rhythm orchestra soprano tempo harmony cello sonata",
    "kitchen": "flour butter oven recipe simmer pastry onion garlic roast saucepan",
}


def written(subject: str, number: int) -> str:
    draw = random.Random(f"{subject}{number}")
    vocabulary = _SUBJECTS[subject].split()
    return " ".join(f"The {' '.join(draw.sample(vocabulary, 6))} of case {draw.randrange(9999)}." for _ in range(6))


def corpus(count: int = 30) -> list[p.Passage]:
    return [
        p.Passage(f"{subject}/{i}#0", f"{subject}/{i}", subject, "wikipedia", written(subject, i))
        for subject in _SUBJECTS for i in range(count)
    ]


@given(st.text(max_size=2000))
def test_windows_of_prose_keep_every_word_in_order_up_to_a_short_tail(text):
    words = " ".join(p.windows(text, "wikipedia")).split()
    assert words == text.split()[: len(words)]
    assert len(text.split()) - len(words) < p.SHORTEST_WORDS


@given(st.text(alphabet="ab \n(.", max_size=3000))
def test_windows_of_code_stay_within_the_limit(text):
    assert all(len(window) <= p.LONGEST_BLOCK + 2 for window in p.windows(text, "code"))


def test_sentences_know_abbreviations():
    assert sentences("Dr. Brown met J. Smith. They left!  Why?") == ["Dr. Brown met J. Smith.", "They left!", "Why?"]


def test_sample_does_not_depend_on_the_order_of_documents(tmp_path):
    rows = [
        {"text": passage.text, "id": passage.document, "metadata": {"source": "x", "category": passage.source}}
        for passage in corpus()
    ]
    write_documents(tmp_path / "a", rows)
    write_documents(tmp_path / "b", rows[::-1], shard_rows=7)
    first, second = (p.sample_passages(tmp_path / name, 10, 20, seed=3) for name in "ab")
    assert first == second
    assert len(first.balanced) == 40 and len(first.natural) == 20
    assert p.sample_passages(tmp_path / "a", 10, 20, seed=4) != first


def test_an_empty_folder_is_refused_by_name(tmp_path):
    write_documents(tmp_path / "d1", [])
    with pytest.raises(HareError, match="d1 holds no document"):
        list(read_documents(tmp_path / "d1"))


def test_topics_find_the_subjects_and_repeat_themselves():
    texts = [passage.text for passage in corpus()]
    first, second = fit_topics(texts, 4, seed=0), fit_topics(texts, 4, seed=0)
    assert np.array_equal(first.assigned, second.assigned) and first.model.labels == second.model.labels
    for start in (0, 30, 60, 90):
        assert len(set(first.assigned[start : start + 30])) == 1
    assert np.array_equal(first.model.assign(texts), first.assigned)


def test_too_few_passages_for_the_topics_are_refused():
    with pytest.raises(HareError, match="too few for 40 topics"):
        fit_topics(["one text", "another"], 40, seed=0)


def test_seeds_are_even_over_topics_and_hold_no_near_duplicate():
    passages = corpus(6)
    copies = [p.Passage(f"copy/{i}#0", "copy", "sea", "wikipedia", passages[0].text + " Again.") for i in range(8)]
    topics = np.array([0] * 6 + [1] * 6 + [2] * 6 + [3] * 6 + [0] * 8)
    seeds = draw_seeds([*passages, *copies], topics, 12, seed=1)
    assert [sum(seed.topic == topic for seed in seeds) for topic in range(4)] == [3, 3, 3, 3]
    assert sum(seed.passage.text.startswith(passages[0].text) for seed in seeds) <= 1
    assert len(draw_seeds([*passages, *copies], topics, 25, seed=1)) == 24


def test_near_duplicates_are_found_and_others_are_not():
    texts = [passage.text for passage in corpus(10)]
    index = NearDuplicates()
    for number, signature in enumerate(signatures(texts)):
        index.add(str(number), signature)
    changed = texts[7].rsplit(" ", 1)[0] + " otherwise."
    assert index.first_like(signatures([changed])[0]) == "7"
    assert index.first_like(signatures([written("sea", 99)])[0]) is None
    assert signatures(["", "a"]).shape == (2, VALUES)


def test_every_shipped_prompt_can_be_filled_whatever_the_seed_holds():
    families = load_families()
    assert len(families) >= 7 and len({family.sha256 for family in families}) == len(families)
    for category in ("wikipedia", "law", "politics", "books", "news", "code", "math", "forum", "web", "encyclopaedia"):
        seed = Seed(p.Passage("i#0", "i", "s", category, "if {x}: {seed} {0} %s"), 0)
        forms = forms_for(category, families)
        assert "textbook" in forms
        for form in forms:
            prompt = fill(seed, form, families, random.Random(0))
            assert "if {x}: {seed} {0} %s" in prompt.text and prompt.form == form
            assert prompt == fill(seed, form, families, random.Random(0))


def test_a_topic_without_passages_is_harmless():
    passages = corpus(3)
    topics = np.array([0] * 6 + [7] * 6)  # the topics between them are empty
    assert {s.topic for s in draw_seeds(passages, topics, 4, seed=0)} == {0, 7}
    assert draw_seeds([], np.array([], dtype=int), 1, seed=0) == []


@pytest.mark.parametrize(("wording", "message"), [
    ("about {seed} for {reader}", "unknown placeholder {reader}"),
    ("no place for it", "neither {seed}"), ("{seed", "'}'"),
])
def test_a_prompt_with_a_wrong_placeholder_is_refused(tmp_path, wording, message):
    head = "version: 1\nform: textbook\ncategories: [law]\nsystem: s\naudiences: {a: b}\n"
    (tmp_path / "bad.yaml").write_text(f"{head}prompts: ['{wording}']\n")
    with pytest.raises(HareError, match="bad.yaml cannot be used") as error:
        load_families(tmp_path)
    assert message in str(error.value)


def test_a_category_without_prompts_is_refused():
    seed = Seed(p.Passage("i#0", "i", "s", "poems", "text"), 0)
    with pytest.raises(HareError, match="poems"):
        fill(seed, "textbook", load_families(), random.Random(0))


@settings(max_examples=50)
@given(st.text(alphabet="ab. \n", max_size=900))
def test_a_shortened_seed_is_a_beginning_within_the_limit(text):
    cut = shortened(text)
    assert len(cut) <= SEED_CHARACTERS and text.startswith(cut)

"""D1's text of few topics or of many: equally much in all and of each topic, and another draw per seed."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import training_runs as toys
from hypothesis import given
from hypothesis import strategies as st

from hare.core.sections import Tokens
from hare.tokens.topics import TopicText, of_seed, topics_of
from hare.training.inputs import Inputs
from hare.training.study import run_of_arm


def text(sizes: list[int], tokens: int = 10) -> TopicText:
    """Topic t has ``sizes[t]`` documents of so many tokens."""
    rows = [(f"{topic}/{number}", topic, tokens) for topic, count in enumerate(sizes) for number in range(count)]
    return TopicText(pd.DataFrame(rows, columns=["id", "topic", "tokens"]))


def given_by_topic(documents: TopicText, ids: frozenset[str]) -> dict[int, int]:
    frame = documents.documents
    return frame[frame["id"].isin(ids)].groupby("topic")["tokens"].sum().to_dict()


@pytest.mark.parametrize("topics", [1, 3, 9, 27])
def test_each_topic_gives_its_share(topics: int) -> None:
    documents = text([200] * 27)
    tokens = given_by_topic(documents, documents.drawn(topics, 1080, seed=0))
    assert len(tokens) == topics and set(tokens.values()) == {1080 // topics}


def test_a_topic_without_enough_text_is_made_up_for_by_the_others() -> None:
    documents = text([100, 2, 100])
    assert given_by_topic(documents, documents.drawn(3, 900, seed=1)) == {0: 440, 1: 20, 2: 440}
    assert len(documents.drawn(3, 10**6, seed=1)) == 202, "all that there is"


def test_few_topics_are_among_many_and_each_seed_starts_with_another_of_the_largest() -> None:
    documents = text([5, 90, 70, 80, 6, 7])
    assert [documents.order(seed)[0] for seed in (0, 1, 2, 6)] == [1, 3, 2, 1]
    assert sorted(documents.order(0)) == sorted(documents.order(1)) == list(range(6))
    assert documents.order(0)[1:] != [topic for topic in documents.order(6) if topic != 1]
    assert documents.tokens_for_all(10**6, (0, 1, 2)) == 700 and documents.tokens_for_all(650, (0, 1, 2)) == 650
    assert documents.drawn(6, 500, seed=0) != documents.drawn(6, 500, seed=6), "other documents for another seed"


@given(st.lists(st.integers(1, 40), min_size=3, max_size=8), st.integers(1, 8), st.integers(1, 400), st.integers(0, 9))
def test_a_draw_has_what_is_asked_for_and_hardly_more(sizes: list[int], topics: int, tokens: int, seed: int) -> None:
    documents = text(sizes)
    available = sum(10 * sizes[topic] for topic in documents.order(seed)[:topics])
    drawn = sum(given_by_topic(documents, documents.drawn(topics, tokens, seed)).values())
    assert min(tokens, available) <= drawn < tokens + 10


def test_an_arm_reads_a_file_per_seed_of_what_is_drawn_per_seed() -> None:
    arms = {"a": {"d1": 1.0}, "few": {"d1_topics_3": 2.0}, "without": {"d1_without_language": 1.0, "d3": 1.0}}
    assert topics_of(arms) == {"few": 3}
    assert of_seed(arms["few"], 4) == {"d1_topics_3-seed4": 2.0} and of_seed(arms["without"], 4) == arms["without"]


def test_a_run_reads_the_file_of_its_seed(tmp_path: Path) -> None:
    path = toys.toy_tokens(tmp_path / "d1_topics_3-seed4.ds", seed=4)
    inputs = Inputs(tmp_path, {}, toys.toy_tokenizer(tmp_path / "tokenizer"))
    tokens = dataclasses.replace(Tokens(), sequence_length=toys.SEQUENCE_LENGTH)
    run = run_of_arm({"d1_topics_3": 1.0}, 4, toys.SHAPE, tokens, toys.OPTIMISATION, inputs)
    assert run.mixture.files == {path.stem: str(path)} and run.mixture.seed == 4
    assert [stage.weights for stage in run.mixture.stages] == [{path.stem: 1.0}]


def test_tokens_of_a_document_are_counted_with_its_begin_and_end() -> None:
    words = SimpleNamespace(encode=str.split)
    rows = [{"id": "a", "text": "one two three"}, {"id": "b", "text": "four"}, {"id": "c", "text": "five six"}]
    documents = TopicText.of(rows, np.array([1, 0, 1]), words)
    assert documents.sizes.to_dict() == {1: 9, 0: 3} and list(documents.sizes.index) == [1, 0]

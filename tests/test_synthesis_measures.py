"""What is measured on D2 and D3: overlap with D1, diversity of parts and mixtures."""

import dataclasses

import numpy as np
import pytest

from hare.corpus.diversity import ReferenceModel
from hare.data.shards import write_documents
from hare.synthesis import diversity
from hare.synthesis.checks.overlap import share_in_corpus

_TEXTS = [
    "The harbour was closed when a ship from the east brought the plague into the old city by the sea.",
    "A judge heard the appeal of the merchant and sent the contract back to the lower court for another look.",
    "Flour and butter are rubbed together until the mixture looks like sand, and then cold water is stirred in.",
    "The melody of the second movement returns in the cello while the violins hold one long and quiet chord.",
]


def document(number: int, text: str, category: str = "wikipedia") -> dict:
    return {"id": f"s/{number}", "text": text, "metadata": {"source": "s", "category": category}}


def folder_of(tmp_path, texts):
    write_documents(tmp_path / "d1", [document(i, text) for i, text in enumerate(texts)])
    return tmp_path / "d1"


def part(texts, topics, bits=None) -> diversity.Part:
    vectors = np.eye(8)[np.array(topics)]
    return diversity.Part(tuple(texts), np.array(topics), vectors, np.array(bits or [9.0] * len(texts)))


def test_a_copy_of_any_document_is_found_and_new_text_is_not(tmp_path):
    folder = folder_of(tmp_path, [*_TEXTS[:2], "word " * 4000 + _TEXTS[2]])
    half = " ".join(_TEXTS[0].split()[:10]) + " but nobody in the town had ever thought of leaving it behind."
    shares = share_in_corpus([_TEXTS[0].upper(), _TEXTS[2], _TEXTS[3], half, "", "the old city"], folder)
    assert shares[:3].tolist() == [1, 1, 0] and 0.2 < shares[3] < 0.5 and shares[4] == 0


def test_dispersion_and_spread_of_known_texts():
    assert diversity.dispersion(np.eye(4)) == pytest.approx(1)
    assert diversity.dispersion(np.ones((5, 1))) == pytest.approx(0)
    assert diversity.dispersion(np.array([[1.0, 0], [-1.0, 0]])) == pytest.approx(2)
    assert diversity.quality_spread(np.arange(101.0)) == pytest.approx(80)
    assert diversity.topic_coverage(np.array([0, 0, 3]), 4) == 0.5


def test_at_equal_numbers_a_subset_of_a_part_is_as_diverse_as_the_whole():
    topics = np.tile(np.arange(8), 50)
    few, many = part(["a b c d e"] * 40, topics[:40]), part(["a b c d e"] * 400, topics)
    frame = diversity.measure({"few": few, "many": many}, 8, seed=0).set_index(["part", "measure"])["value"]
    assert frame["few", "topic_entropy_at_equal_texts_nats"] == pytest.approx(np.log(8))
    assert frame["many", "topic_entropy_at_equal_texts_nats"] == pytest.approx(np.log(8), abs=0.15)
    assert frame["many", "topic_coverage_at_equal_texts"] > 0.95


def test_a_mixture_keeps_the_weights_by_words_and_repeats_no_text():
    one = part([f"{i} b c d" for i in range(100)], [0] * 100)
    two = part([f"{i} y" for i in range(300)], [1] * 300)
    mixed = diversity.mixture({"d1": one, "d2": two}, {"d1": 50.0, "d2": 25.0})
    words_of_one = 4 * sum(topic == 0 for topic in mixed.topics)
    words_of_two = 2 * sum(topic == 1 for topic in mixed.topics)
    assert words_of_one / words_of_two == pytest.approx(2, rel=0.05) and len(set(mixed.texts)) == len(mixed)
    assert all((text.endswith("y")) == (topic == 1) for text, topic in zip(mixed.texts, mixed.topics, strict=True))


def test_every_part_and_mixture_gets_every_measure_with_an_interval_around_it():
    parts = {name: part(_TEXTS * 3, [0, 1, 2, 3] * 3, list(np.linspace(6, 12, 12))) for name in ("d1", "d2", "d3")}
    frame = diversity.measure(diversity.with_mixtures(parts), 8, seed=0)
    assert frame["part"].unique().tolist() == ["d1", "d2", "d3", "d1+d2", "d1+d2+d3"]
    assert (frame.groupby("part").size() == 10).all()
    assert (frame["low"] <= frame["value"] + 1e-9).all() and (frame["value"] <= frame["high"] + 1e-9).all()
    assert "diversity.d1.topic_entropy_nats" in diversity.metrics(frame)


def test_the_paper_s_weights_are_those_of_the_published_table():
    weights = diversity.published_weights()
    assert weights == pytest.approx({"d1": 46.5, "d2": 13.63, "d3": 39.87})


def test_the_reference_model_never_learns_from_what_it_judges(tmp_path):
    folder = folder_of(tmp_path, _TEXTS)
    avoiding = diversity.reference_model(folder, 0, frozenset({"s/0"}))
    assert avoiding.bits_per_word(_TEXTS[0]) > avoiding.bits_per_word(_TEXTS[1])
    assert isinstance(diversity.reference_model(folder, 0, frozenset(f"s/{i}" for i in range(4))), ReferenceModel)


def test_the_fields_of_a_part_are_aligned():
    cut = part(_TEXTS, [0, 1, 2, 3]).take(2)
    assert all(len(getattr(cut, field.name)) == 2 for field in dataclasses.fields(cut))

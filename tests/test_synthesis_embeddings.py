"""Topics by word counts and by a neural embedding, and the measures that compare them."""

import numpy as np

from hare.bench import corpus as corpus_bench
from hare.bench import topics as topics_bench
from hare.bench.topics import agreement, labelled_passages
from hare.synthesis.embeddings import LONGEST, embed


def test_clusters_that_are_the_categories_agree_with_them_and_shuffled_ones_do_not():
    draw = np.random.default_rng(0)
    vectors = np.repeat(np.eye(4, 8), 30, axis=0) + draw.normal(scale=0.01, size=(120, 8))
    categories = np.repeat(["a", "b", "c", "d"], 30)
    right = agreement(vectors, categories, 4, 0)
    assert right["nmi"] > 0.999 and right["purity"] == 1.0
    wrong = agreement(vectors, draw.permutation(categories), 4, 0)
    assert wrong["nmi"] < 0.2 and wrong["purity"] < 0.5


def test_minilm_puts_a_paraphrase_next_to_its_original_whatever_stands_beside_it():
    texts = [
        "The ship left the harbour before the storm.", "Before the tempest the vessel sailed out of port.",
        "A judge threw out the appeal of the merchant, for want of evidence, after a hearing of nearly three days.",
    ]
    vectors = embed(texts)
    assert vectors.shape == (3, 384) and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.6 > 0.3 > vectors[0] @ vectors[2]
    assert np.allclose(embed(texts[:1])[0], vectors[0], atol=1e-5)


def test_a_vector_depends_on_neither_its_neighbours_nor_the_cores(monkeypatch):
    texts = [f"{word} " * count for count in (1, 9, 40) for word in ("tide", "verdict", "galaxy", "recipe")] * 4
    both = embed(texts)
    monkeypatch.setattr("hare.synthesis.embeddings.cores", lambda: 1)
    assert np.array_equal(embed(texts), both)
    assert np.allclose(embed(texts[3:5]), both[3:5], atol=1e-5)
    assert embed([]).shape == (0, 384)


def test_of_a_long_text_only_the_beginning_counts():
    beginning = "The court found for the merchant. " * (LONGEST // 5)
    assert np.allclose(*embed([beginning, beginning + "A galaxy far away. " * 50]), atol=1e-5)


def test_labelled_passages_carry_the_topics_that_people_gave_them():
    passages, labels = labelled_passages("reuters-52", 60, seed=0)
    assert len(passages) == len(labels) == 60 and {"earn", "acq"} < set(labels)
    assert all(len(passage.split()) >= 25 for passage in passages)
    assert labelled_passages("reuters-52", 60, seed=1)[0] != passages


def test_the_comparison_distinguishes_embeddings(monkeypatch):
    monkeypatch.setattr(topics_bench, "_PASSAGES", 60)
    monkeypatch.setattr(topics_bench, "_LABELLED", ("newsgroups",))
    compared = topics_bench.compare(labelled_passages("newsgroups", 200, seed=1)[0], seed=0)
    assert compared["topics.newsgroups.minilm.nmi"] > compared["topics.newsgroups.lsa.nmi"]
    assert compared["topics.newsgroups.lsa.nmi.low"] <= compared["topics.newsgroups.lsa.nmi"]


def test_the_machine_s_own_gain_is_measured_in_processes_of_their_own(monkeypatch):
    monkeypatch.setattr(corpus_bench, "_LOOP", "import time; s = time.perf_counter()\n")
    assert 0 < corpus_bench._loop_seconds(2) < 1

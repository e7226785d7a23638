"""Are topics of word counts as good as topics of a neural embedding? Both cluster texts whose topics people have named.

The texts are newsgroup posts, filed by the group they were sent to, and newswire, filed by its subject: passages of the
corpus's own sources whose labels the corpus leaves behind. Latent semantic analysis (TF-IDF, truncated SVD) is fitted
on D1 first, as it would be for the study. Agreement of clusters and labels is normalised mutual information, and
purity, the share of passages that bear the commonest label of their cluster.
"""

import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import normalized_mutual_info_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from threadpoolctl import threadpool_limits

from hare.corpus.sources.readers import orange_labels
from hare.corpus.sources.registry import SOURCES
from hare.data.archives import archive_of
from hare.synthesis.embeddings import embed
from hare.synthesis.passages import SHORTEST_WORDS, windows

_LABELLED = ("newsgroups", "reuters-52")
_PASSAGES = 1000  # of each
_MOST_TOPICS = 40  # as the study has at the most
_COMPONENTS = 64
_CLUSTERINGS = 5  # k-means from other beginnings


def compare(d1: Sequence[str], seed: int) -> dict[str, float]:
    """``topics.<source>.<lsa|minilm>.<nmi|purity>``: means over some clusterings, and the extremes.

    ``d1``: passages that latent semantic analysis is fitted on. Seconds, ``topics.<source>.<lsa|minilm>.seconds``, are
    those of turning the labelled passages into vectors, fitting and loading not counted.
    """
    embeddings: dict[str, Callable[[Sequence[str]], np.ndarray]] = {"lsa": latent_semantics(d1, seed), "minilm": embed}
    embed(d1[:1])
    metrics: dict[str, float] = {}
    for source in _LABELLED:
        texts, labels = labelled_passages(source, _PASSAGES, seed)
        topics = min(_MOST_TOPICS, len(np.unique(labels)))
        for name, embedded in embeddings.items():
            started = time.perf_counter()
            vectors = embedded(texts)
            metrics[f"topics.{source}.{name}.seconds"] = time.perf_counter() - started
            with threadpool_limits(1):
                rows = [agreement(vectors, labels, topics, seed + again) for again in range(_CLUSTERINGS)]
            for measure in rows[0]:
                values, key = [row[measure] for row in rows], f"topics.{source}.{name}.{measure}"
                metrics |= {key: float(np.mean(values)), f"{key}.low": min(values), f"{key}.high": max(values)}
    return metrics


def latent_semantics(texts: Sequence[str], seed: int) -> Callable[[Sequence[str]], np.ndarray]:
    """What turns texts into unit vectors, float64[texts, 64], by the words that go together in ``texts``."""
    space: Any = make_pipeline(
        TfidfVectorizer(
            max_features=20_000, min_df=2, max_df=0.3, sublinear_tf=True, stop_words="english",
            token_pattern=r"(?u)\b[^\W\d_]{3,}\b",
        ),
        TruncatedSVD(_COMPONENTS, random_state=seed), Normalizer(copy=False),
    )
    return partial(type(space).transform, space.fit(texts))


def labelled_passages(source: str, count: int, seed: int) -> tuple[list[str], np.ndarray]:
    """The first passages of ``count`` randomly drawn texts of a source, and the label of each, str[passages]."""
    entry = next(entry for entry in SOURCES if entry.name == source)
    rows = list(orange_labels(archive_of(entry.package), entry.members))
    random.Random(seed).shuffle(rows)
    cut = ((next(windows(text, entry.category), ""), label) for label, text in rows)
    kept = [(passage, label) for passage, label in cut if len(passage.split()) >= SHORTEST_WORDS][:count]
    return [passage for passage, _ in kept], np.array([label for _, label in kept])


def agreement(vectors: np.ndarray, labels: np.ndarray, topics: int, seed: int) -> dict[str, float]:
    """How well ``topics`` clusters of ``vectors``, float[texts, width], agree with ``labels``, str[texts]."""
    assigned = KMeans(topics, n_init=2, random_state=seed).fit(vectors).labels_
    _, numbers = np.unique(labels, return_inverse=True)
    commonest = sum(int(np.bincount(numbers[assigned == topic]).max()) for topic in np.unique(assigned))
    return {"nmi": float(normalized_mutual_info_score(numbers, assigned)), "purity": commonest / len(numbers)}

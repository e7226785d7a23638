"""Topics: clusters of passages, each named by its characteristic terms.

Passages are embedded (`hare.synthesis.embeddings`) and clustered by k-means. The number of topics is given, since no
criterion prefers one: topics of running text have no sharp borders. They are named by the terms with the highest
TF-IDF. All linear algebra runs in one thread, so that the clusters do not depend on the number of cores.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.feature_extraction.text import TfidfVectorizer
from threadpoolctl import threadpool_limits

from hare.core.errors import HareError
from hare.synthesis.embeddings import embed

_FEATURES = 20_000
_LABEL_TERMS = 4


@dataclass(frozen=True)
class TopicModel:
    """Fitted topics. ``labels[t]`` is topic t's name; ``terms[t]`` its characteristic terms, best first."""

    clusters: KMeans
    labels: tuple[str, ...]
    terms: tuple[tuple[str, ...], ...]

    def nearest(self, vectors: np.ndarray) -> np.ndarray:
        """Nearest topic of each text, int[texts], by its embedding, float32[texts, width]."""
        with threadpool_limits(1):
            return self.clusters.predict(vectors)

    def assign(self, texts: Sequence[str]) -> np.ndarray:
        """Nearest topic of each text, int[texts]."""
        return self.nearest(embed(texts))


@dataclass(frozen=True)
class FittedTopics:
    """Topics of a set of passages: the model, and each passage's topic, int64[passages]."""

    model: TopicModel
    assigned: np.ndarray

    def summary(self) -> pd.DataFrame:
        """One row per topic: ``topic``, ``label``, ``passages``."""
        counts = np.bincount(self.assigned, minlength=len(self.model.labels))
        return pd.DataFrame({"topic": range(len(counts)), "label": self.model.labels, "passages": counts})


def fit_topics(texts: Sequence[str], count: int, seed: int) -> FittedTopics:
    """Cluster texts into ``count`` topics.

    Raises:
        HareError: there are too few texts to cluster.
    """
    if len(texts) < 2 * max(count, 2):
        raise HareError(
            f"{len(texts)} passages are too few for {count} topics.",
            "lower synthesis.topics, or raise corpus.max_mb_per_source so that D1 holds more text",
        )
    vectors = embed(texts)
    with threadpool_limits(1):
        clusters = KMeans(count, n_init=2, random_state=seed).fit(vectors)
    terms = _terms(texts, clusters.labels_, clusters.n_clusters)
    labels = tuple(", ".join(ranked[:_LABEL_TERMS]) for ranked in terms)
    return FittedTopics(TopicModel(clusters, labels, terms), clusters.labels_)


def _terms(texts: Sequence[str], topics: np.ndarray, count: int) -> tuple[tuple[str, ...], ...]:
    """Terms of each topic by how far their mean TF-IDF weight in it exceeds their mean weight overall."""
    vectorizer = TfidfVectorizer(
        max_features=_FEATURES, min_df=2, max_df=0.3, sublinear_tf=True, stop_words="english",
        token_pattern=r"(?u)\b[^\W\d_]{3,}\b",
    )
    weights = vectorizer.fit_transform(texts)
    names = vectorizer.get_feature_names_out()
    overall = np.asarray(weights.mean(axis=0)).ravel()
    ranked = []
    for topic in range(count):
        inside = np.asarray(weights[topics == topic].mean(axis=0)).ravel()
        best = np.argsort(overall - inside, kind="stable")[:30]
        ranked.append(tuple(str(names[i]) for i in best if inside[i] > 0))
    return tuple(ranked)

"""Topics: clusters of passages, each named by the terms that set it apart.

A neural embedding (`hare.synthesis.embeddings`) and k-means; the number of topics is the one of a few candidates whose
clusters have the best mean silhouette (Rousseeuw 1987); their names are the words that TF-IDF sets apart. All linear
algebra runs in one thread, so that the clusters do not depend on the number of cores.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import silhouette_score
from threadpoolctl import threadpool_limits

from hare.core.errors import HareError
from hare.synthesis.embeddings import embed

_FEATURES = 20_000
_SILHOUETTE_SAMPLE = 4000  # passages
_LABEL_TERMS = 4
_CANDIDATE_SHARES = (1 / 2, 2 / 3, 5 / 6, 1)  # fewer topics would be the categories again


@dataclass(frozen=True)
class TopicModel:
    """Fitted topics. ``labels[t]`` is topic t's name; ``terms[t]`` its characteristic terms, best first."""

    clusters: KMeans
    labels: tuple[str, ...]
    terms: tuple[tuple[str, ...], ...]

    def nearest(self, vectors: np.ndarray) -> np.ndarray:
        """Nearest topic of each text, int [texts], by its embedding, float32 [texts, width]."""
        with threadpool_limits(1):
            return self.clusters.predict(vectors)

    def assign(self, texts: Sequence[str]) -> np.ndarray:
        """Nearest topic of each text, int [texts]."""
        return self.nearest(embed(texts))


@dataclass(frozen=True)
class FittedTopics:
    """Topics of a set of passages: the model, each passage's topic, its vector, and the criterion's curve."""

    model: TopicModel
    assigned: np.ndarray  # int [passages]
    vectors: np.ndarray  # float32 [passages, width], unit length
    curve: pd.DataFrame  # topics, silhouette, chosen

    def summary(self) -> pd.DataFrame:
        """One row a topic: ``topic``, ``label``, ``passages``."""
        counts = np.bincount(self.assigned, minlength=len(self.model.labels))
        return pd.DataFrame({"topic": range(len(counts)), "label": self.model.labels, "passages": counts})

    def map(self, seed: int, points: int) -> pd.DataFrame:
        """Positions of a sample of passages in two dimensions by t-SNE: columns ``x``, ``y``, ``topic``, ``label``."""
        from sklearn.manifold import TSNE

        chosen = np.sort(np.random.default_rng(seed).permutation(len(self.vectors))[:points])
        perplexity = max(2.0, min(30.0, (len(chosen) - 1) / 3))
        with threadpool_limits(1):
            layout = TSNE(2, perplexity=perplexity, init="pca", max_iter=500, random_state=seed)
            places = layout.fit_transform(self.vectors[chosen])
        topics = self.assigned[chosen]
        labels = [self.model.labels[topic] for topic in topics]
        return pd.DataFrame({"x": places[:, 0], "y": places[:, 1], "topic": topics, "label": labels})


def fit_topics(texts: Sequence[str], most_topics: int, seed: int) -> FittedTopics:
    """Cluster texts into at most ``most_topics`` topics.

    Raises:
        HareError: there are too few texts to cluster.
    """
    if len(texts) < 2 * max(most_topics, 2):
        raise HareError(
            f"{len(texts)} passages are too few for up to {most_topics} topics.",
            "lower synthesis.topics, or raise corpus.max_mb_per_source so that D1 holds more text",
        )
    vectors = embed(texts)
    with threadpool_limits(1):
        clusters, curve = _best_clusters(vectors, most_topics, seed)
    terms = _terms(texts, clusters.labels_, clusters.n_clusters)
    labels = tuple(", ".join(ranked[:_LABEL_TERMS]) for ranked in terms)
    return FittedTopics(TopicModel(clusters, labels, terms), clusters.labels_, vectors, curve)


def _best_clusters(vectors: np.ndarray, most_topics: int, seed: int) -> tuple[KMeans, pd.DataFrame]:
    tried = sorted({max(2, round(most_topics * share)) for share in _CANDIDATE_SHARES})
    fitted = {k: KMeans(k, n_init=2, random_state=seed).fit(vectors) for k in tried}
    scores = {
        k: silhouette_score(
            vectors, clusters.labels_, sample_size=min(_SILHOUETTE_SAMPLE, len(vectors)), random_state=seed
        )
        for k, clusters in fitted.items()
    }
    best = max(tried, key=lambda k: (scores[k], -k))
    curve = pd.DataFrame(
        {"topics": tried, "silhouette": [scores[k] for k in tried], "chosen": [k == best for k in tried]}
    )
    return fitted[best], curve


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

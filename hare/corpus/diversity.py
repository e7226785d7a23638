"""Semantic diversity and consistency of quality, measured on the same sample before and after cleaning.

The paper asserts that its corpus is diverse and consistent and measures neither. Cheap measures, the same on both
sides: documents embedded by latent semantic analysis (TF-IDF vectors reduced by a truncated SVD; Deerwester et al.
1990), their spread, and topics as clusters of them (entropy of their sizes); distinct n-grams in an equal number of
words; and bits per word, the logarithm of perplexity, under a reference model of well-edited English.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from hare.corpus.pipeline import Cleaned
from hare.corpus.sample import is_sampled
from hare.data.words import words_of

_TOPICS = 40
_DIMENSIONS = 48
_VOCABULARY = 12_000
_NGRAMS = (1, 2, 3)
_BITS = np.arange(6.0, 20.5, 0.5)  # a word
_LONGEST_NAME = 6  # words


@dataclass(frozen=True)
class Diversity:
    """``topic_entropy`` in nats, at most log of the number of topics; ``distinct`` is a share by n.

    ``spread`` is the mean cosine distance between two documents' embeddings, 0 when all say the same.
    """

    topic_entropy: float
    spread: float
    distinct: dict[int, float]


def diversity(samples: dict[str, pd.DataFrame], seed: int) -> tuple[dict[str, Diversity], pd.DataFrame]:
    """Diversity of each named sample (columns id, source, category, text) and the topics' shares in each.

    The topics are those of all samples together, so that the shares can be compared.
    """
    joined = pd.concat([frame.assign(sample=name) for name, frame in samples.items()], ignore_index=True)
    joined["topic"], names, embedded = topics(joined["text"].tolist(), seed)
    words = min(sum(len(words_of(text)) for text in frame["text"]) for frame in samples.values())
    found, shares = {}, []
    for name, frame in samples.items():
        own = joined[joined["sample"] == name]
        share = own["topic"].value_counts(normalize=True).sort_index()
        entropy = float(-(share * np.log(share)).sum())
        spread = 1 - float(np.square(embedded[own.index].mean(axis=0)).sum())
        found[name] = Diversity(entropy, spread, distinct_ngrams(frame["text"].tolist(), words, seed))
        shares += [{"sample": name, "topic": names[topic], "share": value} for topic, value in share.items()]
    return found, pd.DataFrame(shares)


def topics(texts: list[str], seed: int) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Cluster number of each text; for each cluster a name of its own, its most characteristic words; embeddings.

    The embeddings have unit length and the shape (texts, dimensions).
    """
    vectorizer = TfidfVectorizer(
        max_features=_VOCABULARY, sublinear_tf=True, stop_words="english", min_df=2, dtype=np.float32
    )
    vectors = vectorizer.fit_transform(texts)
    dimensions = min(_DIMENSIONS, vectors.shape[1] - 1)
    svd = TruncatedSVD(dimensions, random_state=seed)
    reduced = normalize(svd.fit_transform(vectors))
    clusters = KMeans(min(_TOPICS, len(texts)), n_init=1, random_state=seed, max_iter=50).fit(reduced)
    words = np.array(vectorizer.get_feature_names_out())
    weights = svd.inverse_transform(clusters.cluster_centers_)
    names = distinct_names([words[np.argsort(-row)[:_LONGEST_NAME]].tolist() for row in weights])
    return clusters.labels_, names, reduced


def distinct_names(ranked: list[list[str]]) -> list[str]:
    """Three words a cluster, the heaviest first; where two clusters share all three, as many more as tell them apart.

    Clusters that agree in every word given are told apart by a number.
    """
    names: list[str] = []
    for words in ranked:
        candidates = [" ".join(words[:count]) for count in range(3, len(words) + 1)]
        fresh = (name for name in candidates if name not in names)
        names.append(next(fresh, None) or f"{candidates[-1]} {len(names)}")
    return names


def distinct_ngrams(texts: list[str], words: int, seed: int) -> dict[int, float]:
    """Share of distinct runs of 1, 2 and 3 words among all runs, over the same number of ``words`` in random order."""
    order = np.random.default_rng(seed).permutation(len(texts))
    hashes = np.concatenate([words_of(texts[index]).hashes for index in order])[:words]
    shares = {}
    for n in _NGRAMS:
        runs = hashes[: len(hashes) - n + 1].copy()
        for offset in range(1, n):
            runs = runs * np.uint64(0x9E3779B97F4A7C15) + hashes[offset : len(hashes) - n + 1 + offset]
        shares[n] = len(np.unique(runs)) / len(runs)
    return shares


class ReferenceModel:
    """Bits per word under an interpolated bigram model: 0.6 bigram, 0.3 unigram, 0.1 uniform over unseen words."""

    def __init__(self, texts: list[str]):
        streams = [words_of(text).hashes for text in texts]
        self.words, self.counts = np.unique(np.concatenate(streams), return_counts=True)
        pairs = [_pairs(stream) for stream in streams if len(stream) > 1]
        self.pairs, self.pair_counts = np.unique(np.concatenate(pairs), return_counts=True)
        self.total = int(self.counts.sum())

    def bits_per_word(self, text: str) -> float:
        """Mean bits a word of ``text``, its first word left out; NaN when it has only one."""
        hashes = words_of(text).hashes
        if len(hashes) < 2:
            return float("nan")
        history = np.maximum(_look_up(self.words, self.counts, hashes[:-1]), 1)
        bigram = _look_up(self.pairs, self.pair_counts, _pairs(hashes)) / history
        unigram = _look_up(self.words, self.counts, hashes[1:]) / self.total
        return float(-np.log2(0.6 * bigram + 0.3 * unigram + 0.1 / (2 * len(self.words))).mean())


def _pairs(hashes: np.ndarray) -> np.ndarray:
    return hashes[:-1] * np.uint64(0x9E3779B97F4A7C15) ^ hashes[1:]


def _look_up(keys: np.ndarray, counts: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Counts of the wanted keys, 0 for unknown ones; ``keys`` is sorted."""
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, counts[places], 0)


def consistency(samples: dict[str, pd.DataFrame], model: ReferenceModel) -> pd.DataFrame:
    """Quantiles of bits per word, by sample and source; a narrow range means even quality."""
    rows = []
    for name, frame in samples.items():
        scored = frame.assign(bits=[model.bits_per_word(text) for text in frame["text"]]).dropna(subset="bits")
        for (category, source), own in scored.groupby(["category", "source"], sort=True):
            low, median, high = np.quantile(own["bits"], [0.1, 0.5, 0.9])
            rows.append({"sample": name, "category": category, "source": source, "documents": len(own), "p10": low,
                         "median": median, "p90": high})
    return pd.DataFrame(rows)


def quality(samples: dict[str, pd.DataFrame], model: ReferenceModel) -> pd.DataFrame:
    """Distribution of bits per word over all documents: columns sample, bits (lower edge of the bin), share."""
    rows = []
    for name, frame in samples.items():
        bits = np.array([model.bits_per_word(text) for text in frame["text"]])
        counts, edges = np.histogram(np.clip(bits[~np.isnan(bits)], _BITS[0], _BITS[-1]), _BITS)
        rows += [{"sample": name, "bits": edge, "share": count / counts.sum()}
                 for edge, count in zip(edges[:-1], counts, strict=True)]
    return pd.DataFrame(rows)


def raw_sample(cleaned: Cleaned) -> pd.DataFrame:
    """The sampled documents as they came in."""
    return _sample(cleaned.folder / "raw")


def kept_sample(cleaned: Cleaned) -> pd.DataFrame:
    """Those of the sampled documents that stayed, as they were left."""
    return _sample(cleaned.folder / "kept")


def _sample(folder: Path) -> pd.DataFrame:
    rows = [orjson.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_bytes().splitlines()]
    return pd.DataFrame(rows, columns=["id", "source", "category", "text"])


def reference_texts(cleaned: Cleaned) -> list[str]:
    """Kept Wikipedia summaries that are not in the sample: what the reference model learns edited English from."""
    rank = [source.name for source in cleaned.sources].index("wikipedia-summaries")
    rows = map(orjson.loads, (cleaned.folder / "d1" / f"{rank:05d}.jsonl").read_bytes().splitlines())
    return [row["text"] for row in rows if not is_sampled(row["id"])]


def diversity_metrics(measured: dict[str, Diversity], bits: pd.DataFrame) -> dict[str, float]:
    """``diversity.<sample>.…`` and ``consistency.<sample>.…``; the latter over sources that both samples hold."""
    found = {}
    in_both = bits.groupby("source")["sample"].transform("nunique") == len(measured)
    for name, own in measured.items():
        found[f"diversity.{name}.topic_entropy_nats"] = own.topic_entropy
        found[f"diversity.{name}.embedding_spread"] = own.spread
        found |= {f"diversity.{name}.distinct_{n}": share for n, share in own.distinct.items()}
        of_sample = bits[(bits["sample"] == name) & in_both]
        found[f"consistency.{name}.median_bits_per_word"] = float(of_sample["median"].median())
        found[f"consistency.{name}.mean_spread_bits"] = float((of_sample["p90"] - of_sample["p10"]).mean())
    return found

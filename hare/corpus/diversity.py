"""Is D1 more diverse, and more even, after cleaning? The same sample of documents before and after, with intervals.

Topics and distances come from latent semantic analysis (TF-IDF vectors reduced by a truncated SVD; Deerwester et al.
1990), which is fast and sees words, not meaning. Intervals are 95 %, from a bootstrap over documents that draws the
same ones before and after, so that the difference has an interval of its own. The decoy, a source that is part of
another by construction, is left out on both sides.
"""

from collections.abc import Callable
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
from hare.corpus.sources.registry import DECOY
from hare.data.diversity import ReferenceModel, dispersion, quality_spread, topic_entropy
from hare.data.document_words import words_of

_TOPICS = 40
_DIMENSIONS = 48
_VOCABULARY = 12_000
_RESAMPLES = 200
_PAIRS = 40_000  # among which distinct pairs of words are counted
_BITS = np.arange(6.0, 20.5, 0.5)  # per word
_FEWEST = 20  # documents of a source on both sides, for its own spread to mean anything


@dataclass(frozen=True)
class Sampled:
    """The documents of one side: ``frame`` (id, source, category, text), and what is measured on each.

    ``topics``: int64[documents]; ``vectors``: float32[documents, dimensions], unit length; ``pairs``: for each document
    the hashes of its pairs of words, uint64[words - 1]; ``bits``: float64[documents], per word, NaN for one word.
    """

    frame: pd.DataFrame
    topics: np.ndarray
    vectors: np.ndarray
    pairs: list[np.ndarray]
    bits: np.ndarray


Measure = Callable[[Sampled, np.ndarray], float]  # of the documents at some places, int64[places]


def _distinct_pairs(side: Sampled, places: np.ndarray) -> float:
    """Share of distinct pairs among the first ``_PAIRS`` of the documents at ``places``."""
    taken, count = [], 0
    for place in places:
        taken.append(side.pairs[place])
        count += len(taken[-1])
        if count >= _PAIRS:
            break
    joined = np.concatenate(taken)[:_PAIRS]
    return len(np.unique(joined)) / len(joined)


def _known(side: Sampled, places: np.ndarray) -> np.ndarray:
    bits = side.bits[places]
    return bits[np.isfinite(bits)]


def _spread_in_sources(side: Sampled, places: np.ndarray) -> float:
    """Mean over the sources of their documents' spread of bits per word."""
    bits = pd.Series(side.bits[places]).groupby(side.frame["source"].to_numpy()[places])
    spreads = [quality_spread(source.dropna().to_numpy()) for _, source in bits if len(source) >= _FEWEST]
    return float(np.mean(spreads)) if spreads else float("nan")


MEASURES: dict[str, Measure] = {
    "topic_entropy_nats": lambda side, places: topic_entropy(side.topics[places], _TOPICS),
    "dispersion": lambda side, places: dispersion(side.vectors[places]),
    "distinct_2": _distinct_pairs,
    "median_bits_per_word": lambda side, places: float(np.median(_known(side, places))),
    "spread_bits_per_word": lambda side, places: quality_spread(_known(side, places)),
    "spread_in_sources_bits_per_word": _spread_in_sources,
}


def sides(cleaned: Cleaned, seed: int) -> dict[str, Sampled]:
    """The sampled documents as they came in ("raw") and, of these, those that stayed as they were left ("kept")."""
    frames = {name: _without_decoy(_sample(cleaned.folder / name)) for name in ("raw", "kept")}
    model = ReferenceModel(_reference_texts(cleaned))
    labels, vectors = _topics([text for frame in frames.values() for text in frame["text"]], seed)
    sampled, start = {}, 0
    for name, frame in frames.items():
        rows = slice(start, start + len(frame))
        bits = np.array([model.bits_per_word(text) for text in frame["text"]])
        pairs = [words_of(text).ngrams(2) for text in frame["text"]]
        sampled[name] = Sampled(frame, labels[rows], vectors[rows], pairs, bits)
        start += len(frame)
    return sampled


def before_and_after(both: dict[str, Sampled], seed: int) -> pd.DataFrame:
    """One row per measure: raw, kept and kept - raw, each with its interval, and the numbers of documents.

    A bootstrap draws documents twice and so biases the share of distinct pairs: it gets the mean over draws of half the
    documents without replacement instead, whose spread is about that of a bootstrap.
    """
    raw, kept = both["raw"], both["kept"]
    place_of = {name: place for place, name in enumerate(kept.frame["id"])}
    after = np.array([place_of.get(name, -1) for name in raw.frame["id"]])
    draw = np.random.default_rng(seed)
    rows = []
    for name, measure in MEASURES.items():
        values = np.array([_resampled(measure, raw, kept, after, draw, halves=name == "distinct_2")
                           for _ in range(_RESAMPLES)])
        row = {"measure": name}
        whole = [measure(side, np.arange(len(side.frame))) for side in (raw, kept)]
        point = values.mean(axis=0) if name == "distinct_2" else whole
        for column, value, drawn in (("raw", point[0], values[:, 0]), ("kept", point[1], values[:, 1]),
                                     ("difference", point[1] - point[0], values[:, 1] - values[:, 0])):
            low, high = np.nanpercentile(drawn, [2.5, 97.5])
            row |= {column: value, f"{column}_low": min(low, value), f"{column}_high": max(high, value)}
        rows.append(row | {"raw_documents": len(raw.frame), "kept_documents": len(kept.frame)})
    return pd.DataFrame(rows)


def _resampled(measure: Measure, raw: Sampled, kept: Sampled, after: np.ndarray, draw: np.random.Generator,
               halves: bool) -> tuple[float, float]:
    """A measure of drawn documents before, and of those of them that stayed after; ``after``: their places, or -1."""
    count = len(after)
    drawn = draw.permutation(count)[: count // 2] if halves else draw.integers(count, size=count)
    stayed = after[drawn]
    return measure(raw, drawn), measure(kept, stayed[stayed >= 0])


def _topics(texts: list[str], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Cluster number of each text, int64[texts], and embeddings of unit length, float32[texts, dimensions]."""
    vectorizer = TfidfVectorizer(
        max_features=_VOCABULARY, sublinear_tf=True, stop_words="english", min_df=2, dtype=np.float32
    )
    counted = vectorizer.fit_transform(texts)
    svd = TruncatedSVD(min(_DIMENSIONS, counted.shape[1] - 1), random_state=seed)
    vectors = normalize(svd.fit_transform(counted))
    clusters = KMeans(min(_TOPICS, len(texts)), n_init=1, random_state=seed, max_iter=50).fit(vectors)
    return clusters.labels_, vectors


def quality(both: dict[str, Sampled]) -> pd.DataFrame:
    """Distribution of bits per word over all documents: columns sample, bits (lower edge of the bin), share."""
    rows = []
    for name, side in both.items():
        bits = side.bits[np.isfinite(side.bits)]
        counts, edges = np.histogram(np.clip(bits, _BITS[0], _BITS[-1]), _BITS)
        rows += [{"sample": name, "bits": edge, "share": count / counts.sum()}
                 for edge, count in zip(edges[:-1], counts, strict=True)]
    return pd.DataFrame(rows)


def _sample(folder: Path) -> pd.DataFrame:
    rows = [orjson.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_bytes().splitlines()]
    return pd.DataFrame(rows, columns=["id", "source", "category", "text"])


def _without_decoy(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["source"] != DECOY].reset_index(drop=True)


def _reference_texts(cleaned: Cleaned) -> list[str]:
    """Kept Wikipedia summaries that are not in the sample: what the reference model learns edited English from."""
    number = [source.name for source in cleaned.sources].index("wikipedia-summaries")
    rows = map(orjson.loads, (cleaned.folder / "d1" / f"{number:05d}.jsonl").read_bytes().splitlines())
    return [row["text"] for row in rows if not is_sampled(row["id"])]


def diversity_metrics(statement: pd.DataFrame) -> dict[str, float]:
    """``diversity.<measure>.raw``, ``.kept`` and ``.difference``, each with ``.low`` and ``.high``."""
    metrics = {}
    for row in statement.to_dict("records"):
        for column in ("raw", "kept", "difference"):
            name = f"diversity.{row['measure']}.{column}"
            metrics |= {name: float(row[column]), f"{name}.low": float(row[f"{column}_low"]),
                        f"{name}.high": float(row[f"{column}_high"])}
    return metrics

"""Would a neural embedding find more paraphrases than the vectors of words do? Both, on the same planted cases.

All benchmark items are too many to embed one by one, so the vectors of words propose: of every text the window and the
item that lie nearest to each other, as long as they lie nearer than in most clean documents. The sentence encoder of
`hare.synthesis.embeddings` then decides by its own cosine of the two. Either threshold is set on the same clean
documents, for the same share of false alarms, and tried on other text.
"""

from collections.abc import Sequence

import numpy as np

from hare.data.words import word_hashes, word_spans
from hare.decontamination.index import BenchmarkIndex
from hare.decontamination.neighbours import WINDOW, Neighbours
from hare.decontamination.planted import CLEAN, CLEAN_DOCUMENTS, Case, item_text
from hare.synthesis.embeddings import embed

_FALSE_ALARMS = 0.01  # share of the clean documents that set the thresholds
_PROPOSED = 0.2  # share of the clean documents whose nearest window is embedded


def compare(cases: dict[str, list[Case]], clean: Sequence[str], index: BenchmarkIndex) -> dict[str, float]:
    """``neighbours.<words|neural>.<kind>``: share of the cases of each planted kind that lie above the threshold.

    For clean passages and documents (``.false_positive_rate``) low is good. ``clean``: those that set the thresholds.
    """
    neighbours = Neighbours.of(index)
    proposed = float(np.quantile(_nearest(clean, neighbours)[1], 1 - _PROPOSED))
    least = {
        name: float(np.quantile(cosines, 1 - _FALSE_ALARMS, method="higher"))
        for name, cosines in _cosines(clean, neighbours, index, proposed).items()
    }
    shares = {}
    for kind, planted in cases.items():
        case_of_text = np.repeat(np.arange(len(planted)), [len(case) for case in planted])
        for name, cosines in _cosines([text for case in planted for text in case], neighbours, index, proposed).items():
            share = len(np.unique(case_of_text[cosines > least[name]])) / len(planted)
            ending = ".false_positive_rate" if kind in (CLEAN, CLEAN_DOCUMENTS) else ""
            shares[f"neighbours.{name}.{kind}{ending}"] = share
    return shares


def _nearest(texts: Sequence[str], neighbours: Neighbours) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return neighbours.nearest(word_hashes(texts))


def _cosines(
    texts: Sequence[str], neighbours: Neighbours, index: BenchmarkIndex, proposed: float
) -> dict[str, np.ndarray]:
    """Both cosines of each text's nearest window and item, float[texts]; a text that is not proposed has neural 0."""
    items, by_words, firsts = _nearest(texts, neighbours)
    chosen = np.flatnonzero(by_words > proposed)
    known = index.lookup(items[chosen].tolist())
    windows = [_window(texts[place], int(firsts[place])) for place in chosen]
    vectors = embed([*windows, *(item_text(known[int(items[place])]) for place in chosen)])
    neural = np.zeros(len(texts))
    neural[chosen] = (vectors[: len(chosen)] * vectors[len(chosen) :]).sum(axis=1)
    return {"words": by_words, "neural": neural}


def _window(text: str, first: int) -> str:
    spans = word_spans(text)
    return text[spans[first][0] : spans[min(first + WINDOW, len(spans)) - 1][1]]

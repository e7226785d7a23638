"""HARE-Chat: instruction data from openly licensed sets, packed whole, with the loss on the assistant's words alone."""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from hare.core.sections import Finetuning
from hare.core.statistics import wilson_interval
from hare.data.shards import read_documents
from hare.evaluation.harness import Evaluated
from hare.finetuning.dialogue import ChatModel, Dialogue, Example, load_for_chat, load_saved, save_for_chat
from hare.finetuning.runs import Task, side_by_side
from hare.finetuning.sft import Schedule, answer_losses, batches_of, fine_tune
from hare.finetuning.terminal import stream
from hare.synthesis.tasks.open_sets import OPEN_SETS, OpenSet

_LONGEST_ANSWER = 400  # characters
_KEPT_ASIDE = 0.1  # share of the conversations of a task that is trained on
_MOST_OF_A_TASK = 150  # conversations
_RESAMPLES = 2000
_BATCH = 32
NEW, KNOWN = "new tasks", "known tasks, new conversations"


@dataclass(frozen=True)
class Conversation:
    """A question with its answer; ``task`` is what the sets ask for in the same way, ``source`` the sample's id."""

    set: str
    task: str
    source: str
    question: str
    answer: str

    def example(self, dialogue: Dialogue) -> Example:
        """As a training sequence: the answer is learnt."""
        return dialogue.answered([{"role": "user", "content": self.question}], dialogue.text_ids(self.answer))


@dataclass(frozen=True)
class Fold:
    """What one fine-tune learns from, and what it keeps aside: conversations of ``known`` tasks, and ``new`` tasks."""

    train: list[Conversation]
    known: list[Conversation]
    new: list[Conversation]


def conversations() -> list[Conversation]:
    """Every conversation of the open sets, none twice: an instruction with its input, and the answer."""
    listed = (conversation for chosen in OPEN_SETS for conversation in _of(chosen))
    return list({(one.question, one.answer): one for one in listed}.values())


def _of(chosen: OpenSet) -> Iterator[Conversation]:
    for member in chosen.members:
        name = member.rsplit("/", 2)[-2]
        for number, (instruction, given, output) in enumerate(chosen.read(member)):
            if 0 < len(output.strip()) <= _LONGEST_ANSWER:
                yield Conversation(
                    chosen.name, f"{name}: {' '.join(instruction.split())[:60]}", f"{chosen.name}/{name}/{number}",
                    f"{instruction.strip()}\n{given.strip()}", output.strip(),
                )


def folds(every: Sequence[Conversation], d3: Path, count: int) -> list[Fold]:
    """``count`` ways to keep conversations aside, each with another share of the tasks kept aside whole, of which up to
    `_MOST_OF_A_TASK` are asked. Nothing is asked that the pretrained model may have read in ``d3``, whose documents
    name the samples that they were made from."""
    documents = [document for document in read_documents(d3) if "seed_passage" in document["metadata"]]
    read = {document["metadata"]["seed_passage"] for document in documents}
    tasks = sorted({one.task for one in every}, key=lambda task: (_bucket(task), task))
    return [_fold(every, set(tasks[number::count]), read) for number in range(count)]


def _fold(every: Sequence[Conversation], aside: set[str], read: set[str]) -> Fold:
    rest = [one for one in every if one.task not in aside]
    return Fold(
        train=[one for one in rest if _bucket(one.source) >= _KEPT_ASIDE],
        known=[one for one in rest if _bucket(one.source) < _KEPT_ASIDE and one.source not in read],
        new=[one for task in sorted(aside) for one in _asked_of(task, every, read)],
    )


def _asked_of(task: str, every: Sequence[Conversation], read: set[str]) -> list[Conversation]:
    fresh = [one for one in every if one.task == task and one.source not in read]
    return sorted(fresh, key=lambda one: _bucket(one.source))[:_MOST_OF_A_TASK]


def _bucket(name: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:12], 16) / 16**12


def card_table(every: Sequence[Conversation], dialogue: Dialogue) -> pd.DataFrame:
    """One row per set: set, licence, tasks, conversations, answer_tokens, card."""
    rows = []
    for chosen in OPEN_SETS:
        part = [one for one in every if one.set == chosen.name]
        rows.append({
            "set": chosen.name, "licence": chosen.licence, "tasks": len({one.task for one in part}),
            "conversations": len(part), "answer_tokens": sum(sum(one.example(dialogue).scored) for one in part),
            "card": chosen.card,
        })
    return pd.DataFrame(rows)


def packed(examples: Sequence[Example], length: int) -> list[Example]:
    """Whole conversations one after the other, as many as fit into ``length`` tokens; first come, first packed.

    None is cut: one that does not fit starts the next sequence, one longer than ``length`` is left out. Attention
    crosses conversations, as in pretraining; each starts with the begin token.
    """
    sequences: list[Example] = []
    ids: tuple[int, ...] = ()
    scored: tuple[bool, ...] = ()
    for example in examples:
        if len(example.ids) > length:
            continue
        if len(ids) + len(example.ids) > length:
            sequences.append(Example(ids, scored))
            ids, scored = (), ()
        ids, scored = ids + example.ids, scored + example.scored
    return [*sequences, Example(ids, scored)] if ids else sequences


def fine_tuned(
    folder: Path, parts: Sequence[Fold], config: Finetuning, out: Path
) -> tuple[ChatModel, pd.DataFrame, pd.DataFrame]:
    """The pretrained model in ``folder`` fine-tuned once per fold, the first one saved at ``out``: that model,
    `loss_rows` of what each fold keeps aside, before and after, and what each fine-tune cost."""
    tasks: list[Task] = [
        (_fine_tuned_on, (folder, fold, config, number, None if number else out)) for number, fold in enumerate(parts)
    ]
    results = side_by_side(tasks, config.finetuning_processes)
    rows = pd.concat([result["rows"] for result in results], ignore_index=True)
    return load_saved(out), rows, pd.DataFrame([result["costs"] for result in results])


def _fine_tuned_on(folder: Path, fold: Fold, config: Finetuning, number: int, out: Path | None) -> dict[str, Any]:
    torch.set_num_threads(1)
    seed = config.finetuning_seeds[0]
    model = load_for_chat(folder, seed)
    order = np.random.default_rng(seed).permutation(len(fold.train))
    sequences = packed([fold.train[place].example(model.dialogue) for place in order], config.chat_sequence_length)
    schedule = Schedule(config.chat_steps, config.chat_batch, config.chat_learning_rate, seed)
    before = _aside_rows(model, fold)
    trained = fine_tune(model.network, batches_of(sequences, schedule), schedule, f"chat, fold {number}")
    if out is not None:
        save_for_chat(model, out)
    keys = ["aside", "source", "task", "tokens"]
    rows = before.merge(_aside_rows(model, fold), on=keys, suffixes=("_before", "_after")).assign(fold=number)
    return {"rows": rows, "costs": {"fold": number, **dataclasses.asdict(trained)}}


def _aside_rows(model: ChatModel, fold: Fold) -> pd.DataFrame:
    tables = [loss_rows(model, part).assign(aside=name) for name, part in ((NEW, fold.new), (KNOWN, fold.known))]
    return pd.concat([table for table in tables if len(table)], ignore_index=True)


@torch.inference_mode()
def loss_rows(model: ChatModel, aside: Sequence[Conversation]) -> pd.DataFrame:
    """One row per conversation that fits the model: source, task, tokens (learnt), nats (summed over them)."""
    longest = model.network.config.max_position_embeddings
    read = [(one, one.example(model.dialogue)) for one in aside]
    read = sorted((pair for pair in read if len(pair[1].ids) <= longest), key=lambda pair: len(pair[1].ids))
    rows = []
    for start in range(0, len(read), _BATCH):
        batch = read[start : start + _BATCH]
        counts = [sum(example.scored) for _, example in batch]
        losses = answer_losses(model.network, [example for _, example in batch]).split(counts)
        rows += [{"source": one.source, "task": one.task, "tokens": count, "nats": float(nats.sum())}
                 for (one, _), count, nats in zip(batch, counts, losses, strict=True)]
    return pd.DataFrame(rows, columns=["source", "task", "tokens", "nats"])


def loss_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Nats per answer token kept aside: part (`NEW`, `KNOWN`, then each new task), tasks, conversations, tokens,
    before, after, gain, low, high. The interval of the gain is 95 %, by bootstrap over the tasks, of one task over its
    conversations."""
    new = rows[rows.aside == NEW]
    parts = [*((name, rows[rows.aside == name], "task") for name in (NEW, KNOWN)),
             *((task, part, "source") for task, part in new.groupby("task", sort=False))]
    return pd.DataFrame([
        {"part": name, "tasks": part.task.nunique(), "conversations": len(part), "tokens": int(part.tokens.sum()),
         "before": part.nats_before.sum() / part.tokens.sum(), "after": part.nats_after.sum() / part.tokens.sum(),
         **_gain(part.groupby(unit)[["tokens", "nats_before", "nats_after"]].sum().to_numpy())}
        for name, part, unit in parts if len(part)
    ])


def _gain(sums: np.ndarray) -> dict[str, float]:
    """Gain in nats per token with its interval, from tokens, nats before and nats after: float[units, 3]."""
    draws = np.random.default_rng(0).integers(0, len(sums), (_RESAMPLES, len(sums)))
    totals = sums[draws].sum(1)
    low, high = np.quantile((totals[:, 1] - totals[:, 2]) / totals[:, 0], [0.025, 0.975])
    tokens, before, after = sums.sum(0)
    return {"gain": (before - after) / tokens, "low": low, "high": high}


def exchanges(model: ChatModel, aside: Sequence[Conversation], count: int) -> pd.DataFrame:
    """``count`` questions of different tasks, short ones first: question, answer (the model's), expected."""
    short = sorted({one.task: one for one in sorted(aside, key=lambda one: -len(one.question))}.values(),
                   key=lambda one: len(one.question))[:count]
    return pd.DataFrame([
        {"question": one.question, "expected": one.answer,
         "answer": "".join(stream(model, [{"role": "user", "content": one.question}], longest=60))}
        for one in short
    ])


def leaderboard_change(evaluated: Sequence[Evaluated]) -> pd.DataFrame:
    """Scores before and after, benchmark by benchmark: benchmark, model, value, low, high, items, chance.

    Intervals are Wilson's over items, where scores are shares (TruthfulQA) of their sum rounded to whole items.
    """
    rows = []
    for scored in evaluated:
        for benchmark, group in pd.DataFrame(scored.items).groupby("benchmark", sort=False):
            low, high = wilson_interval(round(group.score.sum()), len(group))
            rows.append({
                "benchmark": benchmark, "model": scored.candidate.arm, "value": group.score.mean(), "low": low,
                "high": high, "items": len(group), "chance": group.chance.mean(),
            })
    return pd.DataFrame(rows)


def flat_metrics(change: pd.DataFrame, losses: pd.DataFrame) -> dict[str, float]:
    """``chat.<task>.before`` and ``.after`` with their bounds; ``chat_nats.before``, ``.after``, ``.gain``, ``.tasks``
    and ``.tokens`` of new tasks, and the same of known ones under ``chat_nats.known``."""
    metrics: dict[str, float] = {}
    for row in change.itertuples():
        stem = f"chat.{row.benchmark}.{row.model}"
        metrics |= {stem: row.value, f"{stem}.low": row.low, f"{stem}.high": row.high}
    for part, stem in ((NEW, "chat_nats"), (KNOWN, "chat_nats.known")):
        overall = losses[losses.part == part].iloc[0]
        metrics |= {f"{stem}.{name}": float(overall[name]) for name in ("before", "after", "gain", "tasks", "tokens")}
        metrics |= {f"{stem}.gain.low": float(overall.low), f"{stem}.gain.high": float(overall.high)}
    return metrics

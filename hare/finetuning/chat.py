"""HARE-Chat: instruction data from openly licensed sets, packed whole, with the loss on the assistant's words alone."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from hare.core.sections import Finetuning
from hare.core.statistics import wilson_interval
from hare.data.shards import read_documents
from hare.evaluation.harness import Evaluated
from hare.finetuning.dialogue import ChatModel, Dialogue, Example, load_for_chat
from hare.finetuning.sft import Schedule, Trained, answer_losses, batches_of, fine_tune
from hare.finetuning.terminal import stream
from hare.synthesis.open_sets import OPEN_SETS, OpenSet

_LONGEST_ANSWER = 400  # characters
_KEPT_ASIDE = 0.12  # share of the tasks
_RESAMPLES = 2000
_BATCH = 32


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


def kept_aside(every: Sequence[Conversation], d3: Path) -> tuple[list[Conversation], list[Conversation]]:
    """Conversations to train on, and those kept aside: whole tasks, without what the pretrained model may have read in
    ``d3``, whose documents name the samples that they were made from."""
    documents = [document for document in read_documents(d3) if "seed_passage" in document["metadata"]]
    read = {document["metadata"]["seed_passage"] for document in documents}
    aside = {task for task in {one.task for one in every} if _bucket(task) < _KEPT_ASIDE}
    return ([one for one in every if one.task not in aside],
            [one for one in every if one.task in aside and one.source not in read])


def _bucket(task: str) -> float:
    """A number in [0, 1) that depends on the task alone."""
    return int(hashlib.sha256(task.encode()).hexdigest()[:12], 16) / 16**12


def card_table(train: Sequence[Conversation], aside: Sequence[Conversation], dialogue: Dialogue) -> pd.DataFrame:
    """One row per set: set, licence, tasks, conversations, answer_tokens, aside_tasks, aside_conversations,
    aside_answer_tokens, card."""
    rows = []
    for chosen in OPEN_SETS:
        row: dict[str, object] = {"set": chosen.name, "licence": chosen.licence}
        for stem, listed in (("", train), ("aside_", aside)):
            part = [one for one in listed if one.set == chosen.name]
            row |= {f"{stem}tasks": len({one.task for one in part}), f"{stem}conversations": len(part),
                    f"{stem}answer_tokens": sum(sum(one.example(dialogue).scored) for one in part)}
        rows.append({**row, "card": chosen.card})
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
    folder: Path, train: Sequence[Conversation], aside: Sequence[Conversation], config: Finetuning
) -> tuple[ChatModel, Trained, pd.DataFrame]:
    """The pretrained model in ``folder``, fine-tuned on the packed conversations; what that cost; and `loss_rows` of
    those kept aside, before and after."""
    seed = config.finetuning_seeds[0]
    model = load_for_chat(folder, seed)
    order = np.random.default_rng(seed).permutation(len(train))
    sequences = packed([train[number].example(model.dialogue) for number in order], config.chat_sequence_length)
    schedule = Schedule(config.chat_steps, config.chat_batch, config.chat_learning_rate, seed)
    before = loss_rows(model, aside)
    trained = fine_tune(model.network, batches_of(sequences, schedule), schedule, "fine-tune the chat model")
    return model, trained, before.merge(loss_rows(model, aside), on=["source", "task", "tokens"],
                                        suffixes=("_before", "_after"))


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
    """Nats per answer token of the conversations kept aside: part (all, then each task), conversations, tokens, before,
    after, gain, low, high; the interval of the gain is 95 %, by bootstrap over the tasks, of one task over its
    conversations."""
    parts = [("all", rows, "task"), *((task, part, "source") for task, part in rows.groupby("task", sort=False))]
    return pd.DataFrame([
        {"part": name, "conversations": len(part), "tokens": int(part.tokens.sum()),
         "before": part.nats_before.sum() / part.tokens.sum(), "after": part.nats_after.sum() / part.tokens.sum(),
         **_gain(part.groupby(unit)[["tokens", "nats_before", "nats_after"]].sum().to_numpy())}
        for name, part, unit in parts
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
    """``chat.<task>.before`` and ``.after`` with their bounds; ``chat_nats.before``, ``.after`` and ``.gain``."""
    metrics: dict[str, float] = {}
    for row in change.itertuples():
        stem = f"chat.{row.benchmark}.{row.model}"
        metrics |= {stem: row.value, f"{stem}.low": row.low, f"{stem}.high": row.high}
    overall = losses[losses.part == "all"].iloc[0]
    metrics |= {f"chat_nats.{name}": float(overall[name]) for name in ("before", "after", "gain")}
    return metrics | {"chat_nats.gain.low": float(overall.low), "chat_nats.gain.high": float(overall.high),
                      "chat_nats.tokens": float(overall.tokens)}

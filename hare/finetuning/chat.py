"""HARE-Chat: instruction data from openly licensed sets, packed whole, with the loss on the assistant's words alone."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from transformers import MistralForCausalLM

from hare.core.sections import Finetuning
from hare.core.statistics import wilson_interval
from hare.data.text import rank
from hare.evaluation.harness import Evaluated
from hare.finetuning.dialogue import Example, answered, load_for_chat, text_ids
from hare.finetuning.sft import Schedule, answer_loss, batches_of, fine_tune, parts_of
from hare.synthesis.open_sets import OPEN_SETS, OpenSet

_LONGEST_ANSWER = 400  # characters


def conversations(seed: int) -> list[tuple[str, Example]]:
    """Name of the set and conversation, in seeded order, none twice: an instruction with its input, and the answer."""
    found = list({
        example.ids: (chosen.name, example) for chosen in OPEN_SETS for example in _examples(chosen)
    }.values())
    order = sorted(range(len(found)), key=lambda number: rank(seed, str(number)))
    return [found[number] for number in order]


def _examples(chosen: OpenSet) -> Iterator[Example]:
    for member in chosen.members:
        for instruction, given, output in chosen.read(member):
            if 0 < len(output.strip()) <= _LONGEST_ANSWER:
                asked = f"{instruction.strip()}\n{given.strip()}"
                yield answered([{"role": "user", "content": asked}], text_ids(output.strip()))


def card_table(found: Sequence[tuple[str, Example]], length: int) -> pd.DataFrame:
    """One row a set: set, licence, conversations, tokens, answer_tokens, too_long (left out of sequences of length)."""
    rows = []
    for chosen in OPEN_SETS:
        mine = [example for name, example in found if name == chosen.name]
        rows.append({
            "set": chosen.name, "licence": chosen.licence, "conversations": len(mine),
            "tokens": sum(len(example.ids) for example in mine),
            "answer_tokens": sum(sum(example.scored) for example in mine),
            "too_long": sum(len(example.ids) > length for example in mine), "what": chosen.card,
        })
    return pd.DataFrame(rows)


def packed(examples: Sequence[Example], length: int) -> list[Example]:
    """Whole conversations one after the other, as many as fit into ``length`` tokens; first come, first packed.

    None is cut: one that does not fit starts the next sequence, one longer than ``length`` is left out. Attention
    crosses conversations, as in pretraining; each starts with ``<s>``.
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


def answer_share(sequences: Sequence[Example]) -> float:
    """Share of the packed tokens that are learnt."""
    return float(np.sum([sum(example.scored) for example in sequences]) / np.sum([len(e.ids) for e in sequences]))


def fine_tuned(
    folder: Path, found: Sequence[tuple[str, Example]], config: Finetuning
) -> tuple[MistralForCausalLM, dict[str, float]]:
    """The pretrained model in ``folder``, fine-tuned on the packed conversations, and what it cost and learnt.

    Losses are in nats a learnt token, on a batch from a tenth of the conversations that is not trained on.
    """
    examples = [example for _, example in found]
    kept_out = packed(examples[: len(examples) // 10], config.chat_sequence_length)[: config.chat_batch]
    sequences = packed(examples[len(examples) // 10 :], config.chat_sequence_length)
    model = load_for_chat(folder, config.finetuning_seed).eval()
    before = _loss(model, kept_out)
    epochs = config.chat_steps * config.chat_batch / len(sequences)
    schedule = Schedule(epochs, config.chat_batch, config.chat_learning_rate, config.finetuning_seed)
    trained = fine_tune(model, batches_of(sequences, schedule), schedule, "fine-tune the chat model")
    costs = {"steps": trained.steps, "seconds": trained.seconds, "epochs": epochs, "loss_before": before,
             "loss_after": _loss(model, kept_out), "answer_share": answer_share(sequences)}
    return model, costs


@torch.inference_mode()
def _loss(model: MistralForCausalLM, examples: Sequence[Example]) -> float:
    return sum(share * float(answer_loss(model, part)) for part, share in parts_of(examples))


def leaderboard_change(evaluated: Sequence[Evaluated]) -> pd.DataFrame:
    """Scores before and after, benchmark by benchmark: benchmark, model, value, low, high, items, chance.

    Intervals are Wilson's over items, where scores are shares (TruthfulQA) of their sum rounded to whole items.
    """
    rows = []
    for found in evaluated:
        for benchmark, group in pd.DataFrame(found.items).groupby("benchmark", sort=False):
            low, high = wilson_interval(round(group.score.sum()), len(group))
            rows.append({
                "benchmark": benchmark, "model": found.candidate.arm, "value": group.score.mean(), "low": low,
                "high": high, "items": len(group), "chance": group.chance.mean(),
            })
    return pd.DataFrame(rows)


def flat_metrics(change: pd.DataFrame) -> dict[str, float]:
    """``chat.<task>.before`` and ``.after``, with their bounds."""
    metrics: dict[str, float] = {}
    for row in change.itertuples():
        stem = f"chat.{row.benchmark}.{row.model}"
        metrics |= {stem: row.value, f"{stem}.low": row.low, f"{stem}.high": row.high}
    return metrics

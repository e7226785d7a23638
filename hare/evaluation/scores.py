"""From lm-eval's logged samples to one row of scores per item, with measures that tell small models apart.

Accuracy looks at which answer is best and forgets by how much. Two measures from the same requests do not: the bits
that the model needs for each byte of the gold answer, and its margin over the best wrong one.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hare.benchmarks.registry import spec_of
from hare.evaluation.tasks import Benchmark


def item_scores(benchmark: Benchmark, task: str, samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per item, in the order of its row number.

    ``score`` is the leaderboard's metric, ``chance`` what a model that finds all choices alike would score on the item;
    ``acc`` and, where the task has it, ``acc_norm`` are lm-eval's own. A task that is answered by generation has
    neither bits per byte nor a margin.
    """
    rows = []
    for sample in sorted(first_filtered(samples), key=lambda sample: sample["doc_id"]):
        metric = benchmark.protocol.metric
        row = {"benchmark": benchmark.name, "task": task, "item": sample["doc_id"], "score": float(sample[metric])}
        row["chance"] = 0.0
        row["acc"] = float(sample.get("acc", sample[metric]))
        if "acc_norm" in sample:
            row["acc_norm"] = float(sample["acc_norm"])
        if isinstance(sample["filtered_resps"][0], list | tuple):
            row |= _likelihood_scores(sample, benchmark.name)
        rows.append({**row, "prompt_hash": sample["prompt_hash"]})
    return rows


def first_filtered(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """GSM8K is logged once a filter; the leaderboard reads the first one, the strict match."""
    return [sample for sample in samples if sample["filter"] == samples[0]["filter"]]


def _likelihood_scores(sample: dict[str, Any], benchmark: str) -> dict[str, float]:
    continuations = [continuation for _, continuation in sample["arguments"]]
    return likelihood_scores(continuations, [nats for nats, _ in sample["filtered_resps"]],
                             spec_of(benchmark).right_choices(sample["doc"], sample["target"]))


def likelihood_scores(continuations: Sequence[str], nats: Sequence[float], right: list[int]) -> dict[str, float]:
    """Bits per byte of the gold answer, and its margin in bits per byte over the best wrong one (above 0: preferred).

    ``nats`` are the continuations' log-likelihoods, ``right`` the numbers of the right ones, the gold one first. Bytes
    are those of the continuation that was scored, UTF-8, with its leading space. Where nothing is wrong, there is
    nothing to choose: bits per byte alone are left.
    """
    lengths = np.array([len(continuation.encode()) for continuation in continuations])
    bits = -np.array(nats) / math.log(2) / lengths
    wrong = [answer for answer in range(len(bits)) if answer not in right]
    if not wrong:
        return {"bpb": float(bits[right[0]])}
    return {
        "chance": len(right) / len(bits),
        "bpb": float(bits[right[0]]),
        "margin": float(bits[wrong].min() - bits[right].min()),
        "gold": right[0],
        "preferred": int(bits.argmin()),
    }

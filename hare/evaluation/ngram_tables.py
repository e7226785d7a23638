"""Tables of n-grams as language models: what a trained arm must beat, made from the same tokens.

A unigram table (add-one), a bigram table with Witten-Bell smoothing (Witten and Bell 1991) and a 5-gram table with
interpolated Kneser-Ney smoothing (Kneser and Ney 1995; discounts as in Chen and Goodman 1999, one per order).
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import pandas as pd

from hare.core.sections import Tokens, Training
from hare.evaluation.endpoints import Encoded, EndpointItem, encode
from hare.tokens.tokenizer import Tokenizer
from hare.training.heldout import heldout_sequences
from hare.training.inputs import Inputs

ORDERS = {"unigram": 1, "bigram": 2, "fivegram": 5}
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def table_losses(windows: np.ndarray, encoded: Sequence[Encoded], vocabulary: int) -> dict[str, np.ndarray]:
    """Nats of each item under each table: name → float64[items].

    ``windows`` is what was read: int64[windows, length + 1], of which the first id is context only.
    """
    makers: dict[str, Callable[[np.ndarray, int], _Table]] = {
        "unigram": _Unigram, "bigram": _WittenBell, "fivegram": _KneserNey,
    }
    losses = {}
    for name, maker in makers.items():
        table = maker(windows, vocabulary)
        losses[name] = np.array([-np.log(table.probabilities(item)).sum() for item in encoded])
    return losses


def heldout_bits(windows: np.ndarray, inputs: Inputs, tokens: Tokens, training: Training) -> dict[str, float]:
    """Bits per byte of the tables on the sequences of the learning curves, mean over categories: name → value.

    ``windows``: int64[windows, length + 1], the text that the tables count.
    """
    heldout = heldout_sequences(
        inputs.heldout, inputs.tokenizer, tokens.sequence_length, training.validation_sequences
    )
    encoded = [
        Encoded(row.tolist(), len(row) - 1, int(size))
        for row, size in zip(heldout.tokens, heldout.bytes, strict=True)
    ]
    losses = table_losses(windows, encoded, Tokenizer.load(inputs.tokenizer).size)
    return {name: _mean_bits(nats, encoded, heldout.categories) for name, nats in losses.items()}


def endpoint_bits(
    windows: np.ndarray, items: Sequence[EndpointItem], tokenizer: Tokenizer, length: int
) -> pd.DataFrame:
    """Bits per byte of the tables on the endpoints, as rows of a transfer table: arm (the table), endpoint,
    bits_per_byte. ``windows``: int64[windows, length + 1], the text that the tables count."""
    encoded, rows = encode(items, tokenizer, length), []
    losses = table_losses(windows, encoded, tokenizer.size)
    for endpoint in dict.fromkeys(item.endpoint for item in items):
        places = [number for number, item in enumerate(items) if item.endpoint == endpoint]
        for name, nats in losses.items():
            value = _mean_bits(nats[places], [encoded[n] for n in places], [items[n].group for n in places])
            rows.append({"arm": name, "endpoint": endpoint, "bits_per_byte": value})
    return pd.DataFrame(rows)


def _mean_bits(nats: np.ndarray, encoded: Sequence[Encoded], groups: Sequence[str]) -> float:
    """Bits per byte, mean over groups; ``nats`` is float64[items]."""
    frame = pd.DataFrame({"nats": nats, "bytes": [item.bytes for item in encoded], "group": groups})
    sums = frame.groupby("group").sum()
    return float((sums["nats"] / sums["bytes"]).mean() / np.log(2))


class _Table(Protocol):
    def probabilities(self, item: Encoded) -> np.ndarray:
        """Of each scored id of an item, given those before it: float64[scored]."""


class _Unigram:
    def __init__(self, windows: np.ndarray, vocabulary: int):
        counts = np.bincount(windows[:, 1:].ravel(), minlength=vocabulary) + 1.0
        self.shares = counts / counts.sum()

    def probabilities(self, item: Encoded) -> np.ndarray:
        return self.shares[item.ids[-item.scored :]]


class _Counts:
    """How often each n-gram stands in the windows, and in how many ways each context goes on."""

    def __init__(self, grams: np.ndarray):
        """``grams``: int64[count, n]."""
        keys, first, inverse = np.unique(hashes(grams), return_index=True, return_inverse=True)
        self.keys, self.grams = keys, grams[first]
        self.counts = np.bincount(inverse, minlength=len(keys)).astype(np.float64)
        context = hashes(self.grams[:, :-1])
        self.contexts, place = np.unique(context, return_inverse=True)
        self.totals = np.bincount(place, self.counts, minlength=len(self.contexts))
        self.kinds = np.bincount(place, minlength=len(self.contexts)).astype(np.float64)

    def of(self, grams: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of int64[rows, n]: count of the gram, total and number of kinds after its context; 0 where unknown."""
        count = _looked_up(self.keys, self.counts, hashes(grams))
        context = hashes(grams[:, :-1])
        return count, _looked_up(self.contexts, self.totals, context), _looked_up(self.contexts, self.kinds, context)


def hashes(grams: np.ndarray) -> np.ndarray:
    """One 64-bit number for each row of int64[rows, n]: uint64[rows]."""
    value = np.zeros(len(grams), dtype=np.uint64)
    for column in range(grams.shape[1]):
        value = (value + grams[:, column].astype(np.uint64) + np.uint64(1)) * _MULTIPLIER
        value ^= value >> np.uint64(29)
    return value


def _looked_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0.0)


def _grams(windows: np.ndarray, order: int) -> np.ndarray:
    """All n-grams within int64[windows, length + 1]: int64[grams, order]."""
    return np.lib.stride_tricks.sliding_window_view(windows, order, axis=1).reshape(-1, order)


class _WittenBell:
    def __init__(self, windows: np.ndarray, vocabulary: int):
        self.lower, self.pairs = _Unigram(windows, vocabulary), _Counts(_grams(windows, 2))

    def probabilities(self, item: Encoded) -> np.ndarray:
        grams = _grams(np.array([item.ids]), 2)[-item.scored :]
        count, total, kinds = self.pairs.of(grams)
        lower = self.lower.probabilities(item)
        known = np.maximum(total + kinds, 1)
        return np.where(total > 0, (count + kinds * lower) / known, lower)


class _KneserNey:
    def __init__(self, windows: np.ndarray, vocabulary: int):
        self.vocabulary, order = vocabulary, ORDERS["fivegram"]
        self.orders = {order: _Counts(_grams(windows, order))}
        for lower in range(order - 1, 0, -1):  # a lower order counts the different ids before, not the occurrences
            self.orders[lower] = _Counts(self.orders[lower + 1].grams[:, 1:])
        self.discounts = {number: _discount(counts.counts) for number, counts in self.orders.items()}

    def probabilities(self, item: Encoded) -> np.ndarray:
        ids = np.array([-1] * (max(self.orders) - 1) + item.ids)  # before the begin stands what no context knows
        grams = _grams(ids[None], max(self.orders))[-item.scored :]
        shares = np.full(len(grams), 1 / self.vocabulary)
        for order in sorted(self.orders):
            count, total, kinds = self.orders[order].of(grams[:, -order:])
            discount = self.discounts[order]
            kept = np.maximum(count - discount, 0) + discount * kinds * shares
            shares = np.where(total > 0, kept / np.maximum(total, 1), shares)
        return shares


def _discount(counts: np.ndarray) -> float:
    once, twice = float((counts == 1).sum()), float((counts == 2).sum())
    return min(0.95, once / (once + 2 * twice)) if once else 0.5

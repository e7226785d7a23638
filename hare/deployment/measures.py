"""What a precision costs and saves: size, memory, speed, bits per byte of held-out text, calls of functions.

All of it is measured through llama.cpp on the weights that each file holds.
"""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hare.core.progress import track
from hare.deployment.worker import in_own_process
from hare.finetuning.tool_data import ToolItem
from hare.training.heldout import HeldoutSequences, bits_per_byte

_MB = 1e6
_RESAMPLES = 2000
_BOUNDS = (0.025, 0.975)
ALL = "all"


def speed_table(files: Mapping[str, Path], prompt: Sequence[int], new_tokens: int, repeats: int) -> pd.DataFrame:
    """One row per precision: size, memory, time to the first token, time per token, tokens per second.

    Times are medians over repeats, by our clock around the calls; ``slowest_ms`` is the slowest repeat's time per
    token, ``own_tokens_per_s`` llama.cpp's own count. Against before the file was opened, ``memory_mb`` is what is held
    once it has decoded.
    """
    rows = []
    for precision, path in track(list(files.items()), "measure", "files"):
        measured = in_own_process("speed", path, {"prompt": list(prompt), "new_tokens": new_tokens, "repeats": repeats})
        columns = {key: [each[key] for each in measured["rounds"]] for key in measured["rounds"][0]}
        per_token = statistics.median(columns["token_s"])
        rows.append({
            "precision": precision, "size_mb": path.stat().st_size / _MB, "peak_rss_mb": measured["peak_mb"],
            "memory_mb": measured["held_mb"] - measured["before_mb"], "prompt_tokens": len(prompt),
            "first_token_ms": 1e3 * statistics.median(columns["first_s"]), "token_ms": 1e3 * per_token,
            "slowest_ms": 1e3 * max(columns["token_s"]), "decode_tokens_per_s": 1 / per_token,
            "own_tokens_per_s": statistics.median(columns["own_tokens_per_s"]),
            "prompt_tokens_per_s": statistics.median(columns["prompt_tokens_per_s"]),
        })
    return pd.DataFrame(rows)


def read_heldout(
    files: Mapping[str, Path], heldout: HeldoutSequences, prompts: Sequence[Sequence[int]], new_tokens: int
) -> dict[str, dict[str, Any]]:
    """Per precision: ``nats`` and ``likeliest`` float and int[windows, tokens] of the held-out windows, and greedy ids
    ``continued`` after each of ``prompts``."""
    asked = {"windows": heldout.tokens.tolist(), "prompts": [list(prompt) for prompt in prompts],
             "new_tokens": new_tokens}
    read = {}
    for precision, path in track(list(files.items()), "held-out text", "files"):
        answer = in_own_process("quality", path, asked)
        read[precision] = {**answer, "nats": np.array(answer["nats"]), "likeliest": np.array(answer["likeliest"])}
    return read


def quality_table(read: Mapping[str, Mapping[str, Any]], heldout: HeldoutSequences) -> pd.DataFrame:
    """Bits per byte of held-out text, by precision and category, from `read_heldout`.

    Columns: precision, category, sequences, bpb, worse_by (against the first precision), low and high (95 % bootstrap
    over the windows, paired), agreement (share of tokens whose likeliest successor is that of the first precision).
    """
    first = next(iter(read.values()))
    groups = {ALL: np.ones(len(heldout.tokens), dtype=bool)}
    groups |= {name: np.array([c == name for c in heldout.categories]) for name in sorted(set(heldout.categories))}
    rows = []
    for precision, measured in read.items():
        nats, reference = measured["nats"].sum(1), first["nats"].sum(1)
        agrees = (measured["likeliest"] == first["likeliest"]).mean(1)
        for name, mask in groups.items():
            worse, low, high = loss_of_quality(nats[mask] - reference[mask], heldout.bytes[mask])
            rows.append({
                "precision": precision, "category": name, "sequences": int(mask.sum()),
                "bpb": bits_per_byte(nats[mask].sum(), heldout.bytes[mask].sum()), "worse_by": worse, "low": low,
                "high": high, "agreement": agrees[mask].mean(),
            })
    return pd.DataFrame(rows)


def loss_of_quality(nats: np.ndarray, sizes: np.ndarray) -> tuple[float, float, float]:
    """Difference in bits per byte, from differences ``nats`` float[windows] over ``sizes`` int[windows] bytes, with its
    95 % bootstrap interval over the windows."""
    draws = np.random.default_rng(0).integers(0, len(nats), (_RESAMPLES, len(nats)))
    resampled = nats[draws].sum(1) / sizes[draws].sum(1) / np.log(2)
    low, high = np.quantile(resampled, _BOUNDS)
    return bits_per_byte(nats.sum(), sizes.sum()), float(low), float(high)


def tool_table(
    files: Mapping[str, Path], items: Sequence[ToolItem], tokenizer: Path, positions: int
) -> pd.DataFrame:
    """How HARE-Tool, whose folder is ``tokenizer``, calls functions, decoded by llama.cpp from each file with room for
    so many ``positions``: precision, items, tool_exact, tool_worse_by (against the first precision, in shares of the
    items), tool_low, tool_high (its 95 % bootstrap interval over phrasings, paired), tool_function, tool_agreement
    (share of requests with the first precision's answer)."""
    rows: list[dict[str, Any]] = []
    first: list[Any] = []
    for precision, path in track(list(files.items()), "tool calls", "files"):
        asked = {"requests": [item.request for item in items], "tokenizer": str(tokenizer), "positions": positions}
        readings = in_own_process("tool", path, asked)["readings"]
        first = first or readings
        exact = _exact(items, readings)
        worse, low, high = _by_phrasing(_exact(items, first) - exact, items)
        rows.append({
            "precision": precision, "items": len(items), "tool_exact": exact.mean(), "tool_worse_by": worse,
            "tool_low": low, "tool_high": high,
            "tool_function": np.mean([r[0] == item.call.function for r, item in zip(readings, items, strict=True)]),
            "tool_agreement": np.mean([a == b for a, b in zip(first, readings, strict=True)]),
        })
    return pd.DataFrame(rows)


def _exact(items: Sequence[ToolItem], readings: Sequence[Sequence[Any]]) -> np.ndarray:
    """Whether each reading (function, arguments) is the item's very call: float[items]."""
    return np.array([
        function == item.call.function and arguments == list(item.call.arguments)
        for item, (function, arguments) in zip(items, readings, strict=True)
    ], dtype=float)


def _by_phrasing(values: np.ndarray, items: Sequence[ToolItem]) -> tuple[float, float, float]:
    """Mean of float[items] with its 95 % bootstrap interval over phrasings."""
    groups = pd.DataFrame({"value": values, "phrasing": [item.core for item in items]}).groupby("phrasing").value
    sums, counts = groups.sum().to_numpy(), groups.count().to_numpy()
    draws = np.random.default_rng(0).integers(0, len(sums), (_RESAMPLES, len(sums)))
    low, high = np.quantile(sums[draws].sum(1) / counts[draws].sum(1), _BOUNDS)
    return float(values.mean()), float(low), float(high)


def summary_table(speed: pd.DataFrame, quality: pd.DataFrame, tool: pd.DataFrame) -> pd.DataFrame:
    """One row per precision: the columns of `speed_table`, those of `quality_table` over all categories, and those of
    `tool_table`."""
    overall = quality[quality.category == ALL].drop(columns=["category", "sequences"])
    return speed.merge(overall, on="precision").merge(tool, on="precision")


def flat_metrics(summary: pd.DataFrame) -> dict[str, float]:
    """``<precision>.size_mb`` and so on, for the record."""
    names = {
        "size_mb": "size_mb", "peak_rss_mb": "peak_rss_mb", "memory_mb": "memory_mb",
        "decode_tokens_per_s": "decode_tokens_per_s", "first_token_ms": "first_token_ms", "bpb": "heldout_bpb",
        "worse_by": "bpb_worse_by", "low": "bpb_worse_by.low", "high": "bpb_worse_by.high", "agreement": "agreement",
        "tool_exact": "tool_accuracy", "tool_worse_by": "tool_worse_by", "tool_low": "tool_worse_by.low",
        "tool_high": "tool_worse_by.high",
    }
    return {
        f"{row['precision']}.{metric}": float(row[column])
        for row in summary.to_dict("records") for column, metric in names.items()
    }

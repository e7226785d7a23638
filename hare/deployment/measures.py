"""What a precision costs and saves: size, memory, speed, bits per byte of held-out text."""

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from hare.core.errors import HareError
from hare.core.progress import track
from hare.core.statistics import wilson_interval
from hare.deployment.engine import Engine
from hare.deployment.gguf_file import read_gguf
from hare.finetuning.calls import Reading
from hare.finetuning.tool_data import ToolItem
from hare.finetuning.tools import CONSTRAINED, MARKED, ToolModel
from hare.training.heldout import HeldoutSequences, bits_per_byte

_MB = 1e6


def speed_table(
    files: Mapping[str, Path], prompt: Sequence[int], new_tokens: int, repeats: int, threads: int
) -> pd.DataFrame:
    """One row a precision: size, memory, time to the first token, time a token, tokens a second.

    Every file runs in a process of its own. Times are medians over repeats; ``slowest_ms`` is the slowest repeat's time
    a token. Against before the file was opened, ``memory_mb`` is what is held once it has decoded, and ``loading_mb``
    what memory rose by at its peak.
    """
    rows = []
    for precision, path in track(list(files.items()), "measure", "files"):
        asked = {"path": str(path), "prompt": list(prompt), "new_tokens": new_tokens, "repeats": repeats,
                 "threads": threads}
        found = _in_own_process(asked)
        per_token = statistics.median(found["token_s"])
        rows.append({
            "precision": precision, "size_mb": path.stat().st_size / _MB, "peak_rss_mb": found["peak_mb"],
            "memory_mb": found["held_mb"] - found["before_mb"], "loading_mb": found["peak_mb"] - found["before_mb"],
            "prompt_tokens": len(prompt),
            "first_token_ms": 1e3 * statistics.median(found["first_s"]), "token_ms": 1e3 * per_token,
            "slowest_ms": 1e3 * max(found["token_s"]), "decode_tokens_per_s": 1 / per_token, "threads": threads,
        })
    return pd.DataFrame(rows)


def _in_own_process(asked: Mapping[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "hare.deployment.worker"], input=json.dumps(asked), capture_output=True, text=True,
        check=False,
    )
    if done.returncode:
        raise HareError(f"The process that measures {asked['path']} stopped with exit code {done.returncode}. The end "
                        f"of its log:\n{done.stderr[-2000:]}", "close other programs, or export the file again")
    answer = json.loads(done.stdout.strip().split("\n")[-1])
    if "fix" in answer:
        raise HareError(**answer)
    return answer


def quality_table(files: Mapping[str, Path], heldout: HeldoutSequences) -> pd.DataFrame:
    """Bits per byte of held-out text, by precision and category, as the engine's own kernels compute it.

    Columns: precision, category, sequences, bpb, worse_by (against the first precision), agreement (share of tokens
    whose likeliest successor is that of the first precision).
    """
    rows: list[dict[str, Any]] = []
    reference: dict[int, torch.Tensor] = {}
    for precision, path in files.items():
        engine = Engine(path)
        nats, agrees = np.zeros(len(heldout.tokens)), np.zeros(len(heldout.tokens))
        for number, window in enumerate(track(list(heldout.tokens), f"held-out, {precision}", "sequences")):
            logits = engine.all_logits(window[:-1].tolist())
            targets = torch.from_numpy(window[1:])
            nats[number] = float(torch.nn.functional.cross_entropy(logits, targets, reduction="sum"))
            likeliest = reference.setdefault(number, logits.argmax(-1))
            agrees[number] = float((logits.argmax(-1) == likeliest).float().mean())
        rows += _by_category(precision, heldout, nats, agrees)
    table = pd.DataFrame(rows)
    first = table[table.precision == next(iter(files))].set_index("category").bpb
    table.insert(4, "worse_by", table.bpb - table.category.map(first))
    return table


def _by_category(
    precision: str, heldout: HeldoutSequences, nats: np.ndarray, agrees: np.ndarray
) -> list[dict[str, Any]]:
    groups = {"all": np.ones(len(nats), dtype=bool)}
    groups |= {name: np.array([c == name for c in heldout.categories]) for name in sorted(set(heldout.categories))}
    return [
        {"precision": precision, "category": name, "sequences": int(mask.sum()),
         "bpb": bits_per_byte(nats[mask].sum(), heldout.bytes[mask].sum()), "agreement": agrees[mask].mean()}
        for name, mask in groups.items()
    ]


def tool_table(files: Mapping[str, Path], items: Sequence[ToolItem]) -> pd.DataFrame:
    """How HARE-Tool calls functions with each file's weights: precision, items, tool_exact, tool_low, tool_high,
    tool_function, tool_agreement (share of requests with the first precision's answer).

    The weights are the file's, turned back into fp32; so is the arithmetic. Intervals are Wilson's, 95 %.
    """
    rows: list[dict[str, Any]] = []
    first: list[Reading] = []
    for precision, path in files.items():
        tool = ToolModel(f"hare-tool, {precision}", read_gguf(path), MARKED, CONSTRAINED)
        readings = tool.answer([item.request for item in items])
        first = first or readings
        pairs = list(zip(items, readings, strict=True))
        exact = sum(found.call == item.call for item, found in pairs)
        low, high = wilson_interval(exact, len(items))
        rows.append({
            "precision": precision, "items": len(items), "tool_exact": exact / len(items), "tool_low": low,
            "tool_high": high,
            "tool_function": sum(found.function == item.call.function for item, found in pairs) / len(items),
            "tool_agreement": sum(a == b for a, b in zip(first, readings, strict=True)) / len(items),
        })
    return pd.DataFrame(rows)


def summary_table(speed: pd.DataFrame, quality: pd.DataFrame, tool: pd.DataFrame) -> pd.DataFrame:
    """One row a precision: the columns of `speed_table`, bpb, worse_by and agreement over all categories, and those of
    `tool_table`."""
    overall = quality[quality.category == "all"][["precision", "bpb", "worse_by", "agreement"]]
    return speed.merge(overall, on="precision").merge(tool, on="precision")


def flat_metrics(summary: pd.DataFrame) -> dict[str, float]:
    """``<precision>.size_mb`` and so on, for the record."""
    names = {
        "size_mb": "size_mb", "peak_rss_mb": "peak_rss_mb", "memory_mb": "memory_mb", "loading_mb": "loading_mb",
        "decode_tokens_per_s": "decode_tokens_per_s", "first_token_ms": "first_token_ms", "bpb": "heldout_bpb",
        "agreement": "agreement", "tool_exact": "tool_accuracy", "tool_low": "tool_accuracy.low",
        "tool_high": "tool_accuracy.high",
    }
    return {
        f"{row['precision']}.{metric}": float(row[column])
        for row in summary.to_dict("records") for column, metric in names.items()
    }

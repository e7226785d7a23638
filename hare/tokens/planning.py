"""Tables of what a planned run will read: composition of the files, shares along the run, epochs."""

import pandas as pd

from hare.tokens.mixture import Mixture
from hare.tokens.packing import PackedFile

_POINTS = 120


def composition(packed: dict[str, PackedFile]) -> pd.DataFrame:
    """One row per source and file: file, source, category, documents, text_mb, tokens, bytes_per_token."""
    table = pd.concat([part.by_source.assign(file=name) for name, part in packed.items()], ignore_index=True)
    table["text_mb"] = table.text_bytes / 1e6
    table["bytes_per_token"] = table.text_bytes / table.tokens
    return table[["file", "source", "category", "documents", "text_mb", "tokens", "bytes_per_token"]]


def schedule(mixtures: dict[str, Mixture], global_batch: int) -> pd.DataFrame:
    """Tokens read so far along the run: arm, step, file, tokens_read; at most 121 steps per arm."""
    rows = []
    for arm, mixture in mixtures.items():
        steps = len(mixture) // global_batch
        for point in range(min(steps, _POINTS) + 1):
            step = point * steps // min(steps, _POINTS)
            for name, samples in mixture.drawn(step * global_batch).items():
                rows.append((arm, step, name, samples * mixture.spec.sequence_length))
    return pd.DataFrame(rows, columns=["arm", "step", "file", "tokens_read"])


def epochs(mixtures: dict[str, Mixture]) -> pd.DataFrame:
    """How often each arm reads each file: arm, file, tokens_read, tokens_in_file, epochs."""
    rows = []
    for arm, mixture in mixtures.items():
        for name, samples in mixture.drawn(len(mixture)).items():
            read = samples * mixture.spec.sequence_length
            rows.append((arm, name, read, mixture.files[name].tokens, mixture.epochs()[name]))
    return pd.DataFrame(rows, columns=["arm", "file", "tokens_read", "tokens_in_file", "epochs"])


def weight_table(
    mixtures: dict[str, Mixture], arms: dict[str, dict[str, float]], packed: dict[str, PackedFile]
) -> pd.DataFrame:
    """Shares of the second stage, asked for and given (lower where a part is too small), and the text of the part that
    the whole run reads: arm, part, asked, given, text_mb."""
    rows = []
    for arm, mixture in mixtures.items():
        given, asked, drawn = mixture.spec.stages[-1].weights, arms[arm], mixture.drawn(len(mixture))
        for part in asked:
            counts = packed[part].counts
            text = drawn[part] * mixture.spec.sequence_length * counts["bytes"] / counts["tokens"] / 1e6
            rows.append((arm, part, asked[part] / sum(asked.values()), given[part] / sum(given.values()), text))
    return pd.DataFrame(rows, columns=["arm", "part", "asked", "given", "text_mb"])


def metrics(packed: dict[str, PackedFile], mixtures: dict[str, Mixture]) -> dict[str, float]:
    """Names as in ``metrics.json``: tokens, documents, bytes per token by file; tokens, epochs by arm and file."""
    named: dict[str, float] = {}
    for name, part in packed.items():
        counts = part.counts
        named[f"tokens.{name}"] = counts["tokens"]
        named[f"documents.{name}"] = counts["documents"]
        named[f"bytes_per_token.{name}"] = counts["bytes"] / counts["tokens"]
    for row in epochs(mixtures).itertuples():
        named[f"tokens_read.{row.arm}.{row.file}"] = row.tokens_read
        named[f"epochs.{row.arm}.{row.file}"] = row.epochs
    return named

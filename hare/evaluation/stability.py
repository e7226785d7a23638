"""How steady an endpoint is from one checkpoint to the next, against what it tells apart (Heineman et al. 2025, "Signal
and noise"), and what averaging the last checkpoints changes."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from hare.evaluation.endpoints import EndpointItem, read_arms
from hare.evaluation.transfer import endpoints_of, losses_of
from hare.tokens.tokenizer import Tokenizer
from hare.training.run import TrainedRun

ITEMS_PER_GROUP = 12  # every checkpoint is read: a part of each endpoint is enough, since all read the same
_MEAN = 0  # stands for a step: the mean of the checkpoints


def thinned(items: Sequence[EndpointItem], per_group: int = ITEMS_PER_GROUP) -> list[EndpointItem]:
    """The first ``per_group`` items of each group of each endpoint."""
    taken: dict[tuple[str, str], int] = {}
    kept = []
    for item in items:
        key = item.endpoint, item.group
        taken[key] = taken.get(key, 0) + 1
        if taken[key] <= per_group:
            kept.append(item)
    return kept


def read_checkpoints(
    runs: Mapping[str, TrainedRun], items: Sequence[EndpointItem], tokenizer: Tokenizer, length: int
) -> pd.DataFrame:
    """Every averaged checkpoint of one run per arm, and their mean, on thinned endpoints: the rows of `read_arms` with
    a column step (0: the mean) instead of seed."""
    if not runs:
        return pd.DataFrame(columns=["arm", "step", "endpoint"])
    folders = {(arm, step): path for arm, run in runs.items() for step, path in {_MEAN: run.hf, **run.exports}.items()}
    return read_arms(folders, thinned(items), tokenizer, length).rename(columns={"seed": "step"})


def stability_table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per endpoint, of what `read_checkpoints` gives.

    Columns: endpoint, items, checkpoints, signal (between the best and the worst arm), checkpoint_sd (of an arm from
    one checkpoint to the next, without what moves all arms alike), signal_to_noise, last (bits per byte, mean over
    arms), averaged, averaging_change. NaN where one arm or one checkpoint leaves nothing to compare.
    """
    arms, table = list(dict.fromkeys(rows["arm"])), []
    steps = sorted(step for step in rows["step"].unique() if step != _MEAN)
    for endpoint in endpoints_of(rows):
        means = losses_of(rows.rename(columns={"step": "seed"}), endpoint, arms).seed_means
        averaged, single = means[:, 0], means[:, 1:]
        signal, noise = float(np.ptp(averaged)), _wandering(single)
        table.append({
            "endpoint": endpoint, "items": len(rows[rows["endpoint"] == endpoint].drop_duplicates(["group", "item"])),
            "checkpoints": len(steps), "signal": signal, "checkpoint_sd": noise,
            "signal_to_noise": signal / noise if noise > 0 else np.nan, "last": float(single[:, -1].mean()),
            "averaged": float(averaged.mean()), "averaging_change": float((averaged - single[:, -1]).mean()),
        })
    return pd.DataFrame(table)


def _wandering(means: np.ndarray) -> float:
    """Standard deviation over checkpoints of float[arms, checkpoints], arms' and checkpoints' own means taken out."""
    arms, checkpoints = means.shape
    freedom = (arms - 1) * (checkpoints - 1)
    rest = means - means.mean(axis=0) - means.mean(axis=1, keepdims=True) + means.mean()
    return float(np.sqrt((rest**2).sum() / freedom)) if freedom else np.nan


def metrics(table: pd.DataFrame) -> dict[str, float]:
    """``signal_to_noise.<endpoint>`` and ``averaging_change.<endpoint>`` (bits per byte; below 0: the mean is better).
    """
    named: dict[str, float] = {}
    for row in table.itertuples():
        named[f"averaging_change.{row.endpoint}"] = row.averaging_change
        if np.isfinite(row.signal_to_noise):
            named[f"signal_to_noise.{row.endpoint}"] = row.signal_to_noise
    return named

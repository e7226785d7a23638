"""How many seeds decide an effect of a given size: planning a study from what one study's noise was."""

import math
from pathlib import Path

import pandas as pd
from scipy.stats import t

from hare.core.errors import HareError
from hare.core.paths import Workspace
from hare.core.statistics import COVERAGE, POWER
from hare.evaluation.endpoints import LABELS

_MOST_SEEDS = 1000


def minimum_detectable_effect(run_sd: float, item_error: float, arms: int, seeds: int) -> float:
    """Smallest true difference found four times in five, two-sided at 5 %, bits per byte.

    ``run_sd`` is the standard deviation of a difference between two runs of one seed, pooled over ``arms``;
    ``item_error`` the standard error that the items leave. Infinite with one seed, whose spread is not known.
    """
    freedom = (arms - 1) * (seeds - 1)
    if freedom < 1:
        return math.inf
    error = math.hypot(run_sd / math.sqrt(seeds), item_error)
    return float(t.ppf(0.5 + COVERAGE / 2, freedom) + t.ppf(POWER, freedom)) * error


def seeds_for(effect: float, run_sd: float, item_error: float, arms: int) -> int | None:
    """Fewest seeds per arm whose smallest detectable effect is at most ``effect``.

    None where items forbid any, or where one seed alone left the runs' spread unknown (``run_sd`` 0).
    """
    if run_sd == 0:
        return None
    return next((seeds for seeds in range(2, _MOST_SEEDS)
                 if minimum_detectable_effect(run_sd, item_error, arms, seeds) <= effect), None)


def needed(noise: pd.DataFrame, effect: float) -> pd.DataFrame:
    """For each endpoint of a `noise_table`: endpoint, run_sd, item_error, seeds (of the study),
    minimum_detectable_effect, seeds_needed for ``effect`` at this size (missing where only more items would help)."""
    table = noise.copy()
    table["minimum_detectable_effect"] = [
        minimum_detectable_effect(row.run_sd, row.item_error, row.arms, row.seeds) for row in noise.itertuples()
    ]
    table["seeds_needed"] = pd.array(
        [seeds_for(effect, row.run_sd, row.item_error, row.arms) for row in noise.itertuples()], dtype="Int64"
    )
    return table


def printed(profile: str, effect: float, endpoint: str) -> str:
    """What `hare power` prints, from the profile's recorded noise.

    Raises:
        HareError: nothing is recorded, the endpoint is unknown, or the effect is not above 0.
    """
    if endpoint not in LABELS:
        raise HareError(f"There is no endpoint {endpoint!r}.", f"choose one of {', '.join(LABELS)}")
    if not (math.isfinite(effect) and effect > 0):
        raise HareError(f"An effect of {effect} cannot be planned for.", "give bits per byte above 0, such as 0.01")
    path: Path = Workspace(profile).results / "training" / "noise.csv"
    if not path.exists():
        raise HareError(f"{path} is missing.", f"run `hare reproduce --profile {profile} --only 05` first")
    noise = pd.read_csv(path)
    row = needed(noise[noise["endpoint"] == endpoint], effect)
    if row.empty:
        raise HareError(f"{path} holds nothing on endpoint {endpoint!r}.", "run notebooks 04 and 05 again")
    study = row.iloc[0]
    seeds = sorted({2, 3, 4, 5, 7, 10, 14, 20, int(study["seeds"])} | set(row["seeds_needed"].dropna().astype(int)))
    lines = [f"{'seeds':>6}  smallest detectable effect (bits per byte, {study['arms']} arms)"]
    lines += [
        f"{number:>6}  {minimum_detectable_effect(study.run_sd, study.item_error, study.arms, number):.4f}"
        for number in seeds
    ]
    wanted = study["seeds_needed"]
    answer = f"{wanted} seeds per arm" if pd.notna(wanted) else "more items: seeds alone would not"
    return "\n".join([
        f"{endpoint} ({LABELS[endpoint]}) in profile {profile}: a difference between two runs of one seed varies by "
        f"{study.run_sd:.4f}, items add {study.item_error:.4f}.", *lines, f"To decide {effect:g}: {answer}.",
    ])

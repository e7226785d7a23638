"""How many seeds, or tokens, decide an effect of a given size: planning a study from what one study's noise was."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from hare.core.errors import HareError
from hare.core.paths import Workspace
from hare.core.reading import recorded_table
from hare.core.statistics import COVERAGE, POWER, Spread
from hare.evaluation.endpoints import LABELS
from hare.training.ablation import bits

_MOST_SEEDS = 1000


def minimum_detectable_effect(run_sd: float, item_error: float, arms: int, seeds: int) -> float:
    """Smallest true difference found four times in five, two-sided at 5 %, bits per byte.

    ``run_sd`` is the standard deviation of a difference between two runs of one seed, pooled over ``arms``;
    ``item_error`` the standard error that the items leave. Infinite with one seed, whose spread is not known.
    """
    return _errors_detected(arms, seeds) * math.hypot(run_sd / math.sqrt(seeds), item_error)


def _errors_detected(arms: int, seeds: int) -> float:
    """How many standard errors a difference takes to be found four times in five."""
    freedom = (arms - 1) * (seeds - 1)
    if freedom < 1:
        return math.inf
    return float(t.ppf(0.5 + COVERAGE / 2, freedom) + t.ppf(POWER, freedom))


def seeds_for(effect: float, run_sd: float, item_error: float, arms: int) -> int | None:
    """Fewest seeds per arm whose smallest detectable effect is at most ``effect``.

    None where items forbid any, or where one seed alone left the runs' spread unknown (``run_sd`` 0).
    """
    if run_sd == 0:
        return None
    return next((seeds for seeds in range(2, _MOST_SEEDS)
                 if minimum_detectable_effect(run_sd, item_error, arms, seeds) <= effect), None)


def noise_by_tokens(heldout: pd.DataFrame) -> pd.DataFrame:
    """How much two runs of one seed differ along training, from a `heldout_table`: tokens, run_sd (bits per byte, mean
    over categories), arms, seeds. Empty with one arm or one seed."""
    by_run = bits(heldout, ["tokens", "arm", "seed", "category"]).groupby(["tokens", "arm", "seed"])["bits_per_byte"]
    rows = []
    for tokens, means in by_run.mean().groupby(level="tokens"):
        grid = means.unstack("seed").to_numpy()
        arms, seeds = grid.shape
        if arms > 1 and seeds > 1:
            spread = math.sqrt(Spread.of_differences(grid).variance * seeds)
            rows.append({"tokens": tokens, "run_sd": spread, "arms": arms, "seeds": seeds})
    return pd.DataFrame(rows, columns=["tokens", "run_sd", "arms", "seeds"])


@dataclass(frozen=True)
class Decline:
    """The spread between runs falls as tokens to the power of minus ``exponent``; ``error`` is its standard error."""

    exponent: float
    error: float

    @classmethod
    def of(cls, along: pd.DataFrame) -> "Decline":
        """Fitted to a `noise_by_tokens`; each spread is known to 1 / √(2 · degrees of freedom) of itself."""
        if len(along) < 2:
            return cls(math.nan, math.nan)
        tokens = np.log(along["tokens"].to_numpy())
        centred = tokens - tokens.mean()
        freedom = (along["arms"].iloc[0] - 1) * (along["seeds"].iloc[0] - 1)
        slope = float(centred @ np.log(along["run_sd"].to_numpy()) / (centred @ centred))
        return cls(-slope, float(1 / math.sqrt(2 * freedom * (centred @ centred))))

    @property
    def is_seen(self) -> bool:
        """Whether the spread falls for sure (95 %, one-sided)."""
        return self.exponent > float(norm.ppf(COVERAGE)) * self.error


def tokens_for(effect: float, study: pd.Series, tokens: float, decline: Decline) -> float | None:
    """Tokens per run at which as many seeds as ``study`` has decide ``effect``; ``study`` is a row of a `noise_table`
    of runs of ``tokens``.

    None where items forbid it, or where the spread between runs was not seen to fall with tokens.
    """
    room = (effect / _errors_detected(study.arms, study.seeds)) ** 2 - study.item_error**2
    if room <= 0 or not decline.is_seen:
        return None
    return float(tokens * (study.run_sd / math.sqrt(study.seeds * room)) ** (1 / decline.exponent))


def needed(noise: pd.DataFrame, effect: float) -> pd.DataFrame:
    """A `noise_table` with ``seeds_needed``: for ``effect`` at this size; missing where only more items would help."""
    seeds = [seeds_for(effect, row.run_sd, row.item_error, row.arms) for row in noise.itertuples()]
    return noise.assign(seeds_needed=pd.array(seeds, dtype="Int64"))


def printed(profile: str, effect: float, endpoint: str) -> str:
    """What `hare power` prints, from the profile's recorded noise.

    Raises:
        HareError: nothing is recorded, the endpoint is unknown, or the effect is not above 0.
    """
    if endpoint not in LABELS:
        raise HareError(f"There is no endpoint {endpoint!r}.", f"choose one of {', '.join(LABELS)}")
    if not (math.isfinite(effect) and effect > 0):
        raise HareError(f"An effect of {effect} cannot be planned for.", "give bits per byte above 0, such as 0.01")
    noise, along = (_recorded(profile, name) for name in ("noise", "noise_by_tokens"))
    row = needed(noise[noise["endpoint"] == endpoint], effect)
    if row.empty:
        raise HareError(f"The record holds nothing on endpoint {endpoint!r}.", "run notebooks 04 and 05 again")
    study = row.iloc[0]
    seeds = sorted({2, 3, 4, 5, 7, 10, 14, 20, int(study["seeds"])} | set(row["seeds_needed"].dropna().astype(int)))
    lines = [f"{'seeds':>6}  smallest detectable effect (bits per byte, {study['arms']} arms)"]
    lines += [
        f"{number:>6}  {minimum_detectable_effect(study.run_sd, study.item_error, study.arms, number):.4f}"
        for number in seeds
    ]
    wanted = study["seeds_needed"]
    answer = "two seeds or more first: one does not show how runs vary" if study["seeds"] < 2 else (
        f"{wanted} seeds per arm" if pd.notna(wanted) else "more items: seeds alone would not")
    return "\n".join([
        f"{endpoint} ({LABELS[endpoint]}) in profile {profile}: a difference between two runs of one seed varies by "
        f"{study.run_sd:.4f}, items add {study.item_error:.4f}.", *lines, f"To decide {effect:g}: {answer}.",
        _about_tokens(effect, study, along),
    ])


def _recorded(profile: str, name: str) -> pd.DataFrame:
    path = Workspace(profile).results / "training" / f"{name}.csv"
    if not path.exists():
        raise HareError(f"{path} is missing.", f"run `hare reproduce --profile {profile} --only 05` first")
    return recorded_table(path)


def _about_tokens(effect: float, study: pd.Series, along: pd.DataFrame) -> str:
    """What more tokens per run, at as many seeds, would do."""
    decline = Decline.of(along)
    if math.isnan(decline.exponent):
        return "What more tokens would do cannot be told from one arm, one seed or one validation."
    first, last = along["tokens"].min(), along["tokens"].max()
    seen = (f"From {first:,} to {last:,} tokens the spread between runs on held-out text goes as tokens to the power "
            f"of {-decline.exponent:+.2f} ± {decline.error:.2f}")
    tokens = tokens_for(effect, study, last, decline)
    if tokens is None:
        return f"{seen}: more tokens per run are not shown to decide it."
    return f"{seen}: with {study.seeds} seeds, {tokens:,.0f} tokens per run would."

"""Whether a difference between two arms keeps its sign as models and runs grow: a grid of both, and a law through it.

L = E + a·N^-α + b·T^-β for each arm (Hoffmann et al. 2022, approach 3), with α and β shared by the arms, since three
sizes and four lengths do not tell the exponents of two arms apart. N counts the weights of the layers' matrices,
without embedding and head (Kaplan et al. 2020): those two stand for a vocabulary that stays as it is, and would be half
of the smallest model of profile `scaling` and a third of the widest. T counts the tokens read.

Two arms of one seed share what that seed brings, so the law is fitted to their mean and to their difference, each in
units of its own spread over seeds: least squares on bits per byte, since runs of all cells vary by about as much. Given
α and β the law is linear, so all pairs of a fixed set of exponents are tried (variable projection, Golub and Pereyra
1973): no start to choose, no local minimum. A bootstrap draws runs, paired by seed over arms: what a seed does in every
cell is drawn once for all cells, what it does in one cell for each cell; and items, once for all runs. So few seeds
estimate their spread poorly: intervals are stretched from the normal's width to Student's, as everywhere
(`hare.core.statistics`).

A difference may follow other exponents than the losses do, which the law above would hide. So the same law is also
fitted to the differences alone, at the price of a wider interval, and nothing is told unless both agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from hare.core.statistics import COVERAGE, holm
from hare.evaluation.endpoints import LABELS, PRIMARY
from hare.evaluation.transfer import endpoints_of, losses_of, told_by
from hare.model.sizes import layer_parameters
from hare.tokens.mixture import Mixture
from hare.training.ablation import bits
from hare.training.kept import KeptRuns
from hare.training.study import Grid

TIMES = 10  # the largest cell's parameters and tokens: where the law is asked
FEWEST_SIZES, FEWEST_LENGTHS, FEWEST_SEEDS = 3, 4, 3  # an exponent takes three lengths, and the check one more
MEASURED, EXTRAPOLATED, PREDICTED, ALONE = "measured", "extrapolated", "predicted", "alone"
_NO_MEAN = np.array([np.inf, 1.0])  # a spread with which the law is fitted to the differences alone
CANNOT_TELL = "cannot tell"
_EXPONENTS = np.geomspace(0.05, 2.0, 40)
_CELL = ["hidden_size", "parameters", "tokens"]
_ENDS = (0.5 - COVERAGE / 2, 0.5 + COVERAGE / 2)


def grid_rows(grid: Grid, kept: KeptRuns) -> pd.DataFrame:
    """Every run of the grid on every item: the rows of `read_arms` with hidden_size, parameters (of the layers'
    matrices), tokens, and readings (how often the run reads the part that it reads most often)."""
    frames = []
    for (hidden_size, _), runs in grid.items():
        some = next(iter(runs.values())).run
        readings = {key: max(Mixture(run.run.mixture).epochs().values()) for key, run in runs.items()}
        rows = kept.rows(runs)
        frames.append(rows.assign(
            hidden_size=hidden_size, parameters=some.model.layers * layer_parameters(some.model), tokens=some.tokens,
            readings=list(map(readings.__getitem__, zip(rows["arm"], rows["seed"], strict=True))),
        ))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["endpoint", "arm", *_CELL])


def cell_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Every run: arm, hidden_size, parameters, tokens, seed, readings, endpoint, bits_per_byte (mean over groups)."""
    run = ["arm", *_CELL, "seed", "readings", "endpoint"]
    return bits(rows, [*run, "group"]).groupby(run, sort=False)["bits_per_byte"].mean().reset_index()


@dataclass(frozen=True)
class Cells:
    """What two arms lose on one endpoint in every cell: their mean, and the second's difference from the first.

    ``sizes``: float64[cells, 2], parameters and tokens; ``losses``: float64[2, cells, seeds], mean and difference, bits
    per byte; ``drawn``: float64[draws, 2, cells], means over seeds with items and runs drawn anew.
    """

    sizes: np.ndarray
    losses: np.ndarray
    drawn: np.ndarray

    @classmethod
    def of(cls, rows: pd.DataFrame, endpoint: str, arms: list[str]) -> "Cells":
        """Of a grid's rows; every cell has the same seeds."""
        sizes, losses = zip(*(
            (size, losses_of(part, endpoint, arms)) for size, part in rows.groupby(["parameters", "tokens"])
        ), strict=True)
        both = np.array([[0.5, 0.5], [-1.0, 1.0]])  # arms to mean and difference
        drawn = np.einsum("xa,racs->rxcs", both, np.stack([one.drawn for one in losses], axis=2))
        means = np.einsum("xa,acs->xcs", both, np.stack([one.seed_means for one in losses], axis=1))
        return cls(np.array(sizes, float), means, _runs_drawn(drawn))

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation over seeds of mean and difference, float64[2]; 1 for both where one does not vary."""
        spread = np.sqrt(self.losses.var(axis=2, ddof=1).mean(axis=1))
        return spread if spread.min() > 0 else np.ones(2)

    def where(self, chosen: np.ndarray) -> "Cells":
        """The cells for which ``chosen``, bool[cells], is true."""
        return Cells(self.sizes[chosen], self.losses[:, chosen], self.drawn[:, :, chosen])


def _runs_drawn(by_seed: np.ndarray) -> np.ndarray:
    """Means over drawn seeds, float64[draws, 2, cells], of float64[draws, 2, cells, seeds]; one seed fewer than there
    are is drawn each time, which keeps the variance unbiased (Rao and Wu 1988)."""
    draws, _, cells, seeds = by_seed.shape
    rng, even = np.random.default_rng(0), np.full(seeds, 1 / seeds)
    shared = by_seed.mean(axis=2, keepdims=True)  # what a seed does in every cell
    once, each = (rng.multinomial(seeds - 1, even, size=size) / (seeds - 1) for size in (draws, (draws, cells)))
    return np.einsum("rxcs,rs->rxc", shared, once) + np.einsum("rxcs,rcs->rxc", by_seed - shared, each)


@dataclass(frozen=True)
class Law:
    """One law for each draw: ``exponents`` float64[draws, 2], α and β; ``terms`` float64[draws, 2, 3], of mean and
    difference: E and, at the size ``unit`` (parameters, tokens), a·N^-α and b·T^-β, bits per byte."""

    exponents: np.ndarray
    terms: np.ndarray
    unit: np.ndarray

    def difference(self, size: np.ndarray) -> np.ndarray:
        """The second arm's loss minus the first's at float64[2], parameters and tokens: float64[draws]."""
        return (self.terms[:, 1] * _design(size / self.unit, self.exponents)).sum(axis=1)

    def weights(self, sizes: np.ndarray, size: np.ndarray) -> np.ndarray:
        """How much each cell of float64[cells, 2] counts in the first draw's difference at float64[2]:
        float64[cells]."""
        exponents = self.exponents[:1]
        return _design(size / self.unit, exponents)[0] @ np.linalg.pinv(_design(sizes / self.unit, exponents))


def _design(sizes: np.ndarray, exponents: np.ndarray) -> np.ndarray:
    """What the terms are multiplied with, at sizes in units of the law and exponents of which one broadcasts over the
    other: float64[rows, 3]."""
    powers = sizes ** -exponents
    return np.column_stack([np.ones(len(powers)), powers])


def fitted(sizes: np.ndarray, losses: np.ndarray, spread: np.ndarray) -> Law:
    """The law of least squares through float64[draws, 2, cells] at float64[cells, 2] for every draw; ``spread``:
    float64[2], of mean and difference."""
    unit, pairs = sizes.max(axis=0), np.array(list(product(_EXPONENTS, repeat=2)))
    designs = [_design(sizes / unit, pair) for pair in pairs]
    centred = (losses - losses.mean(axis=2, keepdims=True)) / spread[:, None]
    explained, best = np.full(len(losses), -np.inf), np.zeros(len(losses), dtype=int)
    for number, design in enumerate(designs):
        here = ((centred @ np.linalg.qr(design)[0]) ** 2).sum(axis=(1, 2))
        best[here > explained] = number
        explained = np.maximum(explained, here)
    terms = np.empty((len(losses), 2, 3))
    for number in np.unique(best):
        terms[best == number] = losses[best == number] @ np.linalg.pinv(designs[number]).T
    return Law(pairs[best], terms, unit)


def scaling_table(rows: pd.DataFrame) -> pd.DataFrame:
    """What a grid says of the second arm against the first, in bits per byte with 95 % intervals.

    Columns: contrast, endpoint, kind, hidden_size, parameters, tokens, difference, low, high, seeds, for measured rows
    p_holm (over the cells of the endpoint), and for all others alpha, beta, held, outcome. Kinds: *measured*, a row per
    cell; *predicted*, what the law through all but the longest runs says of the longest run of the widest model;
    *extrapolated*, what the law through all cells says at ten times the parameters and tokens of the largest; *alone*,
    what the law of the differences alone says there. ``held``: the prediction's interval holds what was measured. All
    but the first kind are left out where seeds, sizes or lengths are too few for a law.
    """
    arms, table = list(dict.fromkeys(rows["arm"])), []
    for endpoint in endpoints_of(rows):
        chosen = rows[rows["endpoint"] == endpoint]
        parts = _measured(chosen, endpoint, arms)
        if _has_a_law(chosen):
            parts += _by_the_law(Cells.of(chosen, endpoint, arms))
        table += [{"contrast": f"{arms[1]}-{arms[0]}", "endpoint": endpoint, **part,
                   "seeds": chosen["seed"].nunique()} for part in parts]
    columns = ["contrast", "endpoint", "kind", *_CELL, "difference", "low", "high", "seeds", "p_holm", "alpha", "beta",
               "held", "outcome"]
    return pd.DataFrame(table, columns=columns)


def _has_a_law(rows: pd.DataFrame) -> bool:
    counts = rows[["parameters", "tokens", "seed"]].nunique()
    return bool((counts.to_numpy() >= (FEWEST_SIZES, FEWEST_LENGTHS, FEWEST_SEEDS)).all())


def _measured(rows: pd.DataFrame, endpoint: str, arms: list[str]) -> list[dict[str, object]]:
    cells, losses = zip(*((cell, losses_of(part, endpoint, arms)) for cell, part in rows.groupby(_CELL)), strict=True)
    changes = [one.difference(1, 0) for one in losses]
    corrected = holm([told_by(change, one) for change, one in zip(changes, losses, strict=True)])
    return [
        {"kind": MEASURED, **dict(zip(_CELL, cell, strict=True)), "difference": change.value, "low": change.low,
         "high": change.high, "p_holm": p_holm}
        for cell, change, p_holm in zip(cells, changes, corrected, strict=True)
    ]


def _by_the_law(cells: Cells) -> list[dict[str, object]]:
    """The prediction that can fail, and the extrapolation by both laws."""
    longest = cells.sizes[:, 1] == cells.sizes[:, 1].max()
    largest = longest & (cells.sizes[:, 0] == cells.sizes[:, 0].max())
    (size,), (measured,) = cells.sizes[largest], cells.losses[1, largest].mean(axis=1)
    rest = cells.where(~longest)
    within, weights, drawn = _of_the_law(rest, size, rest.spread)
    off = largest.astype(float)
    off[~longest] = -weights
    drawn = cells.drawn[:, 1, largest][:, 0] - drawn
    low, high = _interval(measured - within["difference"], drawn, cells.losses[1], off)
    held = bool(low <= 0 <= high)
    rows, ends = [], []
    for kind, spread in ((EXTRAPOLATED, cells.spread), (ALONE, _NO_MEAN)):
        beyond, weights, drawn = _of_the_law(cells, TIMES * size, spread)
        ends.append(_interval(beyond["difference"], drawn, cells.losses[1], weights))
        rows.append({"kind": kind, **beyond, "low": ends[-1][0], "high": ends[-1][1], "held": held})
    return [
        {"kind": PREDICTED, **within, "low": measured - high, "high": measured - low, "held": held},
        *(row | {"outcome": outcome(ends, held)} for row in rows),
    ]


def _of_the_law(
    cells: Cells, size: np.ndarray, spread: np.ndarray
) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
    """What the law through the cells says at float64[2], float64[cells] by which each counts in it, and float64[draws]
    of it; ``spread``: float64[2], of mean and difference."""
    law = fitted(cells.sizes, cells.losses.mean(axis=2)[None], spread)
    (alpha, beta), (parameters, tokens), [difference] = law.exponents[0], size, law.difference(size)
    drawn = fitted(cells.sizes, cells.drawn, spread).difference(size)
    row = {"parameters": parameters, "tokens": tokens, "difference": difference, "alpha": alpha, "beta": beta}
    return row, law.weights(cells.sizes, size), drawn


def _interval(value: float, drawn: np.ndarray, by_seed: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """95 % interval of a sum over cells with ``weights``, float64[cells], from float64[draws] of it and from
    differences float64[cells, seeds], which give the degrees of freedom (Satterthwaite 1946)."""
    shared = by_seed.mean(axis=0)
    parts = np.append(weights**2 * (by_seed - shared).var(axis=1, ddof=1), weights.sum() ** 2 * shared.var(ddof=1))
    squares = float((parts**2).sum())
    degrees_of_freedom = (by_seed.shape[1] - 1) * float(parts.sum()) ** 2 / squares if squares > 0 else np.inf
    stretch = float(t.ppf(_ENDS[1], degrees_of_freedom) / norm.ppf(_ENDS[1]))
    low, high = np.quantile(drawn, _ENDS) - value
    return value + min(0.0, stretch * low), value + max(0.0, stretch * high)


def outcome(intervals: Sequence[tuple[float, float]], held: bool) -> str:
    """*better* or *worse* where all intervals lie on that side of zero and the check holds, else *cannot tell*."""
    if held and all(high < 0 for _, high in intervals):
        return "better"
    return "worse" if held and all(low > 0 for low, _ in intervals) else CANNOT_TELL


def sign_table(table: pd.DataFrame) -> pd.DataFrame:
    """The sign of every measured difference on the primary endpoint, hidden sizes by tokens: − or + where it survives
    Holm's correction over the cells, else (−) or (+)."""
    cells = table[(table["kind"] == MEASURED) & (table["endpoint"] == PRIMARY)]
    signs = cells["difference"].map(lambda value: "−" if value < 0 else "+")
    return cells.assign(sign=signs.where(cells["p_holm"] < 1 - COVERAGE, "(" + signs + ")")).pivot(
        index="hidden_size", columns="tokens", values="sign")


def verdicts(table: pd.DataFrame) -> list[str]:
    """One plain sentence per endpoint that has a law; the verdict is the primary endpoint's, the others describe."""
    if EXTRAPOLATED not in set(table["kind"]):
        return [f"No law: it takes {FEWEST_SIZES} sizes, {FEWEST_LENGTHS} lengths and {FEWEST_SEEDS} seeds."]
    sentences, laws = [], table[table["kind"] == EXTRAPOLATED].merge(table[table["kind"] == ALONE], on="endpoint")
    for row in laws.itertuples():
        arm, base = (name.upper() for name in row.contrast_x.split("-"))
        check = "" if row.held_x else "; the law does not predict the longest runs that were left out of it"
        rank = "" if row.endpoint == PRIMARY else "Descriptive: "
        sentences.append(
            f"{rank}{arm} against {base} on {LABELS[row.endpoint]} at {TIMES} times the largest parameters and tokens: "
            f"{row.outcome_x}, {row.difference_x:+.4f} bits per byte, 95 % interval {row.low_x:+.4f} to "
            f"{row.high_x:+.4f}, by the differences alone {row.low_y:+.4f} to {row.high_y:+.4f}{check}."
        )
    return sentences


def metrics(table: pd.DataFrame) -> dict[str, float]:
    """``scaling.<endpoint>.extrapolated``, ``.alone`` and ``.predicted`` with ``.low`` and ``.high``, ``.measured``
    (of the cell that was predicted), ``.alpha`` and ``.beta`` (of the law through all cells), ``.held`` (1 or 0)."""
    named: dict[str, float] = {}
    for row in table[table["kind"] != MEASURED].itertuples():
        key = f"scaling.{row.endpoint}"
        named |= {f"{key}.{row.kind}": row.difference, f"{key}.{row.kind}.low": row.low,
                  f"{key}.{row.kind}.high": row.high, f"{key}.held": float(row.held)}
        if row.kind == EXTRAPOLATED:
            named |= {f"{key}.alpha": row.alpha, f"{key}.beta": row.beta}
        if row.kind == PREDICTED:
            same = (table["endpoint"] == row.endpoint) & (table["kind"] == MEASURED)
            same &= (table["parameters"] == row.parameters) & (table["tokens"] == row.tokens)
            named[f"{key}.measured"] = float(table[same]["difference"].iloc[0])
    return named

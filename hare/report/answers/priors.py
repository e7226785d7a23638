"""What profile `priors` says of its arms, by the rules that were written down before its runs (PREREGISTRATION.md)."""

import re
from collections.abc import Iterator, Mapping
from itertools import combinations, pairwise

import pandas as pd

from hare.report.answers.expected import AS_EXPECTED, OTHERWISE, UNTOLD, all_of, between, by_side, by_sign
from hare.report.answers.numbers import number

_FORMS = ("pages", "rephrasings", "summaries")
_NAMES = {"p": "benchmark answers", "h1": "held-out text", "h3": "held-out tasks"}


def change(pair: str) -> str:
    """What the first arm of a contrast reads otherwise than A: "10 % pages", "without language"."""
    name, _, share = pair.partition("-")[0].rpartition("_")
    return f"{share} % {name}" if share.isdigit() else pair.partition("-")[0].replace("_", " ")


def of_topics(metrics: Mapping[str, float]) -> str:
    """What more topics at equal tokens change; '' where no arm reads few."""
    if "slope.n" not in metrics:
        return ""
    told = " and ".join(
        f"{where} by {number(metrics, f'slope.{endpoint}', '+.3f')}"
        + (", which is not seen to differ from zero," if metrics[f"slope.{endpoint}.low"] <= 0 <= (
            metrics[f"slope.{endpoint}.high"]) else "")
        for endpoint, where in (("h1", "held-out text"), ("n", "neutral text")))
    return (f" Each tripling of the topics that equally much text is drawn from moves {told.removesuffix(',')}; from "
            f"one topic to three its sources multiply too, so the two are not told apart there.")


def of_shares(metrics: Mapping[str, float]) -> str:
    """Where the gain of tasks stops: one share is told from the next only where their intervals against A do not
    overlap. '' where there are not two shares."""
    told = []
    for fewer, more in pairwise(_shares(metrics)):
        ends = [f"{_NAMES[endpoint]} {_step(metrics, f'tasks_{fewer}', f'tasks_{more}', endpoint)}"
                for endpoint in ("h3", "p")]
        told.append(f"from {fewer} to {more} % tasks, {' and '.join(ends)}")
    return f" {'; '.join(told)[0].upper()}{'; '.join(told)[1:]}." if told else ""


def of_forms(metrics: Mapping[str, float]) -> str:
    """Which of D2's forms does more than another, told as `of_shares` tells it; '' where they were not trained."""
    arms = [f"{form}_10" for form in _FORMS]
    if any(f"contrast.{arm}-a.p" not in metrics for arm in arms):
        return ""
    told = []
    for endpoint in ("p", "h1"):
        for one, other in combinations(arms, 2):
            side = _apart(metrics, one, other, endpoint)
            if side:
                first, second = (one, other) if side < 0 else (other, one)
                told.append(f"{_form(first)} do better than {_form(second)} on {_NAMES[endpoint]}")
    return f" Of D2's forms at a tenth of the tokens {'; '.join(told) or 'none is told from another'}."


def expectations(metrics: Mapping[str, float], contrasts: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Each expectation of the registration, in its order, and whether it came out; nothing where arms are missing.

    ``contrasts`` are those of notebook 05, of which the columns contrast, endpoint, equivalence_low, equivalence_high
    and margin are read.
    """
    read = {f"{arm}-a" for arm in ("without_every_block", *(f"{form}_10" for form in _FORMS))}
    there = contrasts.groupby("endpoint")["contrast"].agg(set)
    if not {"slope.n", "slope.h1"} <= set(metrics) or not {"p", "h1", "h2", "h3"} <= set(there.index) or (
            not all(read <= pairs for pairs in there)):
        return
    on_p = contrasts[contrasts["endpoint"] == "p"].set_index("contrast")
    blocks = [pair for pair in on_p.index if pair.startswith("without_") and pair != "without_every_block-a"]
    shares = _shares(metrics)
    if not blocks or not shares:
        return
    yield "no single block moves P by the margin", _within_margin(on_p.loc[blocks])
    yield "leaving out every block makes H1 worse", by_sign(metrics, "contrast.without_every_block-a.h1", 1)
    yield f"tasks improve H3 at {shares[0]} % already", by_sign(metrics, f"contrast.tasks_{shares[0]}-a.h3", -1)
    yield "tasks make H1 worse, the more of them the more", all_of(
        by_sign(metrics, f"contrast.tasks_{shares[0]}-a.h1", 1),
        *(by_side(-_apart(metrics, f"tasks_{fewer}", f"tasks_{more}", "h1"), 1) for fewer, more in pairwise(shares)),
    )
    others = [pair.removesuffix("-a") for pair in on_p.index if not pair.startswith("pages_")]
    yield "10 % pages improve H2, and more than every arm without pages", all_of(
        by_sign(metrics, "contrast.pages_10-a.h2", -1),
        *(by_side(_apart(metrics, "pages_10", other, "h2"), -1) for other in others))
    yield "pages move P by less than the margin", _within_margin(on_p[on_p.index.str.startswith("pages_")])
    yield "rephrasings and summaries move P by less than the margin", _within_margin(
        on_p.loc[["rephrasings_10-a", "summaries_10-a"]])
    yield "more topics lower H1", by_sign(metrics, "slope.h1", -1)
    yield "more topics lower N", by_sign(metrics, "slope.n", -1)
    yield "they lower H1 more than N", all_of(
        by_sign(metrics, "slope.h1", -1), by_side(between(metrics, "slope.h1", "slope.n"), -1))


def _shares(metrics: Mapping[str, float]) -> list[int]:
    """Shares of tasks in per cent, from the lowest."""
    return sorted(int(match[1]) for name in metrics if (match := re.fullmatch(r"contrast\.tasks_(\d+)-a\.p", name)))


def _form(arm: str) -> str:
    return arm.partition("_")[0]


def _step(metrics: Mapping[str, float], fewer: str, more: str, endpoint: str) -> str:
    return {-1: "lose", 0: "are not told apart", 1: "gain"}[_apart(metrics, fewer, more, endpoint)]


def _apart(metrics: Mapping[str, float], one: str, other: str, endpoint: str) -> int:
    return between(metrics, f"contrast.{one}-a.{endpoint}", f"contrast.{other}-a.{endpoint}")


def _within_margin(rows: pd.DataFrame) -> str:
    """Whether one-sided tests at 5 % put every difference within the margin; one that they put beyond it is enough to
    say no."""
    within = (rows["equivalence_low"] > -rows["margin"]) & (rows["equivalence_high"] < rows["margin"])
    beyond = (rows["equivalence_low"] > rows["margin"]) | (rows["equivalence_high"] < -rows["margin"])
    return OTHERWISE if beyond.any() else AS_EXPECTED if within.all() else UNTOLD

"""`hare bench faults`: a finished smoke run is damaged and killed in every way, and what became of it is counted.

survived: made again, or not needed; named: one message that says what to do, and that helps; silent: used without a
word; traceback: an error that nobody wrote for a reader; dead_end: advice that does not help; lost: other results, or
something left behind. The goal is 0 of the last four. Everything happens in folders of its own, and a campaign that
was stopped goes on where it stopped.
"""

import os
from collections import Counter

import pandas as pd

from hare.bench import groups
from hare.bench.fault.checking import cost_of_checking
from hare.bench.fault.files import ROUNDS, noticed, of_the_cache, single, together
from hare.bench.fault.ground import Fault, Ground, ground
from hare.bench.fault.kills import killed
from hare.bench.fault.readers import of_no_step, pictures
from hare.bench.fault.values import outcome_of, wrong_values
from hare.core.files import written_whole
from hare.core.paths import Workspace
from hare.core.profile import Profile
from hare.core.progress import track
from hare.driver.reproduce import reproduce
from hare.driver.state import accept_drawn
from hare.driver.status import status
from hare.report.build import build

OUTCOMES = ("survived", "named", "silent", "traceback", "dead_end", "lost")
_KILLS = 8


def bench(profile: Profile) -> dict[str, float]:
    """``faults.total``, the count of each outcome, and what checking costs; every fault stands in
    ``results/<profile>/bench/faults.csv``."""
    with ground() as prepared:
        faults = _values(prepared) + _files(prepared) + _kills(prepared)
        cost = cost_of_checking(prepared.profile, prepared.chain)
    cost |= cost_of_checking(profile, prepared.chain)
    with written_whole(Workspace(profile.name).results / "bench" / "faults.csv") as temporary:
        table = pd.DataFrame([fault.row() for fault in faults])
        here = f"{Workspace(profile.name).work.parent}{os.sep}"  # where this machine works is no part of the record
        table["message"] = table["message"].str.replace(here, "", regex=False)
        table.to_csv(temporary, index=False, lineterminator="\n")
    return counts(faults) | cost


def _values(prepared: Ground) -> list[Fault]:
    return prepared.once("values", lambda: [
        Fault(f"{section}.{field} = {value!r}", outcome_of(prepared.profile, section, field, value))
        for section, field, value in track(list(wrong_values(prepared.profile)), "values beyond bounds", "faults")
    ])


def _files(prepared: Ground) -> list[Fault]:
    faults = prepared.once("files alone", lambda: noticed(prepared)) + prepared.once("cache", of_the_cache)
    faults += prepared.once("pictures", lambda: pictures(prepared, lambda: _draw(prepared)))
    faults += prepared.once("of no step", lambda: of_no_step(prepared, lambda: _read(prepared)))
    for step in track(prepared.chain, "all files of a step", "steps"):
        faults += prepared.once(f"together {step.stage}", lambda step=step: together(prepared, step))
    rounds = [(step, number) for number in range(ROUNDS) for step in prepared.chain]
    for step, number in track(rounds, "a file of each unit", "reruns"):
        faults += prepared.once(
            f"single {step.stage} {number}", lambda step=step, number=number: single(prepared, step, number)
        )
    return faults


def _draw(prepared: Ground) -> None:
    """As `hare figures` does it."""
    build(prepared.profile)
    accept_drawn(prepared.workspace, prepared.chain)


def _read(prepared: Ground) -> None:
    """All commands that read what belongs to no step."""
    status(prepared.profile, prepared.chain)
    reproduce(prepared.profile, chain=prepared.chain)
    groups.bench(prepared.profile, ["stages"])
    _draw(prepared)


def _kills(prepared: Ground) -> list[Fault]:
    return [
        fault for number in track(range(_KILLS), "kills", "kills")
        for fault in prepared.once(f"kill {number}", lambda number=number: [killed(prepared, number)])
    ]


def counts(faults: list[Fault]) -> dict[str, float]:
    """How many faults there were, and how many of each outcome."""
    by_outcome = Counter(fault.outcome for fault in faults)
    return {"faults.total": len(faults), **{f"faults.{outcome}": by_outcome[outcome] for outcome in OUTCOMES}}

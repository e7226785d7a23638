"""`hare verify`: a rerun's recorded results compared with the record, metric by metric; reads files alone.

Three outcomes for a metric that both sides hold: *identical*; *within*, when it is inside the interval of the record
or, where there is none or one without width, within `TOLERANCE` of it, a p-value when it falls on the same side of 5 %;
*differs*. Speed, memory and time are no claims, nor is what rounding leaves between two ways to compute the same, whose
bounds the notebooks assert: these are not compared.
"""

import csv
import json
import re
import subprocess
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hare.core.errors import HareError
from hare.core.files import write_json, written_whole
from hare.core.manifest import METRICS
from hare.core.paths import REPOSITORY, Workspace
from hare.core.profile import Profile
from hare.core.provenance import git_commit, of_run, sealed, unsealed
from hare.core.statistics import wilson_interval

TOLERANCE = 0.01  # relative, for a metric without an interval
_SIGNIFICANT = 0.05  # a p-value below
IDENTICAL, WITHIN, DIFFERS, MISSING, NEW = "identical", "within", "differs", "missing", "new"
_BOUNDS = (".low", ".high")
_COST = re.compile(r"seconds|_ms\b|_per_s\b|_per_s_|rss_mb|speedup|joules|_vs_|days|euro|max_(logit|loss)_difference")
_CONTRAST = re.compile(r"contrast\.(?P<contrast>[^.]+)\.(?P<endpoint>[^.]+)")
_OUTCOMES = "training/contrasts.csv"  # in the results of a profile
_NO_STAGES = {"bench", "verification"}  # records that are no stage's


@dataclass(frozen=True)
class Comparison:
    """One metric of the record beside the same metric of the rerun."""

    stage: str
    name: str
    recorded: float | None
    rerun: float | None
    outcome: str


@dataclass(frozen=True)
class Verification:
    """All comparisons, one line per verdict, and what differs in the provenance of the two sides."""

    comparisons: list[Comparison]
    verdicts: list[str]
    explanations: list[str] = field(default_factory=list)
    one_sided: list[str] = field(default_factory=list)  # stages that only the record or only the rerun holds

    @property
    def metrics(self) -> dict[str, float]:
        """The outcome in numbers: metrics and verdicts compared, and how many had which outcome."""
        compared = [row for row in self.comparisons if row.outcome != NEW]
        identical, total = self.count(IDENTICAL), len(compared)
        low, high = wilson_interval(identical, total)
        outcomes = Counter((row.stage, row.outcome) for row in compared)
        return {f"{stage}.{outcome}": count for (stage, outcome), count in sorted(outcomes.items())} | {
            "compared": total, "identical": identical, "within": self.count(WITHIN), "differs": self.count(DIFFERS),
            "missing": self.count(MISSING), "identical_share": identical / max(total, 1), "identical_share.low": low,
            "identical_share.high": high, "verdicts": len(self.verdicts),
            "verdicts_changed": sum("CHANGED" in line for line in self.verdicts),
        }

    @property
    def agrees(self) -> bool:
        """Whether no metric differs, none is missing, and every contrast has the verdict of the record."""
        return not any(row.outcome in (DIFFERS, MISSING) for row in self.comparisons) and not any(
            "CHANGED" in line for line in self.verdicts
        )

    def count(self, outcome: str) -> int:
        """Number of metrics with ``outcome``."""
        return sum(row.outcome == outcome for row in self.comparisons)

    def lines(self) -> list[str]:
        """The verification as text: verdicts, counts per stage, metrics that differ, and possible reasons."""
        stages = dict.fromkeys(row.stage for row in self.comparisons)
        outcomes = (IDENTICAL, WITHIN, DIFFERS, MISSING, NEW)
        lines = ["verdicts of the contrasts", *(f"  {line}" for line in self.verdicts or ["none recorded"])]
        lines += ["", f"{'metrics':<18}" + "".join(f"{outcome:>11}" for outcome in outcomes)]
        for stage in stages:
            rows = [row.outcome for row in self.comparisons if row.stage == stage]
            lines.append(f"  {stage:<16}" + "".join(f"{rows.count(outcome):>11}" for outcome in outcomes))
        lines.append(f"  {'all':<16}" + "".join(f"{self.count(outcome):>11}" for outcome in outcomes))
        if self.one_sided:
            lines += ["", f"not compared, since one side alone holds it: {', '.join(self.one_sided)}"]
        wrong = [row for row in self.comparisons if row.outcome in (DIFFERS, MISSING)]
        if wrong:
            lines += ["", "what differs (record, rerun)"]
            lines += [f"  {row.stage}: {row.name}  {_text(row.recorded)}  {_text(row.rerun)}" for row in wrong]
        if self.explanations:
            lines += ["", "what could explain a difference", *(f"  {line}" for line in self.explanations)]
        return lines


def verify(profile: Profile, against: Path | None = None) -> Verification:
    """Compare the results of ``profile`` in this clone with the record.

    The record is the folder ``against`` (``results/<profile>`` of another clone), else what the checked-out commit
    holds.

    Raises:
        HareError: one of the two sides has no recorded stage, or a file that is not a record.
    """
    rerun = _records_in(Workspace(profile.name).results)
    if not rerun:
        raise HareError(
            f"{Workspace(profile.name).results} holds no recorded stage.",
            f"run `hare reproduce {profile.option}` first",
        )
    record = _records_in(against) if against else _committed(profile.name)
    if not record:
        raise HareError(
            f"There is no record of profile {profile.name} to compare with"
            + (f" in {against}." if against else " in the checked-out commit."),
            "name a folder of results: hare verify --against DIR",
        )
    stages = sorted(record.keys() & rerun.keys() - _NO_STAGES)
    comparisons = [row for stage in stages for row in _compare(stage, record[stage], rerun[stage])]
    one_sided = sorted((set(record) ^ set(rerun)) - _NO_STAGES)
    return Verification(comparisons, _verdicts(record, rerun), _explanations(record, rerun), one_sided)


def keep(verification: Verification, profile: Profile, against: Path | None = None) -> Path:
    """Write a verification to ``results/<profile>/verification``: its numbers, and the outcome of every metric as
    CSV. ``against`` as `verify` was given it; what is kept does not name the folder, which is this machine's."""
    folder = Workspace(profile.name).results / "verification"
    rows = [asdict(row) for row in verification.comparisons]
    with written_whole(folder / "outcomes.csv") as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, Comparison.__dataclass_fields__, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    metrics = verification.metrics
    record = " --against DIR" if against else ""
    origin = {"command": f"hare verify {profile.option}{record} --record", "git_commit": git_commit(),
              "differences": verification.explanations}
    write_json(folder / METRICS, sealed({"metrics": metrics, "provenance": of_run(origin, {}, [], 0.0)}))
    return folder / METRICS


def _records_in(folder: Path) -> dict[str, dict[str, Any]]:
    """Parsed ``metrics.json`` by stage; that of training with ``outcomes``, by the name of a contrast."""
    records = {
        file.parent.name: _parsed(file.read_bytes(), str(file)) for file in sorted(folder.glob(f"*/{METRICS}"))
    }
    table = folder / _OUTCOMES
    return _with_outcomes(records, table.read_bytes() if table.is_file() else b"")


def _committed(profile: str) -> dict[str, dict[str, Any]]:
    """The same from the checked-out commit, so that a rerun in this clone can be compared with it."""
    listed = _git("ls-tree", "-r", "-z", "--name-only", "HEAD", f"results/{profile}").decode().split("\0")
    paths = [Path(name) for name in listed if name.count("/") == 3 and name.endswith(f"/{METRICS}")]
    records = {path.parent.name: _parsed(_git("show", f"HEAD:{path.as_posix()}"), f"HEAD:{path}") for path in paths}
    table = f"results/{profile}/{_OUTCOMES}"
    return _with_outcomes(records, _git("show", f"HEAD:{table}") if table in listed else b"")


def _with_outcomes(records: dict[str, dict[str, Any]], table: bytes) -> dict[str, dict[str, Any]]:
    rows = csv.DictReader(table.decode("utf-8", errors="replace").splitlines())
    if "training" in records:
        records["training"]["outcomes"] = {
            f"contrast.{row['contrast']}.{row['endpoint']}": row["outcome"] for row in rows
            if {"contrast", "endpoint", "outcome"} <= set(row)
        }
    return records


def _git(*arguments: str) -> bytes:
    try:
        return subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise HareError(
            "The record cannot be read from git: this is not a clone, or git is not installed.",
            "name a folder of results: hare verify --against DIR",
        ) from error


def _parsed(content: bytes, name: str) -> dict[str, Any]:
    try:
        record = unsealed(json.loads(content)) or {}
    except (ValueError, RecursionError):
        record = {}
    if not all(isinstance(record.get(part), dict) for part in ("metrics", "provenance")):
        raise HareError(
            f"{name} is not the record of a stage, or was changed since.",
            "restore it (git checkout) or run its notebook again",
        )
    return record


def _compare(stage: str, record: dict[str, Any], rerun: dict[str, Any]) -> list[Comparison]:
    recorded, measured = record["metrics"], rerun["metrics"]
    names = [name for name in sorted(recorded | measured) if not name.endswith(_BOUNDS) and not _COST.search(name)]
    return [
        Comparison(stage, name, recorded.get(name), measured.get(name), _outcome(name, recorded, measured))
        for name in names
    ]


def _outcome(name: str, recorded: dict[str, float], measured: dict[str, float]) -> str:
    if name not in measured:
        return MISSING
    if name not in recorded:
        return NEW
    value, rerun = recorded[name], measured[name]
    if value == rerun:
        return IDENTICAL
    if name.startswith("p."):
        return WITHIN if (value < _SIGNIFICANT) == (rerun < _SIGNIFICANT) else DIFFERS
    margin = TOLERANCE * abs(value)
    low, high = recorded.get(f"{name}.low", value), recorded.get(f"{name}.high", value)
    if low == high:  # of a single item or run there is no interval
        low, high = value - margin, value + margin
    return WITHIN if low <= rerun <= high else DIFFERS


def _verdicts(record: dict[str, Any], rerun: dict[str, Any]) -> list[str]:
    """One line per contrast: its outcome in the record, and in the rerun where that differs."""
    none: dict[str, Any] = {"metrics": {}, "outcomes": {}}
    before_it, after_it = record.get("training", none), rerun.get("training", none)
    lines = []
    for name in sorted(before_it["metrics"]):
        if _CONTRAST.fullmatch(name) and f"{name}.low" in before_it["metrics"]:
            registered = name in before_it["outcomes"] and name in after_it["outcomes"]
            before, after = (_told(name, side, registered) for side in (before_it, after_it))
            lines.append(f"{name}: {before}" + ("" if before == after else f" → {after}  CHANGED"))
    return lines


def _told(name: str, side: dict[str, Any], registered: bool) -> str:
    """The registered outcome, which corrects for several contrasts, where both sides have it; else by the interval."""
    metrics = side["metrics"]
    if f"{name}.low" not in metrics:
        return "not measured"
    if registered:
        return side["outcomes"][name]
    low, high = metrics[f"{name}.low"], metrics[f"{name}.high"]
    return "better" if high < 0 else "worse" if low > 0 else "undecided"


def _explanations(record: dict[str, Any], rerun: dict[str, Any]) -> list[str]:
    """Differences in provenance that could explain a different number, each once, with the stages that it concerns."""
    stages: dict[str, list[str]] = {}
    for stage in sorted(record.keys() & rerun.keys() - _NO_STAGES):
        before, after = record[stage]["provenance"], rerun[stage]["provenance"]
        for line in _provenance_differences(before, after):
            stages.setdefault(line, []).append(stage)
    return [f"{line} ({', '.join(names)})" for line, names in stages.items()]


def _provenance_differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    lines = []
    for part, label in (("processor", "another processor"), ("instruction_set", "other instructions of the processor"),
                        ("gpus", "another accelerator")):
        old, new = (side.get("hardware", {}).get(part) for side in (before, after))
        if old != new and (part != "instruction_set" or None not in (old, new)):  # older records lack it
            lines.append(f"{label}: {old} → {new}")
    if before.get("git_commit") != after.get("git_commit"):
        lines.append(f"other code: {str(before.get('git_commit'))[:12]} → {str(after.get('git_commit'))[:12]}")
    if before.get("config_sha256") != after.get("config_sha256"):
        lines.append("other parameters")
    old, new = before.get("packages", {}), after.get("packages", {})
    names = [name for name in sorted(old | new) if old.get(name) != new.get(name)]
    changed = [f"{name} {old.get(name)} → {new.get(name)}" for name in names]
    return lines + ([f"other versions: {', '.join(changed)}"] if changed else [])


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"

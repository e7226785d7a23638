"""What a profile's stages recorded, read back without running anything."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from hare.core.paths import Workspace
from hare.core.reading import read_record, recorded_table

STAGES = (
    "corpus", "synthesis", "decontamination", "tokens", "training", "evaluation", "leakage", "finetuning", "deployment",
    "bench",
)


@dataclass(frozen=True)
class Measured:
    """One recorded number, its 95 % interval where there is one, and where it stands."""

    value: float
    low: float | None
    high: float | None
    where: str


class Recorded:
    """The recorded results of one profile."""

    def __init__(self, profile: str):
        self.profile = profile
        self.folder = Workspace(profile).results

    @cached_property
    def _stages(self) -> dict[str, dict[str, Any]]:
        files = {stage: self.folder / stage / "metrics.json" for stage in (*STAGES, "study")}
        return {stage: read_record(file) for stage, file in files.items() if file.exists()}

    @property
    def missing(self) -> list[str]:
        """Stages that have recorded nothing."""
        return [stage for stage in STAGES if stage not in self._stages]

    def metrics(self, stage: str) -> dict[str, float]:
        """All metrics of a stage by name; none when it has not run."""
        return self._stages.get(stage, {}).get("metrics", {})

    def provenance(self, stage: str) -> dict[str, Any]:
        """How a stage's metrics came about; empty when it has not run."""
        return self._stages.get(stage, {}).get("provenance", {})

    def measured(self, stage: str, name: str) -> Measured | None:
        """One metric with its interval, or None when it was not recorded."""
        return self._certain(stage, name) if name in self.metrics(stage) else None

    def matching(self, stage: str, pattern: str) -> list[tuple[re.Match[str], Measured]]:
        """All metrics of a stage whose whole name matches a regular expression, with the match."""
        matches = (re.fullmatch(pattern, name) for name in self.metrics(stage))
        return [(match, self._certain(stage, match.string)) for match in matches if match]

    def _certain(self, stage: str, name: str) -> Measured:
        metrics = self.metrics(stage)
        return Measured(metrics[name], metrics.get(f"{name}.low"), metrics.get(f"{name}.high"), f"{stage}: {name}")

    def table(self, stage: str, name: str) -> pd.DataFrame | None:
        """``results/<profile>/<stage>/<name>.csv``, or None when it was not written."""
        path = self.folder / stage / f"{name}.csv"
        return recorded_table(path) if path.exists() else None

"""`hare bench`: how fast the parts are, measured apart from the chain; recorded in ``results/<profile>/bench``."""

import importlib
import time

from hare.core.errors import HareError
from hare.core.paths import Workspace
from hare.core.profile import Profile
from hare.core.provenance import peak_rss_mb
from hare.core.reading import recorded_table
from hare.driver.cost import STAGES_CSV, record_bench
from hare.driver.watch import spelled

# Each module offers bench(profile) -> metrics, whose names end in their unit.
MODULES = {
    "corpus": "hare.bench.corpus",
    "decontamination": "hare.bench.decontamination",
    "synthesis": "hare.bench.synthesis",
    "training": "hare.bench.training",
    "gpu": "hare.bench.gpu",
    "vocabulary": "hare.bench.vocabulary",
    "evaluation": "hare.bench.evaluation",
    "peer": "hare.bench.peer",
    "leakage": "hare.bench.leakage",
    "finetuning": "hare.bench.finetuning",
    "deployment": "hare.bench.deployment",
    "faults": "hare.bench.faults",
}
STAGES, GPU = "stages", "gpu"
GROUPS = (*MODULES, STAGES)


def bench(profile: Profile, groups: list[str]) -> dict[str, float]:
    """Measure ``groups`` (unless named, all but the GPU's), record each as soon as it is measured, and print it.

    A group that cannot be measured keeps no other from being measured.

    Raises:
        HareError: a group is unknown, or has nothing to measure with; all of them are listed.
    """
    unknown = sorted(set(groups) - set(GROUPS))
    if unknown:
        raise HareError(f"There is no benchmark named {', '.join(unknown)}.", f"choose among {', '.join(GROUPS)}")
    metrics: dict[str, float] = {}
    failed: list[HareError] = []
    for group in groups or [name for name in GROUPS if name != GPU]:
        try:
            metrics |= _measure(profile, group)
        except HareError as error:
            failed.append(HareError(f"{group}: {error.problem}", error.fix))
    if failed:
        raise HareError("\n".join(error.problem for error in failed), "; ".join(error.fix for error in failed))
    return metrics


def _measure(profile: Profile, group: str) -> dict[str, float]:
    if group == STAGES:
        return _stages(profile)
    print(f"{group} …", flush=True)
    started = time.monotonic()
    metrics = importlib.import_module(MODULES[group]).bench(profile)
    seconds = time.monotonic() - started
    record_bench(profile, f"bench {group}", metrics, seconds, peak_rss_mb())
    _print_table(metrics)
    return metrics


def _stages(profile: Profile) -> dict[str, float]:
    """Seconds a stage, as the driver recorded them at the end of the last whole run."""
    path = Workspace(profile.name).results / "bench" / STAGES_CSV
    if not path.exists():
        raise HareError(
            f"{path} is missing: profile {profile.name} has not been run to its end.",
            f"run `hare reproduce {profile.option}` first",
        )
    rows = recorded_table(path).to_dict("records")
    print("stages, as the last whole run recorded them")
    for row in rows:
        print(f"  {row['notebook']:<40} {spelled(row['wall_seconds']):>14} {row['peak_rss_mb'] / 1000:8.2f} GB")
    return {f"stage_wall_seconds.{row['stage']}": row["wall_seconds"] for row in rows}


def _print_table(metrics: dict[str, float]) -> None:
    for name, value in metrics.items():
        print(f"  {name:<48} {value:>14,.4g}")

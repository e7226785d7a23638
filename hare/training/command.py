"""What `hare train` does; each function returns what is to be printed."""

from pathlib import Path

from hare.core.files import write_json, write_text
from hare.core.manifest import read_manifest, verified
from hare.core.paths import Workspace
from hare.core.profile import Profile
from hare.training.cluster import growth, scale_out, simulate
from hare.training.inputs import Inputs
from hare.training.launch import prepare, train_all
from hare.training.preflight import refuse_used_port
from hare.training.run import TrainingRun
from hare.training.study import study_runs

RUNS = "runs.json"


def dry_run(profile: Profile) -> str:
    """The files of a run on several machines, written under the profile's work folder, with all that was checked."""
    folder = Workspace(profile.name).work / "scale_out"
    plan = scale_out.plan(profile, folder)
    for name, text in plan.files.items():
        write_text(folder / name, text)
    return f"{plan}\n\n{growth.described(profile)}\n\nThe files lie in {folder}."


def simulated(profile: Profile) -> str:
    """Every rank of the layout, built and checked."""
    return simulate.described(profile, simulate.simulate(profile))


def planned(profile: Profile, port: int | None) -> str:
    """Write down the runs of the arms that the profile's own layout trains; returns the path of their list."""
    if port is not None:
        refuse_used_port(port)
    return str(write_list(planned_runs(profile), Workspace(profile.name).work / "training" / "planned" / RUNS))


def planned_runs(profile: Profile) -> list[TrainingRun]:
    """The runs that have as many processes as the profile's own layout, checked and written down in their folders."""
    runs = [run for run in _runs(profile) if run.processes == profile.training.processes]
    prepare(runs)
    return runs


def write_list(runs: list[TrainingRun], path: Path) -> Path:
    """Write down the folders of the runs, for worker processes; returns ``path``."""
    write_json(path, [str(run.folder) for run in runs])
    return path


def trained(profile: Profile) -> str:
    """Train, continue or export all runs of the profile; returns their folders."""
    return "\n".join(str(done.hf) for done in train_all(_runs(profile)))


def _runs(profile: Profile) -> list[TrainingRun]:
    work = Workspace(profile.name).work
    tokens: Path = work / "tokens"
    for name in read_manifest(Workspace(profile.name), "tokens") or {"index.json": ""}:
        verified(Workspace(profile.name), "tokens", name, profile.option)
    runs = study_runs(
        work / "training" / "runs", profile.model, profile.tokens, profile.training, Inputs.of(tokens)
    )
    return list(runs.values())

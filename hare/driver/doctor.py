"""`hare doctor`: whether this machine can run a profile, and what to do where it cannot."""

import importlib.metadata
import json
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import psutil
import requests

from hare.core import provenance
from hare.core.chain import CHAIN
from hare.core.errors import HareError
from hare.core.files import written_whole
from hare.core.paths import Workspace, cache_folder
from hare.core.profile import Profile
from hare.core.secrets import masked
from hare.data.archives import ARCHIVES
from hare.data.download import index_url
from hare.data.fetching import missing
from hare.driver.environment import LOCK, WHEELS, versions_of
from hare.driver.notebooks import parameters_for

GB_MEMORY_WANTED = 8.0
CORES_WANTED = 2
_GB_ARCHIVES = 1.5  # all archives together, and members taken out of them
_SOURCES = 24  # an upper bound, to estimate disk before any source has been read
_BYTES_PER_TOKEN = 4.1
_COPIES_OF_THE_TEXT = 6  # raw, cleaned, held out, decontaminated, tokenised, temporary
_BYTES_PER_PARAMETER = 16  # weights, gradients' master copy and two moments, fp32
_CPU_FLOPS = 5e10  # a laptop core or two, sustained
_DAY = 86_400
_SECONDS_WITHOUT_ANSWER = 10


@dataclass(frozen=True)
class Check:
    """One finding: ``message`` is what was seen, ``fix`` what to do about a fault."""

    name: str
    verdict: Literal["ok", "warn", "fail"]
    message: str
    fix: str = ""

    def line(self) -> str:
        """The finding as one line, with the fix below it unless all is well."""
        line = f"{self.verdict:<4}  {self.name:<10}  {self.message}"
        return masked(line if self.verdict == "ok" else f"{line}\n{'':18}Fix: {self.fix}")


def examine(profile: Profile, parameters: int) -> list[Check]:
    """All checks, in the order in which a run would meet the faults; ``parameters``: number of the model's weights."""
    workspace = Workspace(profile.name)
    return [
        _python(), _packages(), _notebooks(profile), _cores(), _memory(),
        _disk(workspace, disk_needed_gb(profile, parameters)), _folders(workspace),
        _gpu(gpus_needed(profile, parameters)), _archives(), _index(), _git(),
    ]


def tokens_per_run(profile: Profile) -> int:
    """Tokens that one arm with one seed is trained on."""
    training = profile.training
    return training.train_steps * training.global_batch * profile.tokens.sequence_length


def disk_needed_gb(profile: Profile, parameters: int) -> float:
    """Estimate of the disk space that a study needs, GB: every copy of the texts, and two checkpoints per training
    run."""
    text = min(profile.corpus.max_mb_per_source * 1e6 * _SOURCES, max(1e9, tokens_per_run(profile) * _BYTES_PER_TOKEN))
    runs = len(profile.training.arms) * len(profile.training.training_seeds)
    checkpoints = runs * 2 * parameters * _BYTES_PER_PARAMETER
    return (text * _COPIES_OF_THE_TEXT + checkpoints) / 1e9 + _GB_ARCHIVES


def gpus_needed(profile: Profile, parameters: int) -> int:
    """0 when a CPU trains all arms within a day (at 6 FLOPs per parameter and token), else one GPU per rank."""
    training = profile.training
    runs = len(training.arms) * len(training.training_seeds)
    seconds = 6 * parameters * tokens_per_run(profile) * runs / _CPU_FLOPS
    return training.processes if seconds > _DAY else 0


def _python() -> Check:
    version = sys.version.split()[0]
    machine = f"{sys.version_info[0]}.{sys.version_info[1]} {sys.platform} {platform.machine()}"
    missing = json.loads(WHEELS.read_text(encoding="utf-8"))["no wheel"].get(machine)
    if missing is None:
        return Check(
            "Python", "warn", f"{version}; no wheels were looked up for {machine}",
            "take a platform of hare/driver/wheels.json, or build what lacks a wheel from source",
        )
    if missing:
        return Check(
            "Python", "warn", f"{version}; no wheel for {machine}: {', '.join(missing)}",
            "what needs them will say so; build them from source, or take Linux x86_64",
        )
    return Check("Python", "ok", version)


def _packages() -> Check:
    if not LOCK.exists():
        return Check("packages", "warn", f"{LOCK.name} is missing", f"git checkout -- {LOCK.name}")
    wrong = []
    for name, wanted in versions_of(LOCK.read_text(encoding="utf-8")).items():
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            installed = "missing"
        if installed.split("+")[0] != wanted.split("+")[0]:
            wrong.append(f"{name} {installed} instead of {wanted}")
    if wrong:
        return Check("packages", "warn", "; ".join(wrong[:4]) + (" …" if len(wrong) > 4 else ""), "make setup")
    return Check("packages", "ok", "all as in requirements.lock")


def _notebooks(profile: Profile) -> Check:
    for step in CHAIN:
        try:
            parameters_for(step, profile)
        except HareError as error:
            return Check("notebooks", "fail", error.problem, error.fix)
    return Check("notebooks", "ok", f"{len(CHAIN)} notebooks take the profile's parameters")


def _cores() -> Check:
    cores = provenance.cores()
    if cores >= CORES_WANTED:
        return Check("cores", "ok", f"{cores}")
    return Check("cores", "warn", f"{cores}; stated times are for {CORES_WANTED}", "allow for about twice the time")


def _memory() -> Check:
    free = psutil.virtual_memory().available / 1e9
    message = f"{free:.1f} GB available, {GB_MEMORY_WANTED:.0f} GB wanted"
    if free >= GB_MEMORY_WANTED:
        return Check("memory", "ok", message)
    return Check("memory", "warn" if free > GB_MEMORY_WANTED / 2 else "fail", message, "close other programs")


def _disk(workspace: Workspace, wanted: float) -> Check:
    free = {path: shutil.disk_usage(_existing(path)).free / 1e9 for path in (workspace.work, cache_folder())}
    path, least = min(free.items(), key=lambda item: item[1])
    message = f"{least:,.0f} GB free for {path}, about {wanted:,.1f} GB wanted"
    if least >= wanted:
        return Check("disk", "ok", message)
    return Check("disk", "fail", message, "free some space, or point $HARE_WORK and $HARE_CACHE at a larger disk")


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def _folders(workspace: Workspace) -> Check:
    for folder in (workspace.results, workspace.work, cache_folder()):
        try:
            with written_whole(folder / ".writable"):
                pass
            (folder / ".writable").unlink()
        except HareError as error:
            return Check("folders", "fail", error.problem, error.fix)
    return Check("folders", "ok", "results, work and cache can be written")


def _gpu(needed: int) -> Check:
    gpus = _gpus() if needed or shutil.which("nvidia-smi") else []
    message = ", ".join(gpus) or "none"
    if len(gpus) >= needed:
        return Check("GPU", "ok", message if gpus else "none, and this profile needs none")
    return Check(
        "GPU", "fail", f"{message}; this profile trains on {needed}",
        "run it where there are that many (several machines: torchrun or Slurm), or take a smaller profile; with GPUs "
        "but a CPU build of torch: set TORCH_INDEX to the index of the CUDA build and `make setup`",
    )


def _gpus() -> list[str]:
    import torch

    return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]


def _archives() -> Check:
    lacking = [archive.filename for archive in missing()]
    message = f"{len(ARCHIVES) - len(lacking)} of {len(ARCHIVES)} are in the cache"
    if not lacking:
        return Check("archives", "ok", message)
    return Check(
        "archives", "warn", message, "nothing: `hare reproduce` fetches the others from the package index first"
    )


def _index() -> Check:
    address = urlsplit(index_url()).hostname
    package = next(iter(ARCHIVES))
    try:
        answer = requests.get(f"{index_url().rstrip('/')}/{package}/", timeout=_SECONDS_WITHOUT_ANSWER, stream=True)
        answer.close()
        answer.raise_for_status()
    except requests.RequestException as error:
        verdict = "fail" if missing() else "warn"
        fix = "connect to the network or set PIP_INDEX_URL to a mirror that you reach"
        fix += "" if missing() else "; not needed now, since every archive is in the cache"
        return Check("index", verdict, f"{address} cannot be reached ({type(error).__name__})", fix)
    return Check("index", "ok", f"{address} answers")


def _git() -> Check:
    if provenance.git_commit():
        return Check("git", "ok", provenance.git_commit()[:12])
    return Check("git", "warn", "no commit is known", "clone with git, so that results name the code they come from")

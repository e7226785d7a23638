"""The provenance of a result: code, configuration, inputs, packages, hardware and cost."""

import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from hare.core.paths import REPOSITORY

PACKAGES_NAMED = (
    "torch", "transformers", "datasets", "nanotron", "datatrove", "lm-eval", "papermill", "numpy", "pandas",
    "scikit-learn", "matplotlib", "seaborn", "tokenizers", "gguf",
)
COMMIT_FILE = "COMMIT"  # in the code of a bundle, which is outside git
DIGEST = "sha256"  # the key under which a JSON file carries the digest of all else in it
_BYTES_OF_MAXRSS = 1 if sys.platform == "darwin" else 1024  # the unit that the system counts it in


@cache
def git_commit() -> str:
    """Hash of the commit that is checked out, with ``+changes`` when the tree differs from it; '' outside git, unless a
    bundle was unpacked there, which names its own.

    Read once per process, since the loaded code stays that of this commit even if another is checked out later.
    """
    try:
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no", "--", "hare", "notebooks", "requirements.lock"],
            cwd=REPOSITORY, capture_output=True, text=True, check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        named = REPOSITORY / COMMIT_FILE
        return named.read_text(encoding="utf-8").strip() if named.is_file() else ""
    return f"{head}+changes" if changed else head


def packages() -> dict[str, str]:
    """Versions of the engines, of those that are installed: a compute node holds what its steps need."""
    installed = {name: list(importlib.metadata.distributions(name=name)) for name in PACKAGES_NAMED}
    return {name: distributions[0].version for name, distributions in installed.items() if distributions}


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def hardware() -> dict[str, Any]:
    """Processor, cores, memory, instruction set, accelerator; torch is used only when it is already loaded."""
    described: dict[str, Any] = {
        "processor": _processor_name(),
        "cores": cores(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        described["instruction_set"] = torch.backends.cpu.get_cpu_capability()  # ATEN_CPU_CAPABILITY may lower it
    if torch is not None and torch.cuda.is_available():
        described["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return described


def processor() -> str:
    """Name of the processor that computes: the GPU where there is one, else the CPU."""
    described = hardware()
    return described.get("gpus", [described["processor"]])[0]


def _processor_name() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def peak_rss_mb() -> float:
    """Largest resident set, in MB, of this process or of any child that has ended.

    The peak that getrusage reports includes that of the parent before exec; /proc, where it exists, does not.
    """
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * _BYTES_OF_MAXRSS
    return round(max(_peak_bytes(), children) / 1e6, 1)


def _peak_bytes() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _BYTES_OF_MAXRSS


def of_run(
    origin: Mapping[str, Any], inputs: Mapping[str, str], seeds: Sequence[int], wall_seconds: float,
    peak_mb: float | None = None,
) -> dict[str, Any]:
    """The provenance that is kept with every record: origin, inputs, seeds, packages, hardware and cost.

    ``origin`` names notebook or command, commit and configuration; ``inputs`` are digests of artifacts by name;
    ``peak_mb`` is the peak memory of this process by default.
    """
    started = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=wall_seconds)
    return {
        **origin,
        "inputs": dict(inputs),
        "seeds": list(seeds),
        "packages": packages(),
        "hardware": hardware(),
        "wall_seconds": round(wall_seconds, 2),
        "peak_rss_mb": round(peak_rss_mb() if peak_mb is None else peak_mb, 1),
        "started_at": started.isoformat(timespec="seconds"),
    }


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """``content`` as kept in a JSON file, with its digest, which reveals damage."""
    kept = json.loads(json.dumps(content))  # keys as JSON has them
    return kept | {DIGEST: digest_of(kept)}


def unsealed(kept: Any) -> dict[str, Any] | None:
    """What was `sealed`, without its digest; None when it is something else by now."""
    if not isinstance(kept, dict):
        return None
    content = {key: value for key, value in kept.items() if key != DIGEST}
    return content if kept.get(DIGEST) == digest_of(content) else None


def digest_of(value: Any) -> str:
    """sha256 of a JSON-serialisable value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

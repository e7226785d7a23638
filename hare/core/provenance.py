"""What produced a result, on what, and at what cost."""

import hashlib
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from hare.core.paths import REPOSITORY

PACKAGES_NAMED = (
    "torch", "transformers", "datasets", "nanotron", "datatrove", "lm-eval", "papermill", "numpy", "pandas",
    "scikit-learn", "matplotlib", "seaborn", "tokenizers", "gguf",
)


@cache
def git_commit() -> str:
    """Hash of the commit that is checked out, with ``+changes`` when the tree differs from it; '' outside git.

    Asked once per process: the code that has been loaded is that commit's, whatever is checked out later.
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
        return ""
    return f"{head}+changes" if changed else head


def packages() -> dict[str, str]:
    """Versions of the engines."""
    return {name: importlib.metadata.version(name) for name in PACKAGES_NAMED}


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def hardware() -> dict[str, Any]:
    """Processor, cores, memory and accelerator; torch is asked only when it is already loaded."""
    import sys

    described: dict[str, Any] = {
        "processor": _processor_name(),
        "cores": cores(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
    }
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        described["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return described


def processor() -> str:
    """What computes here: the name of the GPU in use, or of the CPU."""
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
    """Largest resident set, in MB, of this process or of any child that has ended (Linux reports KiB).

    getrusage counts from the size of the process that started this one; /proc, where there is one, does not.
    """
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return round(max(_own_peak_kib(), children) * 1024 / 1e6, 1)


def _own_peak_kib() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def digest_of(value: Any) -> str:
    """sha256 of a JSON-serialisable value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

"""For maintainers: turn a resolved requirements file into `requirements.lock` and `environment.yml`.

The lock keeps every version and hash but torch's: its CPU and CUDA builds are different files of one version.
"""

import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from hare.driver.environment import requirements_of, versions_of  # noqa: E402

LOCK_HEADER = "# Every version the study runs on, with hashes for all but torch. Made by `make lock`; do not edit.\n"
CONDA_HEADER = """\
# The same versions as requirements.lock, for conda users: conda env create -f environment.yml
# Made by `make lock`; do not edit.
name: hare
channels: [conda-forge]
dependencies:
  - python=3.11
  - pip={pip}
  - pip:
"""


def lock_text(resolved: str) -> str:
    """The lock for a resolved file: sorted entries, torch as a bare version without its build's local label."""
    entries = requirements_of(resolved)
    version = re.sub(r"\+.*", "", versions_of(resolved)["torch"])
    entries["torch"] = f"torch=={version}"
    return LOCK_HEADER + "".join(f"{entries[name]}\n" for name in sorted(entries))


def conda_text(lock: str) -> str:
    """environment.yml for a lock."""
    versions = versions_of(lock)
    pins = "".join(f"      - {name}=={versions[name]}\n" for name in sorted(versions) if name != "pip")
    return CONDA_HEADER.format(pip=versions["pip"]) + pins


if __name__ == "__main__":
    lock = lock_text(Path(sys.argv[1]).read_text(encoding="utf-8"))
    (REPOSITORY / "requirements.lock").write_text(lock, encoding="utf-8")
    (REPOSITORY / "environment.yml").write_text(conda_text(lock), encoding="utf-8")

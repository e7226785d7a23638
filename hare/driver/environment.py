"""Make `.venv` what `requirements.lock` says, or leave it alone when it already is.

Run as a plain script by `make` before anything is installed, so it uses the standard library only. Every package is
installed from the lock by hash, without dependency resolution; torch alone goes by version, since its CPU and CUDA
builds differ: ``TORCH_INDEX`` names the package index to take it from, when the default one has the wrong build.
"""

from __future__ import annotations  # an older Python shall get as far as the message

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
LOCK = REPOSITORY / "requirements.lock"
WHEELS = Path(__file__).with_name("wheels.json")  # pins without a wheel, by Python and platform
PYTHONS = ((3, 11), (3, 12), (3, 13))
PYTHONS_NAMED = f"{'.'.join(map(str, PYTHONS[0]))} to {'.'.join(map(str, PYTHONS[-1]))}"
BUILD_TOOLS = ("pip", "setuptools")  # needed to build the few pure-Python packages that ship no wheel
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s\\;]+)(?:\s*;\s*(?P<marker>[^\\\n]*[^\\\s]))?")


def requirements_of(lock: str) -> dict[str, str]:
    """Map each package of a lock file to its whole entry, hashes included."""
    entries: dict[str, str] = {}
    name = ""
    for line in lock.splitlines():
        pin = _PIN.match(line)
        if pin:
            name = pin["name"].lower()
            entries[name] = line
        elif name and line.lstrip().startswith("--hash"):
            entries[name] += f"\n{line}"
    return entries


def pins_of(lock: str) -> dict[str, tuple[str, str]]:
    """Map each package of a lock file to its version and its marker ("": needed everywhere)."""
    pins = (_PIN.match(entry) for entry in requirements_of(lock).values())
    return {pin["name"].lower(): (pin["version"], pin["marker"] or "") for pin in pins if pin}


def versions_of(lock: str) -> dict[str, str]:
    """Map each package of a lock file that this interpreter needs to its version."""
    from packaging.markers import Marker  # here: before the set-up there is only the standard library

    pins = pins_of(lock).items()
    return {name: version for name, (version, marker) in pins if not marker or Marker(marker).evaluate()}


def state_wanted() -> str:
    """Digest that identifies an environment: lock file, ``pyproject.toml``, interpreter and ``TORCH_INDEX``."""
    digest = hashlib.sha256(LOCK.read_bytes())
    digest.update((REPOSITORY / "pyproject.toml").read_bytes())
    digest.update(f"{sys.version_info[:3]} {os.environ.get('TORCH_INDEX', '')}".encode())
    return digest.hexdigest()


def create(folder: Path) -> None:
    """Create the environment; the stamp that marks it as complete is written last."""
    print(f"Setting up {folder.name} from {LOCK.name}; this is done once and takes a few minutes.", flush=True)
    if folder.exists():
        shutil.rmtree(folder)
    _run([sys.executable, "-m", "venv", str(folder)], "create the virtual environment")
    entries = requirements_of(LOCK.read_text(encoding="utf-8"))
    torch = entries.pop("torch")
    _install(folder, {name: entries.pop(name) for name in BUILD_TOOLS}, "the build tools")
    _install(folder, entries, f"{len(entries)} packages")
    index = os.environ.get("TORCH_INDEX")
    _pip(folder, [torch, *(["--index-url", index] if index else [])], torch)
    _pip(folder, ["--no-deps", "--no-build-isolation", "--editable", str(REPOSITORY)], "the hare package")
    (folder / "hare-state").write_text(state_wanted(), encoding="utf-8")


def _install(folder: Path, entries: dict[str, str], packages: str) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
        listed.write("\n".join(entries.values()) + "\n")
        listed.flush()
        _pip(folder, ["--no-deps", "--no-build-isolation", "--require-hashes", "-r", listed.name], packages)


def _pip(folder: Path, arguments: list[str], packages: str) -> None:
    print(f"  installing {packages}", flush=True)
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *arguments]
    _run(command, f"install {packages}")


def _run(command: list[str], purpose: str) -> None:
    if subprocess.run(command, stdin=subprocess.DEVNULL).returncode:
        sys.exit(
            f"Could not {purpose}; the lines above say why.\n"
            "  Fix: check the network (PIP_INDEX_URL may name a mirror) and the disk, then run the same again."
        )


def main() -> None:
    """Create ``.venv`` (or the folder given as the argument) when it is missing or stale."""
    if sys.version_info[:2] not in PYTHONS:
        sys.exit(
            f"HARE runs on Python {PYTHONS_NAMED}, this is {sys.version.split()[0]}.\n"
            "  Fix: install one of them and run `make PYTHON=python3.12 …`."
        )
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else REPOSITORY / ".venv")
    stamp = folder / "hare-state"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != state_wanted():
        create(folder)


if __name__ == "__main__":
    main()

"""For maintainers: turn what uv resolved into `requirements.lock`, `environment.yml` and the table of missing wheels.

The lock keeps every version and hash but torch's: its CPU and CUDA builds are different files of one version. It holds
for every Python and platform below; an entry that only some of them need carries a marker.
"""

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import parse_wheel_filename

from hare.driver.environment import PYTHONS, REPOSITORY, WHEELS, pins_of, requirements_of

LOCK_HEADER = "# Every version the study runs on, with hashes for all but torch. Made by `make lock`; do not edit.\n"
CONDA_HEADER = """\
# The same versions as requirements.lock, for conda users: conda env create -f environment.yml
# Made by `make lock`; do not edit. Any Python from {first} to {last} will do.
name: hare
channels: [conda-forge]
dependencies:
  - python={first}
  - pip={pip}
  - pip:
"""
_MACHINE = "platform_machine"
_MANYLINUX = [*(f"manylinux_2_{minor}" for minor in range(28, 4, -1)), "manylinux2014", "manylinux2010", "manylinux1"]
PLATFORMS = {
    ("linux", "x86_64"): [f"{name}_x86_64" for name in [*_MANYLINUX, "linux"]],
    ("linux", "aarch64"): [f"{name}_aarch64" for name in [*_MANYLINUX, "linux"]],
    ("darwin", "arm64"): list(mac_platforms((14, 0), "arm64")),
}


def lock_text(resolved: str) -> str:
    """The lock for a resolved file: sorted entries, torch as a bare version without its build's local label."""
    pins = pins_of(resolved)
    entries = {}
    for name, entry in requirements_of(resolved).items():
        version, marker = pins[name]
        kept = _marker_kept(marker)
        if kept is None:
            continue
        head = f"{name}=={version}" + (f" ; {kept}" if kept else "")
        hashes = re.findall(r"--hash=\S+", entry) if name != "torch" else []
        entries[name] = " \\\n    ".join([re.sub(r"\+.*", "", head) if name == "torch" else head, *hashes])
    return LOCK_HEADER + "".join(f"{entries[name]}\n" for name in sorted(entries))


def _marker_kept(marker: str) -> str | None:
    """The marker in its shortest form: "" when it holds on all supported machines, None when on none."""
    holds = [Marker(marker).evaluate(environment) for environment in _environments()] if marker else [True]
    if all(holds):
        return ""
    bound = " and (sys_platform == 'darwin' or sys_platform == 'linux')"  # uv adds what it resolved for to each
    return marker.removesuffix(bound) if any(holds) else None


def _environments() -> list[dict[str, str]]:
    return [
        {
            "python_version": f"{major}.{minor}", "python_full_version": f"{major}.{minor}.9",
            "sys_platform": system, "platform_system": system.capitalize(), "platform_machine": machine,
            "implementation_name": "cpython", "platform_python_implementation": "CPython", "os_name": "posix",
        }
        for major, minor in PYTHONS for system, machine in PLATFORMS
    ]


def conda_text(lock: str) -> str:
    """environment.yml for a lock."""
    pins = pins_of(lock)
    lines = "".join(
        f'      - {f"{name}=={version}" if not marker else json.dumps(f"{name}=={version} ; {marker}")}\n'
        for name, (version, marker) in sorted(pins.items()) if name != "pip"
    )
    first, last = (".".join(map(str, python)) for python in (PYTHONS[0], PYTHONS[-1]))
    return CONDA_HEADER.format(pip=pins["pip"][0], first=first, last=last) + lines


def wheels_missing(pylock: dict[str, Any], lock: str) -> dict[str, Any]:
    """Pins without a wheel: on no platform at all (built from source by `make setup`), and by Python and platform.

    A pin that a marker leaves out on a kind of machine is named there: it has that marker because it has no wheel.
    ``pylock`` is a parsed `pylock.toml` (PEP 751), which lists the files of every version on the package index.
    """
    files = {
        package["name"]: [wheel["url"].rsplit("/", 1)[-1] for wheel in package.get("wheels", [])]
        for package in pylock["packages"]
    }
    pins = pins_of(lock)
    missing: dict[str, list[str]] = {}
    for python in PYTHONS:
        for (system, machine), platforms in PLATFORMS.items():
            tags = {*cpython_tags(python, platforms=platforms), *compatible_tags(python, platforms=platforms)}
            environment = next(
                one for one in _environments() if one["python_version"] == ".".join(map(str, python))
                and (one["sys_platform"], one["platform_machine"]) == (system, machine)
            )
            missing[f"{'.'.join(map(str, python))} {system} {machine}"] = [
                name for name, (_, marker) in sorted(pins.items())
                if files[name] and not _fits(files[name], tags)
                and (not marker or _MACHINE in marker or Marker(marker).evaluate(environment))
            ]
    return {"built from source": sorted(name for name in pins if not files[name]), "no wheel": missing}


def _fits(wheels: list[str], tags: set[Tag]) -> bool:
    return any(parse_wheel_filename(wheel)[3] & tags for wheel in wheels)


if __name__ == "__main__":
    resolved, listed = Path(sys.argv[1]), Path(sys.argv[2])
    lock = lock_text(resolved.read_text(encoding="utf-8"))
    missing = wheels_missing(tomllib.loads(listed.read_text(encoding="utf-8")), lock)
    (REPOSITORY / "requirements.lock").write_text(lock, encoding="utf-8")
    (REPOSITORY / "environment.yml").write_text(conda_text(lock), encoding="utf-8")
    WHEELS.write_text(json.dumps(missing, indent=1) + "\n", encoding="utf-8")

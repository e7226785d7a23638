"""The lock, environment.yml, the Dockerfile and pyproject.toml name the same versions."""

import json
import re
import subprocess
import sys

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.version import Version

from hare.core.paths import REPOSITORY
from hare.driver import environment
from hare.driver.lock import PLATFORMS, conda_text, lock_text, wheels_missing

LOCK = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
PINNED = environment.versions_of(LOCK)


def test_every_package_but_torch_is_pinned_by_hash():
    entries = environment.requirements_of(LOCK)
    assert len(entries) > 100
    assert {name for name, entry in entries.items() if "--hash=sha256:" not in entry} == {"torch"}
    assert PINNED["torch"] == "2.13.0"


def test_environment_yml_gives_the_versions_of_the_lock():
    conda = yaml.safe_load((REPOSITORY / "environment.yml").read_text(encoding="utf-8"))
    lines = conda["dependencies"][-1]["pip"]
    plain = dict(pin.split("=") for pin in conda["dependencies"][:-1])
    assert plain == {"python": "3.11", "pip": PINNED["pip"]}
    pins = environment.pins_of(LOCK)
    assert lines == [
        f"{name}=={version}" + (f" ; {marker}" if marker else "")
        for name, (version, marker) in sorted(pins.items()) if name != "pip"
    ]


def test_every_pin_has_a_wheel_for_every_python_and_platform():
    """The table is made by `make lock` from the file names on the package index."""
    table = json.loads(environment.WHEELS.read_text(encoding="utf-8"))
    wanted = {
        f"{major}.{minor} {system} {machine}"
        for major, minor in environment.PYTHONS for system, machine in PLATFORMS
    }
    assert set(table["no wheel"]) == wanted
    for place in (place for place in wanted if "linux x86_64" in place):
        assert table["no wheel"][place] == [], place
    assert set(table["built from source"]) <= set(environment.pins_of(LOCK))


def test_a_missing_wheel_is_named_by_python_and_platform():
    lock = "old==1\nmac==2 ; sys_platform == 'darwin'\nsource==3\npure==4\n"
    files = {
        "old": ["old-1-cp311-cp311-manylinux_2_17_x86_64.whl", "old-1-cp312-abi3-macosx_11_0_arm64.whl"],
        "mac": ["mac-2-cp313-cp313-macosx_12_0_arm64.whl"], "source": [], "pure": ["pure-4-py3-none-any.whl"],
    }
    pylock = {"packages": [
        {"name": name, "wheels": [{"url": f"files/{wheel}"} for wheel in wheels]} for name, wheels in files.items()
    ]}
    table = wheels_missing(pylock, lock)
    assert table["built from source"] == ["source"]
    assert table["no wheel"]["3.11 linux x86_64"] == [] and table["no wheel"]["3.13 linux x86_64"] == ["old"]
    assert table["no wheel"]["3.11 darwin arm64"] == ["mac", "old"] and table["no wheel"]["3.13 darwin arm64"] == []


def test_a_pin_that_a_marker_excludes_for_lack_of_a_wheel_is_listed():
    lock = "engine==1 ; platform_machine != 'aarch64' or sys_platform != 'linux'\n"
    wheels = [f"engine-1-cp31{minor}-cp31{minor}-{system}.whl" for minor in (1, 2, 3)
              for system in ("manylinux_2_17_x86_64", "macosx_11_0_arm64")]
    table = wheels_missing({"packages": [{"name": "engine", "wheels": [{"url": wheel} for wheel in wheels]}]}, lock)
    assert {place for place, names in table["no wheel"].items() if names} == {
        f"{major}.{minor} linux aarch64" for major, minor in environment.PYTHONS
    }


def test_pins_without_a_wheel_are_left_out_where_they_have_none():
    """So that the set-up gets through there; `hare doctor` names them from the table."""
    table = json.loads(environment.WHEELS.read_text(encoding="utf-8"))["no wheel"]
    markers = {name: marker for name, (_, marker) in environment.pins_of(LOCK).items()}
    for place, names in table.items():
        _, system, machine = place.split()
        for name in names:
            machine_of = {"sys_platform": system, "platform_machine": machine}
            assert markers[name] and not Marker(markers[name]).evaluate(machine_of), f"{name} on {place}"


def test_markers_that_always_or_never_hold_leave_the_lock():
    bound = "(sys_platform == 'darwin' or sys_platform == 'linux')"
    resolved = (
        f"torch==2.13.0+cpu ; {bound}\n"
        f"always==1 ; python_full_version >= '3.11' and {bound} \\\n    --hash=sha256:0a\n"
        "never==1 ; sys_platform == 'win32' \\\n    --hash=sha256:0b\n"
        f"some==1 ; python_full_version < '3.12' and {bound} \\\n    --hash=sha256:0c\n"
    )
    assert lock_text(resolved).splitlines()[1:] == [
        "always==1 \\", "    --hash=sha256:0a", "some==1 ; python_full_version < '3.12' \\", "    --hash=sha256:0c",
        "torch==2.13.0",
    ]


def test_environment_yml_and_lock_are_what_the_maintainers_command_makes():
    assert lock_text(LOCK) == LOCK
    assert conda_text(LOCK) == (REPOSITORY / "environment.yml").read_text(encoding="utf-8")


def test_the_dockerfile_installs_from_the_lock_on_the_locks_python():
    docker = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^ARG PYTHON=3\.11\nFROM python:\$\{PYTHON\}-", docker, re.M)
    assert re.search(r"^COPY requirements\.lock .*\nCOPY hare hare\nRUN make setup$", docker, re.M)
    assert "ARG VARIANT" in docker
    assert not re.search(r"pip install|conda install", docker), "packages come from the lock alone"


def test_the_lock_satisfies_every_requirement_of_the_project():
    import tomllib

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["test"]
    for requirement in map(Requirement, wanted):
        version = PINNED[requirement.name.lower()]
        assert requirement.specifier.contains(Version(version)), f"{requirement} against {version}"


def test_the_running_environment_is_the_locked_one():
    from importlib.metadata import version

    differing = {
        name: (version(name), pinned) for name, pinned in PINNED.items() if version(name).split("+")[0] != pinned
    }
    assert not differing


names = st.from_regex(r"[a-z][a-z0-9-]{0,12}[a-z0-9]", fullmatch=True)
versions = st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,2}", fullmatch=True)


digests = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)


@given(st.dictionaries(names, st.tuples(versions, st.lists(digests, max_size=3))))
def test_a_lock_is_read_back_entry_by_entry(packages):
    lock = "# a comment\n"
    for name, (version, hashes) in packages.items():
        lines = [f"{name}=={version}", *(f"    --hash=sha256:{digest}" for digest in hashes)]
        lock += " \\\n".join(lines) + "\n"
    assert environment.versions_of(lock) == {name: version for name, (version, _) in packages.items()}
    read = environment.requirements_of(lock)
    assert {name: entry.count("--hash") for name, entry in read.items()} == {
        name: len(hashes) for name, (_, hashes) in packages.items()
    }


@pytest.fixture
def fake_environment(tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(environment, "_run", lambda command, purpose: commands.append(command))
    folder = tmp_path / "venv"
    monkeypatch.setattr(sys, "argv", ["environment.py", str(folder)])
    return folder, commands


def test_a_whole_environment_is_reused_and_a_stale_one_rebuilt(fake_environment):
    folder, commands = fake_environment
    folder.mkdir()
    (folder / "hare-state").write_text(environment.state_wanted(), encoding="utf-8")
    environment.main()
    assert commands == []

    (folder / "hare-state").write_text("of an older lock", encoding="utf-8")
    with pytest.raises(FileNotFoundError):  # nothing was created by the fake commands, so no stamp can be written
        environment.main()
    assert commands[0][1:3] == ["-m", "venv"]
    assert any("torch==2.13.0" in command for command in commands)
    assert any("--require-hashes" in command for command in commands)
    assert not (folder / "hare-state").exists()


@pytest.mark.parametrize(("started", "code", "fix"), [
    ("import runpy; runpy.run_path({script!r}, run_name='__main__')", 1, "make PYTHON=python3.12"),
    ("sys.path.insert(0, {repository!r}); import hare.cli", 2, "install one of them"),
])
@pytest.mark.parametrize("version", [(3, 9, 0), (3, 10, 13), (3, 14, 0)])
def test_another_python_is_refused_with_the_fix(version, started, code, fix):
    """By the set-up script, and by every command, also of an unpacked bundle."""
    places = {"script": environment.__file__, "repository": str(REPOSITORY)}
    program = f"import sys; sys.version_info = {version}; {started.format(**places)}"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == code and fix in ended.stderr
    assert f"HARE runs on Python {environment.PYTHONS_NAMED}, this is" in ended.stderr
    assert "Traceback" not in ended.stderr

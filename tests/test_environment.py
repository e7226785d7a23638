"""The lock, environment.yml, the Dockerfile and pyproject.toml name the same versions."""

import re
import subprocess
import sys

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.version import Version

from hare.core.paths import REPOSITORY
from hare.driver import environment
from hare.driver.lock import conda_text, lock_text

LOCK = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
PINNED = environment.versions_of(LOCK)


def test_every_package_but_torch_is_pinned_by_hash():
    entries = environment.requirements_of(LOCK)
    assert len(entries) > 100
    assert {name for name, entry in entries.items() if "--hash=sha256:" not in entry} == {"torch"}
    assert PINNED["torch"] == "2.13.0"


def test_environment_yml_gives_the_versions_of_the_lock():
    conda = yaml.safe_load((REPOSITORY / "environment.yml").read_text(encoding="utf-8"))
    listed = dict(pin.split("==") for pin in conda["dependencies"][-1]["pip"])
    plain = dict(pin.split("=") for pin in conda["dependencies"][:-1])
    assert plain == {"python": "3.11", "pip": PINNED["pip"]}
    assert listed == {name: version for name, version in PINNED.items() if name != "pip"}


def test_environment_yml_and_lock_are_what_the_maintainers_command_makes():
    assert lock_text(LOCK) == LOCK
    assert conda_text(LOCK) == (REPOSITORY / "environment.yml").read_text(encoding="utf-8")


def test_the_dockerfile_installs_from_the_lock_on_the_locks_python():
    docker = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^FROM python:3\.11-", docker, re.M)
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


def test_another_python_is_refused_with_the_mend(tmp_path):
    code = f"import sys; sys.version_info = (3, 9, 0); sys.path.insert(0, {str(REPOSITORY)!r}); " \
           "from hare.driver import environment; environment.main()"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "HARE needs Python 3.11" in ended.stderr
    assert "make PYTHON=python3.11" in ended.stderr

"""Profiles: one typed choice of scale for the whole study. A profile never chooses behaviour.

The defaults in `hare.core.sections` are those of profile ``laptop``; a YAML file holds only what differs from the
profile that it extends.
"""

import copy
import dataclasses
import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from hare.core.checked import CLOSED, Positive, checked, listed, mistakes_in, read_yaml
from hare.core.contradictions import contradictions, worth_naming
from hare.core.errors import HareError
from hare.core.sections import (
    Cluster,
    Corpus,
    Decontamination,
    Deployment,
    Evaluation,
    Finetuning,
    Leakage,
    Model,
    Scaling,
    Synthesis,
    Tokens,
    Training,
)

PROFILES = Path(__file__).parent / "profiles"
DEFAULT = "laptop"
_TAKEN = ("published",)  # folders of results that are no profile's
_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, config=CLOSED)
class Profile:
    """Everything that scale decides, by section; ``source`` is what the command line names it by: a name or a path."""

    name: str = DEFAULT
    source: str = DEFAULT
    corpus: Corpus = Field(default_factory=Corpus)
    synthesis: Synthesis = Field(default_factory=Synthesis)
    decontamination: Decontamination = Field(default_factory=Decontamination)
    tokens: Tokens = Field(default_factory=Tokens)
    model: Model = Field(default_factory=Model)
    training: Training = Field(default_factory=Training)
    scaling: Scaling = Field(default_factory=Scaling)
    evaluation: Evaluation = Field(default_factory=Evaluation)
    leakage: Leakage = Field(default_factory=Leakage)
    finetuning: Finetuning = Field(default_factory=Finetuning)
    deployment: Deployment = Field(default_factory=Deployment)
    cluster: Cluster = Field(default_factory=Cluster)
    notebook_minutes: Positive = 30  # a notebook that runs longer, queue of Slurm included, is stopped

    @property
    def option(self) -> str:
        """How a command names this profile: ``--profile laptop``, or a path, quoted where the shell wants it."""
        return f"--profile {shlex.quote(self.source)}"

    def fields(self) -> dict[str, Any]:
        """Every section's fields by their names, which are unique; lists, since papermill writes no tuples."""
        return {
            name: _plain(getattr(section, name)) for section in vars(self).values()
            if dataclasses.is_dataclass(section) for name in section.__dataclass_fields__
        }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else copy.deepcopy(value)


def section_of(field: str) -> str:
    """Name of the section that has a field.

    Raises:
        KeyError: no section has it.
    """
    return _SECTION_OF[field]


_SECTIONS: dict[str, type] = {
    name: field.type for name, field in Profile.__dataclass_fields__.items()  # type: ignore[attr-defined]
    if dataclasses.is_dataclass(field.type)
}
_SECTION_OF = {field: name for name, kind in _SECTIONS.items() for field in kind.__dataclass_fields__}


def known_profiles() -> list[str]:
    """Names of the profiles that ship with the package."""
    return sorted(path.stem for path in PROFILES.glob("*.yaml"))


def load_profile(name: str) -> Profile:
    """Read and check ``profiles/<name>.yaml``, or the YAML file at path ``name``.

    Raises:
        HareError: no such profile, or anything wrong in it; all mistakes are listed, each with key, value and fix.
    """
    path = _path_of(name, Path.cwd())
    source = path.stem if path.parent == PROFILES else str(path)
    return check_profile(_merged(path, ()), path, source)


def _path_of(name: str, folder: Path) -> Path:
    """Of a profile that ships, by its name, or of a file, by its path from ``folder``."""
    path = (folder / name).absolute() if name.endswith(_SUFFIXES) else PROFILES / f"{name}.yaml"
    if not path.is_file() or (path.parent == PROFILES and path.stem not in known_profiles()):
        raise HareError(
            f"There is no profile {name!r}.", f"choose one of {', '.join(known_profiles())} or give a YAML file"
        )
    return path


def _merged(path: Path, below: tuple[Path, ...]) -> dict[str, Any]:
    """The values of a file over those of the file that it extends; ``below`` are the files that extend this one."""
    real = path.resolve()
    if real in below:
        circle = " → ".join(step.name for step in (*below[below.index(real):], real))
        raise HareError(f"{path} extends itself: {circle}.", "let `extends` name another profile, or leave it out")
    values = dict(read_yaml(path))
    extended = values.pop("extends", DEFAULT)
    if not isinstance(extended, str):
        raise HareError(f"{path}: extends = {extended!r}: a text is wanted here.", "name a profile or a YAML file")
    is_default = path.parent == PROFILES and path.stem == DEFAULT
    base = {} if is_default and extended == DEFAULT else _merged(_path_of(extended, path.parent), (*below, real))
    base.pop("name", None)
    return _over(base, values)


def _over(base: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` over ``base``: sections are merged field by field, anything else is replaced."""
    merged = dict(base)
    for key, value in values.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = {**merged[key], **value} if both else value
    return merged


def check_profile(values: Mapping[str, Any], path: Path, source: str | None = None) -> Profile:
    """Turn parsed YAML into a `Profile`; ``path`` is named in errors, and its stem is the profile's name.

    Raises:
        HareError: listing every mistake with key, value and fix.
    """
    mistakes = _mistakes(values) + _mistakes_of_name(values, path)
    fix = f"correct the keys above in {path.name}"
    if mistakes:
        raise HareError(f"{path} cannot be used:\n{listed(mistakes)}", fix)
    return checked(Profile, {**values, "name": path.stem, "source": source or str(path)}, str(path), fix)


def changed(profile: Profile, parameters: Mapping[str, Any], where: str, among: Collection[str]) -> Profile:
    """The profile with the fields of ``parameters`` replaced, checked as a file is, except that contradictions count
    only between the fields of ``among``.

    Raises:
        HareError: listing every mistake with key, value and fix; ``where`` is named as their place.
    """
    values: dict[str, Any] = dataclasses.asdict(profile)
    for name, value in parameters.items():
        values[section_of(name)][name] = value
    mistakes = _mistakes(values, among)
    if mistakes:
        raise HareError(f"{where} cannot be used:\n{listed(mistakes)}", f"correct the values above in {where}")
    return checked(Profile, values, where, "")


def _mistakes(values: Mapping[str, Any], among: Collection[str] | None = None) -> list[str]:
    """One line per wrong value, and per contradiction between the others."""
    mistakes = mistakes_in(Profile, values)
    wrong = {".".join(keys[:2]) for keys, _ in mistakes}
    sound = {
        name: {key: value for key, value in section.items() if f"{name}.{key}" not in wrong}
        for name, section in values.items()
        if name in _SECTIONS and isinstance(section, dict) and name not in wrong
    }
    profile = checked(Profile, sound, "profile", "")
    broken = [
        rule for rule in contradictions(profile)
        if among is None or all(key.split(".")[1] in among for key in rule[0])
    ]
    return [line for _, line in mistakes] + worth_naming(broken, wrong)


def _mistakes_of_name(values: Mapping[str, Any], path: Path) -> list[str]:
    if "source" in values:
        return [f"source = {values['source']!r}: unknown key; remove it"]
    name = values.get("name", path.stem)
    if isinstance(name, str) and name != path.stem:
        return [f"name = {name!r}: the file is called {path.name}; leave it out, or make the two agree"]
    if path.stem in _TAKEN or "@" in path.stem or path.stem.startswith((".", "-")) or not path.stem.isprintable():
        return [f"the name {path.stem!r}: taken or no good name of a folder of results; rename the file"]
    return []


def restricted(profile: Profile, names: Collection[str]) -> Profile:
    """The profile with the fields of ``names``; all others have their defaults, so that nothing depends on them."""
    sections = {
        section: kind(**{name: getattr(getattr(profile, section), name) for name in kind.__dataclass_fields__
                         if name in names})
        for section, kind in _SECTIONS.items()
    }
    return Profile(name=profile.name, source=profile.source, notebook_minutes=profile.notebook_minutes, **sections)

"""The parameters of a notebook's run: its profile, the changes in its parameters cell, and the variant they make."""

import re
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hare.core.chain import Step
from hare.core.errors import HareError
from hare.core.profile import DEFAULT, Profile, changed, load_profile, restricted
from hare.core.provenance import digest_of

SPECIAL = ("profile", "variant")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,+-]*")
_LONGEST = 60  # characters of a variant's name


@dataclass(frozen=True)
class Parameters:
    """``profile``: the profile with the run's values. ``changes``: the fields that differ from the profile, each with
    the profile's value and the run's. ``variant``: name of the folder beside the record; '' for the record itself."""

    profile: Profile
    changes: dict[str, tuple[Any, Any]]
    variant: str

    @classmethod
    def of(cls, step: Step, cell: Mapping[str, Any]) -> "Parameters":
        """The parameters of a notebook whose globals are ``cell``.

        A value equal to the committed notebook's, which is that of profile ``laptop``, means the profile's value. Where
        values are changed and no variant is named, the changes name it, such as ``learning_rate-0.001``.

        Raises:
            HareError: a value cannot be used, the notebook has no such parameter, or the variant cannot name a folder.
        """
        profile, defaults = load_profile(cell.get("profile", DEFAULT)), load_profile(DEFAULT).fields()
        values = profile.fields()
        given = {
            name: _plain(value, values[name]) for name, value in cell.items()
            if name in values and not isinstance(value, types.ModuleType) and not callable(value)
        }
        changes = {
            name: (values[name], value) for name, value in given.items() if value not in (values[name], defaults[name])
        }
        foreign = sorted(changes.keys() - set(step.parameters))
        if foreign:
            raise HareError(
                f"{step.notebook} does not depend on {', '.join(foreign)}.",
                f"take it out of the parameters; this notebook's are {', '.join(step.parameters) or 'none'}",
            )
        place = f"the parameters cell of {step.notebook}"
        profile = changed(profile, {name: value for name, (_, value) in changes.items()}, place, step.parameters)
        return cls(restricted(profile, step.parameters), changes, _variant(cell.get("variant", ""), changes))

    def values(self, step: Step) -> dict[str, Any]:
        """All parameters of the step by name, for the record."""
        fields = self.profile.fields()
        special = {"profile": self.profile.name} | ({"variant": self.variant} if self.variant else {})
        return special | {name: fields[name] for name in step.parameters}

    def __str__(self) -> str:
        return ", ".join(f"{name} = {now!r} instead of {before!r}" for name, (before, now) in self.changes.items())


def _plain(value: Any, known: Any) -> Any:
    """A cell's value in the form of the profile's; papermill writes the numbers that are keys of a mapping as text."""
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Mapping) and isinstance(known, Mapping) and all(isinstance(key, int) for key in known):
        return {int(key) if isinstance(key, str) and key.isdecimal() else key: item for key, item in value.items()}
    return value


def _variant(name: Any, changes: Mapping[str, tuple[Any, Any]]) -> str:
    if not isinstance(name, str) or (name and not (_NAME.fullmatch(name) and len(name) <= _LONGEST)):
        raise HareError(
            f"variant = {name!r} cannot name a folder.",
            f"choose at most {_LONGEST} letters, digits and the signs . , + - _, beginning with a letter or digit",
        )
    if name or not changes:
        return name
    listed = ",".join(f"{name}-{value}" for name, (_, value) in sorted(changes.items()))
    if _NAME.fullmatch(listed) and len(listed) <= _LONGEST:
        return listed
    return f"changed-{digest_of({name: value for name, (_, value) in changes.items()})[:8]}"

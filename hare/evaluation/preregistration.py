"""What was written down before the recorded runs: ``paper/preregistration.yaml`` beside its reasons in
``paper/PREREGISTRATION.md``. Sets of texts that are not the registered ones are refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from hare.core.checked import read_yaml
from hare.core.errors import HareError
from hare.core.files import write_text
from hare.core.manifest import verified
from hare.core.paths import REPOSITORY, Workspace
from hare.evaluation.endpoints import LABELS, digests, load

_HEAD = (
    "# Read by the code and by a test; the reasons stand in PREREGISTRATION.md. "
    "Digests are sha256 of each set's items.\n"
    "# margin is the smallest effect of interest, in bits per byte.\n"
)
REGISTERED = REPOSITORY / "paper" / "preregistration.yaml"


def registered(path: Path = REGISTERED) -> dict[str, Any]:
    """The registration: margin, primary endpoint, contrasts, and ``sets``: profile → endpoint → sha256."""
    content = dict(read_yaml(path))
    sets = content.get("sets")
    if not isinstance(sets, dict) or not all(isinstance(digests_of, dict) for digests_of in sets.values()):
        raise HareError(f"{path} does not name the sets of each profile.", f"restore it (git checkout -- {path})")
    return content


def checked(profile: str, current: Mapping[str, str], path: Path = REGISTERED) -> str:
    """Compare the sets' digests with those registered for the profile; says in one line what was found.

    Raises:
        HareError: a set is not the registered one; all that differ are named.
    """
    expected = registered(path)["sets"].get(profile)
    if expected is None:
        return f"Profile {profile} is not registered: what follows is exploratory."
    changed = [name for name in LABELS if expected.get(name) != current.get(name)]
    if changed:
        named = ", ".join(f"{name} ({LABELS[name]}, {str(current.get(name))[:16]}…)" for name in changed)
        raise HareError(
            f"Not the texts that were registered for profile {profile}: {named}.",
            f"rerun from notebook 01 with the registered corpus, use a variant, or register anew before any run is "
            f"recorded: `hare register --profile {profile}`",
        )
    return f"All {len(current)} sets are the registered ones."


def register(profile: str, path: Path = REGISTERED) -> str:
    """Write the digests of the profile's sets, as notebook 04 left them, into the registration.

    Raises:
        HareError: notebook 04 has not run, or what it left is damaged.
    """
    items = verified(Workspace(profile), "tokens", "endpoints.jsonl", f"--profile {profile}")
    content = registered(path)
    content["sets"][profile] = digests(load(items))
    write_text(path, _HEAD + yaml.safe_dump(content, sort_keys=False))
    return f"{path}: {len(content['sets'][profile])} sets registered for profile {profile}; commit it before any run."

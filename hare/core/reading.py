"""Recorded results read back: what is damaged is named, with the command that makes it again."""

import contextlib
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hare.core.chain import CHAIN
from hare.core.errors import HareError
from hare.core.profile import known_profiles
from hare.core.provenance import digest_of

if TYPE_CHECKING:
    import pandas

METRICS_DIGEST = "metrics_sha256"
PROFILE_FILE = "profile.json"  # in the results of a profile: how it was when its last whole run came to its end


def damaged(path: Path, reason: object) -> HareError:
    """The error that names a damaged file of results and how it comes back."""
    step = next((step for step in CHAIN if step.stage == path.parent.name), None)
    again = f"--from {step.number}" if step else ""
    option = f"--profile {shlex.quote(_source(path.parent.parent))}"
    command = f"hare reproduce {option} {again}".strip()
    if path.parent.name == "bench":
        command = f"hare bench {option}"
    return HareError(
        f"{path} is damaged: {' '.join(str(reason).split())}.",
        f"restore it (git checkout -- {path}), or delete it and run `{command}`, which makes it again",
    )


def _source(folder: Path) -> str:
    """How a command names the profile whose results lie in ``folder``: a profile given by path has left its path."""
    if folder.name in known_profiles():
        return folder.name
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        source = json.loads((folder / PROFILE_FILE).read_text(encoding="utf-8"))["source"]
        if isinstance(source, str) and Path(source).is_file():
            return source
    return f"…/{folder.name}.yaml"


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        HareError: it is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error


def read_record(path: Path) -> dict[str, Any]:
    """``metrics`` and ``provenance`` of a stage; the metrics are compared with the digest that is recorded with them.

    Raises:
        HareError: it is damaged.
    """
    record = read_json(path)
    parts = [record.get(part) for part in ("metrics", "provenance")] if isinstance(record, dict) else [None]
    if not all(isinstance(part, dict) for part in parts):
        raise damaged(path, "it holds no metrics with their provenance")
    digest = record["provenance"].get(METRICS_DIGEST)
    if digest is not None and digest != digest_of(record["metrics"]):
        raise damaged(path, "its metrics are not those that were recorded")
    return record


def read_table(path: Path, **options: Any) -> "pandas.DataFrame":
    """A table in CSV.

    Raises:
        HareError: it is damaged.
    """
    import pandas

    try:
        return pandas.read_csv(path, **options)
    except (OSError, ValueError, pandas.errors.ParserError) as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error

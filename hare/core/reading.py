"""Reading recorded results: a damaged file is named, with the command that makes it again."""

import contextlib
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hare.core.chain import CHAIN
from hare.core.errors import HareError
from hare.core.files import sha256_of
from hare.core.manifest import METRICS
from hare.core.paths import REPOSITORY
from hare.core.profile import known_profiles
from hare.core.provenance import unsealed

if TYPE_CHECKING:
    import pandas

TABLES = "tables"  # in a record's provenance: the digest of each table that was recorded with the metrics
_OF_THE_REPOSITORY = (REPOSITORY / "hare", REPOSITORY / "results" / "published")  # no run makes them
PROFILE_FILE = "profile.json"  # in the results of a profile: its values in the last complete run


def damaged(path: Path, reason: object) -> HareError:
    """The error that names a damaged file of results and how to restore it."""
    problem, restore = f"{path} is damaged: {' '.join(str(reason).split())}.", (
        f"restore it (git checkout -- {shlex.quote(str(path))})")
    if any(path.is_relative_to(folder) for folder in _OF_THE_REPOSITORY):
        return HareError(problem, restore)
    step = next((step for step in CHAIN if step.stage == path.parent.name), None)
    again = f"--from {step.number}" if step else ""
    profile, _, variant = path.parent.parent.name.partition("@")
    if variant:  # beside the record, not committed
        notebook = f"notebook {step.number}" if step else "its notebook"
        return HareError(problem, f"delete it and run {notebook} with variant = {variant!r} on profile {profile} again")
    option = f"--profile {shlex.quote(_source(path.parent.parent))}"
    command = f"hare reproduce {option} {again}".strip()
    if path.parent.name == "bench":
        command = f"hare bench {option}"
    return HareError(problem, f"{restore}, or delete it and run `{command}`, which makes it again")


def _source(folder: Path) -> str:
    """The ``--profile`` argument for the results in ``folder``; of a profile given by path, `PROFILE_FILE` has the
    path."""
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


def read_sealed(path: Path) -> dict[str, Any]:
    """The mapping in a JSON file that holds its digest, without the digest.

    Raises:
        HareError: it is damaged.
    """
    content = unsealed(read_json(path))
    if content is None:
        raise damaged(path, "it is not what was recorded")
    return content


def read_record(path: Path) -> dict[str, Any]:
    """``metrics`` and ``provenance`` of a stage.

    Raises:
        HareError: it is damaged.
    """
    record = read_sealed(path)
    if not all(isinstance(record.get(part), dict) for part in ("metrics", "provenance")):
        raise damaged(path, "it holds no metrics with their provenance")
    return record


def tables_in(results: Path) -> dict[str, str]:
    """The digest of every table in a stage's folder of results, for its record."""
    return {path.name: sha256_of(path) for path in sorted(results.glob("*.csv"))}


def recorded_table(path: Path) -> "pandas.DataFrame":
    """A table in CSV, after comparing it with the record beside it, where that names the table.

    Raises:
        HareError: the table or the record is damaged.
    """
    record = path.with_name(METRICS)
    tables = read_record(record)["provenance"].get(TABLES, {}) if record.exists() else {}
    if path.is_file() and sha256_of(path) != tables.get(path.name, sha256_of(path)):
        raise damaged(path, "it is not what was recorded")
    return read_table(path)


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

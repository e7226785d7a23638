"""Everything a reader sees, made again from ``results/`` alone: figures, tables, and the article in ``paper/``."""

from pathlib import Path
from typing import Any

import pandas as pd

from hare.core.errors import HareError
from hare.core.files import remove, sha256_of, write_json, write_text
from hare.core.paths import REPOSITORY
from hare.core.profile import DEFAULT, Profile
from hare.core.provenance import git_commit, sealed
from hare.core.reading import read_sealed
from hare.core.tables import number_in_table
from hare.report import study
from hare.report.figures import redraw
from hare.report.pages.article import write_article
from hare.report.pages.crate import write_crate
from hare.report.pages.findings import write_findings
from hare.report.recorded import STAGES, Recorded
from hare.report.tables import tables

NOTEBOOK = "notebooks/10_draw_figures.ipynb"


def build(profile: Profile) -> list[Path]:
    """Draw all figures of a profile, write its tables, the article and the RO-Crate; return the files.

    A figure whose stage has recorded nothing is left out and named.

    Raises:
        HareError: the profile has recorded nothing at all.
    """
    recorded = Recorded(profile.name)
    if len(recorded.missing) == len(STAGES):
        raise HareError(
            f"{recorded.folder} holds no recorded results.", f"run `hare reproduce {profile.option}` first"
        )
    origin = {"notebook": NOTEBOOK, "git_commit": git_commit()}
    for name, frame in study.frames(recorded).items():
        _refresh(recorded.folder / "study", name, frame, origin)
    pictures = redraw(recorded.folder)
    for stage in recorded.missing:
        print(f"{stage} has recorded nothing: its figures are left out")
    return [*pictures, *write_tables(recorded), write_article(recorded), write_crate(recorded), *_readme(recorded)]


def _readme(recorded: Recorded) -> list[Path]:
    """The README with this profile's findings, where it is the profile that the README is about."""
    ours = recorded.folder == REPOSITORY / "results" / DEFAULT
    return [write_findings(recorded)] if ours else []


def write_tables(recorded: Recorded) -> list[Path]:
    """Write the study's tables as CSV; return their paths."""
    made = {recorded.folder / "study" / f"{name}.csv": table for name, table in tables(recorded).items()}
    for path, table in made.items():
        write_text(path, table.to_csv(index=False, lineterminator="\n"))
    return list(made)


def _refresh(folder: Path, name: str, frame: pd.DataFrame, origin: dict[str, Any]) -> None:
    """Write a figure's CSV and its origin, unless the CSV says the same already: then it keeps the origin it has."""
    text = frame.to_csv(index=False, float_format=number_in_table, lineterminator="\n")
    path, described = folder / f"{name}.csv", folder / f"{name}.json"
    if not (_is_whole(described) and path.is_file() and path.read_bytes() == text.encode()):
        remove(path)
        write_text(path, text)
        data = {"data": path.name, "data_sha256": sha256_of(path)}
        write_json(described, sealed({"figure": name, **data, **origin}))


def _is_whole(described: Path) -> bool:
    try:
        return bool(read_sealed(described))
    except HareError:
        return False

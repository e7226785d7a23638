"""The registry of figures: each is one function from the CSV that a stage recorded to a picture.

A notebook draws a figure the moment its table exists; `redraw` draws all of them again, later, from the files alone.
Both go through the same function, so the two can never differ.
"""

import importlib
import io
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from hare.core.errors import HareError
from hare.core.files import sha256_of, write_json, written_whole
from hare.core.provenance import sealed
from hare.core.reading import damaged, read_sealed, read_table
from hare.core.stage import Stage
from hare.core.tables import number_in_table

STYLE = Path(__file__).with_name("style.mplstyle")
_SCREEN_DPI = 110
DRAWERS = (
    "corpus", "synthesis", "decontamination", "tokens", "training", "evaluation", "leakage", "finetuning", "deployment",
    "bench", "study",
)


@dataclass(frozen=True)
class Drawing:
    """One figure: the stage whose results hold ``<name>.csv``, and the function that draws it."""

    stage: str
    name: str
    draw: Callable[[pd.DataFrame], Figure]


_DRAWINGS: dict[tuple[str, str], Drawing] = {}


def figure(stage: str, name: str) -> Callable[[Callable[[pd.DataFrame], Figure]], Callable[[pd.DataFrame], Figure]]:
    """Register a function as the drawer of ``results/<profile>/<stage>/<name>.csv``."""

    def registered(draw: Callable[[pd.DataFrame], Figure]) -> Callable[[pd.DataFrame], Figure]:
        _DRAWINGS[stage, name] = Drawing(stage, name, draw)
        return draw

    return registered


def drawings() -> list[Drawing]:
    """All figures, in the order of the study."""
    for module in DRAWERS:
        importlib.import_module(f"hare.report.{module}_figures")
    return sorted(_DRAWINGS.values(), key=lambda drawing: (DRAWERS.index(drawing.stage), drawing.name))


def draw(results: Path, name: str, frame: pd.DataFrame, origin: dict[str, Any]) -> None:
    """Draw one figure from ``frame``, save it in the stage's ``results`` folder, and show it where a notebook runs.

    Beside ``<name>.csv`` appear ``<name>.svg``, ``.pdf`` and ``.json``, the last with ``origin``: notebook, commit and
    configuration digest.
    """
    importlib.import_module(f"hare.report.{results.name}_figures")
    with written_whole(results / f"{name}.csv") as temporary:
        frame.to_csv(temporary, index=False, float_format=number_in_table, lineterminator="\n")
    _show(_render(results, _DRAWINGS[results.name, name], origin))


def show_figure(stage: Stage, name: str, frame: pd.DataFrame) -> None:
    """Draw one figure of a stage from ``frame``, save it beside its table, and show it where a notebook runs."""
    draw(stage.results, name, frame, stage.origin())


def redraw(profile_results: Path) -> list[Path]:
    """Draw every figure of a profile from its CSV again; return the SVG paths. Figures never recorded are left out.

    One process per core: a vector file takes half a second, and there are some dozens.

    Raises:
        HareError: a recorded table lacks a column that its figure shows.
    """
    recorded = [
        (profile_results / drawing.stage, drawing.name) for drawing in drawings()
        if (profile_results / drawing.stage / f"{drawing.name}.csv").exists()
    ]
    try:
        with ProcessPoolExecutor(mp_context=multiprocessing.get_context("fork")) as processes:
            return list(processes.map(_redraw_one, *zip(*recorded, strict=True))) if recorded else []
    except LookupError as error:
        raise HareError(
            str(error), "other code recorded it: rerun that stage's notebook, `hare reproduce` knows which"
        ) from error


def _redraw_one(folder: Path, name: str) -> Path:
    origin, data = read_sealed(folder / f"{name}.json"), folder / f"{name}.csv"
    if not data.is_file() or sha256_of(data) != origin.get("data_sha256"):
        raise damaged(data, "it is not the table that the figure was drawn from")
    provenance = {key: value for key, value in origin.items() if key not in ("figure", "data", "data_sha256")}
    try:
        plt.close(_render(folder, _DRAWINGS[folder.name, name], provenance))
    except (KeyError, AttributeError) as error:
        raise LookupError(f"{folder / name}.csv does not fit its figure: {error}.") from error
    return folder / f"{name}.svg"


def _show(picture: Figure) -> None:
    """Put the picture into the notebook's cell once, whatever the cell's other statements are."""
    from IPython import get_ipython
    from IPython.display import Image, display

    plt.close(picture)
    if get_ipython() is not None:
        buffer = io.BytesIO()
        with mpl.rc_context(_style()):
            picture.savefig(buffer, format="png", dpi=_SCREEN_DPI)
        display(Image(buffer.getvalue()))


@cache
def _style() -> dict[str, Any]:
    return dict(mpl.rc_params_from_file(STYLE, use_default_template=False))


def _save(picture: Figure, path: Path) -> None:
    """Write ``<path>.svg`` and ``<path>.pdf`` without dates.

    The layout is computed once, for both, and the picture drawn once for each: `savefig` draws it twice, the first time
    only for its layout.
    """
    vectors, dpi, engine = FigureCanvasSVG(picture), picture.dpi, picture.get_layout_engine()
    assert engine is not None, "the style file asks for constrained layout"
    for axes in picture.axes:
        axes.minorticks_off()  # on logarithmic axes they are most of the marks, and say little
        for axis in (axes.xaxis, axes.yaxis):
            if not axis.get_label_text():
                axis.set_label_coords(0.5, 0.5)  # the place of an empty label would be found by measuring all others
    engine.execute(picture)
    picture.set_layout_engine("none")
    picture.dpi = dpi  # each of these leaves the dots of its own format behind, and images are sampled at this number
    with written_whole(path.with_name(f"{path.name}.svg")) as temporary:
        vectors.print_svg(temporary, metadata={"Date": None})
    picture.dpi = dpi
    with written_whole(path.with_name(f"{path.name}.pdf")) as temporary:
        FigureCanvasPdf(picture).print_pdf(temporary, metadata={"CreationDate": None})
    picture.dpi = dpi


def _render(folder: Path, drawing: Drawing, origin: dict[str, Any]) -> Figure:
    """Draw from the CSV on disk, never from memory, so that what is shown is what was recorded."""
    data = folder / f"{drawing.name}.csv"
    frame = read_table(data, keep_default_na=False, na_values=[""])
    with mpl.rc_context({**_style(), "svg.hashsalt": drawing.name}):
        picture = drawing.draw(frame)
        _save(picture, folder / drawing.name)
    described = {"figure": drawing.name, "data": data.name, "data_sha256": sha256_of(data)}
    write_json(folder / f"{drawing.name}.json", sealed(described | origin))
    return picture

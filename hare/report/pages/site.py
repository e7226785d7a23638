"""`hare site`: one static folder to read a recorded profile in, opened from disk without a server or network.

Sphinx with myst-nb lays out the executed notebooks as pages with a search of their own. What a notebook's cells show is
sanitised first, so that text of a corpus cannot run as script.
"""

import contextlib
import io
import re
import shutil
import tempfile
from pathlib import Path

import jinja2
import nbformat

from hare.core.chain import CHAIN
from hare.core.errors import HareError
from hare.core.files import folder_written_whole, write_text
from hare.core.paths import REPOSITORY, Workspace
from hare.core.profile import Profile
from hare.core.reading import damaged
from hare.driver.state import damaged_result, read_state
from hare.driver.verify import verify
from hare.report.recorded import STAGES, Recorded

PAGES = Path(__file__).with_name("site")
_BARS = re.compile(r"\s*(?:[\w ]+: +\d+%\|[^\r\n]*\s*)+")  # as tqdm draws them, one after the other
_STYLES = re.compile(r"<style\b.*?</style>", re.DOTALL | re.IGNORECASE)  # of one table each; the site has its own
_LONG_CELL = re.compile(r"<td\b[^>]*>(?=[^<]{40})")  # its words may be broken, so that the table fits the page
_TAGS = ("a", "b", "br", "caption", "code", "div", "em", "p", "pre", "span", "strong", "table", "tbody", "td", "th",
         "thead", "tr")
_ATTRIBUTES = {"*": ["class"], "a": ["href"], "td": ["colspan", "rowspan"], "th": ["colspan", "rowspan"]}
_FILES_OF_A_FIGURE = (".svg", ".csv", ".json")
_CONFIGURATION = {
    "project": "HARE, rebuilt",
    "html_title": "HARE, rebuilt",
    "extensions": ["myst_nb"],
    "nb_execution_mode": "off",
    "nb_merge_streams": True,
    "html_theme": "sphinx_book_theme",
    "html_copy_source": False,
    "html_show_copyright": False,
    "html_show_sphinx": False,
    "html_static_path": ["_static"],
    "html_css_files": ["hare.css"],
    "html_theme_options": {
        "use_download_button": False, "use_fullscreen_button": False, "home_page_in_toc": True, "navbar_persistent": [],
        "footer_content_items": [],
    },
    "suppress_warnings": ["mystnb.unknown_mime_type", "myst.xref_missing", "myst.header"],
}


def build_site(profile: Profile) -> Path:
    """Lay out what ``profile`` has recorded as a folder of pages; return the first of them.

    Raises:
        HareError: no executed notebook is recorded, or Sphinx could not lay the pages out.
    """
    recorded = Recorded(profile.name)
    notebooks = sorted((recorded.folder / "notebooks").glob("*.ipynb"))
    if not notebooks:
        raise HareError(
            f"{recorded.folder / 'notebooks'} holds no executed notebook.",
            f"run `hare reproduce {profile.option}` first",
        )
    target = Workspace(profile.name).work / "site"
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / "source"
        _say_changes(Workspace(profile.name))
        _write_sources(source, profile, recorded, notebooks)
        with folder_written_whole(target) as folder:
            _lay_out(source, folder)
            shutil.rmtree(folder / ".doctrees", ignore_errors=True)
            (folder / ".buildinfo").unlink(missing_ok=True)
    return target / "index.html"


def _write_sources(source: Path, profile: Profile, recorded: Recorded, notebooks: list[Path]) -> None:
    """The folder that Sphinx reads: notebooks, a page of figures per stage, the article, the first page."""
    shutil.copytree(PAGES, source)
    configuration = "\n".join(f"{name} = {value!r}" for name, value in _CONFIGURATION.items())
    write_text(source / "conf.py", configuration + "\n")
    for notebook in notebooks:
        write_text(source / notebook.name, nbformat.writes(sanitised(_executed(notebook))))
    stages = [stage for stage in (*STAGES, "study") if _figures(recorded, stage)]
    for stage in stages:
        _write_figures(source, recorded, stage)
    article = REPOSITORY / "paper" / "article.pdf"
    if article.exists():
        shutil.copy(article, source / "_static" / article.name)
    write_text(source / "verification.md", _verification(profile))
    page = jinja2.Template((source / "index.md").read_text(encoding="utf-8"))
    write_text(
        source / "index.md",
        page.render(
            profile=recorded.profile, notebooks=[notebook.stem for notebook in notebooks], stages=stages,
            article=article.exists(),
        ),
    )


def _say_changes(workspace: Workspace) -> None:
    """Where the results were made here, say which are not what their run left."""
    for step in CHAIN:
        state = read_state(step, workspace)
        if state and (changed := damaged_result(workspace, state)):
            print(f"{changed} is gone or was changed since {step.notebook} ran: `hare status` says what to do")


def _executed(path: Path) -> nbformat.NotebookNode:
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # nbformat's own, json's, those of attributes that are not there
        raise damaged(path, f"it is no notebook ({type(error).__name__})") from error
    return notebook


def _verification(profile: Profile) -> str:
    """A page that compares the results at hand with those of the checked-out commit."""
    try:
        lines = verify(profile).lines()
    except HareError as error:
        lines = [error.problem]
    return "\n".join(["# This run against the record", "", "```text", *lines, "```", ""])


def sanitised(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without scripts, event handlers and frozen widgets in what its cells show; tables stay tables.

    The cell that repeats the parameters, as a batch run sets them, is folded away.
    """
    from nbconvert.preprocessors.sanitize import SanitizeHTML

    sanitiser = SanitizeHTML(tags=list(_TAGS), attributes=_ATTRIBUTES)
    for index, cell in enumerate(notebook.cells):
        if "injected-parameters" in (tags := cell.metadata.get("tags", [])):
            cell.metadata["tags"] = [*tags, "hide-cell"]
        if cell.cell_type == "code":  # prose is ours, and sanitising would escape its code spans a second time
            cell.outputs = [output for output in cell.outputs if not _is_frozen(output)]
            for data in (output["data"] for output in cell.outputs if "text/html" in output.get("data", {})):
                data["text/html"] = _LONG_CELL.sub('<td class="long">', _STYLES.sub("", data["text/html"]))
            sanitiser.preprocess_cell(cell, {}, index)
    return notebook


def _is_frozen(output: nbformat.NotebookNode) -> bool:
    """Whether an output is a widget, or a progress bar that stands where it stood when the cell began or ended."""
    shown = output.get("data", {}).get("text/plain", output.get("text", ""))
    return any("jupyter.widget" in kind for kind in output.get("data", {})) or bool(_BARS.fullmatch(shown))


def _figures(recorded: Recorded, stage: str) -> list[Path]:
    return sorted((recorded.folder / stage).glob("*.svg"))


def _write_figures(source: Path, recorded: Recorded, stage: str) -> None:
    """A page of all figures of a stage, each with its data and its origin beside it."""
    folder = source / "_static" / stage
    folder.mkdir(parents=True)
    lines = [f"# Figures: {stage}", ""]
    for figure in _figures(recorded, stage):
        kept = [ending for ending in _FILES_OF_A_FIGURE if figure.with_suffix(ending).exists()]
        for ending in kept:
            shutil.copy(figure.with_suffix(ending), folder)
        links = [
            f"[{label}](_static/{stage}/{figure.stem}{ending})"
            for label, ending in (("data", ".csv"), ("origin", ".json")) if ending in kept
        ]
        lines += [f"## {figure.stem.replace('_', ' ')}", "", f"![{figure.stem}](_static/{stage}/{figure.name})", ""]
        lines += [" · ".join(links), ""]
    write_text(source / f"figures_{stage}.md", "\n".join(lines))


def _lay_out(source: Path, target: Path) -> None:
    from sphinx.cmd.build import build_main

    messages = io.StringIO()
    with contextlib.redirect_stderr(messages), contextlib.redirect_stdout(messages):
        failed = build_main(["-q", "-b", "html", "-d", str(target / ".doctrees"), str(source), str(target)])
    if failed:
        raise HareError(
            f"Sphinx could not lay out the pages: {messages.getvalue().strip()[-500:]}",
            "restore results/ (git checkout results), or run the notebook that the message names again",
        )

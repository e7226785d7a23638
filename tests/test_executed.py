"""Executed notebooks as kept: no active content, no secrets, no names of the machine."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from listening import listeners, reachable
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from toychain import PROFILE, toy_chain

from hare.core.errors import HareError
from hare.core.paths import Workspace
from hare.core.secrets import MASK
from hare.core.tables import escaped_table
from hare.driver.executed import clean, keep, keep_failed, names_of_this_machine, without
from hare.driver.pages import safe_html
from hare.driver.private import private_folder
from hare.driver.reproduce import reproduce

HOSTILE = [
    "<img src=x onerror=alert(1)>", "<script>alert(1)</script>", "</td><svg onload=alert(1)>",
    "<a href='javascript:x'>", "<style>@import url(//evil.example/x.css)</style>",
    "<iframe src=//evil.example>", "<details ontoggle=x open>",
    "<form action=//evil.example><button>", "<img src=//evil.example/pixel>", "<math><mi xlink:href='data:x'>",
    "</pre><base href=//evil.example>", "<a href='data:text/html,x'>", "<img src='data:text/html;base64,xx'>",
]
NOTEBOOK = {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "language_info": {"name": "python"}}


class Live(HTMLParser):
    """Collects tags and attributes that would run, load or submit something."""

    def __init__(self) -> None:
        super().__init__()
        self.live: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called for each tag that a browser would see."""
        if tag in ("script", "iframe", "object", "embed", "form", "base", "link", "svg", "math"):
            self.live.append(tag)
        for name, value in attrs:
            outside = name in ("src", "href") and re.match(r"\s*(javascript|data:(?!image)|//)", value or "", re.I)
            if name.startswith("on") or outside or (tag == "img" and name == "src" and "evil" in (value or "")):
                self.live.append(f"{tag} {name}={value}")


def _live(markup: str) -> list[str]:
    parser = Live()
    parser.feed(markup)
    return parser.live


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_in_every_kind_of_output(text: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({text: [text]}, index=pd.Index([text], name=text))
    tables = {
        "plain": frame.to_html(), "styled": escaped_table(frame.style.set_caption(text)),
        "hidden": escaped_table(frame.style.hide(axis="index").format(precision=1)),
        "formatted": escaped_table(frame.style.format("{}").format_index("{}", axis=1)),
        "bold": escaped_table(frame.style.apply(lambda column: ["font-weight: bold"] * len(column))),
        "two": escaped_table(frame.style.concat(frame.style.format("{}"))),
    }
    outputs = [new_output("display_data", {"text/html": table, "text/plain": text}) for table in tables.values()]
    outputs += [
        new_output("display_data", {"text/html": text}), new_output("display_data", {"text/markdown": text}),
        new_output("display_data", {"text/latex": text}), new_output("display_data", {"application/javascript": text}),
        new_output("display_data", {"image/svg+xml": f"<svg xmlns='x'>{text}</svg>"}),
        new_output("stream", name="stdout", text=text), new_output("error", ename=text, evalue=text, traceback=[text]),
    ]
    cells = [new_code_cell(text, outputs=outputs), new_markdown_cell(f"{text}\n\n`{text}`")]
    notebook = new_notebook(cells=cells, metadata=NOTEBOOK)
    nbformat.write(notebook, tmp_path / "draft.ipynb")
    keep(tmp_path / "draft.ipynb", tmp_path / "kept.ipynb", Workspace("toy"))
    reread = nbformat.read(tmp_path / "kept.ipynb", as_version=4)
    for output in reread.cells[0].outputs:
        assert _live(output.get("data", {}).get("text/html", "")) == []
    for output in reread.cells[0].outputs[: len(tables)]:
        assert _live(output.data["text/html"]) == []
        shown = HTMLParserText.of(output.data["text/html"])
        assert text in shown, "it is to be read as it was"


class HTMLParserText(HTMLParser):
    """What a browser shows."""

    @classmethod
    def of(cls, markup: str) -> str:
        """All text of ``markup``."""
        parser = cls()
        parser.text = ""
        parser.feed(markup)
        return parser.text

    def handle_data(self, data: str) -> None:
        """Called for text between tags."""
        self.text += data


def test_tables_keep_their_form() -> None:
    frame = pd.DataFrame({"arm": ["d1", "a & b"], "accuracy": [0.251, 0.5]})
    bold = frame.style.apply(lambda _: pd.DataFrame("font-weight: bold", frame.index, frame.columns), axis=None)
    markup = safe_html(escaped_table(bold.format(precision=1)))
    assert "font-weight: bold" in markup and markup.startswith("<style") and "<td" in markup and "a &amp; b" in markup
    assert HTMLParserText.of(escaped_table(bold)) == HTMLParserText.of(escaped_table(bold)), "shown twice, escaped once"
    plain = safe_html(frame._repr_html_())
    assert "<style" not in plain and '<table class="dataframe"' in plain and "<thead>" in plain
    assert safe_html("<h2>t</h2><p><strong>b</strong> <a href='https://x.example/y'>l</a></p>").count("<") == 8
    assert '<img src="figure.svg"' in safe_html('<img src="figure.svg" alt="x">')


def test_secrets_are_in_neither_notebook_nor_page(tmp_path: Path) -> None:
    secret = "https://me:pass1234word@host/x"
    outputs = [
        new_output("stream", name="stdout", text=secret), new_output("display_data", {"text/plain": secret}),
        new_output("error", ename="E", evalue=secret, traceback=[secret]),
    ]
    notebook = new_notebook(cells=[new_code_cell(f'generator = "{secret}"', outputs=outputs[:2])], metadata=NOTEBOOK)
    clean(notebook, [])
    assert "pass1234word" not in nbformat.writes(notebook)
    draft, failed = tmp_path / "draft.ipynb", tmp_path / "failed" / "x.ipynb"
    notebook.cells.append(new_code_cell(f"'{secret}'", outputs=outputs))
    nbformat.write(notebook, draft)
    keep_failed(draft, failed)
    assert not draft.exists() and "pass1234word" not in failed.read_text() and MASK in failed.read_text()
    nbformat.read(failed, as_version=4)


def test_half_a_failed_notebook_is_not_kept(tmp_path: Path) -> None:
    draft = tmp_path / "draft.ipynb"
    draft.write_text('{"cells": [')
    keep_failed(draft, tmp_path / "failed.ipynb")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("home", ["/", "//", "", "relative", None])
def test_an_unusual_home_folder_changes_no_text(home: str | None, roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARE_CACHE", str(roots / "cache"))
    monkeypatch.delenv("HOME") if home is None else monkeypatch.setenv("HOME", home)
    text = "a/b and https://host/x or 1/2; relative; </td>"
    assert without(text, names_of_this_machine(Workspace("toy"))) == text


def test_a_short_folder_is_no_part_of_other_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARE_WORK", "/disk")
    monkeypatch.setenv("HARE_RESULTS", "/")
    names = names_of_this_machine(Workspace("toy"))
    text = "https://host/disk/x net/disk ~/disk /disks"
    assert without(text, names) == text
    assert without("in /disk/toy/corpus and (/disk)", names) == "in work/toy/corpus and (work)"


def test_the_private_folder_is_private_and_is_removed(roots: Path) -> None:
    workspace = Workspace("toy")
    with private_folder(workspace) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        link = workspace.work / "private"
        assert link.resolve() == folder.resolve()
    assert not folder.exists() and not link.is_symlink()


def test_leftovers_of_a_killed_run_are_removed_at_the_next_start(roots: Path) -> None:
    workspace = Workspace("toy")
    killed = private_folder(workspace)
    folder = killed.__enter__()
    (folder / "kernel.json").write_text("{}")
    link = workspace.work / "private"
    with private_folder(workspace) as another:
        assert not folder.exists() and another != folder
    link.symlink_to(roots)  # never somebody else's
    with private_folder(workspace):
        assert roots.exists() and workspace.work.exists()


def test_a_kernel_cannot_be_reached_and_leaves_nothing_in_the_temporary_folder(
    roots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (roots / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(roots / "tmp"))
    cell = (
        "import glob, os, tempfile, time\n"
        "time.sleep(0.2)\n"
        "(stage.results / 'seen.txt').write_text(' '.join(sorted(os.listdir(os.environ['TMPDIR']))))\n"
        "tempfile.mkdtemp()"
    )
    with listeners() as addresses:
        reproduce(PROFILE, chain=toy_chain(roots / "notebooks", {"corpus": cell}, length=1))
    assert not reachable(addresses)
    names = (Workspace("toy").results / "corpus" / "seen.txt").read_text().split()
    assert "kernel.json" in names and "kernel-ipc-1" in names
    assert not list((roots / "tmp").iterdir())


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare")
def test_notebooks_run_without_any_network_interface(roots: Path) -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from pathlib import Path\n"
        "from toychain import PROFILE, toy_chain; from hare.driver.reproduce import reproduce\n"
        f"print(reproduce(PROFILE, chain=toy_chain(Path({str(roots / 'notebooks')!r}), length=1)))"
    )
    command = ["unshare", "--net", sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.stdout == "1\n", done.stderr


def test_a_stopped_run_reveals_no_secret(roots: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = "https://me:pass1234word@host/x"
    cell = f"import os\nos.write(2, b'{secret}')\nprint('{secret}')\nraise ValueError('{secret}')"
    with pytest.raises(HareError) as caught:
        reproduce(PROFILE, chain=toy_chain(roots / "notebooks", {"corpus": cell}, length=1))
    work = Workspace("toy").work
    texts = [str(caught.value), *(path.read_text() for path in work.rglob("*") if path.is_file())]
    assert json.loads((work / "failed" / "01_count.ipynb").read_text())["cells"]
    assert "pass1234word" not in "".join(texts) + "".join(capsys.readouterr())

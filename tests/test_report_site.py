"""The pages to read: complete, from disk alone, and nothing of a corpus runs in them."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from hare.core.errors import HareError
from hare.core.paths import Workspace
from hare.core.profile import load_profile
from hare.core.provenance import sealed
from hare.report.pages.site import build_site, sanitised

HOSTILE = '<img src=x onerror="document.title=\'hacked\'"><script>document.title="hacked"</script>'
_BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages of a profile with one hostile notebook and one figure."""
    roots = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARE_RESULTS", str(roots / "results"))
        patch.setenv("HARE_WORK", str(roots / "work"))
        results = Workspace("laptop").results
        (results / "notebooks").mkdir(parents=True)
        outputs = [
            new_output("stream", name="stdout", text=HOSTILE),
            new_output("execute_result", data={
                "text/html": f"<style>td {{color: red}}</style><table><tr><td class='x'>{HOSTILE}</td></tr></table>"}),
            new_output("display_data", data={"application/vnd.jupyter.widget-view+json": {}, "text/plain": "bar 50 %"}),
        ]
        cells = [new_markdown_cell("# 01 · A corpus\n\nSee `results/<profile>/`."), new_code_cell("1", outputs=outputs)]
        notebook = new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
        nbformat.write(notebook, results / "notebooks" / "01_corpus.ipynb")
        (results / "corpus").mkdir()
        picture = '<svg xmlns="http://www.w3.org/2000/svg" width="2000" height="9"/>'
        (results / "corpus" / "kept.svg").write_text(picture)
        (results / "corpus" / "kept.csv").write_text("a\n1\n")
        (results / "corpus" / "kept.json").write_text(json.dumps(sealed({"notebook": "notebooks/01_corpus.ipynb"})))
        (results / "corpus" / "metrics.json").write_text(json.dumps(sealed({"metrics": {"a": 1}, "provenance": {}})))
        return build_site(load_profile("laptop")).parent


def test_every_link_and_picture_leads_to_a_file_of_the_folder(site: Path) -> None:
    pages = sorted(site.glob("*.html"))
    assert {"index.html", "01_corpus.html", "figures_corpus.html", "verification.html"} <= {page.name for page in pages}
    for page in pages:
        for link in re.findall(r'(?:href|src)="([^"#]*)', page.read_text(encoding="utf-8")):
            if link and not re.match(r"\w+:", link):
                assert (site / link.split("?")[0]).exists(), f"{page.name}: {link}"


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.glob("*.html"):
        loaded = re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="(https?:)?//', page.read_text(encoding="utf-8"))
        assert not loaded, page.name


def test_text_of_a_corpus_stays_text(site: Path) -> None:
    page = (site / "01_corpus.html").read_text(encoding="utf-8")
    assert not re.search(r"<img[^>]*onerror", page) and '<script>document.title="hacked"' not in page
    assert "bar 50 %" not in page, "a frozen widget"
    assert '<td class="x">' in page and "color: red" not in page
    assert "&lt;table" not in page and "&lt;img src=x onerror" in page
    assert "results/&lt;profile&gt;/" in page


def test_frozen_bars_are_left_out_and_lines_about_work_stay() -> None:
    bar = "Loading weights:   0%|          | 0/21 [00:00<?, ?it/s]"
    outputs = [
        new_output("display_data", data={"text/plain": bar}),
        new_output("stream", name="stderr", text=f"{bar}\rLoading weights: 100%|###| 21/21 [00:00<00:00]\n{bar}\n"),
        new_output("stream", name="stdout", text="mix: 3 files in 1.0 s (3 files/s)\n"),
        new_output("stream", name="stdout", text=f"{bar}\nand a sentence\n"),
    ]
    shown = sanitised(new_notebook(cells=[new_code_cell("1", outputs=outputs)])).cells[0].outputs
    assert [output.text.split()[0] for output in shown] == ["mix:", "Loading"]


def test_a_profile_without_notebooks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARE_RESULTS", str(tmp_path))
    with pytest.raises(HareError, match="holds no executed notebook.\n.*hare reproduce --profile laptop"):
        build_site(load_profile("laptop"))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"\0\0", b"[3]", b'{"cells": 1}', b"<html>", b"null"])
def test_a_damaged_notebook_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setenv("HARE_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("HARE_WORK", str(tmp_path / "work"))
    notebook = Workspace("laptop").results / "notebooks" / "01_analyse_corpus.ipynb"
    notebook.parent.mkdir(parents=True)
    notebook.write_bytes(content)
    with pytest.raises(HareError, match=r"01_analyse_corpus.ipynb is damaged(?s:.)*git checkout"):
        build_site(load_profile("laptop"))


@pytest.mark.skipif(_BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("page", ["index", "01_corpus", "figures_corpus"])
def test_a_browser_shows_the_page_without_errors_in_its_width(site: Path, page: str, tmp_path: Path) -> None:
    probe = site / f"{page}-probe.html"
    measure = "document.title='width='+document.documentElement.scrollWidth"
    script = f"<script>addEventListener('load',()=>{{{measure}}})</script>"
    probe.write_text((site / f"{page}.html").read_text(encoding="utf-8").replace("</body>", f"{script}</body>"))
    command = [
        str(_BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic",
        f"--user-data-dir={tmp_path}",
        "--enable-logging=stderr", "--window-size=500,900", "--virtual-time-budget=5000", "--dump-dom", probe.as_uri(),
    ]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120)
    probe.unlink()
    width = re.search(r"<title>width=(\d+)</title>", process.stdout)
    assert width and int(width[1]) <= 500, process.stdout[:500]
    assert not re.search(r"(ERROR|WARNING):CONSOLE", process.stderr), process.stderr

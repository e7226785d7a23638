"""What the artifact says of itself is true: commands exist, listed files lie there, notebooks ended."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hare.core.paths import REPOSITORY

_COMMAND = re.compile(r"`(?:[^`]*&& )?(?:\.venv/bin/)?hare ([a-z]+)[^`]*`")
EXECUTED = sorted((REPOSITORY / "results").glob("*/notebooks/*.ipynb"))


def test_files_to_be_checked_are_recorded() -> None:
    listed = yaml.safe_load((REPOSITORY / "codecheck.yml").read_text(encoding="utf-8"))["manifest"]
    assert listed and not [entry["file"] for entry in listed if not (REPOSITORY / entry["file"]).is_file()]


@pytest.mark.parametrize("page", ["ARTIFACT.md", "README.md"])
def test_every_command_of_a_page_exists(page: str) -> None:
    named = set(_COMMAND.findall((REPOSITORY / page).read_text(encoding="utf-8")))
    command = [sys.executable, "-m", "hare.cli", "--help"]
    usage = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY).stdout
    known = set(re.findall(r"^    ([a-z]+)", usage, re.MULTILINE))
    assert named and named <= known


def test_the_citation_file_is_whole() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["license"] == "Apache-2.0" and "Apache License" in (REPOSITORY / "LICENSE").read_text()


@pytest.mark.parametrize("path", EXECUTED, ids=lambda path: f"{path.parent.parent.name}/{path.stem}")
def test_a_recorded_notebook_ran_to_its_end(path: Path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert not notebook["metadata"].get("papermill", {}).get("exception")
    for cell in notebook["cells"]:
        assert cell["metadata"].get("papermill", {}).get("status", "completed") == "completed"
        assert not [output for output in cell.get("outputs", []) if output["output_type"] == "error"]
        assert cell["cell_type"] != "code" or not cell["source"] or cell["execution_count"]

"""The README's findings: written from results, where the marks are, and the same as what is committed."""

from pathlib import Path

import pytest

from hare.core.errors import HareError
from hare.report.pages.findings import BEGIN, END, README, findings, write_findings
from hare.report.recorded import Recorded


def test_the_readme_says_what_the_results_hold() -> None:
    assert findings(Recorded("laptop")) in README.read_text(encoding="utf-8")


def test_every_number_of_the_readme_s_findings_is_recorded() -> None:
    assert "not recorded" not in findings(Recorded("laptop"))


def test_findings_are_put_between_the_marks_and_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARE_RESULTS", str(tmp_path))
    page = tmp_path / "README.md"
    page.write_text(f"# Title\n{BEGIN}\nold\n{END}\nrest\n", encoding="utf-8")
    write_findings(Recorded("laptop"), page)
    assert page.read_text(encoding="utf-8") == f"# Title\n{BEGIN}\n\n\n{END}\nrest\n"


@pytest.mark.parametrize("text", ["", BEGIN, f"{BEGIN} {BEGIN} {END}"])
def test_a_page_without_its_marks_is_named(tmp_path: Path, text: str) -> None:
    page = tmp_path / "README.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(HareError, match="README.md lacks the two marks"):
        write_findings(Recorded("laptop"), page)

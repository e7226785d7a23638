"""`hare verify`: what counts as the same result, and how differences are reported."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hare.core.errors import HareError
from hare.core.paths import REPOSITORY
from hare.core.profile import load_profile
from hare.core.provenance import sealed
from hare.driver import verify as module
from hare.driver.verify import DIFFERS, IDENTICAL, MISSING, NEW, TOLERANCE, WITHIN, verify

PROVENANCE = {
    "git_commit": "a" * 40, "config_sha256": "1", "hardware": {"processor": "P1"}, "packages": {"torch": "2.13.0"}
}


def _record(folder: Path, stage: str, metrics: dict[str, float], **provenance: Any) -> None:
    (folder / stage).mkdir(parents=True, exist_ok=True)
    content = sealed({"metrics": metrics, "provenance": PROVENANCE | provenance})
    (folder / stage / "metrics.json").write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Folders of the record and of the rerun."""
    monkeypatch.setenv("HARE_RESULTS", str(tmp_path / "rerun"))
    return tmp_path / "record", tmp_path / "rerun" / "laptop"


def test_every_outcome_is_distinguished(sides: tuple[Path, Path]) -> None:
    record, rerun = sides
    _record(record, "corpus", {"a": 1.0, "b": 1.0, "b.low": 0.9, "b.high": 1.1, "c": 1.0, "d": 5, "e_per_s": 3.0})
    _record(rerun, "corpus", {"a": 1.0, "b": 1.05, "b.low": 1.0, "b.high": 1.2, "c": 2.0, "f": 1, "e_ms": 9.0})
    outcomes = {row.name: row.outcome for row in verify(load_profile("laptop"), record).comparisons}
    assert outcomes == {"a": IDENTICAL, "b": WITHIN, "c": DIFFERS, "d": MISSING, "f": NEW}
    assert not verify(load_profile("laptop"), record).agrees


def test_p_values_are_compared_by_their_side_and_rounding_is_no_claim(sides: tuple[Path, Path]) -> None:
    record, rerun = sides
    _record(record, "corpus", {"p.x": 0.0008, "p.y": 0.49, "p.z": 0.04, "export.max_logit_difference": 0.0})
    _record(rerun, "corpus", {"p.x": 0.0005, "p.y": 0.57, "p.z": 0.06, "export.max_logit_difference": 7e-6})
    outcomes = {row.name: row.outcome for row in verify(load_profile("laptop"), record).comparisons}
    assert outcomes == {"p.x": WITHIN, "p.y": WITHIN, "p.z": DIFFERS}


def test_what_one_side_alone_holds_is_said(sides: tuple[Path, Path]) -> None:
    record, rerun = sides
    for folder, stages in ((record, ("corpus", "tokens", "bench")), (rerun, ("corpus", "study"))):
        for stage in stages:
            _record(folder, stage, {"a": 1.0})
    verification = verify(load_profile("laptop"), record)
    assert verification.agrees and verification.one_sided == ["study", "tokens"]
    assert "not compared, since one side alone holds it: study, tokens" in verification.lines()


@given(st.floats(-1e6, 1e6), st.floats(-2, 2))
def test_a_metric_without_interval_may_move_by_the_tolerance(value: float, share: float) -> None:
    moved = value * (1 + TOLERANCE * share)
    outcome = module._outcome("m", {"m": value}, {"m": moved})
    if moved == value:
        assert outcome == IDENTICAL
    elif abs(share) < 0.999:
        assert outcome == WITHIN
    elif abs(share) > 1.001:
        assert outcome == DIFFERS


def test_an_interval_without_width_counts_as_none() -> None:
    recorded = {"m": 5.13603, "m.low": 5.13603, "m.high": 5.13603}
    assert module._outcome("m", recorded, {"m": 5.1360301}) == WITHIN
    assert module._outcome("m", recorded, {"m": 5.3}) == DIFFERS


def test_a_verification_is_kept_as_numbers(sides: tuple[Path, Path]) -> None:
    record, rerun = sides
    _record(record, "corpus", {"a": 1.0, "b": 1.0})
    _record(rerun, "corpus", {"a": 1.0, "b": 1.005, "c": 2.0}, hardware={"processor": "P1", "instruction_set": "AVX2"})
    profile = load_profile("laptop")
    path = module.keep(verify(profile, record), profile, record)
    saved = json.loads(path.read_text(encoding="utf-8"))
    assert saved["provenance"]["command"] == "hare verify --profile laptop --against DIR --record"
    assert saved["metrics"] | {"compared": 2, "identical": 1, "within": 1, "corpus.identical": 1} == saved["metrics"]
    assert len(path.with_name("outcomes.csv").read_text(encoding="utf-8").splitlines()) == 4
    assert verify(profile, record).agrees, "what was kept is no stage"


def test_a_folder_that_nobody_named_is_not_kept(sides: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    record, rerun = sides
    _record(rerun, "corpus", {"a": 1.0})
    monkeypatch.setattr(module, "_committed", lambda profile: module._records_in(rerun))
    profile = load_profile("laptop")
    saved = json.loads(module.keep(verify(profile), profile).read_text(encoding="utf-8"))
    assert saved["provenance"]["command"] == "hare verify --profile laptop --record"


@pytest.mark.parametrize(
    ("low", "high", "changed"), [(-0.3, -0.1, False), (-0.2, 0.1, True), (0.1, 0.3, True)],
)
def test_a_verdict_that_changes_is_a_disagreement(
    sides: tuple[Path, Path], low: float, high: float, changed: bool
) -> None:
    record, rerun = sides
    name = "contrast.c-a2.h3"
    _record(record, "training", {name: -0.2, f"{name}.low": -0.4, f"{name}.high": -0.05})
    _record(rerun, "training", {name: (low + high) / 2, f"{name}.low": low, f"{name}.high": high})
    verification = verify(load_profile("laptop"), record)
    assert ("CHANGED" in verification.verdicts[0]) is changed
    assert verification.agrees is not changed


@pytest.mark.parametrize(("after", "line"), [
    ("undecided", "undecided"), ("worse", "undecided → worse  CHANGED"), (None, "worse"),
])
def test_a_verdict_is_the_registered_outcome_where_both_sides_have_it(
    sides: tuple[Path, Path], after: str | None, line: str
) -> None:
    record, rerun = sides
    name, rows = "contrast.c-a2.p", "contrast,endpoint,outcome\nc-a2,p,"
    for folder, outcome in ((record, "undecided"), (rerun, after)):
        _record(folder, "training", {name: 0.2, f"{name}.low": 0.1, f"{name}.high": 0.3})
        if outcome:
            (folder / "training" / "contrasts.csv").write_text(rows + outcome + "\n", encoding="utf-8")
    assert verify(load_profile("laptop"), record).verdicts == [f"{name}: {line}"]


def test_a_contrast_of_a_single_seed_or_item_has_no_verdict_to_keep(sides: tuple[Path, Path]) -> None:
    record, rerun = sides
    name = "contrast.c-a2.p"
    _record(record, "training", {name: -0.2, f"{name}.low": -0.4, f"{name}.high": -0.05})
    _record(rerun, "training", {name: -0.2})
    assert verify(load_profile("laptop"), record).verdicts == [f"{name}: better → not measured  CHANGED"]


def test_the_record_of_a_profile_with_a_name_of_any_script_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _record(tmp_path / "results" / "café", "corpus", {"a": 1.0})
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    monkeypatch.setattr(module, "REPOSITORY", tmp_path)
    assert set(module._committed("café")) == {"corpus"}


def test_what_could_explain_a_difference_is_named_once(sides: tuple[Path, Path]) -> None:
    record, rerun = sides
    for stage in ("corpus", "tokens"):
        _record(record, stage, {"a": 1.0})
        _record(rerun, stage, {"a": 1.0}, hardware={"processor": "P2"}, packages={"torch": "2.14.0"}, git_commit="b")
    verification = verify(load_profile("laptop"), record)
    assert verification.agrees
    assert verification.explanations == [
        "another processor: P1 → P2 (corpus, tokens)", f"other code: {'a' * 12} → b (corpus, tokens)",
        "other versions: torch 2.13.0 → 2.14.0 (corpus, tokens)",
    ]


def test_a_difference_in_speed_does_not_count(sides: tuple[Path, Path]) -> None:
    record, rerun = sides
    _record(record, "bench", {"cleaning_mb_per_s_per_core": 3.0})
    _record(record, "training", {"tokens_per_s": 1.0, "x": 2})
    _record(rerun, "training", {"tokens_per_s": 2.0, "x": 2})
    assert verify(load_profile("laptop"), record).agrees


@pytest.mark.parametrize("content", ["", "{", "[]", '{"metrics": 1, "provenance": {}}', "\xff\xfe"])
def test_a_damaged_record_is_named(sides: tuple[Path, Path], content: str) -> None:
    record, rerun = sides
    _record(record, "corpus", {"a": 1.0})
    _record(rerun, "corpus", {"a": 1.0})
    (rerun / "corpus" / "metrics.json").write_text(content, encoding="latin-1")
    with pytest.raises(HareError, match=r"rerun/laptop/corpus/metrics.json is not the record"):
        verify(load_profile("laptop"), record)


def test_a_side_without_results_is_named(sides: tuple[Path, Path]) -> None:
    record, rerun = sides
    with pytest.raises(HareError, match="holds no recorded stage"):
        verify(load_profile("laptop"), record)
    _record(rerun, "corpus", {"a": 1.0})
    with pytest.raises(HareError, match="There is no record of profile laptop"):
        verify(load_profile("laptop"), record)


def test_the_committed_record_agrees_with_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARE_RESULTS", raising=False)
    if subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "results"], cwd=REPOSITORY).returncode == 0:
        assert verify(load_profile("laptop")).agrees


def test_the_command_prints_and_exits_by_the_outcome(sides: tuple[Path, Path]) -> None:
    record, rerun = sides
    _record(record, "corpus", {"kept_mb": 74.0})
    _record(rerun, "corpus", {"kept_mb": 60.0})
    command = [sys.executable, "-m", "hare.cli", "verify", "--against", str(record)]
    process = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    assert process.returncode == 1 and "corpus: kept_mb  74  60" in process.stdout

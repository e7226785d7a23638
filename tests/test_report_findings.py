"""The README's findings: written from results, where the marks are, and the same as what is committed."""

import dataclasses
from pathlib import Path

import pytest

from hare.core.errors import HareError
from hare.core.files import write_json
from hare.core.profile import load_profile
from hare.core.provenance import sealed
from hare.report import facts
from hare.report.pages.findings import (
    BEGIN,
    END,
    README,
    _at_larger_size,
    _of_full_leak,
    _of_grid,
    _of_mix,
    _of_priors,
    _with_every_control,
    _worth,
    findings,
    write_findings,
)
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


def test_the_mix_and_the_models_worth_are_told_from_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARE_RESULTS", str(tmp_path))
    recorded = Recorded("laptop")
    assert facts.excess_of_d2(recorded) is None and facts.heldout(recorded) == {}
    for stage, name, text in (
        ("tokens", "composition", "file,category,tokens\nd1,law,30\nd1,web,70\nd2,law,45\nd2,web,30\nd2,code,25\n"),
        ("training", "heldout_curves", "arm,tokens,bits_per_byte\na,1,3\na,2,2.4\nb,2,2.6\nbigram,0,2.5\n"
         "fivegram,0,2.2\n"),
    ):
        (recorded.folder / stage).mkdir(parents=True)
        (recorded.folder / stage / f"{name}.csv").write_text(text, encoding="utf-8")
    assert facts.excess_of_d2(recorded) == facts.Excess("code", 0.25, 0.0)
    assert _of_mix(recorded).endswith("Of D2's tokens 25% are of category code, of D1's 0%.")
    heldout = facts.heldout(recorded)
    assert heldout == {"best_arm": 2.4, "worst_arm": 2.6, "bigram": 2.5, "fivegram": 2.2}
    (sentence,) = _worth(heldout)
    assert "at 2.40 to 2.60 bits per byte" in sentence and "pairs of the same word pieces needs 2.50" in sentence
    assert list(_worth({"best_arm": 2.0, "worst_arm": 2.1})) == []


def test_what_the_larger_profile_measured_stands_beside_it_with_what_else_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARE_RESULTS", str(tmp_path))
    recorded = Recorded("laptop")
    assert facts.arms_of(facts.LARGER, recorded) == {} and _at_larger_size(recorded) == ""
    assert _with_every_control(recorded) == ""
    contrasts = {f"contrast.d-a.{name}": 0.25 for name in ("h1", "h3", "p")}
    study = {"tokens_per_run": 4e6, "seeds_per_arm": 3, "mde.p": 0.125} | contrasts
    tokens = {"tokens_per_run": 4e6, "tokens_read.d.d3": 1e6, "epochs.d.d3": 2.0, "tokens_read.d.d2": 2e5,
              "epochs.d.d2": 3.0, "vocabulary_size": 300}
    here = study | {"tokens_per_run": 1e6}
    for profile, metrics in (("laptop", here), (facts.LARGER, study), (facts.NIGHT, study | {"contrast.c-c0.p": -0.5})):
        for stage, held in (("training", metrics), ("tokens", tokens)):
            shape = dataclasses.asdict(load_profile("smoke").model) if stage == "training" else {}
            content = {"metrics": held, "provenance": {"parameters": shape}}
            write_json(recorded.folder.parent / profile / stage / "metrics.json", sealed(content))
    assert facts.arms_of(facts.LARGER, Recorded(facts.LARGER)) == {}, "it does not stand beside itself"
    sentence = _at_larger_size(Recorded("laptop"))
    assert sentence.startswith("**With 4 times the tokens, D1, D2 and D3 together against plain text on benchmark "
                               "answers: no outcome.** On one GPU")
    assert "25% of it tasks that are read 2 times and 5.0% D2 that is read 3 times, moves" in sentence
    assert "benchmark answers by +0.250; one test alone, uncorrected, could detect 0.125." in sentence
    table = "contrast,endpoint,outcome\nc-c0,p,better\nc-c0,h1,worse\nd-a,p,undecided\n"
    for profile in (facts.NIGHT, facts.LARGER):
        (recorded.folder.parent / profile / "training" / "contrasts.csv").write_text(table, encoding="utf-8")
    assert "against plain text on benchmark answers: undecided.**" in _at_larger_size(Recorded("laptop"))
    controlled = _with_every_control(Recorded("laptop"))
    assert ("seeds: tasks against tasks with shuffled answers -0.500; undecided: the whole mixture against plain text."
            in controlled)
    assert controlled.startswith("**With two further controls (arms A1 and C0), better on benchmark answers: tasks "
                                 "against tasks with shuffled answers; ")
    assert "shuffled answers; worse: none; 1 undecided.** By the registered rule, with 4.0 times the" in controlled
    assert "could detect 0.125" in controlled


def test_the_leak_experiment_of_full_size_stands_beside_the_smaller_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARE_RESULTS", str(tmp_path))
    recorded = Recorded("laptop")
    assert facts.full_leak(recorded) == {} and _of_full_leak(recorded) == ""
    sizes = {"leak_hidden_sizes": [128, 192, 256], "layers": 6}
    metrics = {"planted.items": 1200, "planted.runs": 9, "auc.min_k.dose_1": 0.5, "hidden_192.auc.min_k.dose_1": 0.6,
               "hidden_256.auc.min_k.dose_1": 0.75, "hidden_256.auc.min_k.dose_1.low": 0.5,
               "hidden_256.auc.min_k.dose_1.high": 1.0}
    for prefix, lows in (("", {2: 0.49, 4: 0.52, 16: 0.6}), ("hidden_256.", {2: 0.51, 4: 0.55, 16: 0.7})):
        metrics |= {f"{prefix}auc.fivegram_five_starts.dose_{dose}": 0.7 for dose in lows}
        metrics |= {f"{prefix}auc.fivegram_five_starts.dose_{dose}.low": low for dose, low in lows.items()}
        metrics |= {f"{prefix}auc.fivegram_five_starts.dose_{dose}.high": 0.9 for dose in lows}
        for estimator in ("fivegram_five_starts", "fivegram_all_positions"):
            metrics |= {f"{prefix}auc.{estimator}.dose_{dose}": 0.7 for dose in lows}
            metrics |= {f"{prefix}p.{estimator}.dose_{dose}": 0.001 if low > 0.5 else 0.5 for dose, low in lows.items()}
    path = recorded.folder.parent / facts.NIGHT / "leakage" / "metrics.json"
    write_json(path, sealed({"metrics": metrics, "provenance": {"parameters": sizes}}))
    assert facts.full_leak(Recorded(facts.NIGHT)) == {}, "it does not stand beside itself"
    sentence = _of_full_leak(Recorded("laptop"))
    assert sentence.startswith(" With 1200 items in 9 runs at hidden sizes 128 to 256, 6 layers each ([overnight]")
    assert ("at all positions from 4 readings on in the narrowest models and from 2 readings on in the widest, at five "
            "places from 4 readings on and from 2 readings on; 16 readings buy") in sentence


def test_profiles_with_questions_of_their_own_are_told_once_they_are_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARE_RESULTS", str(tmp_path))
    recorded = Recorded("laptop")
    assert _of_priors(recorded) == "" and _of_grid(recorded) == ""
    priors = {"seeds_per_arm": 5, "mde.p": 0.02}
    priors |= {f"slope.{name}{end}": -0.01 for name in ("n", "h1") for end in ("", ".low", ".high")}
    grid = {f"scaling.p.{kind}{end}": 0.04 for kind in ("extrapolated", "alone") for end in ("", ".low", ".high")}
    for profile, metrics in ((facts.PRIORS, priors), (facts.GRID, grid | {"scaling.p.held": 1.0, "seeds_per_arm": 3})):
        path = tmp_path / profile / "training" / "metrics.json"
        write_json(path, sealed({"metrics": metrics, "provenance": {}}))
    table = "contrast,endpoint,outcome\nwithout_links-a,p,equivalent\ntasks_10-a,p,worse\ntasks_10-a,n,better\n"
    (tmp_path / facts.PRIORS / "training" / "contrasts.csv").write_text(table, encoding="utf-8")
    cells = ("endpoint,kind,hidden_size,tokens,difference,low,high,p_holm,outcome\n"
             "p,measured,128,512,0.01,0.0,0.02,0.5,\np,measured,256,4096,0.03,0.02,0.04,0.01,\np,extrapolated,,40960,0.04,0.02,0.06,,worse\n")
    (tmp_path / facts.GRID / "training" / "scaling.csv").write_text(cells, encoding="utf-8")
    sentence = _of_priors(Recorded("laptop"))
    assert "Each tripling of the topics" in sentence and "could detect 0.020" in sentence
    assert sentence.startswith("**Of 2 changes to plain training text, better on benchmark answers: none; "
                               "worse: 10 % tasks; 1 equivalent.** By the registered rule")
    sentence = _of_grid(Recorded("laptop"))
    assert sentence.startswith(
        "**What tasks in the place of text do at ten times the grid's largest size: worse.** Over 2 sizes and 2 "
        "lengths of run, 3 seeds each. On benchmark answers better in 0 and worse in 1 ")
    assert "At ten times the size, by a law through the grid: +0.040" in sentence
    assert facts.of_grid()["expected"] == [], "H1 and H3 are missing"
    assert _of_priors(Recorded(facts.PRIORS)) == "" and _of_grid(Recorded(facts.GRID)) == ""

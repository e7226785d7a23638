"""Published numbers, the study's tables, the report: everything made from results alone, nothing typed by hand."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hare.core.errors import HareError
from hare.core.files import sha256_of, write_json
from hare.core.profile import load_profile
from hare.core.provenance import sealed
from hare.model import sizes
from hare.report import cost, study
from hare.report.build import build
from hare.report.figures import drawings
from hare.report.pages.article import SOURCE, _inputs, missing_names, write_article
from hare.report.paper.comparison import comparison
from hare.report.paper.published import PUBLISHED, published, published_epochs, setup
from hare.report.recorded import Recorded
from hare.report.study_figures import ablation_finding, draw_leakage
from hare.report.tables import leaderboard_table

ARMS = ("a", "b", "d")


def interval(name: str, value: float, half: float) -> dict[str, float]:
    return {name: value, f"{name}.low": value - half, f"{name}.high": value + half}


def recorded_metrics() -> dict[str, dict[str, float]]:
    """A small recorded study."""
    training: dict[str, float] = {"tokens_per_run": 614_400, "seeds_per_arm": 2}
    evaluation: dict[str, float] = {}
    leakage: dict[str, float] = interval("power.min_k.dose_4", 0.4, 0.1)
    for number, arm in enumerate(ARMS):
        training |= interval(f"transfer.p.{arm}", 2.1 + 0.02 * number, 0.01)
        training |= interval(f"transfer.h1.{arm}", 2.2 + 0.02 * number, 0.01)
        evaluation |= interval(f"arc_challenge.{arm}.score", 0.25, 0.05) | {f"arc_challenge.{arm}.items": 100}
        leakage |= interval(f"delta.gsm8k.train.{arm}", 0.1 * number, 0.5)
    training |= interval("contrast.b-a.p", 0.02, 0.03)
    training |= interval("contrast.d-a.p", 0.04, 0.02)
    return {"training": training, "evaluation": evaluation, "leakage": leakage}


def record(results: Path, stages: dict[str, dict[str, float]]) -> None:
    """Write ``metrics.json`` of each stage as `Stage.record` does."""
    provenance: dict[str, Any] = {
        "notebook": "notebooks/00_test.ipynb", "git_commit": "0" * 40, "wall_seconds": 1.5, "peak_rss_mb": 300.0,
        "parameters": {}, "hardware": {"cores": 2, "processor": "a processor"},
    }
    for stage, metrics in stages.items():
        (results / stage).mkdir(parents=True, exist_ok=True)
        write_json(results / stage / "metrics.json", sealed({"metrics": metrics, "provenance": provenance}))


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARE_RESULTS", str(tmp_path))
    return tmp_path / "smoke"


def test_every_published_table_is_described() -> None:
    described = (PUBLISHED / "README.md").read_text(encoding="utf-8")
    for path in PUBLISHED.glob("*.csv"):
        assert f"`{path.name}`" in described
        assert len(published(path.stem))


def test_published_sums() -> None:
    assert published("mixture").weight_percent.sum() == pytest.approx(100)
    assert published("d1_sources").weight_percent.sum() == pytest.approx(46.5)
    assert published("d2_seeds").synthetic_tokens_b.sum() == pytest.approx(28.2)


def test_misprints_are_found_by_recomputing() -> None:
    recomputed = study.misprints().set_index("where").recomputed.round(2).to_dict()
    assert recomputed == {
        "Table 1: average of OpenELM": 37.96,
        "Tables 2 and 6: Δ of Phi1.5 on MMLU test": -13.8,
        "Table 8: average lead over Llama3-8B": 26.67,
    }
    described = (PUBLISHED / "README.md").read_text(encoding="utf-8").replace("−", "-")
    assert all(f"{value:.4g}" in described for value in recomputed.values())


def test_the_papers_epochs_follow_from_its_weights() -> None:
    restruct = published_epochs().set_index("file").loc["D3: Restruct"]
    assert restruct.epochs == pytest.approx(0.235 * (600e9 - 52e9) / 8e9)


def test_costs_agree_with_the_models_own_formulas() -> None:
    shape = cost.paper_shape()

    class Paper:
        layers, hidden_size, intermediate_size, tied_embeddings = 22, 2048, 5632, False
        attention_heads, key_value_heads = 32, 8

    assert shape.parameters == sizes.parameters(Paper, 32_000) == 1_123_117_056
    assert shape.flops_per_token(2048) == sizes.training_flops_per_token(Paper, 2048, 32_000)


def test_the_record_costs_the_cores_that_were_held_or_the_runs_made_before() -> None:
    def record(name: str, seconds: dict[str, float], metrics: dict[str, float], runs: list[float] | None) -> Recorded:
        recorded = Recorded(name)
        recorded.__dict__["_stages"] = {
            stage: {"metrics": metrics, "provenance": {"wall_seconds": wall, "hardware": {"cores": 2}}}
            for stage, wall in seconds.items()}
        tables = {} if runs is None else {("training", "runs"): pd.DataFrame({"seconds": runs})}
        object.__setattr__(recorded, "table", lambda *names: tables.get(names))
        return recorded

    one = record("one", {"corpus": 1800, "training": 3600}, {}, [900.0, 900.0])
    two = record("two", {"training": 60, "leakage": 1800}, {"planted.seconds": 9000.0}, [3600.0, 7200.0])
    table = cost.spent([one, two, record("nothing", {}, {}, None)], 0.5)
    assert list(table.index) == ["one", "two", "all"]
    assert table.loc["one", ["corpus", "training", "core hours", "money"]].tolist() == [1.0, 2.0, 3.0, 1.5]
    assert table.loc["two", ["training", "leakage"]].tolist() == [3.0, 2.5] and table.loc["all", "core hours"] == 8.5


def test_a_cost_is_consistent_with_itself() -> None:
    gpu = cost.Gpu("any", peak_flops=1e15, mfu=0.5, price_per_hour=2.0, watts=500)
    run_cost = cost.cost(1e10, 3.6e9, gpu, gpus=4)
    assert run_cost.gpu_hours == pytest.approx(20)
    assert (run_cost.money, run_cost.kilowatt_hours, run_cost.days) == pytest.approx((40, 10, 20 / 4 / 24))
    assert run_cost.tokens_per_second_and_gpu * run_cost.gpu_hours * 3600 == pytest.approx(3.6e9)


def test_the_papers_implied_speed_uses_printed_numbers_only() -> None:
    seconds = setup("training_days") * 86_400
    assert cost.paper_speed() * seconds * setup("gpus") == pytest.approx(setup("training_tokens"))
    assert 0 < cost.paper_mfu() < 1


def test_an_interval_that_covers_zero_shows_no_difference() -> None:
    frame = pd.DataFrame({"arm": ["a", "b", "c"], "value": [0.1, 0.1, -0.2], "low": [-0.1, 0.05, -0.3],
                          "high": [0.3, 0.15, -0.1], "seeds": 2})
    assert ablation_finding(frame) == (
        "A: no difference seen; B: 0.100 bits per byte worse; C: 0.200 bits per byte better"
    )


def test_one_seed_gives_no_verdict() -> None:
    frame = pd.DataFrame({"arm": ["a"], "value": [0.1], "low": [0.05], "high": [0.15], "seeds": [1.0]})
    assert ablation_finding(frame) == "A: one seed cannot tell"


def test_every_cell_of_ours_says_where_it_stands(results: Path) -> None:
    record(results, recorded_metrics())
    table = comparison(Recorded("smoke"))
    ours = table[table.ours.notna()]
    assert ours["where"].ne("").all() and not ours.ours_origin.eq(study.NOT_MEASURED).any()
    assert table[table.ours.isna()].ours_origin.eq(study.NOT_MEASURED).all()
    for where, value in zip(ours["where"], ours.ours, strict=True):
        stage, name = where.split(": ", 1)
        if stage in recorded_metrics():
            assert value in (recorded_metrics()[stage][name], 100 * recorded_metrics()[stage][name])


def test_tool_calling_and_devices_stand_beside_the_paper(results: Path) -> None:
    tool = {f"tool.{name}.hare-tool.accuracy{end}": value for name, shift in (("test", 0.0), ("hard", -0.3))
            for end, value in (("", 0.8 + shift), (".low", 0.7 + shift), (".high", 0.9 + shift))}
    sizes = {"int4.size_mb": 5.7, "fp32.size_mb": 36.0}
    record(results, recorded_metrics() | {"finetuning": tool, "deployment": sizes})
    table = comparison(Recorded("smoke")).set_index("quantity")
    first, second = (table.loc[f"tool calling on the {name} set, HARE-Tool"] for name in ("test", "hard"))
    assert (first.ours, first.low, first.high) == (80.0, 70.0, 90.0) and first.paper == pytest.approx(98.1, abs=0.05)
    assert second.ours == 50.0 and pd.isna(second.paper)
    assert table.loc["size at int4", ["paper", "ours"]].tolist() == [600.0, 5.7]
    assert table.loc["size at fp32", "ours"] == 36.0 and pd.isna(table.loc["decoding speed at int4", "ours"])


def test_cells_are_marked_by_origin(results: Path) -> None:
    record(results, recorded_metrics())
    table = leaderboard_table(Recorded("smoke")).set_index("model")
    assert table.loc["HARE", "MMLU"] == "35.7ᵖ"
    assert table.loc["a", "ARC-C"] == "25.0ˢ [20.0, 30.0], n = 100"
    assert table.loc["a", "GSM8K"] == "–"


def test_everything_is_built_without_torch(results: Path, tmp_path: Path) -> None:
    record(results, recorded_metrics())
    script = (
        "import sys; from hare.core.profile import load_profile; from hare.report.build import build\n"
        "for path in build(load_profile('smoke')): print(path)\n"
        "heavy = {'torch', 'transformers', 'datatrove', 'nanotron', 'lm_eval'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    drawn = ("study/score_and_leakage.svg", "study/ablation.pdf", "study/leakage.json", "study/table_comparison.csv")
    for name in drawn:
        assert (results / name).exists(), name
    assert "tokens has recorded nothing: its figures are left out" in ran.stdout
    assert (results / "article.pdf").read_bytes().startswith(b"%PDF") and (results / "ro-crate-metadata.json").exists()


def test_building_twice_gives_the_same_files(results: Path) -> None:
    record(results, recorded_metrics())
    first = {path: path.read_bytes() for path in build(load_profile("smoke"))}
    assert {path: path.read_bytes() for path in build(load_profile("smoke"))} == first


def test_a_table_of_other_code_is_named(results: Path) -> None:
    record(results, recorded_metrics())
    build(load_profile("smoke"))
    (results / "tokens").mkdir()
    (results / "tokens" / "epochs.csv").write_text("arm,file\nd1,d1\n")
    digest = sha256_of(results / "tokens" / "epochs.csv")
    write_json(results / "tokens" / "epochs.json", sealed({"data_sha256": digest}))
    with pytest.raises(HareError, match=r"epochs\.csv does not fit its figure: .*epochs"):
        build(load_profile("smoke"))


def test_a_profile_without_results_is_refused(results: Path) -> None:
    with pytest.raises(HareError, match="holds no recorded results"):
        build(load_profile("smoke"))


def test_no_number_is_typed_into_the_article() -> None:
    text = SOURCE.read_text(encoding="utf-8")
    prose = text[text.index("*Abstract.*"):]
    called = "ours|share|count|paper|rate|contrast|told|tool|shown|auc|verdict|registered|row|change|beyond|part|luma"
    prose = re.sub(rf"#?({called})\((?:[^()]|\([^()]*\))*\)", "", prose)
    names = (
        r"//.*|arXiv \d+\.\d+|\b[DH]\d\b|\bA[12]\b|\bC0\b|Tables? \d( and \d)?|Figure \d|\d-gram|\(\d{4}(, \d{4})*\)"
        r"|Octopus v2|GSM8K|SmolLM2-135M-Instruct|Mixtral-8x7B|95 %|notebook \d\d|\d+(\.\d+)?(pt|fr|cm|em)\b"
        r"|width: \d+%|auto\) \* \d|GPT-3|Ai2|(et al\.|Mietchen) \d{4}|notebooks \d\d and \d\d"
    )
    assert re.findall(r"\S*\d\S*", re.sub(names, "", prose)) == []


def test_no_semicolon_behind_a_number_is_lost() -> None:
    """Typst takes a semicolon behind a call for the call's end."""
    assert re.findall(r"#[\w.-]+\((?:[^()\n]|\([^()]*\))*\);", SOURCE.read_text(encoding="utf-8")) == []


def test_the_article_names_figures_that_exist() -> None:
    named = re.findall(r'shown\("(\w+)", "(\w+)"', SOURCE.read_text(encoding="utf-8"))
    assert named and set(named) <= {(drawing.stage, drawing.name) for drawing in drawings()}


def test_what_no_result_holds_is_named(results: Path) -> None:
    record(results, {"training": {"tokens_per_run": 5}})
    recorded = Recorded("smoke")
    assert "training: contrast.c-a2.p" in missing_names(recorded) and write_article(recorded).exists()


def test_every_number_of_the_published_article_stands_in_a_result() -> None:
    recorded = Recorded("laptop")
    assert missing_names(recorded) == [] and recorded.provenance("study")


def test_an_interval_that_follows_from_the_number_of_items_is_named_as_forced() -> None:
    printed = {"model": "HARE", "benchmark": "GSM8K", "split": "train", "value": 7.0, "origin": "published"}
    ours = {"benchmark": "GSM8K", "split": "train", "value": 0.0, "low": -1.5, "origin": "scaled-down"}
    frame = pd.DataFrame([printed, ours | {"model": "a", "high": 1.5}, ours | {"model": "b", "high": 2.0}])
    title = " ".join(draw_leakage(frame).get_suptitle().split())
    assert "of 2 intervals of our clean arms none lies above 0, 1 are 0 by force (hollow)" in title


def test_a_rerun_that_was_compared_with_an_earlier_record_is_not_told(results: Path) -> None:
    record(results, {"training": {"contrast.b-a.p": -0.1, "contrast.b-a.p.low": -0.2, "contrast.b-a.p.high": 0.0}})
    folder = results / "verification"
    folder.mkdir()
    kept = sealed({"metrics": {"identical": 3}, "provenance": {"differences": ["another processor"]}})
    write_json(folder / "metrics.json", kept)
    rows = [f"training,contrast.b-a.p{end},{value},{value},identical" for end, value in
            (("", -0.1), (".low", -0.2), (".high", 0.0))]
    for number, told in ((-0.1, True), (-0.10001, False)):
        rows[0] = f"training,contrast.b-a.p,{number},{number},identical"
        table = "\n".join(["stage,name,recorded,rerun,outcome", *rows, "corpus,documents,5,5,identical", ""])
        (folder / "outcomes.csv").write_text(table, encoding="utf-8")
        assert (_inputs(Recorded("smoke"))["verified"] != "{}") is told

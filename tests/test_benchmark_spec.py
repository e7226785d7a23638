"""A benchmark is known in one place: a toy in one file goes through everything; an incomplete spec is refused."""

from dataclasses import replace
from pathlib import Path

import datasets
import matplotlib.pyplot as plt
import pandas as pd
import pytest

from hare.benchmarks import registry
from hare.benchmarks.spec import BenchmarkSpec, Protocol
from hare.core.errors import HareError
from hare.core.profile import load_profile
from hare.decontamination.evidence import trace
from hare.decontamination.index import build_index
from hare.decontamination.planted import item_text
from hare.decontamination.removal import Plan, decontaminate
from hare.decontamination.rules import DocumentShareRule, EitherRule
from hare.decontamination.study import benchmark_table
from hare.evaluation.harness import Candidate, evaluate
from hare.evaluation.reading import protocol_table
from hare.evaluation.tasks import load
from hare.leakage.sets import sample_sets
from hare.report.evaluation_figures import draw_scores
from tests.evaluation_toys import save_model
from tests.toy_benchmark import SPEC


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The toy is the only benchmark; its caches are separate."""
    monkeypatch.setattr(registry, "SPECS", {SPEC.name: SPEC})
    monkeypatch.setattr("hare.decontamination.planted.SPECS", {SPEC.name: SPEC})
    monkeypatch.setenv("HARE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")


def test_a_toy_benchmark_is_removed_from_training_data_and_counted(tmp_path: Path) -> None:
    index = build_index([4, 5, 13])
    item = index.lookup([45])[45]
    source = tmp_path / "d1"
    source.mkdir()
    clean = "Nothing in this long sentence about the weather was ever asked in an exam of any kind at all."
    pd.DataFrame({"id": ["a", "b"], "text": [clean, item_text(item)]}).to_json(
        source / "0.jsonl", orient="records", lines=True)
    report = decontaminate(Plan("d1", EitherRule((DocumentShareRule((4, 5), 0.5),))), source, tmp_path / "kept", index)
    (finding,) = trace(report.removed, index)
    assert (finding.item.benchmark, finding.item.split, finding.item.row_number) == ("riddles", "test", 15)
    table = benchmark_table(index, [report], [[finding]], [[]])
    assert table.to_dict("records") == [
        {"part": "d1", "documents": 2, "benchmark": "riddles", "removed": 1, "touched": 0}]


def test_a_toy_benchmark_is_evaluated_and_drawn(tmp_path: Path) -> None:
    benchmarks = load(["riddles"])
    (terms,) = protocol_table(benchmarks, ["riddles"], 6, 0).to_dict("records")
    assert (terms["shots"], terms["metric"], terms["items"], terms["rows_from"]) == (2, "acc", 6, "index archive")
    model = Candidate("d1", 0, save_model(tmp_path / "model"), 6)
    rows = evaluate(model, benchmarks, load_profile("smoke").evaluation, tmp_path / "finished").items
    assert len(rows) == 6 and {row["benchmark"] for row in rows} == {"riddles"}
    assert all(row["bpb"] > 0 and row["chance"] == SPEC.chance for row in rows)
    frame = pd.DataFrame([{"benchmark": "riddles", "arm": "d1", "value": 0.2, "low": 0.1, "high": 0.3, "chance": 0.25,
                           "items": 6, "measure": "score"}])
    assert "Old riddles" in _texts(draw_scores(frame))


def test_a_toy_benchmark_is_measured_for_leakage() -> None:
    sets = {samples.split: samples for samples in sample_sets(["riddles"], 10, seed=0)}
    assert set(sets) == {"train", "test"}
    assert all(text.count("Riddle") == 1 for samples in sets.values() for text in samples.originals)


def _texts(picture: plt.Figure) -> str:
    picture.canvas.draw()
    shown = [label.get_text() for axes in picture.axes for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]]
    plt.close(picture)
    return "\n".join(shown)


@pytest.mark.parametrize(("key", "change", "fix"), [
    ("sources", {"sources": {}}, "give at least one split a source"),
    ("sources", {"sources": {"exam": None, "test": None, "train": None}}, "rename exam; splits are train, dev"),
    ("protocol", {"protocol": Protocol("x", "", 0, "", "validation", "acc")}, "it reads validation: give a source"),
    ("name", {"name": "old/riddles"}, "use letters, digits and underscores"),
    ("label", {"label": " "}, "say how figures are to name it"),
    ("chance", {"chance": 25.0}, "give a share from 0 to 1"),
])
def test_an_incomplete_spec_is_refused_with_key_and_fix(key: str, change: dict, fix: str) -> None:
    with pytest.raises(HareError) as error:
        replace(SPEC, **change)
    assert key in str(error.value) and fix in str(error.value)


def test_an_unknown_benchmark_is_refused() -> None:
    with pytest.raises(HareError, match="no benchmark 'piqa'"):
        registry.spec_of("piqa")


@pytest.mark.parametrize("spec", list(registry.SPECS.values()), ids=lambda spec: spec.name)
def test_every_cloze_form_ends_before_the_text_of_the_gold_answer(spec: BenchmarkSpec,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    if not registry.available(spec.name):
        pytest.skip(registry.available(spec.name).why)
    subset, split = registry.subsets(spec.name)[0], registry.splits(spec.name)[-1]
    for row in registry.rows(spec.name, split, subset)[:50]:
        context, answer = spec.cloze(row)
        assert answer.startswith(" ") and answer.strip() and "<<" not in answer
        assert context == context.rstrip() or spec.name == "winogrande"
        gold = registry.question_answer(spec.name, row)[1]
        assert answer.strip() in gold or "####" in answer

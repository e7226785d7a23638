"""The stage from its profile section to its tables, metrics and figures."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from datatrove.data import Document

from hare.bench import decontamination as bench
from hare.core.errors import HareError
from hare.core.files import write_jsonl
from hare.core.profile import load_profile
from hare.decontamination import evidence, planted, study
from hare.decontamination.coverage import ItemCoverageRule
from hare.decontamination.curve import overlap_curve
from hare.decontamination.index import BenchmarkIndex, build_index
from hare.decontamination.neighbours import Neighbours, calibrated
from hare.decontamination.removal import decontaminate
from hare.report.figures import draw

CONFIG = load_profile("smoke").decontamination
CLEAN = " ".join(f"Nobody asked the {n}th lighthouse keeper why herring sang on his table." for n in range(90))


@pytest.fixture(scope="module")
def index() -> BenchmarkIndex:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HARE_EXTRA_DATA", raising=False)
        return build_index(study.sizes_of(CONFIG), items_per_split=20)


@pytest.fixture(scope="module")
def coverage(index: BenchmarkIndex) -> ItemCoverageRule:
    return ItemCoverageRule.of(index)


def test_every_part_is_treated_by_the_rule_that_the_paper_names_and_by_item_coverage(
    coverage: ItemCoverageRule,
) -> None:
    plans = {plan.part: plan for plan in study.plans_of(CONFIG, coverage)}
    assert {part: plan.rule.name for part, plan in plans.items()} == dict.fromkeys(
        ("d1", "heldout", "d2", "d3_passages"), "document-share-10-15+item-coverage") | dict.fromkeys(
        ("d3", "d3_shuffled"), "document-share-4-8+item-coverage")
    assert plans["d1"].rule.ngrams == (8, 10, 11, 12, 13, 14, 15) and plans["d3"].rule.ngrams == (4, 5, 6, 7, 8)
    assert {part: plan.most_words for part, plan in plans.items()} == {
        "d1": 0, "heldout": 0, "d2": CONFIG.d2_max_words, "d3": CONFIG.d3_max_words,
        "d3_shuffled": CONFIG.d3_max_words, "d3_passages": 0}
    assert study.sizes_of(CONFIG) == [4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15]


def test_tables_metrics_and_figures_come_out_of_one_run(
    tmp_path: Path, index: BenchmarkIndex, coverage: ItemCoverageRule
) -> None:
    cases = planted.plant(index, [CLEAN], count=8, seed=0)
    cases[planted.CLEAN_DOCUMENTS] = [[CLEAN[100 * n:]] for n in range(20)]
    texts = [CLEAN, *(case[0] for case in cases["verbatim"][:3])]
    reports = []
    for plan in study.plans_of(CONFIG, coverage):
        write_jsonl(tmp_path / "in" / plan.part / "00000.jsonl",
                    [{"text": text, "id": str(i), "metadata": {}} for i, text in enumerate(texts)])
        reports.append(decontaminate(plan, tmp_path / "in" / plan.part, tmp_path / plan.part, index))
    parts = study.part_table(reports)
    assert parts["removed"].tolist() == [3] * len(reports) and parts["documents"].tolist() == [4] * len(reports)
    removed = [evidence.trace(report.removed, index) for report in reports]
    table = study.benchmark_table(index, reports, removed, [[] for _ in reports])
    assert set(table["benchmark"]) == {"arc_challenge", "hellaswag", "winogrande", "mmlu", "gsm8k"}
    assert table.groupby("part")["removed"].sum().tolist() == [3] * len(reports)

    neighbour = calibrated(Neighbours.of(index), [CLEAN, CLEAN[300:]])
    rules, treated = study.compared_rules(CONFIG, coverage, neighbour), study.treatments(CONFIG, coverage)
    assert len({rule.name for rule in rules}) == len(rules) == 8
    detection = planted.measure(cases, rules, index)
    metrics = study.metrics_of(table, parts, detection, treated, neighbour)
    assert metrics["planted.verbatim.neighbour.detection_rate"] > 0.5 and metrics["neighbour.cosine_threshold"] > 0
    assert metrics["clean_documents.any-13-gram.false_positive_rate"] == metrics["clean.false_positive_rate"] == 0
    assert 0 < metrics["planted.inline.document-share-10-15+item-coverage.precision.low"] < 1
    sentences = study.removal_sentences(parts)
    assert sentences[0] == ("d1: 3 of 4 documents removed; the paper's rule alone 3, item coverage alone 3; "
                            "0 more share a 13-gram and stay")
    shown = planted.examples(cases, rules[:5], index)
    assert list(shown["kind"]) == list(cases) and shown.set_index("kind")["found_by"]["clean_documents"] == "no rule"
    near, pairs = study.neighbour_tables({"d3": texts}, neighbour, index)
    assert near.loc[0, "documents"] == 4 and near.loc[0, "above"] >= 2 and len(pairs) == 3
    assert pairs["cosine"].is_monotonic_decreasing and set(pairs["benchmark"]) <= set(table["benchmark"])
    assert metrics[f"planted.verbatim.{treated[0].name}.detection_rate"] == 1
    assert sum(value for name, value in metrics.items() if name.startswith("removed.d3.")) == 3
    assert all(type(value) in (int, float) and np.isfinite(value) for value in metrics.values())

    curves = pd.concat([overlap_curve(part, texts, index) for part in ("d1", "d2", "d3", "planted")])
    results = tmp_path / "decontamination"
    results.mkdir()
    frames = {"overlap_curve": curves, "planted_detection": detection}
    for name, frame in frames.items():
        plt.close(draw(results, name, frame, {}))
        assert (results / f"{name}.svg").stat().st_size > 5_000


def test_without_a_corpus_the_speed_cannot_be_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARE_WORK", str(tmp_path))
    with pytest.raises(HareError, match=r"corpus/d1 is missing(.|\n)*--only 01"):
        bench.bench(load_profile("smoke"))


def test_datatroves_filter_does_its_work_with_the_hashes_that_we_write(index: BenchmarkIndex, tmp_path: Path) -> None:
    theirs = bench._datatrove_filter(tmp_path, bench.RegexTokenizer())
    item = next(s for s in index.splits if (s.benchmark, s.split) == ("arc_challenge", "test"))
    questions = [index.lookup([item.first + i])[item.first + i].row["question"] for i in range(20)]
    long_enough = [q for q in questions if len(q.split()) > 20]
    assert long_enough and all(theirs.filter(Document(text=f"{CLEAN} {q}", id="")) is not True for q in long_enough)
    assert theirs.filter(Document(text=CLEAN, id="")) is True

"""Models through lm-eval: reports without a trace of the machine, scores per item, nothing asked twice."""

import json
import math
import random
from pathlib import Path

import pandas as pd
import pytest

from hare.bench import peer as peer_bench
from hare.benchmarks.registry import SPECS
from hare.core.files import write_json
from hare.core.profile import load_profile
from hare.core.sections import Evaluation
from hare.evaluation import harness, reading
from hare.evaluation.comparison import difference_metrics, difference_table, score_table
from hare.evaluation.harness import Candidate, evaluate, trained_models, write_reports
from hare.evaluation.scores import item_scores
from hare.evaluation.tasks import Benchmark, load
from tests.evaluation_toys import local_benchmarks, row, save_model

__all__ = ["local_benchmarks"]
NAMES = ("arc_challenge", "winogrande", "mmlu", "truthfulqa")
CONFIG = Evaluation(NAMES, 6, 4, 1, 50, 0)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Candidate]:
    root = tmp_path_factory.mktemp("models")
    return [
        Candidate(arm, seed, save_model(root / f"{arm}-seed{seed}", seed=place * 2 + seed), 6)
        for place, arm in enumerate(("d1", "d1+d2")) for seed in (0, 1)
    ]


def test_an_evaluation_is_complete_paired_and_free_of_its_machine(
    models: list[Candidate], local_benchmarks: dict, tmp_path: Path
) -> None:
    benchmarks = load(NAMES)
    evaluated = [evaluate(candidate, benchmarks, CONFIG, tmp_path / "answered") for candidate in models]
    write_reports(evaluated, tmp_path / "lm_eval")
    assert sorted(path.name for path in (tmp_path / "lm_eval").iterdir()) == [
        "d1+d2-seed0.json", "d1+d2-seed1.json", "d1-seed0.json", "d1-seed1.json",
    ]
    report = json.loads((tmp_path / "lm_eval" / "d1-seed0.json").read_text(encoding="utf-8"))
    assert report["n-shot"]["arc_challenge"] == 25 and report["versions"]["winogrande"] == 1.0
    assert report["n-samples"]["arc_challenge"] == {"original": 40, "effective": 6}
    assert report["groups"]["mmlu"]["sample_len"] == 6
    text = json.dumps(report)
    assert str(tmp_path) not in text and '"/' not in text and "0x" not in text
    items = pd.DataFrame([item for one in evaluated for item in one.items])
    assert items.groupby(["arm", "seed"])["prompt_hash"].apply(tuple).nunique() == 1
    means = items[(items["arm"] == "d1") & (items["seed"] == 0)].groupby("benchmark")["score"].mean()
    assert means["arc_challenge"] == report["results"]["arc_challenge"]["acc_norm,none"]
    assert means["mmlu"] == report["results"]["mmlu"]["acc,none"]
    assert means["truthfulqa"] == pytest.approx(report["results"]["truthfulqa_mc2"]["acc,none"])
    look_at(items, benchmarks)


def look_at(items: pd.DataFrame, benchmarks: list[Benchmark]) -> None:
    """Every table that a reader sees can be made from these scores."""
    scores = score_table(items, 50, 0)
    assert "chance" in reading.leaderboard(scores, "score").to_html()
    assert "font-weight: bold" in reading.leaderboard(scores, "bpb").to_html()
    averages = scores[(scores["benchmark"] == "average") & (scores["arm"] == "d1")].set_index("measure")["items"]
    assert averages["score"] == 24 and averages["bpb"] == averages["margin"] == 18, "MMLU's letters are in no bits"
    differences = difference_table(items, ["d1", "d1+d2"], 50, 0)
    assert len(differences) == 3 * (len(NAMES) + 1)
    metrics = difference_metrics(differences.assign(verdict="better"))
    assert metrics == {"differences_seen": len(differences), "differences_seen.letters": 2}
    assert "differences_seen.letters" not in difference_metrics(differences[differences["benchmark"] != "mmlu"])
    protocol = reading.protocol_table(benchmarks, list(NAMES), 6, 0).set_index("benchmark")
    assert set(protocol["rows_from"]) == {"toys"}
    assert list(protocol["items"]) == [6] * 4 and protocol.loc["mmlu", "items_in_all"] == 120
    failed = reading.examples(items, benchmarks, "d1", count=4)
    assert (failed["margin"] < 0).all() and (failed["gold"] != failed["preferred"]).all()
    shown = reading.examples(items, benchmarks, "d1", count=40).groupby("benchmark")
    assert shown["question"].first()["winogrande"].count("_") == 1, "the sentence, not what follows the blank"
    assert shown["gold"].first()["mmlu"][:3] in ("A. ", "B. ", "C. ", "D. ")
    truthfulqa = next(benchmark for benchmark in benchmarks if benchmark.name == "truthfulqa")
    (task,) = truthfulqa.tasks.values()
    answers = {answer for document in task.eval_docs for answer in document["mc2_targets"]["choices"]}
    assert set(shown.get_group("truthfulqa")["gold"]) <= answers, "lm-eval's scored list, not the one of mc1"


def test_an_interrupted_evaluation_goes_on_and_ends_alike(
    models: list[Candidate], local_benchmarks: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmarks = load(NAMES[:2])
    whole = evaluate(models[0], benchmarks, CONFIG, tmp_path / "whole")
    ask, names = harness._ask, []

    def dies_at_the_second(lm, benchmark, chosen, label):  # noqa: ANN001, ANN202
        names.append(benchmark.name)
        if len(names) == 2:
            raise KeyboardInterrupt
        return ask(lm, benchmark, chosen, label)

    monkeypatch.setattr(harness, "_ask", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        evaluate(models[0], benchmarks, CONFIG, tmp_path / "cut")
    assert evaluate(models[0], benchmarks, CONFIG, tmp_path / "cut") == whole
    assert names == ["arc_challenge", "winogrande", "winogrande"]
    monkeypatch.setattr(harness, "SharedPrefixLM", None)
    assert evaluate(models[0], benchmarks, CONFIG, tmp_path / "cut") == whole


def test_answers_of_another_model_or_subset_are_not_taken(
    models: list[Candidate], local_benchmarks: dict, tmp_path: Path
) -> None:
    benchmarks = load(["winogrande"])
    first = evaluate(models[0], benchmarks, CONFIG, tmp_path)
    other = evaluate(Candidate("d1", 0, models[1].folder, 6), benchmarks, CONFIG, tmp_path)
    fewer = evaluate(Candidate("d1", 0, models[0].folder, 3), benchmarks, CONFIG, tmp_path)
    assert first.report["model"] != other.report["model"]
    assert len(first.items) == 6 and len(fewer.items) == 3


def test_gsm8k_is_scored_by_its_strict_match(models: list[Candidate], local_benchmarks: dict, tmp_path: Path) -> None:
    scores = evaluate(Candidate("d1", 0, models[0].folder, 2), load(["gsm8k"]), CONFIG, tmp_path)
    assert [set(one) & {"bpb", "margin"} for one in scores.items] == [set(), set()]
    assert scores.requests[0]["requests"] == 2 and scores.requests[0]["context"] == 1024


def test_the_peer_is_asked_whole_splits_without_examples_and_its_journal_goes(
    local_benchmarks: dict, roots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_bench, "smollm2_folder", lambda: save_model(roots / "peer"))
    metrics = peer_bench.bench(load_profile("smoke"))
    assert metrics["peer_zero_shot.arc_challenge.items"] == metrics["peer_zero_shot.hellaswag.items"] == 40
    value, low, high = (metrics[f"peer_zero_shot.arc_challenge{end}"] for end in ("", ".low", ".high"))
    assert 0 <= low <= value <= high <= 100 and value == pytest.approx(2.5 * round(value / 2.5))
    assert not list((roots / "work" / "smoke" / "bench").iterdir())


def test_models_are_those_that_training_lists(tmp_path: Path) -> None:
    write_json(tmp_path / "training" / "runs.json", [{"arm": "d1", "seed": 3, "hf": "d1-seed3/hf"}])
    (model,) = trained_models(tmp_path.joinpath, 7)
    assert model == Candidate("d1", 3, tmp_path / "training" / "d1-seed3" / "hf", 7) and model.label == "d1-seed3"
    assert Candidate("peer", None, tmp_path, 1).label == "peer"


def sample(name: str, likelihoods: list[float], target: object, **more: object) -> dict:
    document = row(name, random.Random(0)) | more
    return {
        "doc_id": 4, "doc": document, "target": target, "filter": "none", "prompt_hash": "x", "acc": 1.0,
        "acc_norm": 0.0,
        "arguments": [("context", answer) for answer in (" four", " ünd", " a")][: len(likelihoods)],
        "filtered_resps": [(likelihood, False) for likelihood in likelihoods],
    }


def test_measures_are_in_bits_and_bytes_of_what_was_scored() -> None:
    benchmark = Benchmark("arc_challenge", SPECS["arc_challenge"].protocol, {})
    (scores,) = item_scores(benchmark, "arc_challenge", [sample("arc_challenge", [-5.0, -10.0, -1.0], 1)])
    bits = [5 / 5 / math.log(2), 10 / 5 / math.log(2), 1 / 2 / math.log(2)]  # " ünd" has five bytes
    assert scores["bpb"] == pytest.approx(bits[1])
    assert scores["margin"] == pytest.approx(bits[2] - bits[1])
    assert (scores["gold"], scores["preferred"], scores["chance"]) == (1, 2, pytest.approx(1 / 3))
    assert (scores["score"], scores["acc"]) == (0.0, 1.0)


def test_right_answers_by_kind_of_task() -> None:
    def right(name: str, question: dict) -> list[int]:
        return SPECS[name].right_choices(question["doc"], question["target"])

    assert right("winogrande", sample("winogrande", [-1.0, -2.0], "common end", answer="2")) == [1]
    assert right("truthfulqa", sample("truthfulqa", [-1.0, -2.0], 0)) == [0, 1]
    assert right("hellaswag", sample("hellaswag", [-1.0, -2.0], 1)) == [1]

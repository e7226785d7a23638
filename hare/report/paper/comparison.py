"""One table of paper against ours: every claim with a number, what we set beside it, how alike the two are."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from hare.benchmarks.registry import SPECS
from hare.report import cost, facts
from hare.report.paper.published import published, published_epochs, setup
from hare.report.recorded import Measured, Recorded
from hare.report.study import (
    ALONE,
    NOT_GIVEN,
    NOT_MEASURED,
    PUBLISHED,
    RECOMPUTED,
    REPRODUCED,
    SCALED,
    in_percent,
    printed_benchmarks,
)

COLUMNS = (
    "topic", "quantity", "unit", "paper", "paper_origin", "ours", "low", "high", "ours_origin", "where", "remark",
)
_FULL_ARM = "d"  # D1, D2 and D3: the paper's mixture
Row = dict[str, Any]


def comparison(recorded: Recorded) -> pd.DataFrame:
    """All rows; ``where`` names the stage and metric of our number, or the formula."""
    rows = [
        row for part in (_data, _model, _training, _ablation, _leaderboard, _leakage, _downstream)
        for row in part(recorded)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(
    topic: str, quantity: str, unit: str, paper: float | None, ours: Measured | None = None, *,
    paper_origin: str = PUBLISHED, ours_origin: str = SCALED, remark: str = "",
) -> Row:
    return {
        "topic": topic, "quantity": quantity, "unit": unit, "paper": paper,
        "paper_origin": paper_origin if paper is not None else NOT_GIVEN,
        "ours": ours.value if ours else None, "low": ours.low if ours else None, "high": ours.high if ours else None,
        "ours_origin": _ours_origin(paper, ours, ours_origin), "where": ours.where if ours else "", "remark": remark,
    }


def _ours_origin(paper: float | None, ours: Measured | None, alike: str) -> str:
    if ours is None:
        return NOT_MEASURED
    return alike if paper is not None else ALONE


def _formula(value: float, where: str) -> Measured:
    return Measured(value, None, None, f"formula: {where}")


def _data(recorded: Recorded) -> Iterator[Row]:
    mixture = published("mixture").groupby("part", sort=False).weight_percent.sum()
    yield _row("data", "sources of D1", "sources", len(published("d1_sources")), recorded.measured("corpus", "sources"))
    yield _row("data", "text removed by cleaning", "documents", None,
               recorded.measured("corpus", "documents_removed"), remark="the paper gives no count")
    parameters = recorded.provenance("tokens").get("parameters", {})
    weights = parameters.get("arms", {}).get(_FULL_ARM, {})
    for part, weight in mixture.items():
        share = 100 * weights[part.lower()] / sum(weights.values()) if weights else None
        ours = Measured(share, None, None, f"tokens: parameter arms, {_FULL_ARM.upper()}") if share else None
        yield _row("data", f"sampling weight of {part}", "%", weight, ours, ours_origin=REPRODUCED,
                   remark="set by us, not found")
    sizes = published("mixture").dropna(subset="tokens_b").set_index("part").tokens_b * 1e9
    yield _row("data", "tokens of D2", "tokens", sizes["D2"], recorded.measured("tokens", "tokens.d2"),
               remark="paper: written by the language model")
    yield _row("data", "tokens of D3", "tokens", sizes["D3"].sum(), recorded.measured("tokens", "tokens.d3"))
    for row in published_epochs().itertuples():
        part = row.file[:2].lower()
        yield _row("data", f"epochs of {row.file}", "epochs", row.epochs,
                   recorded.measured("tokens", f"epochs.{_FULL_ARM}.{part}"), paper_origin=RECOMPUTED)
    yield from _decontamination(recorded)


def _decontamination(recorded: Recorded) -> Iterator[Row]:
    """The paper's rule and the rules by which parts were treated; the others stand in the stage's own figure."""
    for match, measured in recorded.matching("decontamination", r"planted\.([^.]+)\.([^.]+)\.detection_rate"):
        kind, rule = match.groups()
        if rule.startswith("document-share"):
            remark = "as parts were treated here" if "+" in rule else "the paper's rule alone"
            yield _row("data", f"planted benchmark items found, {kind.replace('_', ' ')}", "share", None, measured,
                       remark=f"{remark}: {rule}")
    yield _row("data", "natural documents wrongly removed", "share", None,
               recorded.measured("decontamination", "clean.false_positive_rate"), remark="as D1 was treated")


def _model(recorded: Recorded) -> Iterator[Row]:
    shape = cost.paper_shape()
    yield _row("model", "parameters of the printed shape", "parameters", setup("parameters"),
               _formula(shape.parameters, "embedding + layers + norms + head"), ours_origin=REPRODUCED)
    ours = facts.parameters(recorded)
    yield _row("model", "parameters trained", "parameters", setup("parameters"),
               ours and _formula(ours, "the same, of the shape in training's parameters"))


def _training(recorded: Recorded) -> Iterator[Row]:
    yield _row("training", "largest loss difference, two processes against one", "nats", None,
               recorded.measured("training", "parity.max_loss_difference"))
    yield _row("training", "tokens per run", "tokens", setup("training_tokens"),
               recorded.measured("training", "tokens_per_run"))
    yield _row("training", "runs per arm", "seeds", setup("ablation_seeds"),
               recorded.measured("training", "seeds_per_arm"))
    yield _row("training", "speed", "tokens/s and GPU", cost.paper_speed(), paper_origin=RECOMPUTED,
               remark="from the printed days, GPUs and tokens; ours ran on a CPU: see the bench stage")
    yield _row("training", "model FLOPs utilisation", "share of peak", cost.paper_mfu(), paper_origin=RECOMPUTED,
               remark="from the same, attention counted in full, dense bf16 peak of the H800")
    samples = published("fp8_throughput").query("model == 'HARE-1.1B'").samples_per_s
    yield _row("training", "FP8 speed, best printed", "samples/s on 2 GPUs", samples.max())


def _ablation(recorded: Recorded) -> Iterator[Row]:
    for arm in ("b", _FULL_ARM):
        yield _row("ablation", f"benchmark answers, {arm.upper()} − A", "bits/byte", None,
                   recorded.measured("training", f"contrast.{arm}-a.p"),
                   remark="the paper ranks the arms by average score, one seed")


def _leaderboard(recorded: Recorded) -> Iterator[Row]:
    hare = published("open_llm_leaderboard_base").set_index("model").loc["HARE"]
    for benchmark, spec in printed_benchmarks().items():
        measured = recorded.measured("evaluation", f"{benchmark}.{_FULL_ARM}.score")
        yield _row("evaluation", spec.published_label, "% (leaderboard metric)", hare[spec.published_column],
                   measured and in_percent(measured))
    measured = recorded.measured("evaluation", f"average.{_FULL_ARM}.score")
    yield _row("evaluation", "average", "%", hare.average, measured and in_percent(measured),
               remark="ours is over the benchmarks that were measured")
    yield _row("evaluation", "gold answers, average", "bits/byte", None,
               recorded.measured("evaluation", f"average.{_FULL_ARM}.bpb"), remark="MMLU, answered by letter, left out")


def _leakage(recorded: Recorded) -> Iterator[Row]:
    labels = {spec.published_label: name for name, spec in printed_benchmarks().items()}
    for row in published("leakage_5gram").query("model == 'HARE'").itertuples():
        measured = recorded.measured("leakage", f"delta.{labels[row.benchmark]}.{row.split}.{_FULL_ARM}")
        yield _row("leakage", f"Δ on {row.benchmark} {row.split}", "points", row.delta, measured)
    for match, measured in recorded.matching("leakage", r"power\.([^.]+)\.dose_(\d+)"):
        yield _row("leakage", f"share of tests that see a leak read {match[2]} times, {match[1].replace('_', ' ')}",
                   "share", None, measured, remark="planted by lot in our own runs; the paper has no such control")
    for match, measured in recorded.matching("leakage", r"gain\.(accuracy|bpb)\.dose_(\d+)"):
        unit = {"accuracy": "points", "bpb": "bits/byte"}[match[1]]
        yield _row("leakage", f"what a leak read {match[2]} times buys", unit, None, measured,
                   remark="gain over items never planted")


def _downstream(recorded: Recorded) -> Iterator[Row]:
    calls = published("api_calling")
    for system, name, paper in (
        ("hare-tool", "HARE-Tool", calls.hare_tool_accuracy.mean()),
        ("retrieval", "retrieval and an instruct model", calls.llama3_8b_rag_accuracy.mean()),
        ("retrieval-examples", "the same with a worked example of each function", None),
        ("retrieval-grammar", "the same under HARE-Tool's grammar", None),
        ("retrieval-examples-grammar", "the same with examples, under HARE-Tool's grammar", None),
        ("copying", "slots copied, the paper's way", None),
        ("copying-grammar", "slots copied under a grammar", None),
        ("random-weights", "fine-tuned from random weights", None),
        ("bag-of-words", "a bag of words with slot rules", None),
        ("base", "not fine-tuned", None),
    ):
        yield from _tool_calling(recorded, system, name, paper)
    chat = published("open_llm_leaderboard_chat").set_index("model").average
    yield _row("fine-tuning", "average of six, chat model", "%", chat["HARE"])
    for match, measured in recorded.matching("finetuning", r"chat\.(.+)\.(before|after)"):
        benchmark = SPECS[match[1]].published_label if match[1] in SPECS else match[1].replace("_", " ")
        yield _row("fine-tuning", f"{benchmark}, {match[2]} the chat fine-tune", "%", None, in_percent(measured))
    for match, measured in recorded.matching("finetuning", r"chat_nats\.(before|after)"):
        yield _row("fine-tuning", f"answers of conversations kept aside, {match[1]} the chat fine-tune", "nats/token",
                   None, measured)
    for precision in ("fp32", "int8", "int4"):
        yield from _on_the_device(recorded, precision)


def _tool_calling(recorded: Recorded, system: str, name: str, paper: float | None) -> Iterator[Row]:
    """One row for each test set; the paper's number stands beside the first, which is made as the paper's was."""
    by_test_set = recorded.matching("finetuning", rf"tool\.([^.]+)\.{system}\.accuracy")
    for test_set, measured in [(match[1], measured) for match, measured in by_test_set] or [("test", None)]:
        if paper is not None or measured is not None:
            yield _row("fine-tuning", f"tool calling on the {test_set} set, {name}", "%", paper,
                       measured and in_percent(measured), paper_origin=RECOMPUTED)
        paper = None


def _on_the_device(recorded: Recorded, precision: str) -> Iterator[Row]:
    """Size, speed and quality at one precision; the paper prints the first two at int4."""
    papers = {"size": 1000 * setup("phone_size_int4"), "speed": setup("phone_speed")} if precision == "int4" else {}
    for quantity, unit, paper, metric, remark in (
        ("size", "MB", papers.get("size"), "size_mb", "paper: 1.1 billion parameters"),
        ("decoding speed", "tokens/s", papers.get("speed"), "decode_tokens_per_s", "paper: on a phone"),
        ("held-out text", "bits/byte", None, "heldout_bpb", ""),
    ):
        measured = recorded.measured("deployment", f"{precision}.{metric}")
        if paper is not None or measured is not None:
            yield _row("deployment", f"{quantity} at {precision}", unit, paper, measured, remark=remark)

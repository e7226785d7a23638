"""What a reader of the evaluation looks at: the protocol, the leaderboard as a table, single items."""

from string import ascii_uppercase
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

from hare.benchmarks.registry import spec_of
from hare.benchmarks.spec import BenchmarkSpec
from hare.evaluation.comparison import AVERAGE
from hare.evaluation.tasks import Benchmark, choose_items, missing, origin_of

_CHARACTERS = 300


def protocol_table(benchmarks: list[Benchmark], names: list[str], items: int, seed: int) -> pd.DataFrame:
    """How each benchmark is asked.

    Columns: benchmark, lm_eval_task, shots, metric, version (of lm-eval's definition), rows_from (where the items and
    the examples come from), items, items_in_all, skipped. The last says why a benchmark among ``names`` is left out,
    and is empty for the others.
    """
    rows = []
    for benchmark in benchmarks:
        chosen, tasks = choose_items(benchmark, items, seed), benchmark.tasks.values()
        rows.append({
            **_asked(benchmark.name), "version": next(iter(tasks)).VERSION,
            "rows_from": origin_of(benchmark), "items": sum(map(len, chosen.values())),
            "items_in_all": sum(len(task.eval_docs) for task in tasks), "skipped": "",
        })
    from_hub = any(benchmark.from_hub for benchmark in benchmarks)
    rows += [{**_asked(name), "items": 0, "skipped": why} for name, why in missing(names, from_hub).items()]
    return pd.DataFrame(rows)


def _asked(name: str) -> dict[str, Any]:
    protocol = spec_of(name).protocol
    return {"benchmark": name, "lm_eval_task": protocol.task, "shots": protocol.shots, "metric": protocol.metric}


def leaderboard(scores: pd.DataFrame, measure: str) -> Styler:
    """Arms by benchmarks, as "value [low, high]", the best of each column in bold, chance level below, item counts.

    Scores are shown in %, other measures in their own unit.
    """
    rows = scores[scores["measure"] == measure]
    scale = 100 if measure in ("score", "acc", "acc_norm") else 1
    digits = 1 if scale == 100 else 3
    order = [name for name in dict.fromkeys(rows["benchmark"]) if name != AVERAGE] + [AVERAGE]
    cells = rows.assign(cell=[
        f"{scale * row.value:.{digits}f} [{scale * row.low:.{digits}f}, {scale * row.high:.{digits}f}] · n={row.items}"
        for row in rows.itertuples()
    ])
    table = cells.pivot(index="arm", columns="benchmark", values="cell").reindex(dict.fromkeys(rows["arm"]))[order]
    best = rows.pivot(index="arm", columns="benchmark", values="value").reindex_like(table)
    winners = best == (best.min() if measure == "bpb" else best.max())
    if rows["chance"].notna().any():
        chances = rows.groupby("benchmark")["chance"].mean()
        table.loc["chance"] = [f"{scale * chances[name]:.{digits}f}" for name in order]
    bold = winners.reindex(table.index, fill_value=False).map(lambda wins: "font-weight: bold" if wins else "")
    return table.fillna("not asked").style.apply(lambda _: bold, axis=None)


def letter_table(items: pd.DataFrame) -> pd.DataFrame:
    """Which letter each arm answers MMLU with, over its seeds, and those that are right and never answered; empty
    where MMLU was not asked.

    Columns: arm, letter, share (of the answers), right (share of the items that it is right for).
    """
    rows = items[items["benchmark"] == "mmlu"]
    right = rows.drop_duplicates(["task", "item"])["gold"].value_counts(normalize=True)
    numbers = sorted({*rows["gold"], *rows["preferred"]})
    shares = [
        {"arm": arm, "letter": ascii_uppercase[int(number)], "share": share, "right": right.get(number, 0.0)}
        for arm, answers in rows.groupby("arm", sort=False)["preferred"]
        for number, share in answers.value_counts(normalize=True).reindex(numbers, fill_value=0.0).items()
    ]
    return pd.DataFrame(shares, columns=["arm", "letter", "share", "right"])


def examples(items: pd.DataFrame, benchmarks: list[Benchmark], arm: str, count: int) -> pd.DataFrame:
    """The items that ``arm`` fails most confidently: by how many bits per byte it prefers a wrong answer.

    One item per benchmark in turn, up to ``count``. Columns: benchmark, question (the end of a long one), gold,
    preferred, margin.
    """
    failed = items[(items["arm"] == arm) & (items["margin"] < 0)].sort_values("margin", kind="stable")
    failed = failed.drop_duplicates(["task", "item"])
    turn = failed.groupby("benchmark").cumcount()
    chosen = failed.assign(turn=turn).sort_values(["turn", "margin"], kind="stable").head(count)
    known = {benchmark.name: benchmark for benchmark in benchmarks}
    return pd.DataFrame([_example(known[row.benchmark], row) for row in chosen.itertuples()])


def _example(benchmark: Benchmark, row: Any) -> dict[str, Any]:
    spec, task = spec_of(benchmark.name), benchmark.tasks[row.task]
    document = task.eval_docs[int(row.item)]
    question, options = spec.texts(document)[0], _options(spec, task, document)
    return {
        "benchmark": benchmark.name,
        "question": question if len(question) <= _CHARACTERS else f"… {question[-_CHARACTERS:]}",
        "gold": options[int(row.gold)], "preferred": options[int(row.preferred)], "margin": row.margin,
    }


def _options(spec: BenchmarkSpec, task: Any, document: Any) -> list[str]:
    """The options in lm-eval's order: TruthfulQA's scored list is not the one of the benchmark's own answers."""
    if spec.protocol.by_letter:
        return [f"{letter}. {text}" for letter, text in zip(ascii_uppercase, spec.options(document), strict=False)]
    # with several inputs (Winogrande) lm-eval's choices are the contexts
    return list(spec.options(document) if task.multiple_input else task.doc_to_choice(document))

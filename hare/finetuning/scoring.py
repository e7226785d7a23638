"""Scores of tool calling: exact calls and functions alone, with intervals over phrasings and fine-tuning seeds."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hare.core.statistics import Draws, Spread, share
from hare.finetuning.calls import Reading
from hare.finetuning.functions import BY_NAME, FUNCTIONS
from hare.finetuning.tool_data import ToolItem

ALL, WITH, WITHOUT = "all", "with arguments", "without arguments"
_RESAMPLES = 2000
_KEYS = ["test_set", "system"]


def score_rows(
    items: Sequence[ToolItem], readings: Sequence[Reading], system: str, seed: int, test_set: str
) -> pd.DataFrame:
    """One row per item: item, test_set, system, seed, kind, phrasing, api, function, predicted, exact, right_function,
    reason, request, gold, answer.

    ``exact``: the very call, all slots letter for letter; for a meaningless request that no call was answered. An
    answer that cannot be read or is refused is wrong, there too: the model has to say that there is nothing to call.
    """
    rows = []
    for item, reading in zip(items, readings, strict=True):
        rows.append({
            "item": item.id, "test_set": test_set, "system": system, "seed": seed, "kind": item.kind,
            "phrasing": f"{item.call.function}: {item.pattern}", "api": BY_NAME[item.call.function].api,
            "function": item.call.function, "predicted": reading.function or "unreadable",
            "exact": reading.call == item.call, "right_function": reading.function == item.call.function,
            "reason": reading.reason, "request": item.request, "gold": str(item.call),
            "answer": str(reading.call or ""),
        })
    return pd.DataFrame(rows)


def accuracy_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Shares by test set, system and part: test_set, system, part, items, phrasings, seeds, exact, low, high,
    right_function, function_low, function_high, refused.

    Parts are all requests, those whose call has arguments or none, each function, and each kind of difficulty.
    Phrasings count alike. Intervals are 95 %: phrasings resampled, seeds as a random effect (`hare.core.statistics`).
    """
    with_slots = [function.name for function in FUNCTIONS if function.slots]
    table = []
    for names, group in rows.groupby(_KEYS, sort=False):
        parts = [(ALL, group), (WITH, group[group.function.isin(with_slots)]),
                 (WITHOUT, group[~group.function.isin(with_slots)])]
        parts += [(f.name, group[group.function == f.name]) for f in FUNCTIONS]
        parts += [(kind, part) for kind, part in group.groupby("kind", sort=False) if kind != "plain"]
        table += [{**dict(zip(_KEYS, names, strict=True)), "part": name, **_shares(part)}
                  for name, part in parts if len(part)]
    return pd.DataFrame(table)


def _shares(rows: pd.DataFrame) -> dict[str, float]:
    exact, right = (_estimate(rows, column) for column in ("exact", "right_function"))
    return {
        "items": rows.item.nunique(), "phrasings": rows.phrasing.nunique(), "seeds": rows.seed.nunique(),
        "exact": exact[0], "low": exact[1], "high": exact[2],
        "right_function": right[0], "function_low": right[1], "function_high": right[2],
        "refused": float((rows.reason != "").mean()),
    }


def _estimate(rows: pd.DataFrame, column: str) -> tuple[float, float, float]:
    """Mean over phrasings, with its interval over phrasings and seeds."""
    values = rows.pivot_table(index="seed", columns="phrasing", values=column, aggfunc="mean").to_numpy(dtype=float)
    draws = Draws.make({"phrasings": values.shape[1]}, _RESAMPLES, 0)
    mean = share(values, draws.means("phrasings", values), Spread.of_scores(values.mean(axis=1)[None]))
    return mean.value, mean.low, mean.high


def difference(rows: pd.DataFrame, test_set: str, system: str, other: str) -> dict[str, float]:
    """How much more of a test set ``system`` gets right than ``other``, over the phrasings that both were asked:
    phrasings, difference, low, high; 95 % by bootstrap over phrasings, paired, and over each one's seeds."""
    part = rows[rows.test_set == test_set]
    ours, theirs = (
        part[part.system == name].pivot_table(index="seed", columns="phrasing", values="exact", aggfunc="mean")
        for name in (system, other)
    )
    both = [phrasing for phrasing in ours.columns if phrasing in theirs.columns]
    tables = [table[both].to_numpy(dtype=float) for table in (ours, theirs)]
    rng = np.random.default_rng(0)
    gaps = []
    for _ in range(_RESAMPLES):
        columns = rng.integers(0, len(both), len(both))
        means = [table[rng.integers(0, len(table), len(table))][:, columns].mean() for table in tables]
        gaps.append(means[0] - means[1])
    low, high = np.quantile(gaps, [0.025, 0.975])
    return {"phrasings": len(both), "difference": tables[0].mean() - tables[1].mean(), "low": low, "high": high}


def confusion_table(rows: pd.DataFrame) -> pd.DataFrame:
    """How often each function was answered where each was wanted: test_set, system, wanted, answered, items.

    ``unreadable`` stands for answers without a known function. All seeds count.
    """
    keys = [*_KEYS, "function", "predicted"]
    counted = rows.groupby(keys, sort=False).size().rename("items").reset_index()
    return counted.rename(columns={"function": "wanted", "predicted": "answered"})


def error_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Wrong calls by cause: test_set, system, cause, errors, share (of all requests), request, gold, answer (of the
    first one)."""
    wrong = rows[~rows.exact.astype(bool)].copy()
    wrong["cause"] = [_cause(row) for row in wrong.itertuples()]
    asked = rows.groupby(_KEYS).size()
    table = []
    for names, group in wrong.groupby([*_KEYS, "cause"], sort=False):
        first = group.iloc[0]
        table.append({
            **dict(zip([*_KEYS, "cause"], names, strict=True)), "errors": len(group),
            "share": len(group) / asked[names[:2]], "request": first.request, "gold": first.gold,
            "answer": first.answer or first.reason,
        })
    return pd.DataFrame(table).sort_values([*_KEYS, "errors"], ascending=[True, True, False], ignore_index=True)


def _cause(row: object) -> str:
    if not row.right_function:
        return "no known function" if row.predicted == "unreadable" else f"{row.predicted} for {row.function}"
    if row.reason:
        return f"refused: {row.reason}"
    gold, answer = (text[text.index("(") + 2 : -2] for text in (row.gold, row.answer))
    if gold in answer:
        return "slot too long"
    return "slot too short" if answer in gold else "other words in a slot"


def flat_metrics(table: pd.DataFrame) -> dict[str, float]:
    """``tool.<test set>.<system>.accuracy`` with bounds, the same ``.with_arguments`` and ``.without_arguments``, and
    ``.function_accuracy``."""
    metrics: dict[str, float] = {}
    names = {ALL: "accuracy", WITH: "with_arguments", WITHOUT: "without_arguments"}
    for row in table[table.part.isin(names)].itertuples():
        stem = f"tool.{row.test_set}.{row.system}.{names[row.part]}"
        metrics |= {stem: row.exact, f"{stem}.low": row.low, f"{stem}.high": row.high}
        if row.part == ALL:
            metrics[f"tool.{row.test_set}.{row.system}.function_accuracy"] = row.right_function
    return metrics


def beside_published(table: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Table 8 beside ours, in %: api, description, the paper's two columns, each of our systems on the test set."""
    beside = published[["api", "description", "hare_tool_accuracy", "llama3_8b_rag_accuracy"]].rename(columns={
        "hare_tool_accuracy": "HARE-Tool 1.1B (published)", "llama3_8b_rag_accuracy": "Llama3-8B + RAG (published)",
    })
    names = {function.api: function.name for function in FUNCTIONS}
    for system, part in table[table.test_set == "test"].groupby("system", sort=False):
        beside[system] = beside.api.map(names).map(part.set_index("part").exact * 100).round(1)
    return beside

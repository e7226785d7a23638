"""Scores of tool calling: exact calls and functions alone, with intervals, and what was called instead."""

from collections.abc import Sequence

import pandas as pd

from hare.core.statistics import wilson_interval
from hare.finetuning.calls import Reading
from hare.finetuning.functions import BY_NAME, FUNCTIONS
from hare.finetuning.tool_data import ToolItem

ALL = "all"


def score_rows(
    items: Sequence[ToolItem], readings: Sequence[Reading], system: str, decoding: str, test_set: str
) -> pd.DataFrame:
    """One row an item: item, test_set, system, decoding, kind, api, function, predicted, exact, right_function, reason.

    ``exact``: the very call, all slots letter for letter; for a meaningless request that no call was answered. An
    answer that cannot be read or is refused is wrong, there too: the model has to say that there is nothing to call.
    """
    rows = []
    for item, reading in zip(items, readings, strict=True):
        rows.append({
            "item": item.id, "test_set": test_set, "system": system, "decoding": decoding, "kind": item.kind,
            "api": BY_NAME[item.call.function].api, "function": item.call.function,
            "predicted": reading.function or "unreadable", "exact": reading.call == item.call,
            "right_function": reading.function == item.call.function, "reason": reading.reason,
            "request": item.request, "gold": str(item.call), "answer": str(reading.call or ""),
        })
    return pd.DataFrame(rows)


def accuracy_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Shares by test set, system, decoding and function, and over all of them: test_set, system, decoding, api,
    function, items, exact, low, high, right_function, function_low, function_high, refused.

    Intervals are Wilson's over items, 95 %.
    """
    keys = ["test_set", "system", "decoding"]
    tables = []
    for names, group in rows.groupby(keys, sort=False):
        parts = [(ALL, ALL, group)]
        parts += [(f.api, f.name, group[group.function == f.name]) for f in FUNCTIONS]
        tables += [{**dict(zip(keys, names, strict=True)), "api": api, "function": name, **_shares(part)}
                   for api, name, part in parts if len(part)]
    return pd.DataFrame(tables)


def kind_table(rows: pd.DataFrame) -> pd.DataFrame:
    """The same by kind of difficulty: test_set, system, decoding, kind, items, exact, low, high, …"""
    keys = ["test_set", "system", "decoding", "kind"]
    return pd.DataFrame([
        {**dict(zip(keys, names, strict=True)), **_shares(group)} for names, group in rows.groupby(keys, sort=False)
    ])


def _shares(rows: pd.DataFrame) -> dict[str, float]:
    exact, right = int(rows.exact.sum()), int(rows.right_function.sum())
    low, high = wilson_interval(exact, len(rows))
    function_low, function_high = wilson_interval(right, len(rows))
    return {
        "items": len(rows), "exact": exact / len(rows), "low": low, "high": high,
        "right_function": right / len(rows), "function_low": function_low, "function_high": function_high,
        "refused": float((rows.reason != "").mean()),
    }


def confusion_table(rows: pd.DataFrame) -> pd.DataFrame:
    """How often each function was answered where each was wanted: test_set, system, decoding, wanted, answered, items.

    ``unreadable`` stands for answers without a known function.
    """
    keys = ["test_set", "system", "decoding", "function", "predicted"]
    counted = rows.groupby(keys, sort=False).size().rename("items").reset_index()
    return counted.rename(columns={"function": "wanted", "predicted": "answered"})


def flat_metrics(table: pd.DataFrame, headline: dict[str, tuple[str, str]]) -> dict[str, float]:
    """``tool.<test set>.<name>.accuracy`` with bounds, for each name in ``headline``: name → (system, decoding)."""
    metrics: dict[str, float] = {}
    for name, (system, decoding) in headline.items():
        chosen = table[(table.system == system) & (table.decoding == decoding) & (table.api == ALL)]
        for row in chosen.itertuples():
            stem = f"tool.{row.test_set}.{name}"
            metrics |= {f"{stem}.accuracy": row.exact, f"{stem}.accuracy.low": row.low,
                        f"{stem}.accuracy.high": row.high, f"{stem}.function_accuracy": row.right_function}
    return metrics


def beside_published(
    table: pd.DataFrame, published: pd.DataFrame, systems: dict[str, tuple[str, str]]
) -> pd.DataFrame:
    """Table 8 beside ours, in %: api, description, the paper's two columns, each of ``systems`` on the test set."""
    beside = published[["api", "description", "hare_tool_accuracy", "llama3_8b_rag_accuracy"]].rename(columns={
        "hare_tool_accuracy": "HARE-Tool 1.1B (published)", "llama3_8b_rag_accuracy": "Llama3-8B + RAG (published)",
    })
    test = table[table.test_set == "test"]
    for name, (system, decoding) in systems.items():
        if not ((test.system == system) & (test.decoding == decoding)).any():
            continue
        ours = test[(test.system == system) & (test.decoding == decoding)].set_index("api").exact
        beside[name] = beside.api.map(ours * 100).round(1)
    return beside

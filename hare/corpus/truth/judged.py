"""A sample of the edits made to real text, each judged by reading: right, or a false alarm.

The sample is drawn by a hash of what an edit is: the same edits are in it whatever else changes, and a judgement
belongs to the edit that was read and to no other.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import xxhash

from hare.core.reading import read_table
from hare.core.statistics import wilson_interval
from hare.corpus.masking import masked

SAMPLE = 200  # edits
WRONG, UNREAD = "wrong", "not read"  # beside "right"
_JUDGEMENTS = Path(__file__).with_name("judged_edits.csv")  # columns key, verdict, note
_COLUMNS = ("source", "block", "reason", "score", "excerpt")


def edit_key(edit: dict[str, Any]) -> str:
    """A name for an edit made of all that was read to judge it."""
    return xxhash.xxh64_hexdigest("|".join(str(edit[name]) for name in ("id", "block", "reason", "score", "excerpt")))


def judged_sample(edits: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """`SAMPLE` edits drawn from all: key, source, block, reason, score, excerpt, verdict and note.

    A verdict is "not read" where nobody has judged the edit, as happens when the corpus has changed since. Persons'
    data in an excerpt is masked, after the key was made of what was read.
    """
    keyed = sorted(((edit_key(edit), edit) for edit in edits), key=lambda pair: pair[0])
    rows = [{"key": key} | {name: edit[name] for name in _COLUMNS} for key, edit in keyed[:SAMPLE]]
    for row in rows:
        row["excerpt"] = masked(row["excerpt"])
    known = read_table(_JUDGEMENTS, dtype=str, keep_default_na=False).set_index("key")
    frame = pd.DataFrame(rows, columns=["key", *_COLUMNS])
    for column, otherwise in (("verdict", UNREAD), ("note", "")):
        frame[column] = [known[column].get(key, otherwise) for key in frame["key"]]
    return frame


def false_alarms(sample: pd.DataFrame) -> pd.DataFrame:
    """By kind of edit and over all: read, wrong, and the share of wrong ones with its 95 % interval."""
    read = sample[sample["verdict"] != UNREAD]
    rows = []
    for kind, edits in [*read.groupby("reason"), ("(all)", read)]:
        wrong = int((edits["verdict"] == WRONG).sum())
        low, high = wilson_interval(wrong, len(edits))
        rows.append({"edit": kind, "read": len(edits), "wrong": wrong, "share": wrong / max(1, len(edits)), "low": low,
                     "high": high})
    return pd.DataFrame(rows)


def judged_metrics(table: pd.DataFrame) -> dict[str, float]:
    """``edits.read``, ``edits.wrong`` and ``edits.false_alarm_share`` with its interval."""
    whole = table[table["edit"] == "(all)"].iloc[0]
    return {"edits.read": int(whole["read"]), "edits.wrong": int(whole["wrong"]),
            "edits.false_alarm_share": float(whole["share"]), "edits.false_alarm_share.low": float(whole["low"]),
            "edits.false_alarm_share.high": float(whole["high"])}

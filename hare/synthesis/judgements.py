"""Accepted texts of D2 read one by one against their seeds; the judgements are data, in ``judgements.yaml``."""

from functools import cache
from pathlib import Path
from typing import Literal

import pandas as pd
import pydantic.dataclasses

from hare.core.checked import CLOSED, AtLeastOne, Text, checked, read_yaml
from hare.core.statistics import wilson_interval

JUDGEMENTS = Path(__file__).with_name("judgements.yaml")
Verdict = Literal["sound", "unsupported", "wrong", "about itself"]
WRONG = ("unsupported", "wrong", "about itself")


@pydantic.dataclasses.dataclass(frozen=True, config=CLOSED)
class Judgement:
    """One text, by its id in the published set: the verdict, and what decided it."""

    id: Text
    form: Text
    verdict: Verdict
    note: Text = ""


@pydantic.dataclasses.dataclass(frozen=True, config=CLOSED)
class _File:
    judge: Text
    texts: AtLeastOne[Judgement]


@cache
def read() -> _File:
    """All judgements, and who judged.

    Raises:
        HareError: the file is malformed or holds an unknown verdict.
    """
    return checked(_File, read_yaml(JUDGEMENTS), str(JUDGEMENTS), "correct the file")


def table() -> pd.DataFrame:
    """By form, and for all texts: columns form, texts, sound, wrong, share, low, high, judge."""
    judged = pd.DataFrame([vars(one) for one in read().texts])
    rows = []
    for form in [*sorted(judged["form"].unique()), "all"]:
        texts = judged if form == "all" else judged[judged["form"] == form]
        wrong = int(texts["verdict"].isin(WRONG).sum())
        low, high = wilson_interval(wrong, len(texts))
        rows.append((form, len(texts), len(texts) - wrong, wrong, wrong / len(texts), low, high, read().judge))
    return pd.DataFrame(rows, columns=["form", "texts", "sound", "wrong", "share", "low", "high", "judge"])


def metrics(rated: pd.DataFrame) -> dict[str, float]:
    """``judged.texts`` and ``judged.wrong_share``, over all and by form, with intervals."""
    named: dict[str, float] = {}
    for row in rated.itertuples():
        prefix = "judged" if row.form == "all" else f"judged.{row.form}"
        named |= {
            f"{prefix}.texts": int(row.texts), f"{prefix}.wrong_share": float(row.share),
            f"{prefix}.wrong_share.low": float(row.low), f"{prefix}.wrong_share.high": float(row.high),
        }
    return named

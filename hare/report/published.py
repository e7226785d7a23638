"""The paper's own numbers, as printed."""

from functools import cache

import pandas as pd

from hare.run.paths import REPOSITORY

PUBLISHED = REPOSITORY / "results" / "published"


def published(table: str) -> pd.DataFrame:
    """``results/published/<table>.csv``; empty cells are NaN."""
    return pd.read_csv(PUBLISHED / f"{table}.csv")


@cache
def setup(quantity: str) -> float:
    """One number of the paper's set-up, in the unit that ``setup.csv`` gives."""
    table = published("setup").set_index("quantity")
    return float(table.loc[quantity, "value"])

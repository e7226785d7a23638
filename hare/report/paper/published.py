"""The paper's own numbers, as printed."""

from functools import cache

import pandas as pd

from hare.core.paths import REPOSITORY
from hare.core.reading import read_table

PUBLISHED = REPOSITORY / "results" / "published"


def published(table: str) -> pd.DataFrame:
    """``results/published/<table>.csv``; empty cells are NaN."""
    return read_table(PUBLISHED / f"{table}.csv")


@cache
def setup(quantity: str) -> float:
    """One number of the paper's set-up, in the unit that ``setup.csv`` gives."""
    return all_setup()[quantity]


@cache
def all_setup() -> dict[str, float]:
    """All numbers of the paper's set-up, by quantity."""
    table = published("setup")
    return dict(zip(table.quantity, table.value.astype(float), strict=True))


def reruns() -> dict[str, float]:
    """What a survey of published notebooks found when it ran them again, by quantity."""
    table = published("notebook_reruns")
    return dict(zip(table.quantity, table.value.astype(float), strict=True))


def published_epochs() -> pd.DataFrame:
    """How often the paper's run reads the parts whose size it prints: arm, file, tokens_read, tokens_in_file, epochs.

    Takes the printed weights as those of the second stage, the only one that reads D2 and D3.
    """
    sized = published("mixture").dropna(subset="tokens_b")
    stage2 = setup("training_tokens") - setup("stage1_tokens")
    names = sized.part + ": " + sized.component.str.replace(r" \(.*| in NLP-task form", "", regex=True)
    table = pd.DataFrame({"arm": "paper", "file": names})
    table["tokens_read"] = (sized.weight_percent / 100 * stage2).to_numpy()
    table["tokens_in_file"] = (sized.tokens_b * 1e9).to_numpy()
    table["epochs"] = table.tokens_read / table.tokens_in_file
    return table.reset_index(drop=True)

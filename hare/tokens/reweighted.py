"""D1 with another part's mix of categories: the control for the sources that a part brings along."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hare.core.errors import HareError
from hare.data.shards import read_documents
from hare.data.text import rank
from hare.tokens.packing import Keep


@dataclass(frozen=True)
class Reweighted:
    """The share of each category's documents that is kept, so that what is left has the wanted mix of characters."""

    rates: dict[str, float]

    @classmethod
    def to(cls, documents: Path, like: Path, reads: Keep) -> "Reweighted":
        """Rates that give ``documents`` the mix of categories of ``like``; only documents that ``reads`` wants count.

        The category that ``documents`` has least of, for that mix, is kept whole.

        Raises:
            HareError: the two have no category in common.
        """
        have, want = (_characters(folder, reads) for folder in (documents, like))
        wanted = {category: want[category] / have[category] for category in have if want[category]}
        if not wanted:
            raise HareError(
                f"{documents} and {like} have no category in common.", "rerun the notebooks that make them"
            )
        most = max(wanted.values())
        return cls({category: rate / most for category, rate in wanted.items()})

    def keeps(self, row: dict[str, Any]) -> bool:
        """Whether a document stays, drawn by a hash of its id."""
        return rank(1, row["id"]) < self.rates.get(row["metadata"]["category"], 0.0) * 2**64


def _characters(folder: Path, reads: Keep) -> Counter[str]:
    """Characters of text by category."""
    counts: Counter[str] = Counter()
    for row in read_documents(folder):
        if reads(row):
            counts[row["metadata"].get("category", "")] += len(row["text"])
    return counts

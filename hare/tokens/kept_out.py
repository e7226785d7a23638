"""What no arm may read: whole sources, which are neutral text for the study, and a share of D2's pages."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hare.core.errors import HareError
from hare.data.shards import read_documents
from hare.data.text import rank

HELDOUT_PAGES = 0.1  # of D2's pages


@dataclass(frozen=True)
class KeptOut:
    """Names of the ``sources``, and ids of the D2 ``pages``."""

    sources: tuple[str, ...]
    pages: frozenset[str]

    @classmethod
    def choose(cls, sources: Sequence[str], d2: Path) -> "KeptOut":
        """The named sources, and a tenth of the D2 pages in the folder, drawn by a hash of their ids.

        Raises:
            HareError: D2 has too few pages to keep any out.
        """
        names = sorted((row["id"] for row in read_documents(d2)), key=lambda name: rank(0, name))
        count = max(1, round(HELDOUT_PAGES * len(names)))
        if count >= len(names):
            raise HareError(
                f"D2 has {len(names)} pages: too few to keep {count} of them out of training.",
                "raise d2_documents and rerun notebook 02",
            )
        return cls(tuple(sources), frozenset(names[:count]))

    def reads(self, row: dict[str, Any]) -> bool:
        """Whether an arm may read this document: it is none of those kept out, nor was it made from one."""
        seed = row["metadata"].get("seed_passage", "")
        documents = {row["id"], seed, seed.rpartition("#")[0]}
        origins = {row["metadata"].get("source", ""), seed.removeprefix("d2/").split("/")[0]}
        return not origins & set(self.sources) and not documents & self.pages

    def of_sources(self, folders: Sequence[Path]) -> Iterator[dict[str, Any]]:
        """Documents of the sources themselves.

        Raises:
            HareError: a source has none.
        """
        missing = set(self.sources)
        for folder in folders:
            for row in read_documents(folder):
                if row["metadata"].get("source") in self.sources:
                    missing.discard(row["metadata"]["source"])
                    yield row
        if missing:
            raise HareError(
                f"neutral_sources: the corpus has no source {', '.join(sorted(missing))}.",
                "name sources of notebook 01's table",
            )

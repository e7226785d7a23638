"""What a source is: where its text lies, what it may be used for, and what stands in its place in the paper."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hare.run.archives import Archive, archive_of

Rows = Iterator[tuple[str, str]]  # key that is unique in its source, text
Reader = Callable[[Archive, tuple[str, ...]], Rows]


@dataclass(frozen=True)
class Source:
    """One source with its data card.

    ``members`` are the files, or the prefixes of files, that ``read`` looks for in the archive. ``punctuated`` is
    false where the archive ships text from which punctuation has been stripped, so that no sentence end can be seen.
    ``counterpart`` is a row of the paper's Table 3, or '' where the paper has nothing like it.
    """

    name: str
    category: str
    package: str
    members: tuple[str, ...]
    read: Reader
    licence: str
    card: str
    counterpart: str = ""
    punctuated: bool = True

    def rows(self) -> Rows:
        """Keys and raw texts, in an order that never changes."""
        return self.read(archive_of(self.package), self.members)


@dataclass(frozen=True)
class HubSource:
    """One of the paper's own 19 sources (Table 3) on the hub, for machines that reach one; streamed, never whole."""

    name: str
    category: str
    repository: str
    subset: str
    text_field: str
    weight_percent: float
    licence: str

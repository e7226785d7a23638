"""What a source is: where its text lies, what it may be used for, and what stands in its place in the paper."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hare.data.archives import Archive, archive_of, fetch

Rows = Iterator[tuple[str, str]]  # key that is unique in its source, text
Reader = Callable[[Archive, tuple[str, ...]], Rows]


@dataclass(frozen=True)
class Source:
    """One source with its data card.

    ``members`` are the files, or the prefixes of files, that ``read`` looks for in the archive. ``punctuated`` is
    false where no end of a sentence can be asked for: punctuation has been stripped, or lists are part of the text.
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
    work: float = 1.0  # about how many seconds reading and cleaning take at laptop scale: the longest start first
    shards: int = 1  # an archive is read whole, in one task

    @property
    def version(self) -> str:
        """What pins the text: the archive's digest."""
        return archive_of(self.package).sha256

    def prepare(self) -> None:
        """Download the archive when it is not in the cache.

        Raises:
            HareError: the source has vanished from the index or differs from what is registered.
        """
        fetch(archive_of(self.package))

    def rows(self) -> Rows:
        """Keys and raw texts, in an order that never changes."""
        return self.read(archive_of(self.package), self.members)

"""The paper's own 19 sources (its Table 3) on the hub, streamed, for machines that reach one.

Nothing here is touched where ``hub_shards`` is 0. The paper names no repositories; these are the public ones that hold
the sources it names, and where none does ``repository`` is empty and the source is left out. Each has its own terms,
some of them gated.
"""

from dataclasses import dataclass, replace

from hare.core.errors import HareError
from hare.corpus.sources.source import Rows

_RED_PAJAMA = "togethercomputer/RedPajama-Data-1T"
_PILE = "monology/pile-uncopyrighted"


@dataclass(frozen=True)
class HubSource:
    """One source on the hub; stands wherever a `Source` does.

    ``only`` is a (field, value) pair of rows to keep, for repositories that hold several sources. ``shard`` of
    ``shards`` is the part of the stream that one task reads.
    """

    name: str
    category: str
    counterpart: str
    repository: str
    subset: str
    text_field: str
    licence: str
    only: tuple[str, str] | None = None
    shard: int = 0
    shards: int = 1
    punctuated: bool = True
    work: float = 1.0
    package: str = ""
    card: str = "As the paper names it; read the repository's own card before use."
    members: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """What names the text: repository and subset; a stream cannot be pinned by a digest."""
        return f"{self.repository}/{self.subset}"

    def prepare(self) -> None:
        """Nothing to download: the rows are streamed."""

    def rows(self) -> Rows:
        """Keys and texts of this shard, streamed.

        Raises:
            HareError: the hub cannot be reached, or the repository cannot be read.
        """
        from datasets import load_dataset
        from datasets.distributed import split_dataset_by_node

        try:
            stream = load_dataset(self.repository, self.subset or None, split="train", streaming=True)
            for number, row in enumerate(split_dataset_by_node(stream, rank=self.shard, world_size=self.shards)):
                if self.only is None or _kind(row, self.only[0]) == self.only[1]:
                    yield f"{self.shard}-{number}", str(row[self.text_field])
        except (OSError, KeyError, ValueError) as error:
            raise HareError(
                f"{self.repository} cannot be streamed: {error}",
                "check the connection and the repository's terms, or set corpus.hub_shards to 0",
            ) from error


def _kind(row: dict, path: str) -> str:
    for key in path.split("."):
        row = row[key]
    return str(row)


def _pile(name: str, category: str, counterpart: str, kind: str) -> HubSource:
    return HubSource(name, category, counterpart, _PILE, "", "text", "per document",
                     only=("meta.pile_set_name", kind))


HUB_SOURCES: tuple[HubSource, ...] = (
    HubSource("redpajama-c4", "web", "RedPajama C4", _RED_PAJAMA, "c4", "text", "ODC-By 1.0"),
    HubSource("redpajama-arxiv", "academic", "RedPajama ArXiv", _RED_PAJAMA, "arxiv", "text", "per paper"),
    _pile("pubmed", "academic", "PubMed", "PubMed Abstracts"),
    HubSource("s2orc", "academic", "S2ORC", "allenai/peS2o", "v2", "text", "ODC-By 1.0"),
    _pile("philpapers", "philosophy", "PhilPapers", "PhilPapers"),
    HubSource("redpajama-book", "books", "RedPajama Book", _RED_PAJAMA, "book", "text", "per book"),
    HubSource("pg-19", "books", "PG-19", "deepmind/pg19", "", "text", "public domain in the USA"),
    HubSource("redpajama-stackexchange", "questions", "RedPajama StackExchange", _RED_PAJAMA, "stackexchange", "text",
              "CC BY-SA 4.0"),
    _pile("hackernews", "forum", "HackerNews", "HackerNews"),
    _pile("freelaw", "law", "FreeLaw", "FreeLaw"),
    HubSource("pile-of-law", "law", "Pile of Law", "pile-of-law/pile-of-law", "all", "text", "CC BY-NC-SA 4.0"),
    HubSource("amps", "math", "AMPS", "", "", "text", "MIT"),
    HubSource("dm-mathematics", "math", "DM Mathematics", _PILE, "", "text", "Apache-2.0",
              only=("meta.pile_set_name", "DM Mathematics")),
    HubSource("orca-math", "math", "Orca-Math", "microsoft/orca-math-word-problems-200k", "", "answer", "MIT"),
    HubSource("openwebmath", "math", "OpenWebMath", "open-web-math/open-web-math", "", "text", "ODC-By 1.0"),
    HubSource("fanfics", "books", "Fanfics", "", "", "text", "unknown"),
    HubSource("redpajama-wikipedia", "wikipedia", "RedPajama Wikipedia", _RED_PAJAMA, "wikipedia", "text",
              "CC BY-SA 3.0"),
    HubSource("the-stack", "code", "The Stack", "bigcode/the-stack-dedup", "", "content", "per repository, permissive"),
    HubSource("stackoverflow", "questions", "StackOverflow", "mikex86/stackoverflow-posts", "", "Body", "CC BY-SA 4.0"),
)


def hub_shards(shards: int) -> tuple[HubSource, ...]:
    """Every hub source that has a repository, in ``shards`` parts, each a source of its own; none when 0."""
    return tuple(
        replace(source, name=f"{source.name}-{shard:04d}", shard=shard, shards=shards)
        for source in HUB_SOURCES if source.repository
        for shard in range(shards)
    )

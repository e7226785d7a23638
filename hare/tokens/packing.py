"""Documents to token files: `<s>` text `</s>`, one document after the other, in the order in which they are read."""

import itertools
import shutil
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datatrove.data import Document
from datatrove.pipeline.tokens import DocumentTokenizer
from datatrove.pipeline.writers import JsonlWriter
from tokenizers import Tokenizer as Engine

from hare.core.errors import HareError
from hare.core.files import folder_written_whole, written_whole
from hare.core.progress import Progress
from hare.data.shards import read_documents
from hare.data.text import rank
from hare.tokens.tokenizer import Tokenizer

_BEGINNING = 20_000  # characters of one document in a sample
_DOCUMENTS_TOGETHER = 64  # a batch's encodings take some 100 bytes per token, and documents can be whole books


Keep = Callable[[dict[str, Any]], bool]


def everything(row: dict[str, Any]) -> bool:
    """Keeps every document."""
    return True


@dataclass(frozen=True)
class PackedFile:
    """What went into one token file; ``by_source`` has columns source, category, documents, text_bytes, tokens."""

    by_source: pd.DataFrame

    @property
    def counts(self) -> dict[str, int]:
        """Sums over the sources: ``documents``, ``bytes`` of UTF-8 text, ``tokens`` with one begin and end each."""
        sums = self.by_source[["documents", "text_bytes", "tokens"]].sum()
        return {"tokens": int(sums.tokens), "documents": int(sums.documents), "bytes": int(sums.text_bytes)}


def pack(documents: Path, path: Path, tokenizer: Tokenizer, keep: Keep = everything) -> PackedFile:
    """Tokenise a folder of JSON-lines shards, in order of name, into the file ``path`` of little-endian uint16.

    Documents that ``keep`` does not want are passed over.

    Raises:
        HareError: the folder holds no document with text, or a line that is not JSON.
    """
    size = sum(shard.stat().st_size for shard in documents.glob("*.jsonl"))
    notes = _Notes()
    with written_whole(path) as temporary, Progress(f"tokenise {path.stem}", size / 1e6, "MB") as progress:
        read = notes.passing(_documents_in(documents, keep), progress)
        written = _tokenizing_into(path.parent, tokenizer).write_unshuffled(read, temporary.name)
        if not notes.origins:
            raise HareError(
                f"{documents} holds no document with text.", "rerun the stage that makes it, at a larger scale"
            )
    return PackedFile(notes.by_source(np.diff(written.doc_ends, prepend=0)))


def pack_by_category(
    documents: Path, folder: Path, tokenizer: Tokenizer, keep: Keep = everything
) -> dict[str, PackedFile]:
    """Tokenise each category's documents into ``<folder>/<category>.ds``; the folder appears whole."""
    with folder_written_whole(folder) as temporary:
        shards = temporary / ".text"
        with JsonlWriter(str(shards), "${category}/${rank}.jsonl", compression=None) as writer:
            for document in _documents_in(documents, keep):
                writer.write(document)
        packed = {part.name: pack(part, temporary / f"{part.name}.ds", tokenizer) for part in sorted(shards.glob("*"))}
        shutil.rmtree(shards)
    return packed


def index(packed: dict[str, PackedFile], heldout: dict[str, PackedFile]) -> dict[str, dict[str, int]]:
    """What each token file holds, by its path: tokens, documents, bytes of text (for bits per byte)."""
    counts = {f"{name}.ds": part.counts for name, part in packed.items()}
    return counts | {f"heldout/{category}.ds": part.counts for category, part in heldout.items()}


def _documents_in(folder: Path, keep: Keep) -> Iterator[Document]:
    """Documents with text, shard by shard; unlike datatrove's reader this one refuses a damaged line."""
    for row in read_documents(folder):
        if row["text"] and keep(row):
            yield Document(text=row["text"], id=row["id"], metadata=row["metadata"])


def texts(folder: Path, keep: Keep = everything, at_most: int | None = None) -> Iterator[str]:
    """The first documents' texts of a folder of shards that ``keep`` wants, or all of them."""
    return (document.text for document in itertools.islice(_documents_in(folder, keep), at_most))


def sample(folder: Path, characters: int, keep: Keep = everything) -> Iterator[str]:
    """Beginnings of documents, drawn by a hash of their ids from the whole folder: ``characters`` of them, about.

    A folder with fewer gives the beginnings of all its documents. Pages of D2 that are kept out are those that rank
    lowest by the same hash, so of D2 fewer are drawn than asked for; another seed would change every vocabulary, and
    is for when all profiles are recorded anew.
    """
    in_all = sum(len(document.text[:_BEGINNING]) for document in _documents_in(folder, keep))
    limit = characters / max(1, in_all) * 2**64
    return (row.text[:_BEGINNING] for row in _documents_in(folder, keep) if rank(0, row.id) < limit)


def _tokenizing_into(folder: Path, tokenizer: Tokenizer) -> DocumentTokenizer:
    block = DocumentTokenizer(
        str(folder), "hare", batch_size=_DOCUMENTS_TOGETHER, shuffle_documents=False, save_index=False,
        save_final_metadata=False,
    )
    block.tokenizer = _WithoutOffsets(tokenizer.packing)
    return block


class _WithoutOffsets:
    """The part of a tokenizer that datatrove's block uses, without character offsets: a third less time."""

    def __init__(self, tokenizer: Engine):
        self.get_vocab_size = tokenizer.get_vocab_size
        self.encode_batch = tokenizer.encode_batch_fast


class _Notes:
    """Source, category and bytes of text of each document in turn, in a dozen bytes per document."""

    def __init__(self) -> None:
        self.origins: dict[tuple[str, str], int] = {}
        self.origin_of = array("H")
        self.text_bytes = array("Q")

    def passing(self, documents: Iterable[Document], progress: Progress) -> Iterator[Document]:
        """Pass documents on, noting each."""
        for document in documents:
            origin = document.metadata.get("source", ""), document.metadata.get("category", "")
            size = len(document.text.encode())
            self.origin_of.append(self.origins.setdefault(origin, len(self.origins)))
            self.text_bytes.append(size)
            progress.advance(size / 1e6)
            yield document

    def by_source(self, tokens: np.ndarray) -> pd.DataFrame:
        """Sums by source and category; ``tokens`` holds each document's length."""
        names = pd.DataFrame(list(self.origins), columns=["source", "category"])
        for column, values in (("documents", None), ("text_bytes", self.text_bytes), ("tokens", tokens)):
            names[column] = np.bincount(self.origin_of, weights=values, minlength=len(names)).astype(np.int64)
        return names.sort_values(["source", "category"], ignore_index=True)

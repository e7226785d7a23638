"""Documents to token files: `<s>` text `</s>`, one document after the other, in the order in which they are read."""

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from datatrove.data import Document
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer
from datatrove.pipeline.writers import JsonlWriter
from loguru import logger

from hare.run.errors import HareError
from hare.run.files import folder_written_whole
from hare.run.progress import Progress
from hare.tokens.tokenizer import packing_tokenizer

_DOCUMENTS_TOGETHER = 64  # a batch's encodings take some 100 bytes a token, and documents can be whole books


@dataclass(frozen=True)
class PackedFile:
    """What went into one token file; ``by_source`` has columns source, category, documents, text_bytes, tokens."""

    by_source: pd.DataFrame

    @property
    def counts(self) -> dict[str, int]:
        """Sums over the sources: ``documents``, ``bytes`` of UTF-8 text, ``tokens`` with one begin and end each."""
        sums = self.by_source[["documents", "text_bytes", "tokens"]].sum()
        return {"tokens": int(sums.tokens), "documents": int(sums.documents), "bytes": int(sums.text_bytes)}


def pack(documents: Path, path: Path) -> PackedFile:
    """Tokenise a folder of JSON-lines shards, in order of name, into the file ``path`` of little-endian uint16.

    Raises:
        HareError: the folder holds no document with text.
    """
    logger.disable("datatrove")
    size = sum(shard.stat().st_size for shard in documents.glob("*.jsonl"))
    seen: list[tuple[str, str, int]] = []
    block = DocumentTokenizer(
        str(path.parent), "mistral", batch_size=_DOCUMENTS_TOGETHER, shuffle_documents=False, save_index=False,
        save_final_metadata=False,
    )
    block.tokenizer = packing_tokenizer()
    with Progress(f"tokenise {path.stem}", size / 1e6, "MB") as progress:
        written = block.write_unshuffled(_noted(JsonlReader(str(documents)).run(), seen, progress), path.name)
    if not seen:
        raise HareError(f"{documents} holds no document with text.", "rerun the stage that writes it, at a larger scale")
    return PackedFile(_by_source(seen, np.diff(written.doc_ends, prepend=0)))


def pack_by_category(documents: Path, folder: Path) -> dict[str, PackedFile]:
    """Tokenise each category's documents into ``<folder>/<category>.ds``; the folder appears whole."""
    with folder_written_whole(folder) as temporary:
        shards = temporary / ".text"
        with JsonlWriter(str(shards), "${category}/documents.jsonl", compression=None) as writer:
            for document in JsonlReader(str(documents)).run():
                writer.write(document)
        packed = {part.name: pack(part, temporary / f"{part.name}.ds") for part in sorted(shards.glob("*"))}
        shutil.rmtree(shards)
    return packed


def _noted(documents: Iterator[Document], seen: list[tuple[str, str, int]], progress: Progress) -> Iterator[Document]:
    """Pass documents on, noting source, category and bytes of text of each."""
    for document in documents:
        size = len(document.text.encode())
        seen.append((document.metadata.get("source", ""), document.metadata.get("category", ""), size))
        progress.advance(size / 1e6)
        yield document


def _by_source(seen: list[tuple[str, str, int]], tokens: np.ndarray) -> pd.DataFrame:
    counts: dict[tuple[str, str], Counter[str]] = {}
    for (source, category, size), length in zip(seen, tokens, strict=True):
        counts.setdefault((source, category), Counter()).update(documents=1, text_bytes=size, tokens=int(length))
    rows = [{"source": key[0], "category": key[1], **count} for key, count in sorted(counts.items())]
    return pd.DataFrame(rows, columns=["source", "category", "documents", "text_bytes", "tokens"])

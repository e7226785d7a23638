"""A fair sample of raw documents and the lengths of all of them, taken while they pass."""

import time
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import xxhash
from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep

from hare.core.files import written_whole
from hare.corpus.block import utf8_length
from hare.data.document_words import prepare, some_together, words_of

SAMPLE_SHARE = 0.08  # of documents
_LONGEST = 4000  # characters of a sampled document


def is_sampled(identifier: str) -> bool:
    """Whether the document belongs to the sample; decided by its id alone, so before and after see the same ones."""
    return xxhash.xxh64_intdigest(identifier, seed=7) < SAMPLE_SHARE * 2**64


class Sample(PipelineStep):
    """Passes documents on; word counts go to ``<folder>/<rank>.npy``, the sample to ``<folder>/<rank>.jsonl``."""

    name, type = "sample", "measure"

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = str(folder)

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Write both files when the last document has passed.

        The words counted here are kept for the blocks that follow, so the time counted here is theirs too.
        """
        size, clock = 0.0, array("d")
        lengths, stem = array("i"), Path(self.folder) / f"{rank:05d}"
        with written_whole(stem.with_suffix(".jsonl")) as temporary, temporary.open("wb") as sample:
            for document in _prepared(data, clock):
                lengths.append(len(words_of(document.text)))
                size += utf8_length(document.text)
                if is_sampled(document.id):
                    sample.write(orjson.dumps(sample_row(document), option=orjson.OPT_APPEND_NEWLINE))
                yield document
        with written_whole(stem.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
            np.save(file, np.array(lengths, dtype=np.int32))
        self.stat_update("bytes_in", value=size)
        self.stat_update("seconds", value=sum(clock))


def _prepared(data: DocumentsPipeline, clock: "array[float]") -> Iterator[Document]:
    """The documents, the words of some found together; processor seconds that each time took go to ``clock``."""
    for documents in some_together(data, lambda document: len(document.text)):
        started = time.process_time()
        prepare([document.text for document in documents])
        clock.append(time.process_time() - started)
        yield from documents


def sample_row(document: Document) -> dict[str, str]:
    """What the sample keeps of a document."""
    text = document.text[:_LONGEST].encode("utf-8", errors="replace").decode("utf-8")
    return {"id": document.id, "source": document.metadata["source"], "category": document.metadata["category"],
            "text": text}

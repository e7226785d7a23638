"""A fair sample of raw documents and the lengths of all of them, taken while they pass."""

from pathlib import Path

import numpy as np
import orjson
import xxhash
from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep

from hare.corpus.words import words_of
from hare.run.files import written_whole

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
        """Write both files when the last document has passed."""
        lengths, rows = [], []
        for document in data:
            lengths.append(len(words_of(document.text)))
            if is_sampled(document.id):
                rows.append(sample_row(document))
            yield document
        stem = Path(self.folder) / f"{rank:05d}"
        with written_whole(stem.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
            np.save(file, np.array(lengths, dtype=np.int32))
        with written_whole(stem.with_suffix(".jsonl")) as temporary, temporary.open("wb") as file:
            file.writelines(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def sample_row(document: Document) -> dict[str, str]:
    """What the sample keeps of a document."""
    text = document.text[:_LONGEST].encode("utf-8", errors="replace").decode("utf-8")
    return {"id": document.id, "source": document.metadata["source"], "category": document.metadata["category"],
            "text": text}

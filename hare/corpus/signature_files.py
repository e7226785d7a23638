"""Signatures on disk: appended while documents pass, searched without ever holding more than a part of them."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from hare.data.minhash import VALUES, Signatures, band_keys

_RECORD = np.dtype([("digest", "<u8"), ("values", "<u4", (VALUES,))])
_AT_A_TIME = 8192  # records read together, 4 MB


def append(signatures: Signatures, file: Path) -> None:
    """Add records to the end of a file of signatures."""
    records = np.empty(len(signatures), dtype=_RECORD)
    records["digest"], records["values"] = signatures.digests, signatures.values
    with file.open("ab") as out:
        out.write(records.tobytes())


def names_in(file: Path) -> Iterator[tuple[str, str]]:
    """Id and category of each document that was signed, in order; a JSON array a line."""
    with file.open("rb") as lines:
        for line in lines:
            identifier, category = orjson.loads(line)
            yield identifier, category


class StoredSignatures:
    """The signatures in several files, one after the other, as `minhash.Searchable`."""

    def __init__(self, files: Sequence[Path]):
        self.files = tuple(files)
        self.counts = [file.stat().st_size // _RECORD.itemsize for file in self.files]
        self.digests = self._of_each_part(lambda records: records["digest"].copy(), np.uint64)

    def band_keys(self, band: int) -> NDArray[np.uint64]:
        """One key per document, uint64[documents], equal where a band of two signatures is equal."""
        return self._of_each_part(lambda records: band_keys(records["values"], band), np.uint64)

    def rows(self, indices: NDArray[np.int64]) -> NDArray[np.uint32]:
        """Values of the documents ``indices``, int64[some], ascending: uint32[some, VALUES]."""
        starts = np.concatenate(([0], np.cumsum(self.counts)))
        values = [np.zeros((0, VALUES), dtype=np.uint32)]
        for file, first, end in zip(self.files, starts[:-1], starts[1:], strict=True):
            places = indices[np.searchsorted(indices, first) : np.searchsorted(indices, end)] - first
            if len(places):
                values.append(np.memmap(file, dtype=_RECORD, mode="r")["values"][places])
        return np.concatenate(values)

    def _of_each_part(self, column: Callable[[NDArray], NDArray], kind: type) -> NDArray:
        parts = [np.zeros(0, dtype=kind)]
        for file, count in zip(self.files, self.counts, strict=True):
            with file.open("rb") as records:
                for _ in range(0, count, _AT_A_TIME):
                    parts.append(column(np.fromfile(records, dtype=_RECORD, count=_AT_A_TIME)))
        return np.concatenate(parts)

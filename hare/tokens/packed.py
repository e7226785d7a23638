"""Packed token files: documents one after the other, cut into windows of equal length.

Windows cross document boundaries. Each document stands between ``<s>`` and ``</s>``, so the model can see where one
ends, and attention can be kept within it (``mask_documents`` of a profile; off by default, as in most open code).
"""

import hashlib
from functools import cached_property
from pathlib import Path

import numpy as np

from hare.core.errors import HareError
from hare.tokens.permutation import Permutation

TOKEN_TYPE = np.dtype("<u2")
_BLOCK_BYTES = 1 << 16
_BLOCKS = 1024
_DRAWN = -1  # where an epoch's number stands otherwise: the order in which a smaller text is drawn from a file


class TokenFile:
    """A ``.ds`` file of little-endian uint16 tokens as a sequence of shuffled windows that never ends.

    Window ``k`` holds tokens ``k · sequence_length`` to ``(k + 1) · sequence_length`` inclusive: neighbours share one
    token, so that each token but the first is predicted once per epoch. The remainder at the end, shorter than a
    window, is never read. Position ``i`` lies in epoch ``i // windows``; each epoch has an order of its own, a
    function of ``seed`` and epoch alone. ``unique`` windows at the most are read, drawn from the whole file, so that
    a smaller text is repeated sooner.

    Raises:
        HareError: the file is missing, holds half a token, or is shorter than one window.
    """

    def __init__(self, path: Path | str, sequence_length: int, seed: int, unique: int | None = None):
        self.path, self.sequence_length, self.seed = Path(path), sequence_length, seed
        size = _size_of(self.path)
        self.tokens = size // TOKEN_TYPE.itemsize
        self.windows = (self.tokens - 1) // sequence_length
        if size % TOKEN_TYPE.itemsize or self.windows < 1:
            raise HareError(
                f"{self.path} holds {size} bytes, but a window of {sequence_length} + 1 tokens takes "
                f"{(sequence_length + 1) * TOKEN_TYPE.itemsize}, and tokens take {TOKEN_TYPE.itemsize} each.",
                "give this source more text, choose a shorter sequence_length, or rerun 04_mix_tokens if the file was "
                "cut short",
            )
        self._drawn: Permutation | None = None
        if unique is not None and unique < self.windows:
            self._drawn = Permutation(self.windows, seed, _DRAWN)
            self.windows = unique
        self._epoch: tuple[int, Permutation] | None = None

    def __getitem__(self, position: int) -> np.ndarray:
        """The window at ``position`` ≥ 0 of the shuffled order: int64[sequence_length + 1]."""
        if position < 0:
            raise IndexError(f"position {position} of {self.path} is negative")
        epoch, index = divmod(position, self.windows)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = epoch, Permutation(self.windows, self.seed, epoch)
        number = self._epoch[1](index)
        return self.window(self._drawn(number) if self._drawn else number)

    def window(self, number: int) -> np.ndarray:
        """Window ``number`` in the order of the file: int64[sequence_length + 1]."""
        if not 0 <= number < (self.tokens - 1) // self.sequence_length:
            raise IndexError(f"{self.path} has no window {number}")
        start = number * self.sequence_length
        return self._all[start : start + self.sequence_length + 1].astype(np.int64)

    @cached_property
    def _all(self) -> np.ndarray:
        return np.memmap(self.path, dtype=TOKEN_TYPE, mode="r")


def fingerprint(path: Path | str) -> str:
    """A quick digest of a token file: its size and up to 1,024 blocks of 64 KiB spread evenly over it.

    A file of up to 64 MiB is read whole. In a larger one an edit between the blocks goes unseen, but not a file that
    was cut short, made again from other text, or tokenised otherwise.
    """
    size = _size_of(Path(path))
    digest = hashlib.sha256(str(size).encode())
    blocks = -(-size // _BLOCK_BYTES)
    read = min(blocks, _BLOCKS)
    with Path(path).open("rb") as file:
        for number in range(read):
            file.seek(number * blocks // read * _BLOCK_BYTES)
            digest.update(file.read(_BLOCK_BYTES))
    return digest.hexdigest()


def _size_of(path: Path) -> int:
    if not path.is_file():
        raise HareError(f"{path} is missing.", "run `hare reproduce --only 04` to make the token files")
    return path.stat().st_size

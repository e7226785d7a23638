"""What an engine needs of a GGUF file.

Nothing heavy is imported here: the processes whose memory is measured begin with it.
"""

from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

from hare.run.errors import HareError


@dataclass(frozen=True)
class Shape:
    """The model that a file's header describes; ``head`` is the size of one, ``positions`` the longest text in tokens,
    ``tied`` says that the head is the embedding."""

    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_value_heads: int
    head: int
    positions: int
    eps: float
    rope_theta: float
    tied: bool


def open_gguf(path: Path) -> gguf.GGUFReader:
    """A reader of the file.

    Raises:
        HareError: the file is missing, is no GGUF file, or was cut short.
    """
    try:
        return gguf.GGUFReader(path)
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise HareError(f"{path} is not a whole GGUF file: {error}.", "export it again") from error


def shape_of(reader: gguf.GGUFReader) -> Shape:
    """The shape that the file's header describes."""

    def value(name: str) -> float:
        return reader.fields[f"llama.{name}"].contents()

    return Shape(
        vocabulary=int(value("vocab_size")), hidden=int(value("embedding_length")),
        intermediate=int(value("feed_forward_length")), layers=int(value("block_count")),
        heads=int(value("attention.head_count")), key_value_heads=int(value("attention.head_count_kv")),
        head=int(value("attention.key_length")), positions=int(value("context_length")),
        eps=float(value("attention.layer_norm_rms_epsilon")), rope_theta=float(value("rope.freq_base")),
        tied="output.weight" not in {tensor.name for tensor in reader.tensors},
    )


def halved(weight: np.ndarray, heads: int) -> np.ndarray:
    """Inverse of `paired`; works on rows of quantised bytes as well."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)

"""What an engine needs of a GGUF file.

Nothing heavy is imported here: the processes whose memory is measured begin with it.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

from hare.core.errors import HareError


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


class _Reader(gguf.GGUFReader):
    """Steps over the header's lists, the vocabulary above all, which gguf's own reader takes seconds to go through."""

    def _get_field_parts(self, orig_offs: int, raw_type: int) -> tuple[int, list[np.ndarray], list[int], list]:
        if raw_type != gguf.GGUFValueType.ARRAY:
            return super()._get_field_parts(orig_offs, raw_type)
        view, start = memoryview(self.data), orig_offs + 12
        kind, count = struct.unpack_from("<IQ", view, orig_offs)
        end = start
        if kind == gguf.GGUFValueType.STRING:
            for _ in range(count):
                end += 8 + struct.unpack_from("<Q", view, end)[0]
        else:
            end += count * np.dtype(self.gguf_scalar_to_np[gguf.GGUFValueType(kind)]).itemsize
        return end - orig_offs, [self.data[start:end]], [0], [gguf.GGUFValueType.ARRAY]


def open_gguf(path: Path) -> gguf.GGUFReader:
    """A reader of the file's numbers and tensors; its lists are stepped over.

    Raises:
        HareError: the file is missing, is no GGUF file, or was cut short.
    """
    try:
        return _Reader(path)
    except (OSError, ValueError, IndexError, KeyError, struct.error) as error:
        raise HareError(f"{path} is not a whole GGUF file: {error}.", "export it again") from error


def shape_of(reader: gguf.GGUFReader) -> Shape:
    """The shape that the file's header describes.

    Raises:
        HareError: it describes a model of another architecture, or not all of one.
    """

    def value(name: str) -> float:
        if f"llama.{name}" not in reader.fields:
            raise HareError(f"The file's header lacks llama.{name}.", "name a file that notebook 09 exported")
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

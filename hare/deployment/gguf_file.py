"""Export to GGUF, as llama.cpp reads it, and what rounding does to the weights.

Our Mistral shape is llama.cpp's architecture ``llama``. Its rotary embedding pairs neighbouring rows of the query and
key projections where Hugging Face pairs halves, so those rows are reordered. All matrices are quantised, embedding and
head too, in blocks of 32 along a row; a matrix whose rows are no multiple of 32 stays in fp32, as do the norms.
"""

from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np
import pandas as pd
from gguf import GGMLQuantizationType as Kind

from hare.core.errors import HareError
from hare.core.files import written_whole
from hare.deployment.checkpoint import EMBEDDING, HEAD, LAYER, NORM, Shape, read_shape, read_tensors
from hare.deployment.vocabulary import gguf_vocabulary

PRECISIONS = {"fp32": Kind.F32, "int8": Kind.Q8_0, "int4": Kind.Q4_0}
_FILE_TYPES = {
    "fp32": gguf.LlamaFileType.ALL_F32, "int8": gguf.LlamaFileType.MOSTLY_Q8_0, "int4": gguf.LlamaFileType.MOSTLY_Q4_0,
}
_BLOCK = 32
_WHOLE_MODEL = {EMBEDDING: "token_embd", NORM: "output_norm", HEAD: "output"}
_TEMPLATE = "chat_template.jinja"


def export_gguf(folder: Path, path: Path, precision: str) -> Path:
    """Write the Hugging Face model in ``folder`` as one GGUF file in ``precision`` (fp32, int8 or int4).

    The vocabulary and the chat template go with it.

    Raises:
        HareError: the precision is unknown, or the folder cannot be exported rightly: file, key or tensor are named.
    """
    if precision not in PRECISIONS:
        raise HareError(f"There is no precision {precision!r}.", f"choose one of {', '.join(PRECISIONS)}")
    shape = read_shape(folder)
    vocabulary = gguf_vocabulary(folder, shape.vocabulary)
    with written_whole(path) as temporary:
        writer = gguf.GGUFWriter(temporary, "llama")
        _describe(writer, shape, precision)
        vocabulary.write(writer)
        if (folder / _TEMPLATE).exists():
            writer.add_chat_template((folder / _TEMPLATE).read_text(encoding="utf-8"))
        for name, array in read_tensors(folder, shape):
            ours = gguf_name(name)
            kind, array = _kind(array, precision), _reordered(ours, array, shape)
            if kind is Kind.F32:
                writer.add_tensor(ours, array)
            else:
                writer.add_tensor(ours, gguf.quants.quantize(array, kind), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return path


def _kind(array: np.ndarray, precision: str) -> Kind:
    whole = array.ndim == 2 and array.shape[1] % _BLOCK == 0
    return PRECISIONS[precision] if whole else Kind.F32


def _describe(writer: gguf.GGUFWriter, shape: Shape, precision: str) -> None:
    writer.add_name("HARE")
    writer.add_file_type(_FILE_TYPES[precision])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_context_length(shape.positions)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.intermediate)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.key_value_heads)
    writer.add_key_length(shape.head)
    writer.add_value_length(shape.head)
    writer.add_rope_dimension_count(shape.head)
    writer.add_layer_norm_rms_eps(shape.eps)
    writer.add_rope_freq_base(shape.rope_theta)


def gguf_name(name: str) -> str:
    """llama.cpp's name of a tensor, such as ``blk.0.ffn_up.weight`` for ``model.layers.0.mlp.up_proj.weight``."""
    if name in _WHOLE_MODEL:
        return f"{_WHOLE_MODEL[name]}.weight"
    layer, part = name.removeprefix("model.layers.").removesuffix(".weight").split(".", 1)
    ours = next(ours for ours, theirs in LAYER.items() if theirs == part)
    return f"blk.{layer}.{ours}.weight"


def _reordered(name: str, array: np.ndarray, shape: Shape) -> np.ndarray:
    heads = {"attn_q": shape.heads, "attn_k": shape.key_value_heads}
    part = name.split(".")[-2]
    return paired(array, heads[part]) if part in heads else array


def paired(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a query or key projection float32[rows, columns] from Hugging Face's order (halves) to llama.cpp's
    (neighbours)."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def stored(path: Path) -> dict[str, tuple[np.ndarray, Kind]]:
    """The tensors of a GGUF file by llama.cpp's names: weights as float32[…], and how they are stored.

    Raises:
        HareError: the file is missing, no GGUF file, or was cut short.
    """
    try:
        tensors = gguf.GGUFReader(path).tensors
        return {t.name: (gguf.quants.dequantize(t.data, t.tensor_type), t.tensor_type) for t in tensors}
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise HareError(f"{path} is not a whole GGUF file: {error}.", "export it again") from error


def round_trip_table(folder: Path, files: Mapping[str, Path]) -> pd.DataFrame:
    """What rounding did to each file's weights: precision, tensors, quantised (of them), worst_error and mean_error of
    a weight, and mean_error as a share of the weights' standard deviation."""
    shape = read_shape(folder)
    given = {gguf_name(name): array for name, array in read_tensors(folder, shape)}
    spread = np.concatenate([array.ravel() for array in given.values()]).std()
    rows = []
    for precision, path in files.items():
        held = stored(path)
        gaps = np.concatenate([np.abs(held[name][0] - _reordered(name, array, shape)).ravel()
                               for name, array in given.items()])
        rows.append({
            "precision": precision, "tensors": len(held),
            "quantised": sum(kind is not Kind.F32 for _, kind in held.values()),
            "worst_error": float(gaps.max()), "mean_error": float(gaps.mean()),
            "relative_error": float(gaps.mean() / spread),
        })
    return pd.DataFrame(rows)

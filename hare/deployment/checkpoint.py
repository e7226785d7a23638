"""A Hugging Face folder, checked before it is exported: the shape in its config.json, and tensors that fit.

Read as written by transformers 4 (``rope_theta`` at the top) and 5 (``rope_parameters``), with weights in one file or
in several with an index. What llama.cpp's architecture ``llama`` does not compute the same way is refused by its key.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from hare.core.errors import HareError

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
LAYER = {  # llama.cpp's name of each matrix and norm of a layer, and Hugging Face's
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}
EMBEDDING, NORM, HEAD = "model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"
_ARCHITECTURES = ("mistral", "llama")
_NUMBERS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_COMPUTED = "rotary_emb.inv_freq"  # a buffer that old versions saved; it follows from rope_theta
_WHOLE = "name a whole folder that a notebook exported"
_DEFAULT_THETA = 10_000.0  # of Llama and Mistral, where config.json gives none
_FIXED = {  # keys whose other values llama.cpp's architecture does not compute
    "hidden_act": ("silu", None), "attention_bias": (False, None), "mlp_bias": (False, None),
    "partial_rotary_factor": (1, 1.0, None), "quantization_config": (None,),
}


@dataclass(frozen=True)
class Shape:
    """The model that config.json describes: sizes in numbers, ``positions`` in tokens, ``tied``: the head is the
    embedding."""

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

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Hugging Face's name of every tensor and its shape."""
        query, kept = self.heads * self.head, self.key_value_heads * self.head
        layer = {
            "attn_norm": (self.hidden,), "attn_q": (query, self.hidden), "attn_k": (kept, self.hidden),
            "attn_v": (kept, self.hidden), "attn_output": (self.hidden, query), "ffn_norm": (self.hidden,),
            "ffn_gate": (self.intermediate, self.hidden), "ffn_up": (self.intermediate, self.hidden),
            "ffn_down": (self.hidden, self.intermediate),
        }
        shapes: dict[str, tuple[int, ...]] = {EMBEDDING: (self.vocabulary, self.hidden), NORM: (self.hidden,)}
        if not self.tied:
            shapes[HEAD] = (self.vocabulary, self.hidden)
        for number in range(self.layers):
            shapes |= {f"model.layers.{number}.{LAYER[name]}.weight": shape for name, shape in layer.items()}
        return shapes


def read_shape(folder: Path) -> Shape:
    """The shape in the folder's config.json.

    Raises:
        HareError: the file is missing or no JSON object, a key is missing or no sensible number, or the model is of
            another architecture or computes something that llama.cpp's ``llama`` does not.
    """
    path = folder / CONFIG
    config = _json(path, f"{folder} holds no Hugging Face model.")
    if config.get("model_type") not in _ARCHITECTURES:
        raise HareError(f"{path}: model_type is {config.get('model_type')!r}.", "export a Mistral- or Llama-shaped one")
    for key, known in _FIXED.items():
        if config.get(key) not in known:
            raise HareError(f"{path}: {key} = {config[key]!r} is not exported.", f"use a model with {key} = {known[0]}")
    hidden, heads = (_number(config, key, path) for key in ("hidden_size", "num_attention_heads"))
    head = _number(config, "head_dim", path, hidden // heads)
    kept = _number(config, "num_key_value_heads", path, heads)
    if heads % kept or head % 2:
        raise HareError(f"{path}: {heads} heads of size {head} cannot share {kept} key-value heads.",
                        "correct num_attention_heads, num_key_value_heads or head_dim")
    positions = _number(config, "max_position_embeddings", path)
    window = _number(config, "sliding_window", path, positions)  # within it, Mistral is Llama
    return Shape(
        _number(config, "vocab_size", path), hidden, _number(config, "intermediate_size", path),
        _number(config, "num_hidden_layers", path), heads, kept, head, min(positions, window),
        _number(config, "rms_norm_eps", path, whole=False), _rope_theta(config, path),
        bool(config.get("tie_word_embeddings")),
    )


def _json(path: Path, missing: str) -> dict[str, Any]:
    if not path.is_file():
        raise HareError(missing, _WHOLE)
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise HareError(f"{path} is no JSON: {error}.", _WHOLE) from error
    if not isinstance(read, dict):
        raise HareError(f"{path} holds no JSON object.", _WHOLE)
    return read


def _number(config: Mapping[str, Any], key: str, path: Path, default: int | None = None, whole: bool = True) -> Any:
    value = config.get(key)
    value = default if value is None else value
    kinds = (int,) if whole else (int, float)
    if not isinstance(value, kinds) or isinstance(value, bool) or not 0 < value < float("inf"):
        raise HareError(f"{path}: {key} = {value!r}, where a number above 0 is needed.", f"set {key}, or {_WHOLE}")
    return value


def _rope_theta(config: Mapping[str, Any], path: Path) -> float:
    """Base of the rotary embedding: in ``rope_parameters`` (transformers 5) or at the top (transformers 4)."""
    for key in ("rope_parameters", "rope_scaling"):
        given = config.get(key) or {}
        if not isinstance(given, dict) or not _is_plain(given):
            raise HareError(f"{path}: {key} = {given!r} is not exported.", "use a model with plain rotary positions")
    places = [config.get("rope_parameters") or {}, config]
    given = [place["rope_theta"] for place in places if place.get("rope_theta") is not None]
    return _number({"rope_theta": given[0] if given else _DEFAULT_THETA}, "rope_theta", path, whole=False)


def _is_plain(rope: Mapping[str, Any]) -> bool:
    """Whether nothing is scaled, nothing differs between layers, and whole heads are rotated."""
    kind, part = rope.get("rope_type", rope.get("type", "default")), rope.get("partial_rotary_factor")
    return kind == "default" and part in (None, 1) and not any(isinstance(value, dict) for value in rope.values())


def read_tensors(folder: Path, shape: Shape) -> Iterator[tuple[str, np.ndarray]]:
    """Name and float32[*shape] of every tensor that ``shape`` asks for, one at a time.

    A tied model's head, which some writers save too, is left out.

    Raises:
        HareError: a file is missing or cut short, or a tensor is missing, superfluous, of another shape or kind of
            number, or holds numbers that are not finite; each by name.
    """
    wanted = shape.tensors()
    places = _places(folder)
    known = {*wanted, HEAD} if shape.tied else set(wanted)
    surplus = sorted(name for name in places if name not in known and not name.endswith(_COMPUTED))
    missing = sorted(name for name in wanted if name not in places)
    for names, problem in ((missing, "lacks"), (surplus, "holds, beyond what config.json describes,")):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise HareError(f"{folder} {problem} the tensor {names[0]}{more}.", "export the model again, whole")
    for name, size in wanted.items():
        tensor = _tensor(places[name], name)
        if tuple(tensor.shape) != size or tensor.dtype not in _NUMBERS:
            held = f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
            raise HareError(f"{places[name]}: {name} is {held}, where config.json asks for {list(size)} floats.",
                            "correct config.json, or export the model again")
        if not bool(torch.isfinite(tensor).all()):
            raise HareError(f"{places[name]}: {name} holds numbers that are not finite.", "train or export it again")
        yield name, tensor.float().numpy()


def _places(folder: Path) -> dict[str, Path]:
    """Tensor → file that holds it."""
    if (folder / WEIGHTS).is_file() or not (folder / INDEX).is_file():
        return dict.fromkeys(_names(folder / WEIGHTS, folder), folder / WEIGHTS)
    listed = _json(folder / INDEX, "").get("weight_map")
    if not isinstance(listed, dict):
        raise HareError(f"{folder / INDEX} has no weight_map.", _WHOLE)
    held = {file: set(_names(folder / file, folder)) for file in sorted(set(map(str, listed.values())))}
    return {name: folder / file for name, file in listed.items() if name in held[str(file)]}


def _names(path: Path, folder: Path) -> list[str]:
    if not path.is_file():
        raise HareError(f"{folder} lacks {path.name}.", _WHOLE)
    try:
        with safe_open(path, "pt") as file:
            return list(file.keys())
    except (SafetensorError, OSError) as error:
        raise HareError(f"{path} is damaged or cut short: {error}.", "export the model again") from error


def _tensor(path: Path, name: str) -> torch.Tensor:
    with safe_open(path, "pt") as file:
        return file.get_tensor(name)

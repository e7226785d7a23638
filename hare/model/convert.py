"""Conversion between nanotron's checkpoints and Hugging Face's MistralForCausalLM, without starting torch.distributed.

A checkpoint of any parallel layout is read shard by shard; each shard's metadata says which slice of the whole
tensor it holds. Rotary halves are ordered as in Hugging Face, so joined projections are only split: no permutation, and
both directions are exact to the bit.
"""

import dataclasses
import json
import shutil
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from hare.core.errors import HareError
from hare.core.files import folder_written_whole
from hare.model.config import HareConfig

CONFIG_FILE = "model_config.json"
_NORMS = ("input_layernorm", "post_attention_layernorm")
Tensors = dict[str, torch.Tensor]


def read_config(checkpoint: Path) -> HareConfig:
    """The model configuration saved in a checkpoint folder."""
    return HareConfig(**json.loads((checkpoint / CONFIG_FILE).read_text(encoding="utf-8")))


def read_checkpoint(checkpoint: Path) -> Tensors:
    """Whole parameters by our names, joined from the shards of any layout.

    Raises:
        HareError: there are no weights in the folder.
    """
    root = checkpoint / "model"
    shards: dict[str, list[Path]] = {}
    for file in sorted(root.rglob("model_*.safetensors")):
        leaf = file.name.removeprefix("model_").removesuffix(".safetensors").split("_pp-rank-")[0]
        shards.setdefault(".".join((*file.parent.relative_to(root).parts, leaf)), []).append(file)
    if not shards:
        raise HareError(f"{checkpoint} holds no weights.", "name the folder of a checkpoint, such as …/checkpoints/100")
    return {name: _joined(files) for name, files in shards.items()}


def _joined(files: list[Path]) -> torch.Tensor:
    whole: torch.Tensor | None = None
    for file in files:
        with safe_open(file, "pt") as shard:
            tensor, metadata = shard.get_tensor("data"), shard.metadata() or {}
        if "unsharded_shape" not in metadata:
            return tensor
        if whole is None:
            shape = [int(size) for size in metadata["unsharded_shape"].strip("()").split(",") if size.strip()]
            whole = torch.empty(shape, dtype=tensor.dtype)
        for pair in metadata["local_global_slices_pairs"].split(";"):
            local, whole_part = (_slices(spelled) for spelled in pair.split("#"))
            whole[whole_part] = tensor[local]
    assert whole is not None
    return whole


def _slices(spelled: str) -> tuple[slice, ...]:
    """Read nanotron's spelling, such as ``0,64,None|None,None,None``."""
    return tuple(
        slice(*(None if bound == "None" else int(bound) for bound in one.split(","))) for one in spelled.split("|")
    )


def to_hugging_face(tensors: Tensors, config: HareConfig) -> Tensors:
    """Our whole parameters under MistralForCausalLM's names; tied embeddings appear once."""
    converted = {
        "model.embed_tokens.weight": tensors["token_embedding.pp_block.weight"],
        "model.norm.weight": tensors["final_norm.pp_block.weight"],
    }
    if not config.tied_embeddings:
        converted["lm_head.weight"] = tensors["head.pp_block.weight"]
    for number in range(config.layers):
        ours, theirs = f"decoder.{number}.pp_block.", f"model.layers.{number}."
        for joined, names, widths in _projections(config):
            parts = tensors[f"{ours}{joined}.weight"].split(widths)
            converted |= {f"{theirs}{name}.weight": part.contiguous() for name, part in zip(names, parts, strict=True)}
        converted |= {f"{theirs}{norm}.weight": tensors[f"{ours}{norm}.weight"] for norm in _NORMS}
    return converted


def from_hugging_face(tensors: Tensors, config: HareConfig) -> Tensors:
    """Inverse of `to_hugging_face`."""
    converted = {
        "token_embedding.pp_block.weight": tensors["model.embed_tokens.weight"],
        "final_norm.pp_block.weight": tensors["model.norm.weight"],
    }
    if not config.tied_embeddings:
        converted["head.pp_block.weight"] = tensors["lm_head.weight"]
    for number in range(config.layers):
        ours, theirs = f"decoder.{number}.pp_block.", f"model.layers.{number}."
        for joined, names, _ in _projections(config):
            converted[f"{ours}{joined}.weight"] = torch.cat([tensors[f"{theirs}{name}.weight"] for name in names])
        converted |= {f"{ours}{norm}.weight": tensors[f"{theirs}{norm}.weight"] for norm in _NORMS}
    return converted


def _projections(config: HareConfig) -> list[tuple[str, tuple[str, ...], list[int]]]:
    """Per matrix of a layer: our name, the Hugging Face names concatenated in it along the rows, and their row
    counts."""
    query, key = config.attention_heads * config.head_size, config.key_value_heads * config.head_size
    attention = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
    return [
        ("attn.qkv_proj", attention, [query, key, key]),
        ("attn.o_proj", ("self_attn.o_proj",), [config.hidden_size]),
        ("mlp.gate_up_proj", ("mlp.gate_proj", "mlp.up_proj"), [config.intermediate_size] * 2),
        ("mlp.down_proj", ("mlp.down_proj",), [config.hidden_size]),
    ]


def hugging_face_config(config: HareConfig, dtype: torch.dtype) -> dict[str, object]:
    """Contents of ``config.json``: Mistral's keys, full attention, begin and end tokens of its tokenizer."""
    return {
        "architectures": ["MistralForCausalLM"], "model_type": "mistral", "hidden_act": "silu",
        "attention_dropout": 0.0, "sliding_window": None, "use_cache": True,
        "hidden_size": config.hidden_size, "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.layers, "num_attention_heads": config.attention_heads,
        "num_key_value_heads": config.key_value_heads, "head_dim": config.head_size,
        "vocab_size": config.vocab_size, "max_position_embeddings": config.max_positions,
        "rms_norm_eps": config.rms_norm_eps, "initializer_range": config.initializer_range,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "tie_word_embeddings": config.tied_embeddings, "bos_token_id": config.bos_token_id,
        "eos_token_id": config.eos_token_id,
        "pad_token_id": None,
        "dtype": str(dtype).removeprefix("torch."),
    }


def export(checkpoint: Path, destination: Path, tokenizer: Path | None) -> Path:
    """Write a checkpoint of any layout as a Hugging Face folder, with the files of ``tokenizer``; return the folder."""
    config = read_config(checkpoint)
    tensors = to_hugging_face(read_checkpoint(checkpoint), config)
    dtype = tensors["model.norm.weight"].dtype
    with folder_written_whole(destination) as folder:
        for file in sorted(tokenizer.iterdir()) if tokenizer else ():
            shutil.copy(file, folder / file.name)  # before the weights, which a stray file must never replace
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        described = json.dumps(hugging_face_config(config, dtype), indent=2) + "\n"
        (folder / "config.json").write_text(described, encoding="utf-8")
    return destination


def read_weights(folder: Path, config: HareConfig) -> Tensors:
    """Whole parameters by our names, from a checkpoint of ours or from a Hugging Face folder of one file.

    Raises:
        HareError: the folder is neither.
    """
    if (folder / CONFIG_FILE).exists():
        return read_checkpoint(folder)
    if (folder / "model.safetensors").exists():
        return from_hugging_face(load_file(folder / "model.safetensors"), config)
    raise HareError(
        f"{folder} holds neither a checkpoint ({CONFIG_FILE}) nor Hugging Face weights (model.safetensors).",
        "name the folder of a checkpoint or of an exported model",
    )


def config_of_hugging_face(folder: Path) -> HareConfig:
    """Our configuration of an exported folder."""
    theirs = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    names = {
        "layers": "num_hidden_layers", "attention_heads": "num_attention_heads", "max_positions":
        "max_position_embeddings", "key_value_heads": "num_key_value_heads", "tied_embeddings": "tie_word_embeddings",
    }
    fields = {field.name: names.get(field.name, field.name) for field in dataclasses.fields(HareConfig)}
    return HareConfig(**{ours: theirs[key] for ours, key in fields.items() if key in theirs})

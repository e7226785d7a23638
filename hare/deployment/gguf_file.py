"""Export to GGUF, as llama.cpp reads it, and the way back to a Hugging Face model.

Our Mistral shape is llama.cpp's architecture ``llama``. Its rotary embedding pairs neighbouring rows of the query and
key projections where Hugging Face pairs halves, so those rows are reordered. All matrices are quantised, embedding and
head too, in blocks of 32 along a row; a matrix whose rows are no multiple of 32 stays in fp32, as do the norms.
"""

import json
from pathlib import Path

import gguf
import numpy as np
import pandas as pd
import torch
from gguf import GGMLQuantizationType as Kind
from safetensors.torch import load_file
from sentencepiece import sentencepiece_model_pb2
from transformers import MistralConfig, MistralForCausalLM

from hare.core.errors import HareError
from hare.core.files import written_whole
from hare.deployment.gguf_reading import Shape, halved, open_gguf, shape_of
from hare.tokens.vocabulary import mistral_model

PRECISIONS = {"fp32": Kind.F32, "int8": Kind.Q8_0, "int4": Kind.Q4_0}
_FILE_TYPES = {
    "fp32": gguf.LlamaFileType.ALL_F32, "int8": gguf.LlamaFileType.MOSTLY_Q8_0, "int4": gguf.LlamaFileType.MOSTLY_Q4_0,
}
_BLOCK = 32
_LAYER = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}
Arrays = dict[str, np.ndarray]


def export_gguf(folder: Path, path: Path, precision: str) -> Path:
    """Write the Hugging Face model in ``folder`` as one GGUF file in ``precision`` (fp32, int8 or int4).

    The vocabulary goes with it as llama.cpp wants it: Mistral's sentencepiece pieces and the model's control tokens.

    Raises:
        HareError: the folder lacks a file or its model has no Llama shape, or the precision is unknown.
    """
    config = _config(folder)
    if precision not in PRECISIONS:
        raise HareError(f"There is no precision {precision!r}.", f"choose one of {', '.join(PRECISIONS)}")
    with written_whole(path) as temporary:
        writer = gguf.GGUFWriter(temporary, "llama")
        _describe(writer, config, precision)
        _add_vocabulary(writer, folder)
        for name, array in _tensors(folder, config).items():
            kind = _kind(array, precision)
            if kind is Kind.F32:
                writer.add_tensor(name, array)
            else:
                writer.add_tensor(name, gguf.quants.quantize(array, kind), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return path


def _config(folder: Path) -> dict:
    path = folder / "config.json"
    if not path.exists():
        raise HareError(f"{folder} holds no Hugging Face model.", "name a folder that a notebook exported")
    config = json.loads(path.read_text(encoding="utf-8"))
    if config["model_type"] not in ("mistral", "llama"):
        raise HareError(f"{folder} holds a {config['model_type']} model.", "export a Mistral- or Llama-shaped one")
    for name in ("model.safetensors", "tokenizer.json"):
        if not (folder / name).exists():
            raise HareError(f"{folder} lacks {name}.", "name a whole folder that a notebook exported")
    return config


def _kind(array: np.ndarray, precision: str) -> Kind:
    whole = array.ndim == 2 and array.shape[1] % _BLOCK == 0
    return PRECISIONS[precision] if whole else Kind.F32


def _describe(writer: gguf.GGUFWriter, config: dict, precision: str) -> None:
    head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    writer.add_name("HARE")
    writer.add_file_type(_FILE_TYPES[precision])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])


def _add_vocabulary(writer: gguf.GGUFWriter, folder: Path) -> None:
    """Mistral's pieces with their scores and kinds, then the control tokens that the folder's tokenizer has beyond."""
    model = sentencepiece_model_pb2.ModelProto.FromString(mistral_model())
    described = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    added = sorted((token["id"], token["content"]) for token in described["added_tokens"])
    beyond = [content for number, content in added if number >= len(model.pieces)]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([*(piece.piece.encode() for piece in model.pieces), *(token.encode() for token in beyond)])
    writer.add_token_scores([*(piece.score for piece in model.pieces), *([0.0] * len(beyond))])
    writer.add_token_types([*(piece.type for piece in model.pieces), *([gguf.TokenType.CONTROL] * len(beyond))])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(True)
    template = folder / "chat_template.jinja"
    if template.exists():
        writer.add_chat_template(template.read_text(encoding="utf-8"))


def _tensors(folder: Path, config: dict) -> Arrays:
    """Weights under llama.cpp's names, fp32, in its order of rows."""
    theirs = {name: tensor.float().numpy() for name, tensor in load_file(folder / "model.safetensors").items()}
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    ours = {"token_embd.weight": theirs["model.embed_tokens.weight"], "output_norm.weight": theirs["model.norm.weight"]}
    if "lm_head.weight" in theirs and not config.get("tie_word_embeddings"):
        ours["output.weight"] = theirs["lm_head.weight"]
    for layer in range(config["num_hidden_layers"]):
        for name, long_name in _LAYER.items():
            weight = theirs[f"model.layers.{layer}.{long_name}.weight"]
            ours[f"blk.{layer}.{name}.weight"] = paired(weight, heads[name]) if name in heads else weight
    return ours


def paired(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a query or key projection from Hugging Face's order (halves) to llama.cpp's (neighbours)."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def read_gguf(path: Path) -> MistralForCausalLM:
    """The model in a GGUF file of ours, its weights turned back into fp32.

    Raises:
        HareError: the file is no GGUF file, or was cut short.
    """
    reader = open_gguf(path)
    shape = shape_of(reader)
    heads = {"attn_q": shape.heads, "attn_k": shape.key_value_heads}
    weights = {}
    for tensor in reader.tensors:
        array = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        part = tensor.name.split(".")[-2]
        array = halved(array, heads[part]) if part in heads else array
        weights[hugging_face_name(tensor.name)] = torch.from_numpy(np.array(array, dtype=np.float32))
    model = MistralForCausalLM(_mistral_config(shape))
    model.load_state_dict(weights, strict=not shape.tied)
    return model.eval()


def _mistral_config(shape: Shape) -> MistralConfig:
    return MistralConfig(
        vocab_size=shape.vocabulary, hidden_size=shape.hidden, intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads, num_key_value_heads=shape.key_value_heads,
        head_dim=shape.head, max_position_embeddings=shape.positions, sliding_window=None, rms_norm_eps=shape.eps,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta}, tie_word_embeddings=shape.tied,
    )


def hugging_face_name(name: str) -> str:
    """Hugging Face's name of a tensor, such as ``model.layers.0.mlp.up_proj.weight`` for ``blk.0.ffn_up.weight``."""
    whole = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
    parts = name.split(".")
    if parts[0] == "blk":
        return f"model.layers.{parts[1]}.{_LAYER[parts[2]]}.weight"
    return f"{whole[parts[0]]}.weight"


def round_trip_table(folder: Path, files: dict[str, Path]) -> pd.DataFrame:
    """What came back from each file: precision, tensors, quantised (of them), worst_error and mean_error of a weight,
    and mean_error as a share of the weights' standard deviation."""
    theirs = {name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}
    rows = []
    for precision, path in files.items():
        reader, found = open_gguf(path), read_gguf(path).state_dict()
        gaps = torch.cat([(found[name] - weight).abs().flatten() for name, weight in theirs.items()])
        spread = torch.cat([weight.flatten() for weight in theirs.values()]).std()
        rows.append({
            "precision": precision, "tensors": len(reader.tensors),
            "quantised": sum(tensor.tensor_type is not Kind.F32 for tensor in reader.tensors),
            "worst_error": float(gaps.max()), "mean_error": float(gaps.mean()),
            "relative_error": float(gaps.mean() / spread),
        })
    return pd.DataFrame(rows)

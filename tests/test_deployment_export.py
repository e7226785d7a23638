"""Export to GGUF: what goes in comes out, in llama.cpp's own words, or the file and key at fault are named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from hare.core.errors import HareError
from hare.deployment.checkpoint import read_shape, read_tensors
from hare.deployment.gguf_file import PRECISIONS, export_gguf, gguf_name, paired, round_trip_table, stored
from hare.deployment.vocabulary import gguf_vocabulary
from hare.finetuning.dialogue import CONTROL_TOKENS, load_for_chat, save_for_chat
from tests.chat_toys import KINDS, save_toy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy(tmp_path_factory.mktemp("hf"))


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder, tmp_path / "copy")


def configure(folder: Path, **changes: Any) -> None:
    """Change keys of config.json; None takes one out."""
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def reweigh(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Change the tensors of a folder."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@given(st.integers(1, 4), st.integers(1, 8), st.integers(1, 3))
def test_rows_are_paired_as_llama_cpp_turns_them(heads: int, pairs: int, columns: int) -> None:
    weight = np.arange(heads * 2 * pairs * columns, dtype=np.float32).reshape(-1, columns)
    order = paired(weight, heads)[:, 0].reshape(heads, pairs, 2)
    rows = weight[:, 0].reshape(heads, 2, pairs)
    assert np.array_equal(order[:, :, 0], rows[:, 0]) and np.array_equal(order[:, :, 1], rows[:, 1])


def test_fp32_comes_back_to_the_bit(folder: Path, tmp_path: Path) -> None:
    files = {name: export_gguf(folder, tmp_path / f"{name}.gguf", name) for name in PRECISIONS}
    table = round_trip_table(folder, files).set_index("precision")
    assert table.loc["fp32", "worst_error"] == 0 and table.loc["fp32", "quantised"] == 0
    assert 0 < table.loc["int8", "relative_error"] < 0.02 < table.loc["int4", "relative_error"] < 0.15
    assert files["fp32"].stat().st_size > files["int8"].stat().st_size > files["int4"].stat().st_size
    whole = files["int4"].read_bytes()
    for content in (b"", b"GGUX" + whole[4:], whole[: len(whole) // 2]):
        (tmp_path / "cut.gguf").write_bytes(content)
        with pytest.raises(HareError, match="not a whole GGUF file"):
            stored(tmp_path / "cut.gguf")


@pytest.mark.parametrize("kind", KINDS)
def test_the_header_holds_the_vocabulary_with_its_control_tokens(kind: str, tmp_path: Path) -> None:
    model = load_for_chat(save_toy(tmp_path / "hf", kind), seed=0)
    chat = save_for_chat(model, tmp_path / "chat")
    reader = gguf.GGUFReader(export_gguf(chat, tmp_path / "chat.gguf", "int8"))
    read = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    assert read["general.architecture"] == "llama" and read["llama.vocab_size"] == 512 + len(CONTROL_TOKENS)
    assert read["tokenizer.ggml.model"] == {"own-512": "llama", "byte-level": "gpt2"}[kind]
    tokens, kinds = read["tokenizer.ggml.tokens"], read["tokenizer.ggml.token_type"]
    assert tokens[512:] == list(CONTROL_TOKENS) and set(kinds[512:]) == {gguf.TokenType.CONTROL}
    assert read["tokenizer.ggml.bos_token_id"] == model.dialogue.tokenizer.begin
    assert read["tokenizer.chat_template"] == model.dialogue.template


def test_scores_order_pieces_as_sentencepiece_does(folder: Path) -> None:
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto.FromString((folder / "tokenizer.model").read_bytes())
    ours = gguf_vocabulary(folder, 512)
    normal = [number for number, piece in enumerate(model.pieces) if piece.type == 1 and len(piece.piece) > 1]
    theirs = [model.pieces[number].score for number in normal]
    reached = [(ours.scores[number], score) for number, score in zip(normal, theirs, strict=True)]
    assert [score for _, score in sorted(reached)] == sorted(theirs)


def test_both_generations_of_transformers_write_the_same_shape(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    new = read_shape(copy)
    assert config["rope_parameters"]["rope_theta"] == new.rope_theta
    configure(copy, rope_parameters=None, rope_theta=new.rope_theta, rope_scaling=None, head_dim=None)
    assert read_shape(copy) == new
    configure(copy, rope_theta=500_000.0)
    assert read_shape(copy).rope_theta == 500_000.0
    configure(copy, rope_theta=None)
    assert read_shape(copy).rope_theta == 10_000.0
    configure(copy, sliding_window=128)
    assert read_shape(copy).positions == 128, "beyond its window a Mistral is no Llama"


@pytest.mark.parametrize("changes", [
    {"model_type": "gpt2"}, {"hidden_size": None}, {"hidden_size": "64"}, {"num_hidden_layers": 0},
    {"rms_norm_eps": float("inf")}, {"hidden_act": "gelu"}, {"attention_bias": True}, {"vocab_size": -1},
    {"num_key_value_heads": 3}, {"quantization_config": {"bits": 4}}, {"sliding_window": 0}, {"head_dim": 7},
    {"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0}},
    {"rope_parameters": {"full_attention": {"rope_theta": 1e4}}}, {"rope_parameters": "default"},
    {"rope_parameters": None, "rope_scaling": {"type": "linear", "factor": 2.0}},
    {"rope_parameters": {"rope_theta": "big"}}, {"partial_rotary_factor": 0.5},
])
def test_what_llama_cpp_would_compute_otherwise_is_refused_by_its_key(copy: Path, changes: dict[str, Any]) -> None:
    configure(copy, **changes)
    key = "rope" if "rope" in "".join(changes) else next(iter(changes))
    with pytest.raises(HareError, match=f"config.json: .*{'head' if 'head' in key else key}") as refused:
        export_gguf(copy, copy / "x.gguf", "int4")
    assert not (copy / "x.gguf").exists() and refused.value.fix


@pytest.mark.parametrize("content", ["", "[]", "{", "\x00"])
def test_a_config_that_is_no_object_is_refused(copy: Path, content: str) -> None:
    (copy / "config.json").write_text(content)
    with pytest.raises(HareError, match="config.json"):
        read_shape(copy)


def test_a_padded_embedding_is_exported_with_unused_tokens(tmp_path: Path) -> None:
    padded = save_toy(tmp_path / "hf", vocab_size=544)
    vocabulary = gguf_vocabulary(padded, 544)
    assert len(vocabulary.pieces) == len(vocabulary.scores) == 544 == len(set(vocabulary.pieces))
    assert set(vocabulary.types[512:]) == {gguf.TokenType.UNUSED}
    assert stored(export_gguf(padded, tmp_path / "x.gguf", "fp32"))["token_embd.weight"][0].shape == (544, 64)
    configure(padded, vocab_size=512)  # what the file holds and what config.json says are two things
    with pytest.raises(HareError, match=r"embed_tokens.weight is float32\[544, 64\].*\[512, 64\]"):
        export_gguf(padded, tmp_path / "y.gguf", "fp32")
    with pytest.raises(HareError, match="512 tokens, the embedding 500 rows"):
        gguf_vocabulary(padded, 500)


def test_tied_embeddings_have_no_head_whatever_the_file_holds(tmp_path: Path) -> None:
    tied = save_toy(tmp_path / "hf", tie_word_embeddings=True)
    assert "output.weight" not in stored(export_gguf(tied, tmp_path / "x.gguf", "int4"))
    reweigh(tied, lambda tensors: tensors.update({"lm_head.weight": tensors["model.embed_tokens.weight"] + 1}))
    assert "output.weight" not in stored(export_gguf(tied, tmp_path / "y.gguf", "int4"))
    configure(tied, tie_word_embeddings=False)
    assert "output.weight" in stored(export_gguf(tied, tmp_path / "z.gguf", "int4"))


@pytest.mark.parametrize(("change", "message"), [
    (lambda t: t.pop("model.layers.1.mlp.up_proj.weight"), "lacks the tensor model.layers.1.mlp.up_proj.weight"),
    (lambda t: t.pop("lm_head.weight"), "lacks the tensor lm_head.weight"),
    (lambda t: t.update({"model.layers.0.self_attn.q_proj.bias": torch.zeros(64)}), "self_attn.q_proj.bias"),
    (lambda t: t.update({"model.layers.2.input_layernorm.weight": torch.ones(64)}), "layers.2.input_layernorm"),
    (lambda t: t.update({"model.norm.weight": torch.ones(63)}), r"model.norm.weight is float32\[63\]"),
    (lambda t: t.update({"model.norm.weight": torch.ones(64, dtype=torch.int8)}), r"model.norm.weight is int8"),
    (lambda t: t["model.norm.weight"].fill_(float("nan")), "model.norm.weight holds numbers that are not finite"),
])
def test_tensors_that_do_not_fit_are_named(copy: Path, change: Callable[..., None], message: str) -> None:
    reweigh(copy, change)
    with pytest.raises(HareError, match=message):
        export_gguf(copy, copy / "x.gguf", "int8")
    assert not (copy / "x.gguf").exists()


def test_bf16_weights_and_weights_in_several_files_are_read(copy: Path, folder: Path) -> None:
    shape, whole = read_shape(folder), dict(read_tensors(folder, read_shape(folder)))
    tensors = load_file(copy / "model.safetensors")
    names = sorted(tensors)
    names_of = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in names_of.items():
        save_file({name: tensors[name].contiguous() for name in part}, copy / file)
    (copy / "model.safetensors").unlink()
    index = {"weight_map": {name: file for file, part in names_of.items() for name in part}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    assert all(np.array_equal(whole[name], array) for name, array in read_tensors(copy, shape))
    (copy / "b.safetensors").unlink()
    with pytest.raises(HareError, match="lacks b.safetensors"):
        list(read_tensors(copy, shape))
    reweigh(folder := shutil.copytree(folder, copy / "bf16"),
            lambda t: t.update({name: tensor.bfloat16() for name, tensor in t.items()}))
    assert all(array.dtype == np.float32 for _, array in read_tensors(folder, shape))


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_folder_that_lacks_a_file_or_holds_half_of_one_names_it(copy: Path, missing: str) -> None:
    content = (copy / missing).read_bytes()
    (copy / missing).write_bytes(content[: len(content) // 2])
    with pytest.raises(HareError, match=missing):
        export_gguf(copy, copy / "x.gguf", "int4")
    (copy / missing).unlink()
    with pytest.raises(HareError, match="holds no Hugging Face model" if missing == "config.json" else missing):
        export_gguf(copy, copy / "x.gguf", "int4")


def test_odd_rows_stay_whole_and_unknown_precisions_are_refused(folder: Path, tmp_path: Path) -> None:
    odd = save_toy(tmp_path / "odd", hidden_size=40, head_dim=10)
    kinds = {name: kind for name, (_, kind) in stored(export_gguf(odd, tmp_path / "odd.gguf", "int4")).items()}
    assert kinds["token_embd.weight"] is gguf.GGMLQuantizationType.F32
    assert kinds["blk.0.ffn_down.weight"] is gguf.GGMLQuantizationType.Q4_0  # rows of 96
    with pytest.raises(HareError, match="no precision 'int2'"):
        export_gguf(folder, tmp_path / "x.gguf", "int2")


def test_names_are_llama_cpps() -> None:
    assert gguf_name("model.layers.3.self_attn.k_proj.weight") == "blk.3.attn_k.weight"
    assert gguf_name("model.norm.weight") == "output_norm.weight"

"""GGUF files and the engine: what goes in comes out, within what the precision allows."""

import json
import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import MistralForCausalLM

from hare.core.errors import HareError
from hare.deployment import llama_cpp, measures, phone
from hare.deployment.engine import Engine, greedy, linear
from hare.deployment.gguf_file import PRECISIONS, export_gguf, paired, read_gguf, round_trip_table
from hare.deployment.gguf_reading import halved, open_gguf
from hare.tokens.vocabulary import fast_tokenizer, mistral_model
from hare.training.heldout import HeldoutSequences
from tests.evaluation_toys import save_model

IDS = [1, 523, 9021, 31999, 17, 17, 88, 4000, 3, 12, 700, 650]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Path]]:
    """A tiny model's folder, and its files by precision."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("deployment")
    folder = save_model(root / "hf", hidden_size=64, intermediate_size=96, sliding_window=None)
    return folder, {name: export_gguf(folder, root / f"{name}.gguf", name) for name in PRECISIONS}


@given(st.integers(1, 4), st.integers(1, 8), st.integers(1, 3))
def test_reordered_rows_come_back(heads: int, pairs: int, columns: int) -> None:
    weight = np.arange(heads * 2 * pairs * columns, dtype=np.float32).reshape(-1, columns)
    assert np.array_equal(halved(paired(weight, heads), heads), weight)
    assert np.array_equal(paired(weight, 1)[:2], weight[[0, heads * pairs]])


def test_fp32_comes_back_to_the_bit(model: tuple[Path, dict[str, Path]]) -> None:
    folder, files = model
    table = round_trip_table(folder, files).set_index("precision")
    assert table.loc["fp32", "worst_error"] == 0 and table.loc["fp32", "quantised"] == 0
    assert 0 < table.loc["int8", "relative_error"] < 0.02 < table.loc["int4", "relative_error"] < 0.15
    assert files["fp32"].stat().st_size > files["int8"].stat().st_size > files["int4"].stat().st_size


def test_the_header_says_what_llama_cpp_asks_for(model: tuple[Path, dict[str, Path]]) -> None:
    reader = gguf.GGUFReader(model[1]["int4"])
    read = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    assert read["general.architecture"] == "llama" and read["llama.block_count"] == 2
    assert read["llama.attention.head_count_kv"] == 2 and read["tokenizer.ggml.bos_token_id"] == 1
    tokens, kinds = read["tokenizer.ggml.tokens"], read["tokenizer.ggml.token_type"]
    assert tokens == fast_tokenizer(mistral_model()).convert_ids_to_tokens(range(32000))
    assert kinds[1] == gguf.TokenType.CONTROL and kinds[3] == gguf.TokenType.BYTE
    assert len(tokens) == len(kinds) == len(read["tokenizer.ggml.scores"]) == read["llama.vocab_size"]


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("int8", 0.25), ("int4", 0.25)])
def test_the_engine_says_what_the_unpacked_model_says(
    model: tuple[Path, dict[str, Path]], precision: str, tolerance: float
) -> None:
    path = model[1][precision]
    with torch.no_grad():
        expected = read_gguf(path)(torch.tensor([IDS])).logits[0]
    engine = Engine(path)
    found = engine.all_logits(IDS)
    assert (found - expected).abs().max() < tolerance * expected.std()
    cache = engine.new_cache(len(IDS))
    for start in range(0, len(IDS), 5):
        last = engine.read(IDS[start : start + 5], cache)
    assert torch.allclose(last, found[-1], atol=tolerance * float(expected.std()) + 1e-5)


def test_greedy_tokens_are_those_of_hugging_face(model: tuple[Path, dict[str, Path]]) -> None:
    theirs = MistralForCausalLM.from_pretrained(model[0], dtype=torch.float32).eval()
    wanted = theirs.generate(torch.tensor([IDS]), max_new_tokens=12, do_sample=False, eos_token_id=None, pad_token_id=0)
    assert greedy(Engine(model[1]["fp32"]), IDS, 12) == wanted[0, len(IDS):].tolist()


def test_tied_embeddings_and_odd_rows_are_exported_too(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "tied", hidden_size=40, head_dim=10, tie_word_embeddings=True, sliding_window=None)
    file = export_gguf(folder, tmp_path / "tied.gguf", "int4")
    assert {tensor.tensor_type for tensor in open_gguf(file).tensors} == {gguf.GGMLQuantizationType.F32}
    theirs = MistralForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        assert torch.allclose(Engine(file).all_logits(IDS), theirs(torch.tensor([IDS])).logits[0], atol=1e-4)


@settings(max_examples=20)
@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 5), st.integers(0, 99))
def test_the_int4_kernel_reads_the_files_blocks(rows: int, blocks: int, tokens: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = gguf.quants.quantize(rng.normal(size=(rows, 32 * blocks)).astype(np.float32), PRECISIONS["int4"])
    weight = torch.from_numpy(gguf.quants.dequantize(data, PRECISIONS["int4"]))
    x = torch.from_numpy(rng.normal(size=(tokens, 32 * blocks)).astype(np.float32))
    found, expected = linear(data, PRECISIONS["int4"])(x), x @ weight.t()
    rounding = 0.02 * (x.abs() @ weight.abs().t()) + 1e-3  # inputs, scales and output in bf16
    assert found.shape == expected.shape and bool(((found - expected).abs() <= rounding).all())


def test_what_cannot_be_exported_or_read_is_named(model: tuple[Path, dict[str, Path]], tmp_path: Path) -> None:
    with pytest.raises(HareError, match="no precision 'int2'"):
        export_gguf(model[0], tmp_path / "x.gguf", "int2")
    with pytest.raises(HareError, match="holds no Hugging Face model"):
        export_gguf(tmp_path, tmp_path / "x.gguf", "int4")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(HareError, match="holds a gpt2 model"):
        export_gguf(tmp_path, tmp_path / "x.gguf", "int4")
    for missing in ("model.safetensors", "tokenizer.json"):
        part = shutil.copytree(model[0], tmp_path / missing)
        (part / missing).unlink()
        with pytest.raises(HareError, match=f"lacks {missing}"):
            export_gguf(part, tmp_path / "x.gguf", "int4")
    whole = model[1]["int4"].read_bytes()
    for content in (b"", b"GGUX" + whole[4:], whole[: len(whole) // 2]):
        (tmp_path / "cut.gguf").write_bytes(content)
        with pytest.raises(HareError, match="not a whole GGUF file"):
            Engine(tmp_path / "cut.gguf")
    writer = gguf.GGUFWriter(tmp_path / "other.gguf", "gpt2")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(HareError, match="header lacks llama.vocab_size"):
        Engine(tmp_path / "other.gguf")
    with pytest.raises(HareError, match="2000 tokens do not fit"):
        Engine(model[1]["int4"]).new_cache(2000)


def test_measures_of_every_precision(model: tuple[Path, dict[str, Path]]) -> None:
    speed = measures.speed_table({"int4": model[1]["int4"]}, IDS, 4, repeats=2, threads=1)
    assert speed.decode_tokens_per_s[0] > 0 and speed.peak_rss_mb[0] > speed.loading_mb[0] >= speed.memory_mb[0] > 0
    tokens = np.array([[1, *IDS], [1, *IDS[::-1]]])
    heldout = HeldoutSequences(["web", "books"], [0, 0], np.array([40, 44]), tokens)
    table = measures.quality_table(model[1], heldout)
    assert len(table) == 9 and table[table.precision == "fp32"].worse_by.eq(0).all()
    with pytest.raises(HareError, match="exit code|missing|not a"):
        measures.speed_table({"int4": model[0]}, IDS, 4, repeats=1, threads=1)
    with pytest.raises(HareError, match="tokens do not fit.*\n  Fix: shorten") as stopped:
        measures.speed_table({"int4": model[1]["int4"]}, IDS, 2000, repeats=1, threads=1)
    assert str(stopped.value).count("Fix:") == 1


def test_the_phone_is_bounded_by_its_bandwidth() -> None:
    table = phone.estimate_table().set_index("precision")
    assert table.loc["int4", "size_gb"] == pytest.approx(1_123_117_056 * 4.5 / 8 / 1e9)
    assert (table.tokens_per_s_low < table.tokens_per_s_high).all()
    assert (table.tokens_per_s_high < table.tokens_per_s_bound).all() and (table.origin == "estimate").all()
    assert table.loc["int4", "tokens_per_s_bound"] > 5 * table.loc["fp32", "tokens_per_s_bound"]


def test_without_llama_cpp_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_cpp, "installed", lambda: False)
    with pytest.raises(HareError, match="llama-cpp"):
        llama_cpp.check_table({}, [], 1, 1)


def test_llama_cpps_answers_are_compared_token_by_token(
    model: tuple[Path, dict[str, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(model[1]["fp32"])
    said = greedy(engine, IDS, 5)
    nats = torch.log_softmax(engine.all_logits([*IDS, *said[:-1]])[len(IDS) - 1 :], -1)
    answers = [(token, float(nats[place, token])) for place, token in enumerate(said)]
    other = (said[0] + 1) % 32000
    found = {"said": [answers, [(other, float(nats[0, other]) + 0.5)]], "decode_tokens_per_s": 9.0,
             "prompt_tokens_per_s": 90.0}
    monkeypatch.setattr(llama_cpp, "installed", lambda: True)
    monkeypatch.setattr(llama_cpp, "_asked", lambda asked: found)
    row = llama_cpp.check_table({"fp32": model[1]["fp32"]}, [IDS, IDS], 5, threads=1).iloc[0]
    assert row.tokens == 6 and row.same == 5 and row.nats_apart == pytest.approx(0.5, abs=1e-4)


if llama_cpp.installed():  # the extra: collected only where llama.cpp is there to be asked

    def test_llama_cpp_says_what_our_engine_says(model: tuple[Path, dict[str, Path]]) -> None:
        table = llama_cpp.check_table(model[1], [IDS, IDS[::-1]], 6, threads=1).set_index("precision")
        assert table.loc["fp32", "same"] == table.loc["fp32", "tokens"] == 12
        assert table.loc["fp32", "nats_apart"] < 1e-2

    def test_llama_cpp_refuses_a_cut_file(model: tuple[Path, dict[str, Path]], tmp_path: Path) -> None:
        (tmp_path / "cut.gguf").write_bytes(model[1]["int4"].read_bytes()[:1000])
        with pytest.raises(HareError, match="does not take"):
            llama_cpp.check_table({"int4": tmp_path / "cut.gguf"}, [IDS], 2, threads=1)

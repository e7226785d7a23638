"""The tokenizer object: bytes of every id, for both kinds of vocabulary, against counts made by hand."""

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Engine
from tokenizers import decoders, models, pre_tokenizers, trainers

from hare.core.errors import HareError
from hare.core.files import write_json
from hare.tokens.tokenizer import Tokenizer, Vocabulary
from hare.tokens.vocabulary import disagreements, make

_WORDS = [
    first + middle + last for first in ("b", "h", "m", "st", "w", "cr", "fl", "gr") for last in ("", "s", "ing")
    for middle in ("are", "ound", "ill", "est", "oat", "ump")
]


def sentences(count: int, seed: int = 0) -> list[str]:
    """Documents of made-up English, some of several lines."""
    draw = random.Random(seed)
    return ["\n".join(" ".join(draw.choices(_WORDS, k=9)) + "." for _ in range(4)) for _ in range(count)]


def byte_level(folder: Path, size: int = 512) -> Tokenizer:
    """A small vocabulary in GPT-2's manner."""
    engine = Engine(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    engine.train_from_iterator(sentences(60), trainer)
    folder.mkdir(parents=True, exist_ok=True)
    engine.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {"bos_token": "<s>", "eos_token": "</s>"})
    return Tokenizer.load(folder)


@pytest.fixture(scope="module", params=["own-512", "byte-level"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("vocabulary") / request.param
    if request.param == "byte-level":
        return byte_level(folder)
    return make(request.param, {"d1": sentences(60), "d2": sentences(60, 1)}, folder)


anything = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁\0"), min_size=1, max_size=60)


@given(text=anything)
@settings(max_examples=150)
def test_bytes_of_the_ids_are_the_bytes_of_the_text(tokenizer: Tokenizer, text: str) -> None:
    window = np.array([tokenizer.begin, *tokenizer.encode(text), tokenizer.end])
    assert tokenizer.predicted_bytes(window) == len(text.encode())
    assert tokenizer.decode(window) == text


def test_bits_per_byte_are_those_of_a_hand_calculation(tokenizer: Tokenizer) -> None:
    assert tokenizer.size in range(330, 513)
    text = "The hare\n  had 漢字 and é."  # 24 characters, of which two take three bytes and one two
    window = np.array([tokenizer.begin, *tokenizer.encode(text)])
    nats = (len(window) - 1) * math.log(tokenizer.size)  # a model that finds all ids alike
    by_hand = (len(window) - 1) * math.log2(tokenizer.size) / 29
    assert nats / math.log(2) / tokenizer.predicted_bytes(window) == pytest.approx(by_hand)


def test_windows_count_alone(tokenizer: Tokenizer) -> None:
    text = sentences(1, 5)[0]
    ids = np.array([tokenizer.begin, *tokenizer.encode(text), tokenizer.end])
    windows = np.stack([ids[:9], ids[8:17]])
    assert tokenizer.predicted_bytes(windows).tolist() == [
        int(tokenizer.predicted_bytes(ids[:9])), int(tokenizer.predicted_bytes(ids[8:17]))
    ]
    assert tokenizer.bytes[[tokenizer.begin, tokenizer.end]].tolist() == [0, 0]


def test_control_tokens_in_a_text_stay_text(tokenizer: Tokenizer) -> None:
    assert not {tokenizer.begin, tokenizer.end} & set(tokenizer.encode("a <s> b </s>"))
    assert tokenizer.encode_batch(["a", "b c"]) == [tokenizer.encode("a"), tokenizer.encode("b c")]


def test_an_own_vocabulary_is_sentencepieces_and_the_same_twice(tmp_path: Path) -> None:
    texts = {"d1": sentences(60), "d2": sentences(40, 1)}
    first, second = (make("own-400", texts, tmp_path / name) for name in ("one", "two"))
    assert first.size == 400 and first.kind == "sentencepiece"
    assert first.sentencepiece_model() == second.sentencepiece_model()
    assert disagreements(first, [*sentences(20, 2), "two  spaces", "\ttab", "漢字"]) == []


@pytest.mark.parametrize("name", ["own-0", "own-", "own-4k", "gpt2", "mistral", ""])
def test_an_unknown_vocabulary_is_refused(name: str) -> None:
    with pytest.raises(HareError, match=r"vocabulary = .*no kind"):
        Vocabulary.named(name)


def test_a_vocabulary_larger_than_the_text_allows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HareError, match=r"own-4096' is larger than the text allows: it has \d+ different"):
        make("own-4096", {"d1": sentences(20)}, tmp_path / "tokenizer")
    with pytest.raises(HareError, match="too small"):
        make("own-100", {"d1": sentences(20)}, tmp_path / "tokenizer")
    assert not (tmp_path / "tokenizer").exists()


def _changed(tokenizer: Tokenizer, folder: Path, **changes: object) -> Path:
    described = json.loads((tokenizer.folder / "tokenizer.json").read_text(encoding="utf-8"))
    write_json(folder / "tokenizer.json", described | changes)
    write_json(folder / "tokenizer_config.json", {"bos_token": "<s>", "eos_token": "</s>"})
    return folder


@pytest.mark.parametrize("decoder", [
    None, {"type": "WordPiece", "prefix": "##", "cleanup": True}, {"type": "BPEDecoder", "suffix": "</w>"},
    {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "CTC"}]},
])
def test_an_unknown_kind_is_refused(tokenizer: Tokenizer, tmp_path: Path, decoder: object) -> None:
    with pytest.raises(HareError, match="unknown kind"):
        Tokenizer.load(_changed(tokenizer, tmp_path, decoder=decoder))


def test_a_folder_without_what_it_takes_is_named(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(HareError, match="no tokenizer.json"):
        Tokenizer.load(tmp_path)
    folder = _changed(tokenizer, tmp_path)
    write_json(folder / "tokenizer_config.json", {"bos_token": "<s>"})
    with pytest.raises(HareError, match="no begin and end"):
        Tokenizer.load(folder)
    (folder / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(HareError, match="no tokenizer of a known kind"):
        Tokenizer(folder)

"""The shared-prefix backend answers as lm-eval's own Hugging Face backend does."""

import logging
from pathlib import Path

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM

from hare.core.errors import HareError
from hare.evaluation.backend import SharedPrefixLM
from hare.synthesis.engines.smollm2 import smollm2_folder
from tests.evaluation_toys import WORDS, save_model

SHOTS = "".join(f"Question: {WORDS[n]} of {WORDS[n + 1]}?\nAnswer: {WORDS[n + 2]}\n\n" for n in range(5))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


def requests_of(pairs: list[tuple[str, str]]) -> list[Instance]:
    return [Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=0) for pair in pairs]


def choices(count: int = 3) -> list[tuple[str, str]]:
    pairs = [(f"{SHOTS}Question: {WORDS[n]}?\nAnswer:", f" {word}") for n in range(count) for word in WORDS[n : n + 4]]
    pairs += [(f"{SHOTS}The {word}", " was too small for the garden.") for word in WORDS[:4]]
    return [*pairs, ("", "nothing before it"), ("ends in spaces  ", "word"), ("täglich 北京", " ünïcode"), pairs[0]]


def assert_alike(ours: list[tuple[float, bool]], stock: list[tuple[float, bool]]) -> None:
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in stock]
    assert [score for score, _ in ours] == pytest.approx([score for score, _ in stock], rel=1e-6, abs=1e-6)


def stock_of(folder: Path, batch_size: int = 4) -> HFLM:
    return HFLM(pretrained=str(folder), device="cpu", batch_size=batch_size)


def greedy_pairs(folder: Path) -> list[tuple[str, str]]:
    """Continuations that greedy decoding gives, as far as they survive detokenization."""
    lm = SharedPrefixLM(folder, 4)
    model = AutoModelForCausalLM.from_pretrained(folder)
    pairs = []
    for word in WORDS:
        context = f"{SHOTS}Question: {word}?\nAnswer:"
        with torch.no_grad():
            token = int(model(torch.tensor([lm.tok_encode(context)])).logits[0, -1].argmax())
        whole = lm.tokenizer.decode([*lm.tok_encode(context), token], skip_special_tokens=True)
        pairs.append((context, whole[len(context) :]))
    return [pair for pair in pairs if pair[1]]


@pytest.mark.parametrize("batch_size", [1, 4])
def test_scores_and_greedy_flags_equal_the_stock_backends(folder: Path, batch_size: int) -> None:
    pairs = choices() + greedy_pairs(folder)
    ours = SharedPrefixLM(folder, batch_size).loglikelihood(requests_of(pairs))
    assert_alike(ours, stock_of(folder).loglikelihood(requests_of(pairs), disable_tqdm=True))
    assert {greedy for _, greedy in ours} == {True, False}


def test_prompts_too_long_lose_their_beginning_and_are_counted_as_in_the_stock(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    short = save_model(tmp_path, max_position_embeddings=64)
    pairs = [pair for pair in choices() if len(pair[1].split()) > 1]
    ours, stock = SharedPrefixLM(short, 4), stock_of(short)
    with caplog.at_level(logging.WARNING):
        answers = stock.loglikelihood(requests_of(pairs), disable_tqdm=True)
    assert_alike(ours.loglikelihood(requests_of(pairs)), answers)
    assert ours.truncated == sum("Truncating" in record.message for record in caplog.records) > 0


def test_a_prompt_that_just_fits_is_not_counted(folder: Path) -> None:
    lm = SharedPrefixLM(folder, 4)
    pair = ("x" + " y" * (lm.max_length - 3), " y y")
    assert len(lm.tok_encode("".join(pair))) == lm.max_length + 1
    lm.loglikelihood(requests_of([pair]))
    assert lm.truncated == 0
    lm.loglikelihood(requests_of([("z " + pair[0], pair[1])]))
    assert lm.truncated == 1


def test_models_in_bfloat16_are_read_too(folder: Path) -> None:
    exact, rounded = SharedPrefixLM(folder, 4), SharedPrefixLM(folder, 4)
    rounded._model = rounded.model.bfloat16()
    answers, expected = (lm.loglikelihood(requests_of(choices(2))) for lm in (rounded, exact))
    assert [score for score, _ in answers] == pytest.approx([score for score, _ in expected], rel=0.05)


def test_generation_is_the_stocks(folder: Path) -> None:
    contexts = [f"{SHOTS}Question: {word}?\nAnswer:" for word in WORDS[:3]]
    options = {"until": ["\n"], "do_sample": False, "max_gen_toks": 8}
    instances = [Instance(request_type="generate_until", doc={}, arguments=(text, options), idx=0) for text in contexts]
    ours = SharedPrefixLM(folder, 4)
    assert ours.generate_until(instances) == stock_of(folder).generate_until(instances, disable_tqdm=True)
    assert ours.truncated == 0
    options["max_gen_toks"] = ours.max_length - 8
    ours.generate_until(instances[:1])
    assert ours.truncated == 1


def test_a_model_with_a_shorter_window_is_read_by_the_stock_code(tmp_path: Path) -> None:
    windowed = save_model(tmp_path, sliding_window=16)
    lm = SharedPrefixLM(windowed, 4)
    assert not lm._reads_packs()
    pairs = choices(2)
    assert_alike(lm.loglikelihood(requests_of(pairs)), stock_of(windowed).loglikelihood(requests_of(pairs), True))


def test_smollm2_answers_as_with_the_stock_backend() -> None:
    """In fp64, where rounding cannot hide a difference: in fp32 the batch alone changes a score by 1e-6."""
    places = [("France", "Paris"), ("France", "Rome, a very old city"), ("Italy", "Rome")]
    pairs = [(f"The capital of {place} is", f" {city}") for place, city in places]
    ours = SharedPrefixLM(smollm2_folder(), 4)
    ours._model = ours.model.double()
    stock = HFLM(pretrained=ours.model, tokenizer=ours.tokenizer, batch_size=4)
    answers, expected = (lm.loglikelihood(requests_of(pairs), True) for lm in (ours, stock))
    assert_alike(answers, expected)
    assert [score for score, _ in answers] == pytest.approx([score for score, _ in expected], rel=1e-10)
    assert answers[0][0] > answers[1][0]


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(HareError, match="holds no Hugging Face model"):
        SharedPrefixLM(tmp_path, 4)


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HareError, match="the tokenizer has 32000 tokens, the model 500"):
        SharedPrefixLM(save_model(tmp_path, vocab_size=500), 4)


@pytest.mark.parametrize(("name", "number"), [("bos_token_id", 7), ("eos_token_id", [9, 8])])
def test_a_tokenizer_with_other_special_tokens_is_refused(tmp_path: Path, name: str, number: int | list[int]) -> None:
    with pytest.raises(HareError, match=rf"the tokenizer's {name} is \d, the model's"):
        SharedPrefixLM(save_model(tmp_path, **{name: number}), 4)


def test_an_answer_longer_than_the_context_is_refused(tmp_path: Path) -> None:
    lm = SharedPrefixLM(save_model(tmp_path, max_position_embeddings=16), 4)
    with pytest.raises(HareError, match="the model reads 16 at the most"):
        lm.loglikelihood(requests_of([("short", " word" * 40)]))

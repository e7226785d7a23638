"""One forward pass decides what the method's generation loop decides, for every text it can and cannot score."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from leakage_toys import KNOWN, UNKNOWN, memoriser, untrained, words_tokenizer

from hare.leakage.measure import (
    Measure,
    continued_exactly,
    encode,
    leading_ids,
    predictions,
    score,
    score_starts,
    starting_points,
)
from hare.leakage.reference import compare, generated_decisions, prefix_ids
from hare.tokens.vocabulary import fast_tokenizer, mistral_model

MEASURE = Measure()


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def tokenizer():
    return fast_tokenizer(mistral_model())


@pytest.fixture(scope="module")
def model(tokenizer):
    return memoriser(tokenizer, KNOWN)


@given(st.integers(0, 400), st.integers(16, 300), st.integers(1, 8), st.integers(1, 8))
def test_starting_points_stay_inside_the_text(tokens: int, positions: int, ngram: int, starts: int) -> None:
    points = starting_points(tokens, positions, Measure(ngram, starts))
    if tokens < ngram + 2:
        assert len(points) == 0
        return
    assert len(points) == starts and points[0] == 2
    assert (points + ngram <= tokens).all()
    assert (np.diff(points) >= 0).all()


def test_starting_points_are_those_of_the_published_code() -> None:
    assert starting_points(100, 2048, MEASURE).tolist() == [2, 25, 48, 71, 95]
    assert starting_points(100, 50, MEASURE).tolist() == [2, 12, 23, 34, 45]
    assert starting_points(7, 2048, MEASURE).tolist() == [2, 2, 2, 2, 2]


@given(st.lists(st.booleans(), min_size=8, max_size=40), st.integers(1, 8))
def test_an_ngram_counts_only_when_all_of_it_agrees(matches: list[bool], ngram: int) -> None:
    expected = [all(matches[start: start + ngram]) for start in range(len(matches) - ngram + 1)]
    assert continued_exactly(np.array(matches), ngram).tolist() == expected


def test_one_pass_gives_every_decision_of_the_generation_loop(model, tokenizer) -> None:
    agreement = compare(model, tokenizer, [*KNOWN, UNKNOWN], Measure(5, 12))
    assert agreement.decisions == 48
    assert 0 < agreement.continued < 48, "decisions of both kinds are compared"
    assert agreement.differ_from_ids == 0
    assert agreement.differ_though_same_prefix == 0
    assert agreement.prefixes_tokenised_differently > 0, "a cut inside a character of several byte tokens"


def test_a_prefix_cut_inside_a_character_is_tokenised_otherwise(tokenizer) -> None:
    sample = encode(tokenizer, ["geese 🪿 fly"], 256)[0]
    differs = [prefix_ids(tokenizer, sample, cut, True) != prefix_ids(tokenizer, sample, cut, False)
               for cut in range(1, sample.tokens + 1)]
    assert any(differs) and not all(differs)


def test_scores_are_the_shares_of_continued_starting_points(model, tokenizer) -> None:
    scores = score(model, tokenizer, [*KNOWN, UNKNOWN], MEASURE)
    for index, sample in enumerate(encode(tokenizer, [*KNOWN, UNKNOWN], 256)):
        generated = generated_decisions(model, tokenizer, sample, MEASURE, retokenise=False)
        assert scores.at_starts[index] == generated.mean()
    assert scores.at_starts[:3].mean() > 0.2 and scores.at_starts[3] == 0
    assert scores.everywhere[:3].mean() > 0.2 and scores.everywhere[3] == 0


def test_the_fast_path_gives_the_same_scores(model, tokenizer) -> None:
    texts = [*KNOWN, UNKNOWN, "too short", ""]
    np.testing.assert_array_equal(score_starts(model, tokenizer, texts, MEASURE),
                                  score(model, tokenizer, texts, MEASURE).at_starts)


def test_neither_order_nor_company_changes_a_score(model, tokenizer) -> None:
    texts = [UNKNOWN, *KNOWN, KNOWN[0] * 2]
    together = score(model, tokenizer, texts, MEASURE)
    for index, text in enumerate(texts):
        alone = score(model, tokenizer, [text], MEASURE)
        assert alone.at_starts[0] == together.at_starts[index]
        assert alone.everywhere[0] == together.everywhere[index]
        assert alone.nats_per_token[0] == pytest.approx(together.nats_per_token[index], rel=1e-5)


def test_texts_that_are_too_short_are_left_out_not_counted_as_zero(model, tokenizer) -> None:
    scores = score(model, tokenizer, ["", "a", "one two", KNOWN[0]], MEASURE)
    assert np.isnan(scores.at_starts).tolist() == [True, True, True, False]
    assert np.isnan(scores.everywhere).tolist() == [True, True, True, False]
    assert len(score(model, tokenizer, [], MEASURE).at_starts) == 0


def test_perplexity_is_that_of_the_model_s_own_loss(model, tokenizer) -> None:
    row = torch.tensor([tokenizer(KNOWN[1])["input_ids"]])
    with torch.inference_mode():
        loss = model(input_ids=row, labels=row).loss.item()
    assert score(model, tokenizer, [KNOWN[1]], MEASURE).nats_per_token[0] == pytest.approx(loss, rel=1e-4)


def test_the_answer_s_perplexity_is_that_of_its_tokens_alone(model, tokenizer) -> None:
    text, answer = KNOWN[1], "and nobody"
    start = text.index(answer)
    row = torch.tensor([tokenizer(text)["input_ids"]])
    labels = row.clone()
    before = len(tokenizer(text[: start - 1])["input_ids"])
    labels[:, :before] = -100
    with torch.inference_mode():
        loss = model(input_ids=row, labels=labels).loss.item()
    scores = score(model, tokenizer, [text], MEASURE, answer_starts=[start])
    assert scores.answer_nats_per_token[0] == pytest.approx(loss, rel=1e-4)
    whole = score(model, tokenizer, [text], MEASURE)
    assert whole.answer_nats_per_token[0] == whole.nats_per_token[0] == scores.nats_per_token[0]
    assert np.isnan(score(model, tokenizer, [text], MEASURE, answer_starts=[len(text)]).answer_nats_per_token[0])


def test_a_tokenizer_without_special_tokens_is_measured_too() -> None:
    tokenizer = words_tokenizer((*KNOWN, UNKNOWN))
    assert leading_ids(tokenizer) == []
    model = memoriser(tokenizer, KNOWN)
    agreement = compare(model, tokenizer, [*KNOWN, UNKNOWN], MEASURE)
    assert agreement.continued > 0 and agreement.differ_from_ids == 0
    matches, nats = predictions(model, encode(tokenizer, [KNOWN[0]], 256))[0]
    assert len(matches) == len(nats) == len(KNOWN[0].split())
    assert not matches[0] and np.isnan(nats[0]), "nothing stands before the first token"


def test_a_text_longer_than_the_model_s_positions_is_cut_there(tokenizer) -> None:
    model = untrained(len(tokenizer), positions=32)
    agreement = compare(model, tokenizer, [" ".join(KNOWN)], MEASURE)
    assert agreement.decisions == 5 and agreement.differ_from_ids == 0
    assert not np.isnan(score(model, tokenizer, [" ".join(KNOWN)], MEASURE).everywhere).any()

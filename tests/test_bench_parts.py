"""The benchmarks of speed on tiny amounts: what they count, what they compare, and what they refuse."""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from hare.bench import corpus_memory, deployment, evaluation, finetuning, generation_engines, synthesis
from hare.bench.datatrove_words import RegexTokenizer
from hare.core.errors import HareError
from hare.core.profile import load_profile
from hare.synthesis.engines.generator import Request

SMOKE = load_profile("smoke")


def test_datatroves_plainest_tokenizer_sees_one_sentence() -> None:
    tokenizer = RegexTokenizer()
    assert tokenizer.word_tokenize("It's 1 word_or two.") == ["It", "s", "1", "word_or", "two"]
    assert tokenizer.sent_tokenize("a. b.") == ["a. b."] and tokenizer.span_tokenize("a. b.") == [(0, 5)]


def test_a_made_corpus_depends_on_its_seed_alone_and_never_ends() -> None:
    def first(seed: str) -> list[tuple[str, str]]:
        return list(itertools.islice(corpus_memory.made(corpus_memory._TEXT_FROM, (seed,)), 20))

    assert first("0") == first("0") != first("1")
    assert len({text for _, text in first("0")}) == 20


def _requests(count: int) -> list[Request]:
    return [Request(({"role": "user", "content": "Hello"},), seed) for seed in range(count)]


def test_transformers_gets_one_batch_per_core(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def record(precision: str, tokens: int, requests: Sequence[Request]) -> None:
        sizes.append(len(requests))

    monkeypatch.setattr(generation_engines, "_transformer", lambda precision: None)
    monkeypatch.setattr(generation_engines, "_transformers_batch", record)
    monkeypatch.setattr(generation_engines, "cores", lambda: 2)
    generation_engines.ENGINES["transformers_bf16"](_requests(5), 4)
    assert sorted(sizes) == [2, 3]


def test_a_rate_counts_every_request_and_a_cost_needs_a_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []
    clock = iter((10.0, 12.0))
    monkeypatch.setattr(synthesis.time, "perf_counter", lambda: next(clock))
    monkeypatch.setitem(synthesis.ENGINES, "toy", lambda requests, tokens: calls.append((len(requests), tokens)))
    rate = synthesis._rate("toy", 8)
    assert calls == [(1, 2), (8, synthesis._TOKENS)] and rate == 8 * synthesis._TOKENS / 2
    monkeypatch.setenv("HARE_WORK", str(tmp_path))
    with pytest.raises(HareError, match="d1 is missing"):
        synthesis._d1(SMOKE)


def test_an_engine_that_is_too_slow_costs_no_more_than_its_share(monkeypatch, capsys) -> None:
    monkeypatch.setattr(synthesis, "_ENGINE_SECONDS", 0)
    assert synthesis._engine("xllamacpp") == {}
    assert "xllamacpp: only 0 values in 0 s" in capsys.readouterr().out


def test_backends_that_answer_differently_are_refused() -> None:
    requests = [SimpleNamespace(args=("context", " answer"))]
    assert evaluation._difference(requests, [(-2.0, True)], [(-2.0, True)]) == 0
    for score, greedy in ((-2.1, True), (-2.0, False)):
        with pytest.raises(HareError, match="The backends disagree"):
            evaluation._difference(requests, [(score, greedy)], [(-2.0, True)])


def test_decoding_is_compared_with_llama_cpps_own_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(files: dict[str, Path], prompt: list[int], new_tokens: int, repeats: int) -> pd.DataFrame:
        assert all(path.stat().st_size for path in files.values()) and len(prompt) == config.speed_prompt_tokens
        return pd.DataFrame([
            {"precision": name, "decode_tokens_per_s": 90.0, "own_tokens_per_s": 100.0, "first_token_ms": 5.0,
             "memory_mb": 3.0} for name in files
        ])

    config = SMOKE.deployment
    monkeypatch.setattr(deployment, "speed_table", measured)
    metrics = deployment.bench(SMOKE)
    assert metrics["decode_vs_llama_cpp.int4"] == pytest.approx(0.9)
    assert metrics["deployment_first_token_ms.fp32"] == 5.0


def test_fine_tuning_is_timed_per_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetuning, "_STEPS", 2)
    monkeypatch.setattr(finetuning, "_ASKED", 1)
    profile = dataclasses.replace(SMOKE, finetuning=dataclasses.replace(SMOKE.finetuning, tool_batch=4))
    metrics = finetuning.bench(profile)
    assert set(metrics) == {"finetuning_examples_per_s", "tool_answers_per_s"} and min(metrics.values()) > 0

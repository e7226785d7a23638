"""How fast models are evaluated: our backend and lm-eval's own on the same requests, in one run."""

import math
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import MistralConfig, MistralForCausalLM

from hare.benchmarks.registry import spec_of
from hare.core.errors import HareError
from hare.core.profile import Profile
from hare.core.progress import track
from hare.core.sections import Model
from hare.evaluation.backend import SharedPrefixLM
from hare.evaluation.tasks import choose_items, load, missing, quietly
from hare.tokens.vocabulary import fast_tokenizer, mistral_model

_ITEMS = 16  # of each benchmark
_ROUNDING = 1e-5  # of a log-likelihood in fp32; relative, or absolute below 1 nat
_SCORES = 1e-6  # of a score: bits per byte, and accuracy with it

Answers = list[tuple[float, bool]]


def bench(profile: Profile) -> dict[str, float]:
    """Scored requests per second, and how many times as many as with lm-eval's Hugging Face backend.

    The model has the profile's shape and random weights, which cost what trained ones do; the requests are those of the
    profile's multiple-choice benchmarks, 16 items each, one benchmark after the other with both backends in turn.
    ``evaluation_vs_lm_eval_hf`` is over all of them, with ``.<benchmark>`` over one; the largest difference between
    scores is in bits per byte.

    Raises:
        HareError: the two backends do not answer alike.
    """
    torch.set_num_threads(profile.evaluation.evaluation_threads)
    with tempfile.TemporaryDirectory() as folder:
        save_random_model(profile.model, Path(folder))
        batch = profile.evaluation.evaluation_batch
        with quietly():
            backends = SharedPrefixLM(Path(folder), batch), HFLM(pretrained=folder, device=_device(), batch_size=batch)
            return _compared(*backends, _requests(profile))


def _compared(ours: SharedPrefixLM, stock: HFLM, requests: dict[str, list[Instance]]) -> dict[str, float]:
    for lm in (ours, stock):
        lm.loglikelihood(next(iter(requests.values()))[:2], disable_tqdm=True)  # the first call pays for set-up
    seconds, apart = np.zeros(2), 0.0
    ratios = {}
    for name, asked in track(requests.items(), "time both backends", "benchmarks", len(requests)):
        (answers, ours_took), (expected, stock_took) = (_timed(lm, asked) for lm in (ours, stock))
        apart = max(apart, _difference(asked, answers, expected))
        seconds += ours_took, stock_took
        ratios[f"evaluation_vs_lm_eval_hf.{name}"] = stock_took / ours_took
    count = sum(map(len, requests.values()))
    return {
        "evaluation_examples_per_s": count / seconds[0],
        "evaluation_lm_eval_hf_examples_per_s": count / seconds[1],
        "evaluation_vs_lm_eval_hf": seconds[1] / seconds[0],
        **ratios,
        "evaluation_largest_difference_bits_per_byte": apart,
    }


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _requests(profile: Profile) -> dict[str, list[Instance]]:
    present = [name for name in profile.evaluation.tasks if name not in missing([name])]
    names = [name for name in present if spec_of(name).protocol.metric != "exact_match"]  # that one generates
    requests: dict[str, list[Instance]] = {}
    for benchmark in load(names):
        for name, rows in choose_items(benchmark, _ITEMS, profile.evaluation.evaluation_seed).items():
            benchmark.tasks[name].set_fewshot_seed(0)
            benchmark.tasks[name].build_all_requests(samples=rows)
            requests.setdefault(benchmark.name, []).extend(benchmark.tasks[name].instances)
    return requests


def save_random_model(model: Model, folder: Path) -> None:
    """Write a model of this shape with random weights, and its tokenizer, as a Hugging Face folder."""
    torch.manual_seed(0)
    tokenizer = fast_tokenizer(mistral_model())
    config = MistralConfig(
        vocab_size=len(tokenizer), hidden_size=model.hidden_size, intermediate_size=model.intermediate_size,
        num_hidden_layers=model.layers, num_attention_heads=model.attention_heads,
        num_key_value_heads=model.key_value_heads, max_position_embeddings=model.max_positions,
        tie_word_embeddings=model.tied_embeddings,
    )
    MistralForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _timed(lm: HFLM, requests: list[Instance]) -> tuple[Answers, float]:
    started = time.perf_counter()
    answers = lm.loglikelihood(requests, disable_tqdm=True)
    return answers, time.perf_counter() - started


def _difference(requests: list[Instance], ours: Answers, stock: Answers) -> float:
    """Largest difference between scores, in bits per byte; no answer may differ by more than rounding."""
    largest = 0.0
    for request, (score, greedy), (expected, expected_greedy) in zip(requests, ours, stock, strict=True):
        apart = abs(score - expected)
        bits = apart / math.log(2) / len(request.args[1].encode())
        if apart > _ROUNDING * max(1, abs(expected)) or bits > _SCORES or greedy != expected_greedy:
            raise HareError(
                f"The backends disagree: ours says {score}, lm-eval's {expected}.",
                "report it together with `hare doctor`'s list of packages; until then trust lm-eval's own",
            )
        largest = max(largest, bits)
    return largest

"""How fast models are evaluated: our backend and lm-eval's own on the same requests, in one run."""

import tempfile
import time
from pathlib import Path

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import MistralConfig, MistralForCausalLM

from hare.evaluation.backend import SharedPrefixLM
from hare.evaluation.tasks import choose_items, load, missing, quietly
from hare.run.errors import HareError
from hare.run.profile import Model, Profile
from hare.tokens.tokenizer import mistral_tokenizer

_ITEMS = 16  # of each benchmark
_DIFFERENCE = 1e-5  # more than rounding in fp32; relative, or absolute below 1


def bench(profile: Profile) -> dict[str, float]:
    """Scored requests a second, and how many times as many as with lm-eval's Hugging Face backend.

    The model has the profile's shape and random weights, which cost what trained ones do; the requests are those of the
    profile's multiple-choice benchmarks, 16 items each.

    Raises:
        HareError: the two backends do not answer alike.
    """
    torch.set_num_threads(profile.evaluation.evaluation_threads)
    requests = _requests(profile)
    with tempfile.TemporaryDirectory() as folder:
        _save_model(profile.model, Path(folder))
        batch = profile.evaluation.evaluation_batch
        with quietly():
            ours, seconds = _timed(SharedPrefixLM(Path(folder), batch), requests)
            stock, stock_seconds = _timed(HFLM(pretrained=folder, device=_device(), batch_size=batch), requests)
    _check_alike(ours, stock)
    return {
        "evaluation_examples_per_s": len(requests) / seconds,
        "evaluation_lm_eval_hf_examples_per_s": len(requests) / stock_seconds,
        "evaluation_vs_lm_eval_hf": stock_seconds / seconds,
    }


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _requests(profile: Profile) -> list[Instance]:
    names = [name for name in profile.evaluation.tasks if name not in missing([name]) and name != "gsm8k"]
    requests: list[Instance] = []
    with quietly():
        for benchmark in load(names):
            for name, rows in choose_items(benchmark, _ITEMS, profile.evaluation.evaluation_seed).items():
                benchmark.tasks[name].set_fewshot_seed(0)
                benchmark.tasks[name].build_all_requests(samples=rows)
                requests += benchmark.tasks[name].instances
    return requests


def _save_model(model: Model, folder: Path) -> None:
    torch.manual_seed(0)
    tokenizer = mistral_tokenizer()
    config = MistralConfig(
        vocab_size=len(tokenizer), hidden_size=model.hidden_size, intermediate_size=model.intermediate_size,
        num_hidden_layers=model.layers, num_attention_heads=model.attention_heads,
        num_key_value_heads=model.key_value_heads, max_position_embeddings=model.max_positions,
        tie_word_embeddings=model.tied_embeddings,
    )
    MistralForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _timed(lm: HFLM, requests: list[Instance]) -> tuple[list[tuple[float, bool]], float]:
    lm.loglikelihood(requests[:2], disable_tqdm=True)  # the first call pays for set-up
    started = time.perf_counter()
    answers = lm.loglikelihood(requests, disable_tqdm=True)
    return answers, time.perf_counter() - started


def _check_alike(ours: list[tuple[float, bool]], stock: list[tuple[float, bool]]) -> None:
    for (score, greedy), (expected, expected_greedy) in zip(ours, stock, strict=True):
        if abs(score - expected) > _DIFFERENCE * max(1, abs(expected)) or greedy != expected_greedy:
            raise HareError(
                f"The backends disagree: ours says {score}, lm-eval's {expected}.",
                "report it together with `hare doctor`'s list of packages; until then trust lm-eval's own",
            )

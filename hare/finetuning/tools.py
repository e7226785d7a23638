"""HARE-Tool: fine-tuned systems that answer requests, and the way from a request to an effect on the phone.

Three ways to write a call: slots *marked* in the request (see `hare.finetuning.marks`), slots *copied* after the
functional token (Octopus v2), and the whole call *spelled* in plain text, without functional tokens.
"""

import dataclasses
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from transformers import MistralForCausalLM

from hare.finetuning.calls import Reading, example_of, read_functional, read_spelled
from hare.finetuning.decoding import decode
from hare.finetuning.dialogue import Example, prompt_ids, text_ids
from hare.finetuning.functions import Phone
from hare.finetuning.marks import decode_marked, marked_example
from hare.finetuning.screening import objection_to_request
from hare.finetuning.sft import Schedule, Trained, batches_of, fine_tune
from hare.finetuning.tool_data import ToolItem
from hare.finetuning.variation import as_shown, other_tokens, replaced, varied

GREEDY, CONSTRAINED = "greedy", "grammar"
MARKED, COPIED, SPELLED = "marked", "copied", "spelled"


@dataclass(frozen=True)
class ToolModel:
    """A model that answers requests in one of the three forms, freely or under the grammar of calls.

    Marks exist under the grammar only: the words between them are given, not chosen.
    """

    name: str
    model: MistralForCausalLM
    form: str
    decoding: str

    def answer(self, requests: Sequence[str]) -> list[Reading]:
        """Read every request and say what is to be called; a request that is screened off is never read."""
        reasons = [objection_to_request(request) for request in requests]
        read = [request for request, reason in zip(requests, reasons, strict=True) if not reason]
        found = iter(self._answer(read))
        return [Reading(None, "", reason) if reason else next(found) for reason in reasons]

    def _answer(self, requests: Sequence[str]) -> list[Reading]:
        what = f"{self.name}, {self.decoding}"
        if self.form == MARKED:
            return decode_marked(self.model, requests, what)
        prompts = [prompt_ids([{"role": "user", "content": request}]) for request in requests]
        spoken = [text_ids(request) for request in requests] if self.decoding == CONSTRAINED else None
        reader = read_spelled if self.form == SPELLED else read_functional
        answers = decode(self.model, prompts, spoken, what=what)
        return [reader(answer, request) for answer, request in zip(answers, requests, strict=True)]


def train_tool(
    model: MistralForCausalLM, items: Sequence[ToolItem], schedule: Schedule, form: str, what: str
) -> Trained:
    """Fine-tune all weights on requests and calls, in place; every pass says the items in other words."""
    examples = [replaced(example_in(item, form), other) for item, other in _passes(items, schedule)]
    once = dataclasses.replace(schedule, epochs=schedule.epochs * len(items) / len(examples))
    return fine_tune(model, batches_of(examples, once), once, what)


def in_all_passes(items: Sequence[ToolItem], schedule: Schedule) -> list[ToolItem]:
    """The items as training shows them, pass after pass; in whatever form they are answered, they are the same."""
    return [as_shown(item, other) for item, other in _passes(items, schedule)]


def _passes(items: Sequence[ToolItem], schedule: Schedule) -> Iterator[tuple[ToolItem, dict[int, int]]]:
    """Each item in other words, pass after pass, and its `other_tokens`."""
    words, tokens = random.Random(schedule.seed), random.Random(schedule.seed)
    for _ in range(math.ceil(schedule.epochs)):
        for item in items:
            item = varied(item, words)
            yield item, other_tokens(item, tokens)


def example_in(item: ToolItem, form: str) -> Example:
    """An item as a training sequence in one of the three forms."""
    if form == MARKED:
        return marked_example(item.request, item.call)
    return example_of(item, functional=form == COPIED)


def carry_out(phone: Phone, request: str, reading: Reading) -> str:
    """Execute a valid call in the sandbox and say what was done; count and name what was refused."""
    if reading.call is None:
        phone.refuse(reading.reason)
        return f"not done: {reading.reason}"
    return phone.execute(reading.call, request)

"""HARE-Tool: fine-tuned systems that answer requests, and the way from a request to an effect on the phone.

Two ways to write a call: slots *marked* in the request (see `hare.finetuning.marks`), and slots *copied* after the
functional token (Octopus v2, the paper's way).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from hare.finetuning.calls import Reading, copied_example, read_functional
from hare.finetuning.decoding import TorchReader, decode
from hare.finetuning.dialogue import ChatModel, Dialogue, Example
from hare.finetuning.functions import Phone
from hare.finetuning.marks import decode_marked, marked_example
from hare.finetuning.phrases.variation import varied
from hare.finetuning.screening import objection_to_request
from hare.finetuning.sft import Schedule, Trained, batches_of, fine_tune
from hare.finetuning.tool_data import ToolItem

GREEDY, GRAMMAR = "greedy", "grammar"
MARKED, COPIED = "marked", "copied"


@dataclass(frozen=True)
class ToolModel:
    """A model that answers requests in one of the two forms, freely or under the grammar of calls.

    Marks exist under the grammar only: the words between them are given, not chosen.
    """

    name: str
    model: ChatModel
    form: str = MARKED
    decoding: str = GRAMMAR

    def answer(self, requests: Sequence[str]) -> list[Reading]:
        """Read every request and say what is to be called; a request that is screened off is never read."""
        reasons = [objection_to_request(request) for request in requests]
        read = [request for request, reason in zip(requests, reasons, strict=True) if not reason]
        answered = iter(self._answer(read))
        return [Reading(None, "", reason) if reason else next(answered) for reason in reasons]

    def _answer(self, requests: Sequence[str]) -> list[Reading]:
        dialogue, network = self.model.dialogue, self.model.network
        if self.form == MARKED:
            return decode_marked(lambda rows: TorchReader(network, rows), dialogue, requests, self.name)
        prompts = [dialogue.request_ids(request) for request in requests]
        copied = [dialogue.text_ids(request) for request in requests] if self.decoding == GRAMMAR else None
        answers = decode(self.model, prompts, copied, task=self.name)
        return [read_functional(dialogue, answer, request) for answer, request in zip(answers, requests, strict=True)]


def train_tool(
    model: ChatModel, items: Sequence[ToolItem], schedule: Schedule, form: str, task: str
) -> Trained:
    """Fine-tune all weights on requests and calls, in place; every pass says the items in other words."""
    examples = [example_in(model.dialogue, item, form) for item in in_all_passes(items, schedule)]
    first = model.dialogue.api_ids[0] if form == MARKED else 0
    return fine_tune(model.network, batches_of(examples, schedule), schedule, task, first)


def in_all_passes(items: Sequence[ToolItem], schedule: Schedule) -> list[ToolItem]:
    """The items as training shows them, pass after pass in other words; whatever form they are answered in, they are
    the same."""
    rng, shown = random.Random(schedule.seed), []
    while len(shown) < schedule.steps * schedule.batch:
        shown += [varied(item, rng) for item in items]
    return shown


def example_in(dialogue: Dialogue, item: ToolItem, form: str) -> Example:
    """An item as a training sequence in one of the two forms."""
    if form == MARKED:
        return marked_example(dialogue, item.request, item.call)
    return copied_example(dialogue, item)


def carry_out(phone: Phone, request: str, reading: Reading) -> str:
    """Execute a valid call in the sandbox and say what was done; count and name what was refused."""
    if reading.call is None:
        phone.refuse(reading.reason)
        return f"not done: {reading.reason}"
    return phone.execute(reading.call, request)

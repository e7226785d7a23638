"""The baseline: retrieve descriptions of functions by embedding, and ask an instruct model to write the call.

The paper's baseline is Llama3-8B with retrieval. By default the instruct model is SmolLM2-135M-Instruct; any server
that speaks the OpenAI protocol can stand in. A model that small answers bare descriptions with talk, so the baseline is
asked in two ways: with the descriptions alone, as in the paper, and with a worked example of each function offered.
"""

import random
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from hare.core.errors import HareError
from hare.core.statistics import wilson_interval
from hare.finetuning.calls import Reading, read_text, written_out
from hare.finetuning.functions import FUNCTIONS, NO_CALL, Call, Function
from hare.finetuning.screening import objection_to_request
from hare.finetuning.tool_data import ToolItem
from hare.synthesis.embeddings import embed
from hare.synthesis.engines.generator import FAILED, Decoding, Generator, Request

RETRIEVED = 3  # descriptions shown to the instruct model
_GREEDY = Decoding(max_new_tokens=28, temperature=0.0)
_SYSTEM = (
    "You control a phone. Answer with one function call and nothing else. Write the values from the user's message in "
    'quotes, for example: set_alarm("seven")\nFunctions:\n{functions}'
)
Example = tuple[str, Call]  # a request and the call that it asks for
# Requests of the training split. Which ones are shown matters much: these did best of several draws, on validation
# requests.
WORKED_EXAMPLES: dict[str, Example] = {
    call.function: (request, call)
    for request, call in (
        ("it is urgent, 385 239 9309 must be called", Call("call_number", ("385 239 9309",))),
        ("yes, we haven't spoken for ages, call Nina", Call("call_contact", ("Nina",))),
        ("Buddy, search quantum electrodynamics online?", Call("search_web", ("quantum electrodynamics",))),
        ("hmm, flip the camera on, no delay", Call("open_camera")),
        ("actually, when does the sun come out in Vienna", Call("get_weather", ("Vienna",))),
        ("let's urgent mail to my sister in law Richard, text the meeting is in the old town",
         Call("send_email", ("Richard", "the meeting is in the old town"))),
        ("I am asking you to flip a coin", Call(NO_CALL)),
    )
}


def ranked_functions(requests: Sequence[str]) -> list[list[Function]]:
    """All functions for each request, the one with the most similar description first."""
    described = embed([function.description for function in FUNCTIONS])
    similar = embed(requests) @ described.T
    return [[FUNCTIONS[number] for number in np.argsort(-row, kind="stable")] for row in similar]


def recall_table(items: Sequence[ToolItem], ranked: Sequence[Sequence[Function]]) -> pd.DataFrame:
    """Share of requests whose function is among the first k: k, items, recall, low, high; ``offered`` is the share
    whose function an instruct model is shown with them, since the function that does nothing always is.
    """
    named = [[function.name for function in ranking] for ranking in ranked]
    places = [names.index(item.call.function) for item, names in zip(items, named, strict=True)]
    rows = []
    for k in range(1, len(FUNCTIONS) + 1):
        hits = sum(place < k for place in places)
        offered = sum(place < k or item.call.function == NO_CALL for place, item in zip(places, items, strict=True))
        low, high = wilson_interval(hits, len(places))
        rows.append({"k": k, "items": len(places), "recall": hits / len(places), "low": low, "high": high,
                     "offered": offered / len(places)})
    return pd.DataFrame(rows)


def seeded_subset(items: Sequence[ToolItem], wanted: int, seed: int) -> list[ToolItem]:
    """``wanted`` items at the most, of each function in proportion to its share of ``items``; 0 means all."""
    if not wanted or wanted >= len(items):
        return list(items)
    chosen: list[ToolItem] = []
    passed = 0
    for function in FUNCTIONS:
        of_function = [item for item in items if item.call.function == function.name]
        passed += len(of_function)
        share = passed * wanted // len(items) - len(chosen)
        chosen += random.Random(f"{seed}/{function.name}").sample(of_function, share)
    return chosen


def offered(functions: Sequence[Function]) -> list[Function]:
    """The functions retrieved, and the one that does nothing."""
    return [*functions, *(f for f in FUNCTIONS if f.name == NO_CALL and f not in functions)]


def prompt(
    request: str, functions: Sequence[Function], examples: Mapping[str, Example]
) -> tuple[dict[str, str], ...]:
    """The conversation that asks an instruct model for a call; the function that does nothing is always offered.

    The function that fits best comes first among the descriptions; among the ``examples``, which are earlier turns, it
    comes last: a small model repeats the turn before.
    """
    shown = offered(functions)
    described = "\n".join(
        f"{f.name}({', '.join(slot.name for slot in f.slots)}): {f.description}" for f in shown
    )
    turns = [("system", _SYSTEM.format(functions=described))]
    for earlier, call in [examples[f.name] for f in reversed(shown) if f.name in examples]:
        turns += [("user", earlier), ("assistant", written_out(call))]
    return tuple({"role": role, "content": text} for role, text in [*turns, ("user", request)])


def answer(
    requests: Sequence[str],
    generator: Generator,
    ranked: Sequence[Sequence[Function]],
    examples: Mapping[str, Example],
) -> list[Reading]:
    """Calls that ``generator`` writes, given the first `RETRIEVED` functions of each request's ranking.

    ``examples``: requests with their calls, by the function's name; {} for descriptions alone.

    Raises:
        HareError: the generator gave no usable answer to some of them, which must not count as wrong calls.
    """
    asked = [
        Request(prompt(text, ranking[:RETRIEVED], examples), 0) for text, ranking in zip(requests, ranked, strict=True)
    ]
    generations = generator.generate(asked, _GREEDY)
    if failed := sum(generation.finish_reason == FAILED for generation in generations):
        raise HareError(f"{failed} of {len(generations)} requests to the instruct model failed.", "see to the server")
    return [
        Reading(None, "", reason) if (reason := objection_to_request(text)) else read_text(generation.text, text)
        for text, generation in zip(requests, generations, strict=True)
    ]

"""More phrasings for training: the generator says the written ones in other words; gates keep what asks the same."""

import dataclasses
import random
import re
from collections.abc import Sequence

import pandas as pd

from hare.finetuning.functions import NO_CALL
from hare.finetuning.grammar import Phrasing, cores_kept_back, phrasings, spoken
from hare.synthesis.generator import Decoding, Generator, Message, Request

GENERATED = "generated"
_DECODING = Decoding(max_new_tokens=28, temperature=0.7)
_STAND_INS = {
    "number": "5550199", "contact": "Robin", "query": "old bridges", "place": "Rotterdam", "recipient": "Robin",
    "content": "dinner is ready", "thing": "lamp",
}
_SYSTEM = (
    "Rewrite the user's request to a phone in other words. Keep names, numbers and quoted words. One short sentence."
)
_MUST_SAY = {  # one of these has to be left, or the request asks for something else
    "call_number": "call|dial|ring|phone|line|reach|connect|contact",
    "call_contact": "call|dial|ring|phone|line|reach|talk|contact",
    "search_web": "search|find|look|google|browse|web|online|internet|information",
    "open_camera": "camera|photo|picture|selfie|snap",
    "get_weather": "weather|rain|snow|sun|cold|warm|temperature|forecast|umbrella",
    "send_email": "e-?mail|mail",
}
_ANSWERS = re.compile(r"\b(?:sorry|cannot|can't|i'm|i am|i will|i'll|sure|here is|here's|as an ai)\b", re.I)
_LONGEST = 16  # words


def paraphrased(wanted: int, generator: Generator, seed: int) -> tuple[list[Phrasing], pd.DataFrame]:
    """New phrasings from about ``wanted`` requests to the generator, and what became of each.

    The table has: function, written, said, objection ('' for those that were kept).
    """
    rng = random.Random(seed)
    asked = [
        dataclasses.replace(found, core=spoken(found.core, rng))
        for found in _spread([found for found in phrasings("train") if found.function != NO_CALL], wanted)
    ]
    requests = [Request(_conversation(found.core), seed + number) for number, found in enumerate(asked)]
    taken = {found.core for found in phrasings("train")} | cores_kept_back()
    kept, rows = [], []
    for written, said in zip(asked, generator.generate(requests, _DECODING) if requests else [], strict=True):
        core = _opened(said.text, written.core)
        reason = objection_to(core, written, taken)
        if not reason:
            taken.add(core)
            kept.append(Phrasing(written.function, core, GENERATED))
        rows.append({"function": written.function, "written": written.core, "said": core, "objection": reason})
    return kept, pd.DataFrame(rows, columns=["function", "written", "said", "objection"])


def _spread(found: Sequence[Phrasing], wanted: int) -> list[Phrasing]:
    """``wanted`` phrasings, spread evenly over the list."""
    count = min(wanted, len(found))
    return [found[number * len(found) // count] for number in range(count)]


def _conversation(core: str) -> tuple[Message, ...]:
    filled = re.sub(r"\{(\w+)\}", lambda slot: _STAND_INS[slot[1]], core)
    return ({"role": "system", "content": _SYSTEM}, {"role": "user", "content": filled})


def _opened(said: str, written: str) -> str:
    """The first line of an answer as a core: stand-ins turned back into slots, first letter small, no final stop."""
    core = said.strip().split("\n")[0].strip("\"' ")
    for slot in re.findall(r"\{(\w+)\}", written):
        core = re.sub(rf"[\"']?\b{re.escape(_STAND_INS[slot])}\b[\"']?", f"{{{slot}}}", core, flags=re.I)
    core = core[:1].lower() + core[1:]
    return core.rstrip(" .!?")


def objection_to(core: str, written: Phrasing, taken: set[str]) -> str:
    """Why a paraphrase is not used, '' when it is."""
    slots = sorted(re.findall(r"\{(\w+)\}", written.core))
    said = re.sub(r"\{\w+\}", "", core)  # without the slots, whose names are no words of the request
    if sorted(re.findall(r"\{(\w+)\}", core)) != slots:
        return "slots lost or doubled"
    if len(core.split()) > _LONGEST:
        return "too long"
    if core in taken:
        return "known already"
    if _ANSWERS.search(core):
        return "answers instead of asking"
    if not re.search(rf"\b(?:{_MUST_SAY[written.function]})", said, re.I):
        return "asks for something else"
    if re.search(r"[<>{}\[\]|;\"]", said):
        return "control text"
    return "slot not set off" if re.search(r"\w\{|\}\w", core) else ""

"""A test set phrased by people: English sentence templates that contributors wrote for Home Assistant's intents.

One of its intents is a function of ours: the weather of a named place. Every other intent is a request that our phone
has no function for, and must get no call; the weather without a place is left out, since our function needs one, and so
is what training says in the same words. Never trained on, and nothing is chosen by it.
"""

import json
import random
import re
from functools import cache
from typing import Any

from hare.data.archives import archive_of, read_member
from hare.finetuning.functions import NO_CALL, Call
from hare.finetuning.phrases.grammar import training_says, values
from hare.finetuning.tool_data import ToolItem

_PACKAGE, _MEMBER = "home-assistant-intents", "home_assistant_intents/data/en.json"
_WEATHER = "HassGetWeather"
_WEATHER_SHARE = 0.25  # of the items
_TOKEN = re.compile(r"\{[^{}]*\}|<[^<>]*>|[()\[\]|]|[^()\[\]|<>{}]+")
_ATTEMPTS = 50
_NAMES = {"area": "kitchen", "floor": "ground"}
Tree = list[Any]  # alternatives, each a list of text, ("list", name), ("rule", name) or ("group", Tree)


@cache
def _templates() -> dict[str, Any]:
    return json.loads(read_member(archive_of(_PACKAGE), _MEMBER))


def sentences() -> dict[str, list[str]]:
    """Intent → its templates, in the order of the file."""
    return {
        intent: [sentence for block in listed["data"] for sentence in block["sentences"]]
        for intent, listed in _templates()["intents"].items()
    }


def human_set(wanted: int, seed: int) -> list[ToolItem]:
    """About ``wanted`` items, none twice: a quarter ask for the weather of a place, the others are spread evenly over
    the intents that must get no call."""
    rng, seen = random.Random(seed), set()
    weather = [template for template in sentences()[_WEATHER] if "{name}" in template]
    others = {intent: listed for intent, listed in sentences().items() if intent != _WEATHER}
    items = []
    for number in range(max(1, round(_WEATHER_SHARE * wanted))):
        items += _new_item(f"human-weather-{number}", weather[number % len(weather)], "get_weather", rng, seen)
    order = list(others)
    for number in range(wanted - len(items)):
        templates = others[order[number % len(order)]]
        items += _new_item(f"human-other-{number}", rng.choice(templates), NO_CALL, rng, seen)
    return items


def _new_item(item_id: str, template: str, function: str, rng: random.Random, seen: set[str]) -> list[ToolItem]:
    """One item of a template, or none where all that it gives have been seen."""
    for _ in range(_ATTEMPTS):
        place = rng.choice(values("place", "test"))
        core = " ".join(expanded(template, rng, keep="name" if function != NO_CALL else "").replace(";", ", ").split())
        core = core.replace("{name}", "{place}")
        if core in seen or training_says(function, core):
            continue
        seen.add(core)
        request = core.replace("{place}", place)
        call = Call(function, (place,) if function != NO_CALL else ())
        return [ToolItem(item_id, "test", "plain", request, call, core, core, core, (("place", place),))]
    return []


def expanded(template: str, rng: random.Random, keep: str = "") -> str:
    """One sentence of a template: ``(this|that)``, ``[left out or not]``, ``<rule>``, ``{list}``; the placeholder
    ``keep`` stays."""
    tree, rest = _parsed(_TOKEN.findall(template))
    if rest:
        raise ValueError(f"{template!r} has brackets that do not match.")
    return _written(tree, rng, keep)


def _parsed(tokens: list[str]) -> tuple[Tree, list[str]]:
    """Alternatives up to the bracket that closes them, and the tokens from there on."""
    alternatives: Tree = [[]]
    while tokens:
        token, *tokens = tokens
        if token in ")]":
            return alternatives, [token, *tokens]
        if token == "|":
            alternatives.append([])
        elif token in "([":
            inner, (closing, *tokens) = _parsed(tokens)
            alternatives[-1].append(("group", [*inner, []] if closing == "]" else inner))
        elif token[0] == "{":
            alternatives[-1].append(("list", token[1:-1].split(":")[0]))
        elif token[0] == "<":
            alternatives[-1].append(("rule", token[1:-1]))
        else:
            alternatives[-1].append(token)
    return alternatives, []


def _written(tree: Tree, rng: random.Random, keep: str) -> str:
    parts = []
    for part in rng.choice(tree):
        if isinstance(part, str):
            parts.append(part)
        elif part[0] == "group":
            parts.append(_written(part[1], rng, keep))
        elif part[0] == "rule":
            parts.append(expanded(_templates()["expansion_rules"][part[1]], rng, keep))
        else:
            parts.append(f"{{{keep}}}" if part[1] == keep else _value(part[1], rng))
    return "".join(parts)


def _value(name: str, rng: random.Random) -> str:
    """A value of one of the file's lists; of a device or an open text, a thing of the test split."""
    listed = _templates()["lists"].get(name, {})
    if "range" in listed:
        return str(rng.randint(listed["range"]["from"], listed["range"]["to"]))
    if "values" in listed:
        value = rng.choice(listed["values"])
        text = value if isinstance(value, str) else value["in"]
        return expanded(text, rng)
    return _NAMES.get(name) or rng.choice(values("thing", "test"))

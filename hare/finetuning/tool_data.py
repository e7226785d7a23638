"""The API-calling data: training, validation and two test sets, made from the grammar; every gold call is executed."""

import dataclasses
import math
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from hare.core.errors import HareError
from hare.finetuning.functions import BY_NAME, FUNCTIONS, Call, Phone
from hare.finetuning.phrases.grammar import (
    Phrasing,
    closers,
    draw,
    hard_phrasings,
    is_kept_back,
    kind_of,
    one_way,
    openers,
    phrasings,
)

VALIDATION_ITEMS = 50  # of each function
FREE_TEXT = tuple(slot.name for function in FUNCTIONS for slot in function.slots if slot.free_text)
_ATTEMPTS = 200  # draws of a request that has not been drawn before


@dataclass(frozen=True)
class ToolItem:
    """A request and the call that answers it; ``kind`` is plain, or what makes the item hard.

    ``pattern`` is the phrasing with its choices, ``core`` one way through it, slots in braces; ``template`` has opener
    and closer as well. ``values`` is every drawn value by its placeholder, whether it belongs in a slot or not.
    """

    id: str
    split: str
    kind: str
    request: str
    call: Call
    pattern: str
    core: str
    template: str
    values: tuple[tuple[str, str], ...]


def training_counts(published: pd.DataFrame, share: float) -> dict[str, int]:
    """Training items of each function: the paper's counts (column ``training_samples`` by ``api``) times ``share``."""
    counts = published.set_index("api").training_samples
    return {function.name: max(1, math.ceil(share * counts[function.api])) for function in FUNCTIONS}


def plain_set(
    split: str, counts: Mapping[str, int], seed: int, phrased: Sequence[Phrasing] | None = None
) -> list[ToolItem]:
    """``counts`` items of each function from one split's phrasings (or from ``phrased``) and values, none twice; as
    many of each phrasing, where the count allows it."""
    chosen = phrasings(split) if phrased is None else phrased
    seen: set[str] = set()
    items = []
    for name, count in counts.items():
        candidates = [phrasing for phrasing in chosen if phrasing.function == name]
        rng = random.Random(f"{seed}/{split}/{name}")
        for number in range(count):
            phrasing = candidates[number % len(candidates)]
            items.append(_new_item(f"{split}-{name}-{number}", split, "plain", phrasing, seen, rng))
    return items


def hard_set(split: str, per_kind: int, seed: int) -> list[ToolItem]:
    """``per_kind`` items of each kind and function: indirect, distractor, two intents, and typos in the split's plain
    phrasings."""
    seen: set[str] = set()
    by_kind: dict[tuple[str, str], list[Phrasing]] = {}
    for kind, phrasing in [*hard_phrasings(split), *(("typos", plain) for plain in phrasings(split))]:
        by_kind.setdefault((kind, phrasing.function), []).append(phrasing)
    items = []
    for (kind, name), candidates in by_kind.items():
        rng = random.Random(f"{seed}/hard/{kind}/{name}")
        for number in range(per_kind):
            phrasing = candidates[number % len(candidates)]
            if kind == "typos":
                phrasing = dataclasses.replace(phrasing, core=with_typo(phrasing.core, rng))
            item_id = f"{'hard' if split == 'test' else split}-{kind}-{name}-{number}"
            try:
                items.append(_new_item(item_id, split, kind, phrasing, seen, rng))
            except HareError:
                continue  # a phrasing without slots has few forms
    return items


def _new_item(
    item_id: str, split: str, kind: str, phrasing: Phrasing, seen: set[str], rng: random.Random
) -> ToolItem:
    for _ in range(_ATTEMPTS):
        item = _item(item_id, split, kind, phrasing, rng)
        if item.request.lower() not in seen:
            seen.add(item.request.lower())
            return item
    raise HareError(f"{phrasing.core!r} gives too few different requests.", "add phrasings, or ask for fewer items")


def _item(item_id: str, split: str, kind: str, phrasing: Phrasing, rng: random.Random) -> ToolItem:
    """One item; in training never a core with opener or closer that together are kept back."""
    while True:
        item = _drawn(item_id, split, kind, phrasing, rng)
        if split != "train" or not is_kept_back(phrasing.function, item.template.lower()):
            return item


def _drawn(item_id: str, split: str, kind: str, phrasing: Phrasing, rng: random.Random) -> ToolItem:
    core = one_way(phrasing, rng) if split == "train" else phrasing.core
    placeholders = list(dict.fromkeys(re.findall(r"\{(\w+)\}", core)))
    drawn = {name: draw(kind_of(name), split, rng) for name in placeholders}
    ends = re.search(r"\{(\w+?)\d?\}$", core)
    opener = rng.choice(openers(split))
    closer = rng.choice(closers(split, after_text=bool(ends and ends[1] in FREE_TEXT)))
    template = f"{opener} {core}{closer}".strip()
    if rng.random() < 0.5:
        template = template[0].upper() + template[1:]
    request = re.sub(r"\{(\w+)\}", lambda placeholder: drawn[placeholder[1]], template)
    slots = BY_NAME[phrasing.function].slots
    call = Call(phrasing.function, tuple(drawn[slot.name] for slot in slots))
    return ToolItem(
        item_id, split, kind, request, call, phrasing.core, core, template, tuple(drawn.items())
    )


def drawn_again(item: ToolItem, rng: random.Random) -> ToolItem:
    """Another item of the same phrasing: other choices in it, other words before and after, other values."""
    return _item(item.id, item.split, item.kind, Phrasing(item.call.function, item.pattern), rng)


def with_typo(core: str, rng: random.Random) -> str:
    """One letter swapped, dropped or doubled in each of up to two words that are no slot."""
    words = core.split(" ")
    places = [place for place, word in enumerate(words) if word.isalpha() and len(word) >= 4]
    for place in rng.sample(places, min(2, len(places))):
        word, at = words[place], rng.randrange(1, len(words[place]) - 1)
        swapped = word[:at] + word[at + 1] + word[at] + word[at + 2:]
        words[place] = rng.choice([swapped, word[:at] + word[at + 1:], word[:at] + word[at] + word[at:]])
    return " ".join(words)


def check_executable(items: Sequence[ToolItem]) -> int:
    """Execute every gold call in a sandbox of its own; the number of calls that had an effect.

    Raises:
        HareError: a gold call is refused.
    """
    phone = Phone()
    for item in items:
        phone.execute(item.call, item.request)
    return len(phone.log)


def overlaps(train: Sequence[ToolItem], other: Sequence[ToolItem]) -> pd.DataFrame:
    """What two sets share, one row per aspect: aspect, train, other, shared. A clean split has 0 everywhere.

    All in lower case; phrasings with their slots in braces, values outside slots by their kind.
    """
    rows = []
    for aspect, values_of in _ASPECTS.items():
        ours, theirs = (set(values_of(items)) for items in (train, other))
        rows.append({"aspect": aspect, "train": len(ours), "other": len(theirs), "shared": len(ours & theirs)})
    return pd.DataFrame(rows)


def _phrased(items: Sequence[ToolItem]) -> Iterator[str]:
    return (item.core.lower() for item in items)


_ASPECTS = {
    "requests": lambda items: (item.request.lower() for item in items),
    "templates": lambda items: (item.template.lower() for item in items),
    "phrasings": _phrased,
    "slot values": lambda items: (value.lower() for item in items for value in item.call.arguments),
    "values outside slots": lambda items: (
        (kind_of(name), value.lower()) for item in items for name, value in item.values
        if value not in item.call.arguments
    ),
}

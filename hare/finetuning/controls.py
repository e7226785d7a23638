"""A control without any network: words counted in a bag choose the function, rules fill its slots.

What this gets right needs no language model; what HARE-Tool gets right beyond it does.
"""

import re
from collections.abc import Sequence

from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from hare.finetuning.calls import Reading, checked
from hare.finetuning.functions import BY_NAME, Call, Function
from hare.finetuning.marks import pieces_of
from hare.finetuning.screening import objection_to_request
from hare.finetuning.tool_data import ToolItem

_SHAPES = ((re.compile(r"\S+@\S+"), " anaddress "), (re.compile(r"\+?\d[\d -]*\d"), " anumber "))
_WORD = re.compile(r"[\w'@.+-]*\w")  # not `hare.data.words`: a slot's value keeps its dots and signs


class BagOfWords:
    """A linear classifier over single words, and slots as the longest stretches of words that phrasings never use."""

    name = "bag-of-words"
    decoding = "rules"

    def __init__(self, items: Sequence[ToolItem], seed: int):
        """Learn from training items: which words speak for which function, and which words belong to phrasings."""
        self._counts = CountVectorizer(binary=True, token_pattern=r"[\w']+")
        self._chooser = LogisticRegression(max_iter=300, random_state=seed)
        self._chooser.fit(self._counts.fit_transform(_bag(item.request) for item in items),
                          [item.call.function for item in items])
        templates = (re.sub(r"\{\w+\}", " ", item.template) for item in items)
        self._phrasing_words = {word.lower() for template in templates for word in _WORD.findall(template)}

    def answer(self, requests: Sequence[str]) -> list[Reading]:
        """A call, or a refusal, for each request; what is screened off is never read."""
        chosen = self._chooser.predict(self._counts.transform(map(_bag, requests)))
        return [
            Reading(None, "", reason) if (reason := objection_to_request(request))
            else checked(Call(name, self._slots(request, BY_NAME[name])), request)
            for request, name in zip(requests, chosen, strict=True)
        ]

    def _slots(self, request: str, function: Function) -> tuple[str, ...]:
        if not function.slots:
            return ()
        if function.slots[0].name == "number":
            return tuple(match[0].strip() for match in re.finditer(_SHAPES[1][0], request))[:1]
        stretches = self._unused(request)
        longest = sorted(stretches, key=lambda stretch: stretch[0] - stretch[1])[: len(function.slots)]
        return tuple(request[start:end] for start, end in sorted(longest))

    def _unused(self, request: str) -> list[tuple[int, int]]:
        """Stretches of neighbouring words that no phrasing holds, as (start, end) in characters."""
        stretches: list[tuple[int, int]] = []
        joined = False
        for start, end in pieces_of(request):
            word = request[start:end]
            if word.lower() in self._phrasing_words or not _WORD.search(word):
                joined = False
                continue
            if joined:
                start = stretches.pop()[0]
            stretches.append((start, end))
            joined = True
        return stretches


def _bag(request: str) -> str:
    """The request with addresses and numbers replaced by what they are."""
    for shape, name in _SHAPES:
        request = shape.sub(name, request)
    return request.lower()

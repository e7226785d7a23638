"""Other orders of the same text: answer options, clauses, sentences, pairs of words."""

import re
from collections.abc import Sequence
from itertools import permutations

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'])")
_BY_PLACE = re.compile(r"\babove\b|\b(?:both|neither|all|none) (?:of )?(?:these|them|[A-E])\b"
                       r"|\b[A-E] (?:and|or|nor) [A-E]\b|^(?:both|neither|all|none)\b|^[IV]+\b", re.IGNORECASE)
_JOINS = "when|if|because|after|before|while|although|unless|until|since"
_CLAUSE_FIRST = re.compile(r"^(When|If|Because|After|Before|While|Although|Unless|Until|As|Once) ([^,.?!]+), ([^,?!]+)"
                           r"([.?!])$")
_CLAUSE_LAST = re.compile(rf"^([A-Z][^,.?!;:]*?) ({_JOINS}) ((?:[^\s,.?!;:]+ ){{2,}}[^\s,.?!;:]+)([.?!])$")
_BOUND = re.compile(rf"\b(?:{_JOINS}|as|than|that|not|even|only|just|right|soon|long|shortly|days?|weeks?|months?"
                    r"|years?|hours?|minutes?|ever|and|or|but)$", re.IGNORECASE)  # what follows belongs to it
_LOWERED = re.compile(r"(?:a|an|the|th[oe]se|this|that|s?he|it|they|we|you|his|her|its|their|our|your|what|which|who"
                      r"|whose|how|why|where|there|some|many|most|each|every|one|two|all|both|another|in|on|at|for|from|by|to)"
                      r"\b", re.IGNORECASE)  # a first word that is no name
_PAIR = re.compile(r"(?<![\w-])(of|with|for|from|between|both|the|his|her|their|its|your|some) "
                   r"([a-z]{3,}) (and|or) ([a-z]{3,})(?=[.,;?!]|$)")
_LONGEST_LIST = 6  # options of which all orders are looked through
_CALCULATION = re.compile(r"<<|####|[=+*/]")


def refers_by_place(options: Sequence[str]) -> bool:
    """Whether an option refers to others by position, as in "all of the above"; the options then keep their order."""
    return any(_BY_PLACE.search(option) for option in options)


def other_order(count: int, draw: int) -> tuple[int, ...]:
    """An order of ``count`` options in which none keeps its position and, from four options on, no two stay adjacent
    in order."""
    if count > _LONGEST_LIST:
        return (*range(1, count), 0)
    orders = [order for order in permutations(range(count)) if all(place != old for place, old in enumerate(order))]
    apart = [order for order in orders
             if all(second - first != 1 for first, second in zip(order, order[1:], strict=False))]
    return (apart or orders)[draw % len(apart or orders)]


def move_clauses(text: str) -> str:
    """"If X, Y." becomes "Y if X." and "Y if X." becomes "If X, Y.", where a single conjunction divides the
    sentence."""
    if "\n" in text:
        return "\n".join(move_clauses(line) for line in text.split("\n"))
    return _gap(text).join(_move_clause(sentence) for sentence in _SENTENCE_END.split(text))


def _move_clause(sentence: str) -> str:
    if _CALCULATION.search(sentence):
        return sentence
    if match := _CLAUSE_FIRST.match(sentence):
        word, clause, main, end = match.groups()
        return f"{main[0].upper()}{main[1:]} {word.lower()} {clause}{end}"
    match = _CLAUSE_LAST.match(sentence)
    if match is None or _BOUND.search(match[1]) or re.search(rf"\b(?:{_JOINS})\b", match[3]):
        return sentence
    main, word, clause, end = match.groups()
    if not _LOWERED.match(main) or len(main.split()) < 3:
        return sentence
    return f"{word.capitalize()} {clause}, {main[0].lower()}{main[1:]}{end}"


def question_first(text: str) -> str:
    """Put a closing question before the sentences that it is about."""
    sentences = _SENTENCE_END.split(text)
    if len(sentences) < 2 or not sentences[-1].endswith("?") or any(s.endswith("?") for s in sentences[:-1]):
        return text
    return _gap(text).join([sentences[-1], *sentences[:-1]])


def swap_pairs(text: str) -> str:
    """"of apples and pears." becomes "of pears and apples.", where both are single words at the end of a clause."""
    return _PAIR.sub(lambda match: f"{match[1]} {match[4]} {match[3]} {match[2]}", text)


def _gap(text: str) -> str:
    """The space between the sentences of a text: GSM8K's authors often typed two, which must not change."""
    return "  " if ".  " in text else " "

"""Other numbers for a worked problem, with every step of its solution recomputed.

A GSM8K solution carries its arithmetic in notes, ``<<48/2=24>>``. Numbers of the question that these notes use are
replaced, the notes are recomputed in order, and every number that follows from them changes too, also in the text.
Numbers are identified by their value, so an item is left unchanged where a value could mean two things, a step is not
exact, or a number has no known origin.
"""

import ast
import operator
import random
import re
from collections.abc import Iterator
from fractions import Fraction

Numbers = dict[Fraction, Fraction]  # value → the value that takes its place

_NUMBER = re.compile(r"(?<![\w.])(?>\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?>\.\d+)?(?![\w])|(?<!\w)(?<!\d\.)\.\d+(?!\w)")
_NOTE = re.compile(r"<<([^<>=]+)=([^<>=]+)>>")
_FINAL = re.compile(r"#### *(\S+)")
_SPELLED = {word: Fraction(value) for value, word in enumerate(
    ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"], start=2)}
_WORD = re.compile(rf"(?<![\w-])(?:{'|'.join(_SPELLED)})(?![\w-])", re.IGNORECASE)
_PROTECTED = re.compile(r"[%/:°-]|st\b|nd\b|rd\b|th\b")  # after a number: a percentage, fraction, time, range, rank
_UNITS = frozenset(map(Fraction, (1, 2, 7, 10, 12, 24, 30, 52, 60, 100, 365, 1000)))  # days, hours, dozens, per cent
_SHARES = frozenset(Fraction(*pair) for pair in ((1, 2), (1, 4), (3, 4), (1, 10), (1, 100)))
_THIRDS = re.compile(r"third|triple|thrice|quarter|fourth", re.IGNORECASE)
_TRIES = 40
_RANKS = re.compile(r"\b(?:first|second|third|fourth|fifth|last|other|youngest|oldest)\b", re.IGNORECASE)
_OPERATIONS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def other_numbers(question: str, solution: str, draw: int) -> Numbers:
    """Values to be replaced in question and solution alike; empty where that cannot be done safely.

    ``draw`` seeds the choice among the possible numbers.
    """
    steps = [(expression, value_of(result)) for expression, result in _NOTE.findall(solution)]
    if not steps or not calculations_hold(solution) or not _all_known(question, solution, steps):
        return {}
    free = _exchangeable(question, steps)
    rng = random.Random(draw)
    taken = set(_values(question)) | set(_values(solution)) | _UNITS
    for chosen in [free] * _TRIES + [[value] for value in free]:
        changed = _propagated(steps, _drawn(chosen, taken, rng)) if chosen else None
        if changed:
            return {old: new for old, new in changed.items() if old != new}
    return {}


def exchanged(text: str, numbers: Numbers) -> str:
    """The text with other numbers, written as the old ones were: with commas, or with as many decimals."""
    if not numbers:
        return text
    text = _WORD.sub(lambda match: _written(numbers[_SPELLED[match[0].lower()]], "")
                     if _SPELLED[match[0].lower()] in numbers else match[0], text)
    return _NUMBER.sub(lambda match: _written(numbers[value_of(match[0])], match[0])
                       if value_of(match[0]) in numbers else match[0], text)


def calculations_hold(solution: str) -> bool:
    """Whether every note of a worked solution is exact, and the final answer is one of the results."""
    try:
        results = []
        for expression, result in _NOTE.findall(solution):
            results.append(value_of(result))
            if _evaluated(expression, {}) != results[-1]:
                return False
        final = _FINAL.search(solution)
        return final is None or not results or value_of(final[1].strip("$.")) in results
    except (ValueError, SyntaxError, KeyError, ZeroDivisionError):
        return False


def value_of(number: str) -> Fraction:
    """The value of a number as written, such as ``1,200`` or ``.5``.

    Raises:
        ValueError: it is not a number.
    """
    return Fraction(number.strip().replace(",", "").lstrip("$"))


def _values(text: str) -> Iterator[Fraction]:
    yield from (value_of(match[0]) for match in _NUMBER.finditer(text))
    yield from (_SPELLED[match[0].lower()] for match in _WORD.finditer(text))


def _evaluated(expression: str, numbers: Numbers) -> Fraction:
    return _node(ast.parse(expression.replace(",", "").replace("$", "").strip(), mode="eval").body, numbers)


def _node(node: ast.expr, numbers: Numbers) -> Fraction:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        value = Fraction(str(node.value))
        return numbers.get(value, value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_node(node.operand, numbers)
    if isinstance(node, ast.BinOp):
        return _OPERATIONS[type(node.op)](_node(node.left, numbers), _node(node.right, numbers))
    raise ValueError(f"no arithmetic: {ast.dump(node)}")


def _all_known(question: str, solution: str, steps: list[tuple[str, Fraction]]) -> bool:
    """Whether every number of the solution comes from the question, from an earlier step or from common knowledge."""
    known = set(_values(question)) | _UNITS | _SHARES
    known |= {value / 100 for value in known}  # percentages
    if _THIRDS.search(question + solution):
        known |= {Fraction(3), Fraction(4), Fraction(1, 3), Fraction(2, 3)}
    for expression, result in steps:
        if not set(_values(expression)) <= known:
            return False
        known.add(result)
    return set(_values(solution)) <= known


def _exchangeable(question: str, steps: list[tuple[str, Fraction]]) -> list[Fraction]:
    """Whole numbers of the question that steps use, that are no step's result, and that have one meaning only."""
    operands = {value for expression, _ in steps for value in _values(expression)}
    results = {result for _, result in steps}
    fixed = {value_of(match[0]) for match in _NUMBER.finditer(question) if _PROTECTED.match(question, match.end())
             or question[match.start() - 1: match.start()] in ("/", "-", ":")}
    wanted = (set(_values(question)) & operands) - results - fixed - _UNITS
    least = 6 if _RANKS.search(question) else 3  # "3 houses … the third": a count that the text runs through
    return sorted(value for value in wanted if value.denominator == 1 and value >= least and not 1800 < value < 2100)


def _drawn(chosen: list[Fraction], taken: set[Fraction], rng: random.Random) -> Numbers:
    """Per value another one, at most a quarter of it (at least 2) away and as round, so that the story stays
    plausible."""
    numbers: Numbers = {}
    for value in chosen:
        step = max(1, _roundness(int(value)) // 10)
        reach = max(2, int(value) // 4 // step)
        for _ in range(_TRIES):
            new = value + step * rng.choice((-1, 1)) * rng.randint(1, reach)
            if new > 2 and new not in taken and new not in numbers.values():
                numbers[value] = new
                break
    return numbers


def _roundness(value: int) -> int:
    """The largest power of ten that divides a value."""
    power = 1
    while value % (power * 10) == 0:
        power *= 10
    return power


def _propagated(steps: list[tuple[str, Fraction]], numbers: Numbers) -> Numbers | None:
    """All values that change with ``numbers``; None when a result is implausible or a value would mean two things."""
    known = dict(numbers)
    fixed: set[Fraction] = set(_UNITS)
    for expression, result in steps:
        fixed |= {value for value in _values(expression) if value not in known}
        try:
            new = _evaluated(expression, known)
        except ZeroDivisionError:
            return None
        whole = result.denominator == 1
        believable = new > 0 and ((new.denominator == 1) if whole else ((new * 100).denominator == 1))
        if not believable or known.get(result, new) != new or (result in fixed and new != result):
            return None
        known[result] = new
    return known if numbers else None


def _written(value: Fraction, old: str) -> str:
    decimals = len(old.partition(".")[2])
    if value.denominator != 1 or decimals:
        decimals = max(decimals, 1 if (value * 10).denominator == 1 else 2)
        return f"{float(value):,.{decimals}f}" if "," in old else f"{float(value):.{decimals}f}"
    return f"{int(value):,}" if "," in old else str(int(value))

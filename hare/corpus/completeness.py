"""Does a text begin and end where a thought does?"""

import re
import symtable
import warnings

from hare.corpus.block import Edit, Removal

_SENTENCE_END = re.compile(r"[.!?…:;](?:[\"'”’»)\]*_]|\[\d+\])*(?=\s|$)")
_STOPS = (".", "!", "?", "…", ":", ";", "—")
_CLOSED = re.compile(r"[.!?…:;—](?:[\"'”’»)\]*_]|\[\d+\])*$")
_MOST_TRIMMED = 0.4  # share of characters
_SHORT_LINE = 8  # words: a signature, a heading, "THE END"


def ends_whole(text: str) -> bool:
    """Whether the last line ends a sentence, or is a short line of its own below one that does."""
    stripped = text.rstrip()
    if stripped.endswith(_STOPS):  # as most texts do, which need not be searched for what may stand behind a stop
        return True
    lines = [line.rstrip() for line in stripped.rsplit("\n", 3) if line.strip()]
    if not lines:
        return False
    if _CLOSED.search(lines[-1]):
        return True
    is_signature = len(lines[-1].split()) <= _SHORT_LINE and lines[-1].lstrip()[:1].isupper()
    return len(lines) > 1 and is_signature and bool(_CLOSED.search(lines[-2]))


def sentence_verdict(text: str, least_words: int) -> Removal | int:
    """Why the text is incomplete, or the number of characters of it that are whole sentences."""
    if text[:1].islower():
        return Removal("starts inside a sentence", 1.0)
    if ends_whole(text):
        return len(text)
    end = 0
    for match in _SENTENCE_END.finditer(text):
        end = match.end()
    trimmed = 1 - end / len(text)
    if trimmed > _MOST_TRIMMED or len(text[:end].split()) < least_words:
        return Removal("ends inside a sentence", trimmed, end)
    return end


def syntax_verdict(text: str) -> Removal | list[Edit]:
    """Removal when the text is no valid Python; the score is the line of the error.

    The symbol table needs the same parse as a syntax tree and several times less time.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            symtable.symtable(text, "<document>", "exec")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            line = getattr(error, "lineno", None) or 0
            at = sum(len(row) + 1 for row in text.split("\n")[: max(0, line - 1)])
            return Removal("does not parse", float(line), at)
    return []

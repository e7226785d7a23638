"""Does a text begin and end where a thought does?"""

import re
import symtable
import warnings
from functools import lru_cache

from hare.corpus.block import Edit, Removal
from hare.data.words import words

_SENTENCE_END = re.compile(r"[.!?…:;](?:[\"'”’»)\]*_]|\[\d+\])*(?=\s|$)")
_STOPS = (".", "!", "?", "…", ":", ";", "—")
_CLOSED = re.compile(r"[.!?…:;—](?:[\"'”’»)\]*_]|\[\d+\])*$")
_MOST_TRIMMED = 0.4  # share of characters
_AFTER_WORD = ",;:!?.\"'”’)"
_GLUED = re.compile(r"(?<=[a-z])[.!?,;:](?=[A-Z])")  # the end of a sentence whose blank was lost
_ENUMERATOR = re.compile(r"(?:[a-z]|[ivx]{1,5})[.)](?:\s|$)")
_PARTICLES = frozenset(
    str.split(
    "von vom van de der den del della dello degli dei di da dal do dos das du des la le les lo el al bin ibn ben "
    "bint ter ten te zu zum zur af av und y st san santa abu umm mac"
)
)  # before a name; written to it by a hyphen or apostrophe, they need no more
_VARIABLES = frozenset("bcefghijklnpqruvwxyz")  # single letters, but for those that an apostrophe leaves behind
_NAMES_IN_LOWER_CASE = frozenset(
    str.split(
    "adidas npm pip git curl grep awk sed bash zsh vim emacs nginx systemd gcc clang cmake numpy pandas scipy "
    "matplotlib seaborn scikit-learn networkx django flask pytest setuptools docker kubectl lululemon tumblr "
    "thirtysomething bell danah xkcd cummings nano sqlite redis mongodb mysql e-mail email"
)
)
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
    is_signature = len(words(lines[-1])) <= _SHORT_LINE and lines[-1].lstrip()[:1].isupper()
    return len(lines) > 1 and is_signature and bool(_CLOSED.search(lines[-2]))


def starts_inside(text: str) -> bool:
    """Whether the first word is one of the middle of a sentence: in lower case, and no name that is written so.

    A capital, digit or sign inside a word (``iPhone``, ``mRNA``, ``k.d. lang``), a particle before a name (``von
    Neumann``), an enumerator (``a)``) and some names of software and firms begin sentences as they are.
    """
    if not text[:1].islower():
        return False
    first, *following = text.split(maxsplit=2)[:2]
    word = _GLUED.split(first.rstrip(_AFTER_WORD), maxsplit=1)[0].rstrip(_AFTER_WORD)
    head = re.split(r"[-–'’]", word, maxsplit=1)[0]
    written_so = head in _VARIABLES or any(not "a" <= letter <= "ÿ" for letter in head) or word in _NAMES_IN_LOWER_CASE
    before_name = head in {*_PARTICLES, "d", "l", "o"} and bool(re.search(r"[-'’][A-Z]", word))
    if written_so or before_name or _ENUMERATOR.match(first):
        return False
    return not (word in _PARTICLES and following and following[0].lstrip("\"'“‘(")[:1].isupper())


def sentence_verdict(text: str, least_words: int) -> Removal | int:
    """Why the text is incomplete, or the number of characters of it that are whole sentences."""
    if starts_inside(text):
        return Removal("starts inside a sentence", 1.0)
    if ends_whole(text):
        return len(text)
    end = 0
    for match in _SENTENCE_END.finditer(text):
        end = match.end()
    trimmed = 1 - end / len(text)
    if trimmed > _MOST_TRIMMED or len(words(text[:end])) < least_words:
        return Removal("ends inside a sentence", trimmed, end)
    return end


def syntax_verdict(text: str) -> Removal | list[Edit]:
    """Removal when the text is no valid Python; the score is the line of the error."""
    if error := _syntax_error(text):
        line = getattr(error, "lineno", None) or 0
        at = sum(len(row) + 1 for row in text.split("\n")[: max(0, line - 1)])
        return Removal("does not parse", float(line), at)
    return []


def parses(text: str) -> bool:
    """Whether the text is valid Python."""
    return _syntax_error(text) is None


@lru_cache(maxsize=2)  # a file that has been redacted was parsed when it was
def _syntax_error(text: str) -> Exception | None:
    """The symbol table needs the same parse as a syntax tree and several times less time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            symtable.symtable(text, "<document>", "exec")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return error
    return None

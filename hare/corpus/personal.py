"""Personal information and web links: where they are in a text, and the text without them.

A redaction never harms: no removal joins two words, and code that parses before parses afterwards.
"""

import io
import re
import tokenize
from dataclasses import dataclass

from hare.corpus.completeness import parses
from hare.corpus.links import GAP, KNOWN_END, closed_up, replaced, run_start, without_bare_domains, without_links
from hare.corpus.masking import shape
from hare.corpus.numbers import without_numbers
from hare.data.document_words import words_of

_LETTER = r"(?:[A-Za-z0-9]|[^\x00-\x7f\u00a0-\u00bf\u2000-\u206f\u3000-\u303f\uff00-\uff0f\s])"  # any script's
_LAST_LABEL = rf"(?:xn--[A-Za-z0-9-]+|(?![0-9]){_LETTER}{{2,24}})(?![^\W_]|-[^\W_]|_\w)"
_HOST = rf"(?:{_LETTER}(?:{_LETTER}|-){{0,62}}\.)+{_LAST_LABEL}"
_EMAIL = re.compile(rf"[\w.+%&'~-]{{1,64}}(@{_HOST})")
_EMAIL_HOST = re.compile(f"@{_HOST}")
_ATTRIBUTE = (
    r".*\.(?:weights?|bias|data|shape|dtype|real|imag|flat|grad|inv|mean|sum|conj|dot|tensor|values?|array|matrix|size|"
    r"transpose|mT|mH)$"
)
_OPERAND = {  # what follows the sign of a matrix product, in code and in prose, where upper-case ends are countries'
    True: re.compile(rf"@(?:self|cls|np|torch|jnp|tf)\.|{_ATTRIBUTE}|.*\.[A-Z][a-z]?[A-Z]?$"),
    False: re.compile(rf"@(?:self|cls|np|torch|jnp|tf)\.\w+$|{_ATTRIBUTE}"),
}
_SPELLED_EMAIL = re.compile(
    r"\b[\w.+-]{1,64}\s?[\[(<{]\s?at\s?[\])>}]\s?[\w-]+(?:\s?(?:\.|[\[(<{]\s?dot\s?[\])>}])\s?[\w-]+)+", re.IGNORECASE
)
_SPELLED_AT = {bracket: re.compile(rf"{re.escape(bracket)}\s?[aA][tT]\s?[\])>}}]") for bracket in "[(<{"}
_SPOKEN_EMAIL = re.compile(
    r"\b[\w.+-]{1,64} at [\w-]+(?: dot [\w-]+)* dot (?:com|org|net|edu|gov|uk|de|fr|eu|ca|au|in|io)\b", re.IGNORECASE
)
_LONGEST_NAME = 320  # characters before an address's sign that are looked at
_CONTEXT = 60  # characters on each side of what was taken that are shown
_MOST_SHOWN = 1000  # characters of what was taken


@dataclass(frozen=True)
class Taking:
    """One kind of thing found in a text: how often, the characters it took, and the first of them with its context."""

    kind: str
    count: int
    characters: int
    excerpt: str


class _Collector:
    """Replaces matches and remembers them by kind."""

    def __init__(self) -> None:
        self.hits: dict[str, list[str]] = {}
        self.characters: dict[str, int] = {}

    def take(self, kind: str, match: re.Match[str]) -> str:
        """What stands in the place of a match, which is remembered."""
        hits = self.hits.setdefault(kind, [])
        start, end = match.span()
        hits.append("" if hits else _shown(match))
        self.characters[kind] = self.characters.get(kind, 0) + end - start
        return f"<{kind}>"

    def summary(self) -> list[Taking]:
        """All that was taken, by kind."""
        return [Taking(kind, len(hits), self.characters[kind], hits[0]) for kind, hits in self.hits.items()]


def without_personal_information(text: str, code: bool = False) -> tuple[str, list[Taking]]:
    """The text without links, and with ``<email>``, ``<phone>``, ``<ip>`` and ``<iban>`` in place of the rest.

    In ``code`` bare domains and phone-like numbers are left alone, since attributes and constants look like them; what
    breaks a file that parses is withdrawn, and only its strings and comments are redacted.
    """
    redacted, takings = _redacted(text, code)
    if code and takings and not parses(redacted) and parses(text):
        redacted, takings = _redacted_in_strings(text)
        if not parses(redacted):
            return text, []
    return redacted, takings


def _redacted(text: str, code: bool) -> tuple[str, list[Taking]]:
    collector = _Collector()
    words = words_of(text)
    text = without_links(text, collector.take)
    if "@" in text and (hosts := [host.start() for host in _EMAIL_HOST.finditer(text)]):
        starts = (_address_start(text, place) for place in hosts)
        text = replaced(text, starts, _EMAIL, lambda match: _without_email(collector, match, code))
    if not code:
        text = without_bare_domains(_spelled_out(text, collector), collector.take)
    text = without_numbers(text, words, code, collector.take)
    return closed_up(text, code) if GAP in text else text, collector.summary()


def _redacted_in_strings(text: str) -> tuple[str, list[Taking]]:
    """Python with the strings and comments redacted, each for itself."""
    lines, pieces, takings = text.splitlines(keepends=True), [], []
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    done = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.STRING, tokenize.COMMENT):
            start, end = (starts[row - 1] + column for row, column in (token.start, token.end))
            redacted, of_token = _redacted(text[start:end], code=True)
            pieces += [text[done:start], redacted]
            takings += of_token
            done = end
    return "".join([*pieces, text[done:]]), takings


def _address_start(text: str, end: int) -> int:
    """Where the part before the sign begins; a quotation mark or dash before it is none of it."""
    start = run_start(text, end, _in_address, _LONGEST_NAME)
    while start < end and text[start] in ".-%&'~":
        start += 1
    return start


def _in_address(character: str) -> bool:
    return character.isalnum() or character in "_.+-%&'~"


def _without_email(collector: _Collector, match: re.Match[str], code: bool) -> str:
    """An address, but for a matrix product: what stands behind its sign is called, indexed or an attribute. In prose
    a bracket behind a known domain is a remark or a note."""
    called = match.string[match.end() : match.end() + 1] in ("(", "[") and (code or not KNOWN_END.search(match[1]))
    if called or _OPERAND[code].match(match[1]):
        return match.group()
    return collector.take("email", match)


def _shown(match: re.Match[str]) -> str:
    """What was taken between its neighbours, in double brackets; of whole addresses and numbers only the shape.

    What is committed of it goes through `hare.corpus.masking` as well, which knows halves too.
    """
    text, (start, end) = match.string, match.span()
    taken = match.group() if end - start <= _MOST_SHOWN else f"{match.group()[:_MOST_SHOWN]}…"
    around = (text[max(0, start - _CONTEXT) : start], taken, text[end : end + _CONTEXT])
    pieces = [shape(piece) for piece in around]
    return "{}⟦{}⟧{}".format(*pieces).replace(GAP, "")


def _spelled_out(text: str, collector: _Collector) -> str:
    if any(bracket in text and pattern.search(text) for bracket, pattern in _SPELLED_AT.items()):
        text = _SPELLED_EMAIL.sub(lambda match: collector.take("email", match), text)
    if " dot " in text or " DOT " in text:
        text = _SPOKEN_EMAIL.sub(lambda match: collector.take("email", match), text)
    return text

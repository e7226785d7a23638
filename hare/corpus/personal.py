"""Personal information and web links in running text: where they are, and the text without them."""

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hare.data.words import words_of

_TLD = (
    r"(?:com|org|net|edu|gov|mil|int|info|biz|io|ai|dev|app|eu|uk|de|fr|es|it|nl|be|ch|at|se|no|fi|dk|pl|pt|ru|ca|us|au|"
    r"in|cn|jp|br)"
)
_REST = r"[^\s<>\"'`\\^{}|\[\]]"  # what may follow in an address
_SCHEME = r"(?:https?|hxxps?|ftps?|gopher|file|git|ssh|ldap|news)://"
_URL = re.compile(rf"(?:\b{_SCHEME}|\bwww\.|\bmailto:){_REST}+", re.IGNORECASE)
_AFTER_SCHEME = re.compile("://")
_MARKDOWN_LINK = re.compile(r"\[([^\[\]]{0,200})\]\((?:https?|ftp)://[^\s)]*\)")
_BARE_DOMAIN = re.compile(
    rf"(?<![\w@./$-])(?:[a-z0-9][a-z0-9-]{{0,62}}\.)+{_TLD}(?:/{_REST}*)?(?![\w@-]|\.[a-z])"
)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}(?![\w-])")
_EMAIL_HOST = re.compile(r"@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}(?![\w-])")
_SPELLED_EMAIL = re.compile(
    r"\b[\w.+-]{1,64}\s?[\[(<{]\s?at\s?[\])>}]\s?[\w-]+(?:\s?(?:\.|[\[(<{]\s?dot\s?[\])>}])\s?[\w-]+)+", re.IGNORECASE
)
_SPELLED_AT = {bracket: re.compile(rf"{re.escape(bracket)}\s?[aA][tT]\s?[\])>}}]") for bracket in "[(<{"}
_IPV4 = re.compile(r"(?<![\w.-])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w-]|\.[0-9])")
_TWO_DOTS = re.compile(r"\.[0-9]{1,3}\.[0-9]")  # there is no IPv4 address without
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:.])")
_TWO_COLONS = re.compile(r":[0-9A-Fa-f]{0,4}:")  # there is no IPv6 address without
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_KINDS = bytes(ord("A") if 65 <= byte <= 90 else ord("0") if 48 <= byte <= 57 else 32 for byte in range(256))
_PHONE = re.compile(  # begins with what sets of characters are searched for fast by, and then looks behind it
    r"[+(0-9](?<![\w.,:/+$£€=*-].)(?:"
    r"(?<=\+)\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){2,4}"  # +44 20 7946 0958
    r"|(?:(?<=1)[ .-]\(|(?<=\())\d{3}\) ?\d{3}[ .-]\d{4}"  # (202) 555-0143
    r"|(?:(?<=1)[ .-]\d{3}|(?<=\d)\d{2})([.-])\d{3}\1\d{4}"  # 202-555-0143
    r"|(?<=0)\d{2,4}[ -]\d{3,4}[ -]\d{3,4}"  # 020 7946 0958
    r")(?![\w-]|[.,]\d)"
)
_DOT_DOMAIN = re.compile(rf"\.(?=[a-z]){_TLD}\b")
_STOP = re.compile(r"[.,;:!?](?:\s|$)")
_GAP = "\x00"  # stands where a link was until the text around it is closed up; no text holds it any more
_TRAILING = ".,;:!?)*_"


Instead = Callable[[re.Match[str]], str]


@dataclass(frozen=True)
class Found:
    """One kind of thing found in a text: how often, the characters it took, and the first of them with its context."""

    kind: str
    count: int
    characters: int
    excerpt: str


class _Collector:
    """Replaces matches and remembers them by kind."""

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = {}
        self.characters: dict[str, int] = {}

    def take(self, kind: str, match: re.Match[str], instead: str) -> str:
        hits = self.found.setdefault(kind, [])
        hits.append("" if hits else match.string[max(0, match.start() - 60) : match.end() + 60])
        self.characters[kind] = self.characters.get(kind, 0) + match.end() - match.start()
        return instead

    def summary(self) -> list[Found]:
        return [Found(kind, len(hits), self.characters[kind], hits[0]) for kind, hits in self.found.items()]


def without_personal_information(text: str, code: bool = False) -> tuple[str, list[Found]]:
    """The text without links, and with ``<email>``, ``<phone>``, ``<ip>`` and ``<iban>`` in place of the rest.

    In ``code`` bare domains and phone-like numbers are left alone, since attributes and constants look like them.
    """
    collector = _Collector()
    text = _links(text, collector)
    if "@" in text and (hosts := [host.start() for host in _EMAIL_HOST.finditer(text)]):
        starts = (_run_start(text, place, _in_address) for place in hosts)
        text = _replaced(text, starts, _EMAIL, lambda match: collector.take("email", match, "<email>"))
    if not code:
        text = _spelled_out(text, collector)
    text = _numbers(text, collector, code)
    if _GAP in text:
        text = text.replace(_GAP, "") if code else _closed_up(text)
    return text, collector.summary()


def _replaced(text: str, places: Iterable[int], pattern: re.Pattern[str], instead: Instead) -> str:
    """``text`` with the matches of ``pattern`` that begin at one of ``places`` (ascending) replaced.

    The patterns are slow to search for; each has something in it that is quick to find, and that gives the places.
    """
    pieces: list[str] = []
    done = 0
    for place in places:
        match = pattern.match(text, place) if place >= done else None
        if match:
            pieces += [text[done:place], instead(match)]
            done = match.end()
    return "".join([*pieces, text[done:]]) if pieces else text


def _run_start(text: str, end: int, belongs: Callable[[str], bool]) -> int:
    """Where the run of characters that ends before ``end`` begins."""
    start = end
    while start and belongs(text[start - 1]):
        start -= 1
    return start


def _in_address(character: str) -> bool:
    return character.isalnum() or character in "_.+-"


def _in_domain(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character in ".-")


def _links(text: str, collector: _Collector) -> str:
    """Each link leaves a `_GAP` and the punctuation behind it; the words of a Markdown link stay."""
    if "](" in text:
        text = _MARKDOWN_LINK.sub(lambda match: collector.take("link", match, match.group(1)), text)
    signs = _AFTER_SCHEME.finditer(text) if "://" in text else ()
    places = [_run_start(text, sign.start(), str.isalpha) for sign in signs]
    for sign in ("www.", "WWW.", "mailto:"):
        places += [match.start() for match in re.finditer(sign, text)] if sign in text else []
    return _replaced(text, sorted(places), _URL, lambda match: _without_link(collector, match))


def _without_link(collector: _Collector, match: re.Match[str]) -> str:
    """Punctuation behind an address belongs to the sentence; a bracket that the address opened does not."""
    address = match.group()
    tail = address[len(address.rstrip(_TRAILING)) :]
    if tail.startswith(")") and "(" in address:
        tail = tail[1:]
    return collector.take("link", match, _GAP + tail)


def _closed_up(text: str) -> str:
    """The text without its gaps, and without the brackets and the second blank that a link leaves there."""
    pieces = [""]
    for piece in text.split(_GAP):
        pieces[-1:] = _seam(pieces[-1], piece) if len(pieces) > 1 else ("", piece)
    return "".join(pieces)


def _seam(left: str, right: str) -> tuple[str, str]:
    """The texts before and after a link, as they are to be joined."""
    before, after = left.rstrip(), right.lstrip()
    if before[-1:] + after[:1] in ("()", "<>", "[]"):
        left, right = before[:-1].rstrip(" \t"), after[1:]
    before, after = left.rstrip(" \t"), right.lstrip(" \t")
    if not after or after[0] == "\n" or _STOP.match(after):
        return before, after
    if len(before) < len(left) and len(after) < len(right):
        return before, f" {after}"
    return left, right


def _spelled_out(text: str, collector: _Collector) -> str:
    if any(bracket in text and pattern.search(text) for bracket, pattern in _SPELLED_AT.items()):
        text = _SPELLED_EMAIL.sub(lambda match: collector.take("email", match, "<email>"), text)
    if ends := [end.start() for end in _DOT_DOMAIN.finditer(text)]:
        starts = (_run_start(text, place, _in_domain) for place in ends)
        text = _replaced(text, starts, _BARE_DOMAIN, lambda match: _without_link(collector, match))
    return text


def _numbers(text: str, collector: _Collector, code: bool) -> str:
    """Each exact pattern is slow and rarely finds anything: what it cannot do without is looked for first."""
    if b"AA00" in text.encode("utf-8", errors="replace").translate(_KINDS):
        text = _IBAN.sub(lambda match: _account(collector, match), text)
    if text.count(":") > 1 and _TWO_COLONS.search(text):
        text = _IPV6.sub(lambda match: _address(collector, match), text)
    if _TWO_DOTS.search(text):
        text = _IPV4.sub(lambda match: _address(collector, match), text)
    if not code and ("+" in text or words_of(text).numbers_in_a_row):  # as in all but those that begin with a plus
        text = _PHONE.sub(lambda match: collector.take("phone", match, "<phone>"), text)
    return text


def _address(collector: _Collector, match: re.Match[str]) -> str:
    """Only addresses that the whole internet routes say anything about a person."""
    try:
        is_public = ipaddress.ip_address(match.group()).is_global
    except ValueError:
        is_public = False
    return collector.take("ip", match, "<ip>") if is_public else match.group()


def _account(collector: _Collector, match: re.Match[str]) -> str:
    return collector.take("iban", match, "<iban>") if is_iban(match.group()) else match.group()


def is_iban(candidate: str) -> bool:
    """Whether the check digits of an account number are right (ISO 13616, remainder 1 modulo 97)."""
    compact = candidate.replace(" ", "")
    if not 15 <= len(compact) <= 34:
        return False
    digits = "".join(str(int(character, 36)) for character in compact[4:] + compact[:4])
    return int(digits) % 97 == 1

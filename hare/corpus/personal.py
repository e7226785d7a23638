"""Personal information and web links in running text: where they are, and the text without them."""

import ipaddress
import re
from dataclasses import dataclass

_TLD = (
    r"(?:com|org|net|edu|gov|mil|int|info|biz|io|ai|dev|app|eu|uk|de|fr|es|it|nl|be|ch|at|se|no|fi|dk|pl|pt|ru|ca|us|au|"
    r"in|cn|jp|br)"
)
_REST = r"[^\s<>\"'`\\^{}|\[\]]"  # what may follow in an address
_SCHEME = r"(?:https?|hxxps?|ftps?|gopher|file|git|ssh|ldap|news)://"
_URL = re.compile(rf"(?:\b{_SCHEME}|\bwww\.|\bmailto:){_REST}+", re.IGNORECASE)
_MARKDOWN_LINK = re.compile(r"\[([^\[\]]{0,200})\]\((?:https?|ftp)://[^\s)]*\)")
_BARE_DOMAIN = re.compile(
    rf"(?<![\w@./$-])(?:[a-z0-9][a-z0-9-]{{0,62}}\.)+{_TLD}(?:/{_REST}*)?(?![\w@-]|\.[a-z])"
)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}(?![\w-])")
_SPELLED_EMAIL = re.compile(
    r"\b[\w.+-]{1,64}\s?[\[(<{]\s?at\s?[\])>}]\s?[\w-]+(?:\s?(?:\.|[\[(<{]\s?dot\s?[\])>}])\s?[\w-]+)+", re.IGNORECASE
)
_IPV4 = re.compile(r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:.])")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_PHONE = re.compile(
    r"(?<![\w.,:/+$£€=*-])(?:"
    r"\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){2,4}"  # +44 20 7946 0958
    r"|(?:1[ .-])?\(\d{3}\) ?\d{3}[ .-]\d{4}"  # (202) 555-0143
    r"|(?:1[ .-])?\d{3}([.-])\d{3}\1\d{4}"  # 202-555-0143
    r"|0\d{2,4}[ -]\d{3,4}[ -]\d{3,4}"  # 020 7946 0958
    r")(?![\w-]|[.,]\d)"
)
_DIGITS_IN_GROUPS = re.compile(r"[\d(+][\d ().-]{5,}\d")  # what phone numbers and IPv4 addresses have in common
_ACCOUNT_START = re.compile(r"[A-Z][A-Z]\d\d[ A-Z0-9]")
_DOT_DOMAIN = re.compile(rf"\.{_TLD}\b")
_EMPTY_BRACKETS = re.compile(r"[ \t]?(?:\(\s*\)|<\s*>|\[\s*\])")
_SPACES = re.compile(r"(?<=\S)[ \t]{2,}")
_SPACE_BEFORE_STOP = re.compile(r"(?<=\S)[ \t]+(?=[.,;:!?](?:\s|$))")
_TRAILING = ".,;:!?)*_"


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
        context = match.string[max(0, match.start() - 60) : match.end() + 60]
        self.found.setdefault(kind, []).append(context if kind not in self.found else "")
        self.characters[kind] = self.characters.get(kind, 0) + match.end() - match.start()
        return instead

    def summary(self) -> list[Found]:
        return [Found(kind, len(hits), self.characters[kind], hits[0]) for kind, hits in self.found.items()]


def without_personal_information(text: str, code: bool = False) -> tuple[str, list[Found]]:
    """The text without links, and with ``<email>``, ``<phone>``, ``<ip>`` and ``<iban>`` in place of the rest.

    In ``code`` bare domains and phone-like numbers are left alone, since attributes and constants look like them.
    """
    collector = _Collector()
    if "://" in text or "www." in text or "WWW." in text or "mailto:" in text:
        text = _MARKDOWN_LINK.sub(lambda match: collector.take("link", match, match.group(1)), text)
        text = _URL.sub(lambda match: _without_link(collector, match), text)
    if "@" in text:
        text = _EMAIL.sub(lambda match: collector.take("email", match, "<email>"), text)
    if not code:
        text = _spelled_out(text, collector)
    text = _numbers(text, collector, code)
    if "link" in collector.found and not code:
        text = _SPACE_BEFORE_STOP.sub("", _SPACES.sub(" ", _EMPTY_BRACKETS.sub("", text)))
    return text, collector.summary()


def _without_link(collector: _Collector, match: re.Match[str]) -> str:
    """Punctuation behind an address belongs to the sentence; a bracket that the address opened does not."""
    address = match.group()
    tail = address[len(address.rstrip(_TRAILING)) :]
    if tail.startswith(")") and "(" in address:
        tail = tail[1:]
    return collector.take("link", match, tail)


def _spelled_out(text: str, collector: _Collector) -> str:
    lowered = text.lower() if " at " in text or "[at" in text or "(at" in text else ""
    if any(mark in lowered for mark in ("[at]", "(at)", "[ at ]", "( at )", "<at>", "{at}")):
        text = _SPELLED_EMAIL.sub(lambda match: collector.take("email", match, "<email>"), text)
    if _DOT_DOMAIN.search(text):
        text = _BARE_DOMAIN.sub(lambda match: _without_link(collector, match), text)
    return text


def _numbers(text: str, collector: _Collector, code: bool) -> str:
    """The cheap patterns come first: most documents hold nothing that the exact ones need to look at."""
    if _ACCOUNT_START.search(text):
        text = _IBAN.sub(lambda match: _account(collector, match), text)
    if "::" in text or text.count(":") > 5:
        text = _IPV6.sub(lambda match: _address(collector, match), text)
    if _DIGITS_IN_GROUPS.search(text):
        text = _IPV4.sub(lambda match: _address(collector, match), text)
        if not code:
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

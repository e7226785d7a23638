"""Web links in running text: where they are, and the text without them, its words still apart."""

import re
from collections.abc import Callable, Iterable

Taken = Callable[[str, re.Match[str]], str]  # kind and match → what stands in its place
Instead = Callable[[re.Match[str]], str]

GAP = "\x00"  # stands where a link was until the text around it is closed up; no text holds it any more
_TLD = (
    r"(?:com|org|net|edu|gov|mil|int|info|biz|io|ai|dev|app|eu|uk|de|fr|es|it|nl|be|ch|at|se|no|fi|dk|pl|pt|ru|ca|us|au|"
    r"in|cn|jp|br|ly|me|gl|gg|tv|to|cc)"
)
_ALSO_WORDS = frozenset(str.split(  # or the ends of files' names
    "it in at be no us net int info io ai dev app pl"
))
_SHORTENED = frozenset(str.split("ly me gl gg tv to cc"))  # links of services that shorten them have a path
_REST = r"[^\s<>\"'`\\^{}|\[\]\x00]"  # what may follow in an address
_SCHEME = "(?:https?|hxxps?|ftps?|gopher|file|git|ssh|ldap|news)"
_SCHEME_BEFORE = re.compile(f"{_SCHEME}$", re.IGNORECASE)
_LONGEST_SCHEME = 6  # characters
_IN_BRACKETS = r"\[[0-9A-Fa-f:.]+\]"  # an IPv6 address as a host
_URL = re.compile(
    rf"(?:{_SCHEME}://(?:{_IN_BRACKETS}{_REST}*|{_REST}+)|\bwww\.{_REST}+|\bmailto:{_REST}+)", re.IGNORECASE
)
_AFTER_SCHEME = re.compile("://")
_SIGNS = ("www.", "WWW.", "Www.", "mailto:")
_MARKDOWN_LINK = re.compile(
    r"!?\[([^\[\]]{0,200})\]\(<?(?:https?|ftp)://(?:[^\s()]|\([^\s()]*\))*(?:\s+(?:\"[^\"]*\"|'[^']*'))?\s*\)"
)
_BARE_DOMAIN = re.compile(
    rf"(?<![\w@./$-])((?:[a-z0-9][a-z0-9-]{{0,62}}\.)+)({_TLD})(/{_REST}*)?(?![\w@-]|\.[a-z]|\()"
)
_HOST = re.compile(r"(?:[^.]{2,}\.){2,}|.*[0-9-].*")  # labels that no sentence ends with
KNOWN_END = re.compile(rf"\.{_TLD}$", re.IGNORECASE)
_DOT_DOMAIN = re.compile(rf"\.(?=[a-z]){_TLD}\b")
_VISITED = re.compile(
    r"(?<![A-Za-z])(?:visit\w*|web ?(?:site|page)?s?|sites?|home ?pages?|urls?|domains?|portal|online|http|links?|"
    r"browse|download\w*|hosted|registered|log on to|e-?mail)"
    r"(?:\W|(?<![A-Za-z])(?:at|on|is|to|from|us|our|the|see|of|called|named)(?![A-Za-z])){0,8}$",
    re.IGNORECASE,
)
_STOP = re.compile(r"[.,;:!?](?:\s|$)")
_PLACE = re.compile(r"%(?:[srdif](?![0-9A-Fa-f])|\()")
_TRAILING = ".,;:!?)*_"
_LONGEST_HOST = 253  # characters (RFC 1035)
_BEFORE = 40  # characters in which a word is looked for that says what follows


def without_links(text: str, taken: Taken) -> str:
    """``text`` with a `GAP` in the place of each link and the punctuation behind it; a Markdown link's words stay."""
    if "](" in text:
        text = _MARKDOWN_LINK.sub(lambda match: _words_of_link(match, taken), text)
    signs = (sign.start() for sign in _AFTER_SCHEME.finditer(text)) if "://" in text else ()
    schemes = [(sign, _SCHEME_BEFORE.search(text[max(0, sign - _LONGEST_SCHEME) : sign])) for sign in signs]
    places = [sign - len(scheme[0]) for sign, scheme in schemes if scheme]
    for sign in _SIGNS:
        places += [match.start() for match in re.finditer(re.escape(sign), text)] if sign in text else []
    return replaced(text, sorted(places), _URL, lambda match: _without_link(taken, match))


def without_bare_domains(text: str, taken: Taken) -> str:
    """The same for addresses without a scheme; where two words stand glued (``home.it``) no address is seen."""
    if ends := [end.start() for end in _DOT_DOMAIN.finditer(text)]:
        starts = (run_start(text, place, _in_domain, _LONGEST_HOST) for place in ends)
        text = replaced(text, starts, _BARE_DOMAIN, lambda match: _without_domain(taken, match))
    return text


def replaced(text: str, places: Iterable[int], pattern: re.Pattern[str], instead: Instead) -> str:
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


def run_start(text: str, end: int, belongs: Callable[[str], bool], longest: int) -> int:
    """Where the run of characters that ends before ``end`` begins, at most ``longest`` characters before it."""
    start, first = end, max(0, end - longest)
    while start > first and belongs(text[start - 1]):
        start -= 1
    return start


def _in_domain(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character in ".-")


def _words_of_link(match: re.Match[str], taken: Taken) -> str:
    """The words of a Markdown link, apart from what stands beside its brackets."""
    taken("link", match)
    text, start, end = match.string, match.start(), match.end()
    before = " " if text[start - 1 : start].isalnum() and match[1][:1].isalnum() else ""
    after = " " if text[end : end + 1].isalnum() and (match[1] or text[start - 1 : start])[-1:].isalnum() else ""
    return f"{before}{match[1]}{after}"


def _without_link(taken: Taken, match: re.Match[str]) -> str:
    """Punctuation behind an address belongs to the sentence; a bracket that the address opened does not.

    With a place for a value in it (``%s``) it is a part of a program, which would miss the place.
    """
    address = match.group()
    if _PLACE.search(address):
        return address
    end = min(len(address.rstrip(_TRAILING)), _unopened(address))
    if address[end : end + 1] == ")" and _unopened(address) > end:
        end += 1
    taken("link", match)
    tail = address[end:]
    return GAP + (without_links(tail, taken) if "://" in tail or "www." in tail.lower() else tail)


def _unopened(address: str) -> int:
    """Where the first bracket closes that was opened before the address; its length when none does."""
    depth = 0
    for place, character in enumerate(address if ")" in address else ""):
        depth += (character == "(") - (character == ")")
        if depth < 0:
            return place
    return len(address)


def _without_domain(taken: Taken, match: re.Match[str]) -> str:
    """An end that is also a word or a file's needs more: a path, a third label, a digit or hyphen, or "visit …"."""
    labels, end, path = match.groups()
    if end in _SHORTENED and not path:
        return match.group()
    plain = end in _ALSO_WORDS and not path and not _HOST.fullmatch(labels)
    if plain and not _VISITED.search(match.string[max(0, match.start() - _BEFORE) : match.start()]):
        return match.group()
    return _without_link(taken, match)


def closed_up(text: str, code: bool) -> str:
    """The text without its gaps; in prose also without the brackets and the second blank that a link leaves there."""
    pieces = [""]
    for piece in text.split(GAP):
        joined = (pieces[-1], piece) if code or len(pieces) == 1 else _seam(pieces[-1], piece)
        glued = len(pieces) > 1 and joined[0][-1:].isalnum() and joined[1][:1].isalnum()
        pieces[-1:] = (f"{joined[0]} ", joined[1]) if glued else joined
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

"""Excerpts as they may be shown: of addresses, handles and phone numbers only the shape, also where a cut halves it."""

import re

_CHARACTERS = re.compile(r"[^\W_]")
_WHOLE = re.compile(r"\S+\s?(?:@|[\[(<{]\s?at\s?[\])>}]|\bat\b)\s?\S+\.\S+", re.IGNORECASE)
_LONG_NUMBER = re.compile(r"\d[\d .()/-]{5,}\d")

_SPELLED = re.compile(  # with half of it missing too
    r"\S+\s?[\[(<{]\s?at\b\s?[\])>}]?\s?\S*|\S*\bat\s?[\])>}]\s?\S+|\S+ at \S+(?: dot \S+)+|"
    r"\S+ at (?!\S*://)\S+\.[a-z]{2,}\b\S*", re.IGNORECASE
)
_DECORATOR = r"(?:(?<=\n)|\A)[ \t]*@[A-Za-z_][\w.]*(?=\(|\s*(?:\n|\Z))"
_AROUND_SIGN = re.compile(rf"(?P<code>{_DECORATOR})|\S+\s?@\s?\S+\.\S+|\S*@\S*")
_PROFILE = re.compile(  # the page of a person: its path begins with a name
    r"\b(?:facebook|fb|twitter|x|instagram|linkedin|tiktok|github|gitlab|medium|reddit|youtube|t|telegram|vk)"
    r"\.[a-z]{2,3}(?P<path>/[^/\s]+)", re.IGNORECASE
)
_DOTTED = r"(?<![\w/.-])\w[\w'’-]*(?:[._][\w'’-]+)+[._]?"  # first.last or first_last, in no path
_AT_END = r"(?=…?\Z)"
_BESIDE_ADDRESS = (
    re.compile(r"(?:\"[^\"\n]*\"[ \t]*|(?:[^\W\d_][\w.'’-]*,?[ \t]+){1,4})(?=[<(\[]\s?[^\s>)\]]*@)"),  # Jane Doe <…@…>
    re.compile(_DOTTED),
    re.compile(rf"(?<=[,;:<])[ \t]*[\w.'’-]+(?:[ \t]+[\w.'’-]+){{0,2}}{_AT_END}"),  # the next of a list, cut
)
_WITHOUT_ADDRESS = (re.compile(_DOTTED + _AT_END),)

_GAP = r"[ \u00a0\u2009\u202f.()/\u2010-\u2014-]"  # what may stand between the digits of one number
_GROUPS = rf"\d+(?:{_GAP}+\d+)+"
_CALLED = r"\b(?:tel|phone|telephone|fax|mobile|call|dial)\b\W{0,4}"
_NUMBERS = (
    _LONG_NUMBER,
    re.compile(rf"{_CALLED}\d(?:(?:{_GAP}*\d){{2,}}|\d*{_AT_END})", re.IGNORECASE),
    re.compile(rf"(?<![\w+])\+{_GROUPS}"),
    re.compile(rf"(?<![^\s…▸⟦])(?:[+(]{{1,2}}\d+|[+(]?{_GROUPS}){_GAP}*{_AT_END}"),
    re.compile(rf"\A…?{_GAP}*{_GROUPS}"),
)


def shape(text: str) -> str:
    """The text with an x for each character of a whole e-mail address and a 0 for each digit of a longer number."""
    return _without_digits(_LONG_NUMBER, _WHOLE.sub(_crossed, text))


def masked(text: str) -> str:
    """The text with an x for each character of what may name a person, and a 0 for each digit of what may call one.

    Beside an address that is also the name shown with it, and the next entry of a list that the text's end cuts.
    """
    addressed = _SPELLED.search(text) or any(not match["code"] for match in _AROUND_SIGN.finditer(text))
    text = _SPELLED.sub(_crossed, text)
    text = _AROUND_SIGN.sub(lambda match: match.group() if match["code"] else _crossed(match), text)
    text = _PROFILE.sub(lambda match: match.group().removesuffix(match["path"]) + _crossed(match, "path"), text)
    for pattern in _BESIDE_ADDRESS if addressed else _WITHOUT_ADDRESS:
        text = pattern.sub(_crossed, text)
    for pattern in _NUMBERS:
        text = _without_digits(pattern, text)
    return text


def _crossed(match: re.Match[str], group: int | str = 0) -> str:
    return _CHARACTERS.sub("x", match[group])


def _without_digits(pattern: re.Pattern[str], text: str) -> str:
    return pattern.sub(lambda number: re.sub(r"\d", "0", number.group()), text)

"""Numbers that say who somebody is: public IP addresses, bank accounts and phone numbers.

Running text is full of numbers that only look like them: versions, sections, slices, sums of money. So a number counts
only with a checksum, with a shape that nothing else has, or with words beside it that say what it is.
"""

import ipaddress
import re
from collections.abc import Callable

from hare.data.document_words import Words, words_of
from hare.data.vocabulary import Vocabulary

Taken = Callable[[str, re.Match[str]], str]  # kind and match → what stands in its place

_BEFORE, _NEAR, _AFTER = 60, 30, 24  # characters in which words that say what a number is, or is not, are looked for
_QUAD = re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}")
_IPV4 = re.compile(rf"(?<![\w.-]){_QUAD.pattern}(?:-{_QUAD.pattern})?(?![\w-]|\.[0-9])")  # one, or from one to another
_TWO_DOTS = re.compile(r"\.[0-9]{1,3}\.[0-9]")  # there is no IPv4 address without
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:]|\.[0-9])")
_TWO_COLONS = re.compile(r":[0-9A-Fa-f]{0,4}:")  # there is no IPv6 address without
_UNICAST = ipaddress.ip_network("2000::/3")  # all that has been given out
_CONTEXT = re.compile(  # what a number of four parts may be, in a word beside it
    r"(?<![A-Za-z])(?:(?P<address>ip(?:v[46])?|addr(?:ess(?:es)?)?|hosts?|hostname|servers?|dns|ping\w*|gateways?|routers?|"
    r"subnets?|netmask|clients?|connect\w*|traffic|packets?|requests?|resolvers?|nameservers?|log(?:ged)? ?in|logins?|"
    r"ports?|ssh|telnet|rout(?:e[sd]?|ing)|block(?:ed|s)?|banned|visitors?|attack\w*|listen\w*|bind|proxy|peers?|"
    r"forwarded)"
    r"|v|ver|versions?|releas\w+|builds?|firmware|drivers?|kernels?|patch\w*|updat\w+|upgrad\w+|downgrad\w+|install\w*|"
    r"sect?|(?:sub)?sections?|chapters?|articles?|paragraphs?|para|clauses?|figures?|fig|tables?|items?|steps?|rules?|"
    r"annex\w*|append\w+|parts?|exercises?|problems?|questions?|theorems?|lemmas?|equations?|eqs?|examples?|levels?|"
    r"requirements?|standards?|categor\w+|class\w*|codes?|enzymes?|ec|oids?|chrome|firefox|safari|windows|linux|android|"
    r"ios|software|apps?|library|packages?|models?|revisions?|rev|editions?|protocol|verses?|numbers?|nos?|crowns?|"
    r"dollars?|euros?|pounds?)(?![A-Za-z])|[§¶#$€£]|(?P<sign>@|://)",
    re.IGNORECASE,
)
_FROM = re.compile(r"(?<![A-Za-z])(?:from|via)\s+[(\[\"'`<]?$", re.IGNORECASE)
_SERVED = re.compile(r":[0-9]{1,5}(?![\w:.])|/(?:[12]?[0-9]|3[0-2])(?![\w/.])")  # a port, or the size of a network
_NEXT_OF_LIST = 8  # characters between two numbers of one list
_THOUSANDS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{3})+")

_LENGTHS = dict(pair.split(":") for pair in str.split(
    "AD:24 AE:23 AL:28 AT:20 AZ:28 BA:20 BE:16 BG:22 BH:22 BI:27 BR:29 BY:28 CH:21 CR:22 CY:28 CZ:24 DE:22 DJ:27 "
    "DK:18 DO:28 EE:20 EG:29 ES:24 FI:18 FK:18 FO:18 FR:27 GB:22 GE:22 GI:23 GL:18 GR:27 GT:28 HN:28 HR:21 HU:28 "
    "IE:22 IL:23 IQ:23 IS:26 IT:27 JO:30 KW:30 KZ:20 LB:28 LC:32 LI:21 LT:20 LU:20 LV:21 LY:25 MC:27 MD:24 ME:22 "
    "MK:19 MN:20 MR:27 MT:31 MU:30 NI:28 NL:18 NO:15 OM:23 PK:24 PL:28 PS:29 PT:25 QA:29 RO:24 RS:22 RU:33 SA:24 "
    "SC:31 SD:18 SE:24 SI:19 SK:24 SM:27 SO:23 ST:25 SV:28 TL:23 TN:24 TR:26 UA:29 VA:22 VG:24 XK:20 YE:30"
))  # of an account number, in characters, by country (the registry of ISO 13616)
_GAP = "[ \t\u00a0\u2007\u2009\u202f.-]?"  # what people set between the groups of a number
_IBAN = {
    country: re.compile(rf"(?:[A-Za-z0-9]{_GAP}){{{int(length) - 1}}}[A-Za-z0-9](?![A-Za-z0-9])")
    for country, length in _LENGTHS.items()
}
_IBAN_START = re.compile(  # begins with a digit, since those are rare, and looks behind it for the country
    rf"[0-9](?:(?<=[A-Za-z]{{2}}.)|(?<=[A-Za-z]{{2}}{_GAP[:-1]}.)){_GAP}[0-9](?={_GAP}[A-Za-z0-9])"
)
_KINDS = bytes(
    ord("A") if 65 <= byte <= 90 else ord("a") if 97 <= byte <= 122 else ord("0") if 48 <= byte <= 57 else 32
    for byte in range(256)
)
_STARTS = (b"AA0", b"AA 0", b"aa00")  # how an account number begins, as kinds of characters

_APART = "[ \u00a0\u2009\u202f./\u2010-\u2013-]"  # signs between the groups of a number that begins with a plus
_PHONE = re.compile(  # begins with what sets of characters are searched for fast by, and then looks behind it
    r"[+(0-9](?:(?<![\w.,:/+$£€=*-].)|(?<=[A-Za-z]:\+))(?:"
    rf"(?<=\+)\d{{1,3}}{_APART}?(?:\(\d{{1,4}}\){_APART}?)?\d{{1,5}}(?:{_APART}?\d{{2,5}}){{1,5}}"  # +44 20 7946 0958
    r"|(?:(?<=1)[ .-]?\(|(?<=\())[2-9]\d{2}\) ?[2-9]\d{2}[ .-]\d{4}"  # (202) 555-0143
    r"|(?<=\()0\d{1,4}\) ?\d{3,4}[ -]?\d{3,5}"  # (020) 7946 0958
    r"|(?:(?<=1)([ .-])[2-9]\d{2}|(?<=[2-9])\d{2})([.-])[2-9]\d{2}\2\d{4}"  # 202-555-0143
    r")(?![\w-]|[.,]\d|[ .]\d{3})"
)
_CALLED = re.compile(
    r"(?<![A-Za-z])(?:tel(?:ephone)?s?|(?:tele)?phon(?:e[sd]?|ing)|call(?:ed|ing|s)?|fax(?:es)?|mobiles?|cell|cellphone|"
    r"dial(?:l?ed|l?ing)?|ring|rang|texts?|sms|whatsapp|hotline|helpline|contact|reach(?:ed)?|handy|toll.free|landline)"
    r"(?:[^\w\n]|(?<![A-Za-z])(?:me|us|him|her|them|at|on|by|numbers?|no|nr|is|are|was|the|our|my|your|his|their|office|"
    r"desk|direct|line|now|today|free|toll|back|or|and|phone|mobile|home|work|fax|tel|via|under|for|details|please|info|"
    r"information|support|reservations?)(?![A-Za-z])){1,12}$",
    re.IGNORECASE,
)
_COUNTED = re.compile(r"(?:calls?|called|calling|cell|rang|ring|texts?|reach(?:ed)?|contact|handy)\s+", re.IGNORECASE)
_DIALLED = re.compile(r"[(+0-9](?<![\w.,]{2})\(?\+?[\d \u00a0\u2011().\-/]{5,22}\d(?![\w]|[.,]\d)")
_CALLING = Vocabulary(words_of(
    "tel telephone telephones phone phones phoned phoning telephoned call called calling calls fax faxes mobile "
    "mobiles cell cellphone dial dialled dialed dialling dialing ring rang text texts sms whatsapp hotline helpline "
    "contact reach reached handy toll landline"
).hashes.tolist())
_PART = re.compile(
    r"(?<![A-Za-z])(?:parts?|models?|serial|orders?|invoices?|cases?|dockets?|catalog\w*|isbn|issn|doi|ids?|ref|"
    r"references?|items?|sku|grants?|accession|patents?|pages?|pp|ratio|lot|batch|products?|tracking)"
    r"(?:\W{1,3}(?:numbers?|no|nr|id|codes?))?(?:\W{1,3}(?:is|was|are))?\W{0,3}$",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{4}|(?:1\d|20)\d{2} ?[-/] ?(?:1\d|20)\d{2}"
)
_DATED = re.compile(rf"(?<!\d)(?:{_DATE.pattern}|(?:19|20)\d{{2}}/\d{{2}})(?!\d)|\((?:19|20)\d{{2}}\)")
_MEANS_MORE = re.compile(  # words that mean a phone beside a number of a phone's shape only
    r"(?:cell|rang|ring|texts?|reach(?:ed)?|handy)(?:\s+(?:at|on|by|the|is|was))*\s+", re.IGNORECASE
)
_OF_A_PHONE = re.compile(r"[+(0]|\d{3}[ .-]\d{3}[ .-]\d{4}$")
_SUM = re.compile(r"\+?[1-9]\d{0,2}(?:[ .\u00a0]\d{3})+")
_DECIMAL = re.compile(r"\+?\d+\.\d+(?:[-+]\d{1,3}\.\d+)?")  # one number, or two of a place on the map
_DIGIT = re.compile(r"\d")
_FEWEST_DIGITS, _MOST_DIGITS = 7, 15


def without_numbers(text: str, words: Words, code: bool, taken: Taken) -> str:
    """``text`` with what ``taken`` gives in the place of each number that says who somebody is.

    ``words`` are those of the text before anything was taken out. Phone numbers are not looked for in ``code``, whose
    constants look like them. Each exact pattern is slow and rarely finds anything: what it cannot do without is looked
    for first.
    """
    kinds = text.encode("utf-8", errors="replace").translate(_KINDS)
    if any(start in kinds for start in _STARTS):
        text = _without_accounts(text, taken)
    if text.count(":") > 1 and _TWO_COLONS.search(text):
        text = _IPV6.sub(lambda match: taken("ip", match) if _is_ipv6(match) else match.group(), text)
    if _TWO_DOTS.search(text):
        text = _without_ipv4(text, taken)
    if not code:
        if words.known(_CALLING, 1):
            text = _DIALLED.sub(lambda match: taken("phone", match) if _is_called(match) else match.group(), text)
        if "+" in text or "(0" in text or words.numbers_in_a_row:  # as in all but those that begin so
            text = _PHONE.sub(lambda match: taken("phone", match) if _is_phone(match) else match.group(), text)
    return text


def _without_ipv4(text: str, taken: Taken) -> str:
    """The numbers of a list are all addresses or none is, as its first is."""
    end, verdict = -_NEXT_OF_LIST - 1, False

    def judged(match: re.Match[str]) -> str:
        nonlocal end, verdict
        if match.start() - end > _NEXT_OF_LIST:
            verdict = _reads_as_address(match)
        end = match.end()
        return _without_quads(match, taken) if verdict else match.group()

    return _IPV4.sub(judged, text)


def _without_quads(match: re.Match[str], taken: Taken) -> str:
    pieces, done = [], match.start()
    for quad in _QUAD.finditer(match.string, match.start(), match.end()):
        pieces += [match.string[done : quad.start()], taken("ip", quad) if _is_global(quad.group()) else quad.group()]
        done = quad.end()
    return "".join(pieces)


def _reads_as_address(match: re.Match[str]) -> bool:
    """Whether the words nearest to a number of four parts, or else its shape, say that it is an address."""
    text, start, end = match.string, match.start(), match.end()
    before = text[max(0, start - _BEFORE, text.rfind("\n", 0, start) + 1) : start]
    near = len(before) - _NEAR
    kinds = [hint.lastgroup for hint in _CONTEXT.finditer(before) if hint.lastgroup or hint.end() > near]
    if not kinds and _SERVED.match(text, end):
        return True
    kinds = kinds or [hint.lastgroup for hint in _CONTEXT.finditer(text[end : end + _AFTER].partition("\n")[0])][:1]
    if kinds:
        return kinds[-1] is not None
    large = sum(len(part) == 3 for part in match.group().split("."))
    return bool(_FROM.search(before)) or (large >= 2 and not _THOUSANDS.fullmatch(match.group()))


def _is_global(candidate: str) -> bool:
    """Only addresses that the whole internet routes say anything about a person."""
    try:
        address = ipaddress.ip_address(candidate)
        return address.is_global and not address.is_multicast
    except ValueError:
        return False


def _is_ipv6(match: re.Match[str]) -> bool:
    """Slices (``x[::2]``, ``x[2000::5]``), times and scopes have colons too, but are no global unicast addresses."""
    candidate = match.group()
    try:
        address = ipaddress.IPv6Address(candidate)
    except ValueError:
        return False
    groups = [group for group in candidate.split(":") if group]
    long = sum(len(group) >= 3 for group in groups)
    spelled = len(groups) >= 3 and (long >= 2 or not candidate.replace(":", "").isdecimal())
    if address not in _UNICAST or not address.is_global:
        return False
    before = match.string[max(0, match.start() - _BEFORE) : match.start()].rpartition("\n")[2]
    return spelled or any(hint.lastgroup for hint in _CONTEXT.finditer(before))


def _without_accounts(text: str, taken: Taken) -> str:
    """Account numbers begin with a country, which says how many characters follow, however they are set apart."""
    pieces: list[str] = []
    done = 0
    for digit in _IBAN_START.finditer(text):
        start = digit.start() - (2 if text[digit.start() - 1].isalpha() else 3)
        apart = start >= done and not text[max(0, start - 1) : start].isalnum()
        pattern = _IBAN.get(text[start : start + 2].upper()) if apart else None
        match = pattern.match(text, start) if pattern else None
        if match and is_iban(match.group()):
            pieces += [text[done : match.start()], taken("iban", match)]
            done = match.end()
    return "".join([*pieces, text[done:]]) if pieces else text


def is_iban(candidate: str) -> bool:
    """Whether an account number is as long as its country's are and its check digits are right.

    Its check digits are right when the remainder modulo 97 is 1 (ISO 13616).
    """
    compact = re.sub(r"[\W_]", "", candidate).upper()
    digits = sum(character.isdecimal() for character in compact)
    if str(len(compact)) != _LENGTHS.get(compact[:2]) or not compact.isascii() or 2 * digits < len(compact):
        return False
    if re.search(r"\s", candidate) and candidate.upper() != candidate:  # words, not the groups of a number
        return False
    return int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4])) % 97 == 1


def _is_called(match: re.Match[str]) -> bool:
    """Whether a word before a number calls it a phone's, and it is no date, span of years or sum."""
    number = match.group()
    if not _FEWEST_DIGITS <= len(_DIGIT.findall(number)) <= _MOST_DIGITS:
        return False
    dated = _DATE.fullmatch(number) if number[0] in "+(" else _DATED.search(number)
    if dated or _DECIMAL.fullmatch(number):
        return False
    first = re.split(r"\D", number.lstrip("(+"), maxsplit=1)[0]
    if _SUM.fullmatch(number) and (len(first) < 3 or "000" in number):
        return False
    called = _CALLED.search(match.string[max(0, match.start() - _BEFORE) : match.start()])
    if not called or (number.isdecimal() and _COUNTED.fullmatch(called[0])):
        return False
    return bool(_OF_A_PHONE.match(number)) or not _MEANS_MORE.fullmatch(called[0])


def _is_phone(match: re.Match[str]) -> bool:
    """Whether a number of a phone's shape is one: no part of a longer number, no sum, no number of a part or page."""
    number, before = match.group(), match.string[max(0, match.start() - _BEFORE) : match.start()]
    if number.startswith("+"):
        digits = "".join(_DIGIT.findall(number))
        if _DECIMAL.fullmatch(number):
            return False
        if digits[0] in "17":  # North America and Russia, whose numbers have ten digits behind it
            return len(digits) == 11 and digits[1] not in "01" and not _SUM.fullmatch(number)
        return _FEWEST_DIGITS < len(digits) <= _MOST_DIGITS and not (_SUM.fullmatch(number) and "000" in number)
    joined = re.search(r"\d[ .-]$", before) and not re.search(r"(?<![\d.,-])\+?1[ .-]?$", before)
    return not joined and not _PART.search(before)

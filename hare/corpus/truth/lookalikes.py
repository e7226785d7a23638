"""Personal information in its many forms, and what only looks like it, put into clean texts and clean code.

A number of a person's is planted with the words that such numbers have beside them in real text, and so is its
look-alike: without them nobody could tell 4.18.2.1, the version, from 4.18.2.1, the address.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

FORMS = {
    "link": ("https://www.example{n}.com/path/page.html?x={n}&y=2#part", "http://sub.example{n}.co.uk/a_(b)/c",
             "www.example{n}.org/about", "ftp://files.example{n}.net/pub/{n}.txt", "docs{n}.example.io/guide",
             "hxxp://bad.example{n}.com/x"),
    "email": ("jane.doe{n}@example.com", "j_doe+tag{n}@mail.example.co.uk", "doe{n}@uni-example.edu",
              "jane{n} [at] example [dot] com", "INFO{n}@EXAMPLE.ORG", "info{n}@bücher.example",
              "doe{n} at example dot com"),
    "phone": ("+44 20 7946 0{n:03d}", "(202) 555-0{n:03d}", "202-555-0{n:03d}", "+1 212 555 0{n:03d}",
              "+49 (0)30 901820 {n:03d}", "202.555.0{n:03d}", "phone 020 7946 0{n:03d}", "call us at 555-0{n:03d}"),
    "ip": ("from 8.8.{n}.4", "the host 93.184.216.{n}", "2001:4860:4860::8{n:03d}", "the server at 5.9.{n}.17",
           "IP address 1.1.{n}.1"),
    "iban": ("GB82 WEST 1234 5698 7654 32", "DE89370400440532013000", "FR14 2004 1010 0505 0001 3M02 606",
             "BE68 5390 0754 7034", "NO93-8601-1117-947"),
}  # {n}: a number from 10 to 199
HARMLESS = {
    "versions": ("version 4.18.{n}.1", "release 10.4.2", "the driver 31.0.{n}.12", "firmware 2.{n}.0.7"),
    "sections": ("section 1.2.3.4", "chapter 3.2.1", "clause 4.{n}.1.2", "§ 7.1.1.3", "Acts 12:24"),
    "enzyme numbers": ("trypsin (EC 3.4.21.4)", "EC 1.1.1.{n}", "the enzyme 2.7.11.1"),
    "grouped numbers": ("1 000 000 {n:03d} crowns", "50 000 000 people", "12 345 678 {n:03d}", "1.234.567.{n:03d} lire",
                        "$1,234,567.89", "67,326,{n:03d}"),
    "dates and times": ("12 May 2019", "2019-05-12", "1914-1918", "10:30:15", "the year 2024.Then", "12.05.2019"),
    "other numbers": ("ISBN 978-0-306-40615-7", "3.14159265", "ratio 16:9", "part no. 202-555-0{n:03d}", "A4 paper",
                      "GB83 WEST 1234 5698 7654 32"),
    "private addresses": ("the host 192.168.0.{n}", "127.0.0.1", "fe80::{n}"),
    "file names": ("Node.js", "socket.io", "index.pl", "command.in", "asp.net", "setup.py", "notes.md"),
    "glued sentences": ("went home.it was late", "the end.in time", "said no.no one came", "so be it.us too"),
    "signs of code": ("@property", "x@self.weight", "A@B.T", "values[::2]", "react@18.2.0", "e.g. this", "M.Sc."),
}
_IN_CODE = {
    "link": "# see https://www.example{n}.com/path", "email": "AUTHOR_{n} = 'jane.doe{n}@example.com'",
    "ip": "HOST_{n} = '93.184.216.{n}'",
}
_HARMLESS_IN_CODE = {
    "slices": ("part_{n} = values_{n}[::2]", "part_{n} = values_{n}[20{n}::5]", "part_{n} = values_{n}[1::3, ::{n}]"),
    "matrix products": ("y_{n} = x@self.weight", "y_{n} = x@b.de", "y_{n} = (q@k.mT)@v.com", "y_{n} = f(a@w.t())"),
    "versions": ("VERSION_{n} = '4.18.{n}.1'", "# since version 1.2.{n}.4"),
}


@dataclass(frozen=True)
class Spoilt:
    """A text with ``spans`` (kind, text) that have to go and ``harmless`` ones that have to stay."""

    clean: str  # before anything was planted
    text: str
    spans: list[tuple[str, str]]
    harmless: list[tuple[str, str]]
    is_code: bool = False


def in_prose(texts: list[str], generator: random.Random) -> Iterator[Spoilt]:
    """Texts with one span of each kind and five look-alikes put between their words, some of them in brackets."""
    for number, text in enumerate(texts):
        words = text.split()[:150]
        spans = [(kind, _filled(forms[number % len(forms)], generator)) for kind, forms in FORMS.items()]
        kinds = generator.sample(sorted(HARMLESS), 5)
        harmless = [(kind, _filled(generator.choice(HARMLESS[kind]), generator)) for kind in kinds]
        planted = [span for _, span in spans + harmless]
        places = sorted(generator.sample(range(1, len(words)), len(planted)), reverse=True)
        generator.shuffle(planted)
        for place, span in zip(places, planted, strict=True):
            words.insert(place, f"({span})" if generator.random() < 0.3 else f"{span},")
        yield Spoilt(" ".join(text.split()[:150]), " ".join(words), spans, harmless)


def in_code(texts: list[str], generator: random.Random) -> Iterator[Spoilt]:
    """Python files with lines behind their last: personal information in strings and comments, and look-alikes."""
    for text in texts:
        spans = [(kind, _filled(form, generator)) for kind, form in _IN_CODE.items()]
        harmless = [(kind, _filled(form, generator)) for kind, forms in _HARMLESS_IN_CODE.items() for form in forms]
        lines = [line for _, line in spans + harmless]
        generator.shuffle(lines)
        yield Spoilt(text, "\n".join([text, *lines, ""]), spans, harmless, True)


def _filled(form: str, generator: random.Random) -> str:
    return form.format(n=generator.randint(10, 199))

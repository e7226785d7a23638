"""The human priors that look at one document at a time, each a block of its own."""

import re
import unicodedata
from pathlib import Path

import ftfy
import xxhash
from datatrove.data import Document

from hare.corpus.block import EXCERPT, Block, Edit, Removal, utf8_length
from hare.corpus.completeness import sentence_verdict, syntax_verdict
from hare.corpus.language import identify, reads_as_english
from hare.corpus.personal import without_personal_information
from hare.corpus.repetition import measures
from hare.corpus.rules import RULES, Rules
from hare.corpus.sources.readers import MALFORMED
from hare.data.document_words import words_of

_LARGEST_DOCUMENT = 2_000_000  # bytes
_MOST_DAMAGE = 0.001  # share of characters
_MOST_PERSONAL = 0.3  # share of characters
_BREAK = re.compile(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")  # ends a line, as Unicode has it
_PAGE_OF_CODE = re.compile(r"^\x0c+|\x0c+$", re.MULTILINE)  # a form feed that has a line of its own
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd\ud800-\udfff]")
_SOUND_ASCII = bytes(byte for byte in range(128) if not _CONTROL.match(chr(byte)) and byte != ord("\r"))
_INVISIBLE = re.compile(r"[\u200c-\u200f\u202a-\u202e\u2060\ufeff\u00ad]|(?<!\w)\u200b|\u200b(?!\w)")
_C1 = {  # control characters that are punctuation of Windows, read as Latin-1
    byte: bytes([byte]).decode("cp1252") for byte in range(0x80, 0xA0) if byte not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)
}
_WINDOWS = re.compile(r"[\x80-\x9f]")
_MOJIBAKE = re.compile(r"[ÂÃâ][\u0080-\u00bf€™œžŸš‚„†‡ˆ‰‹‘’“”•–—˜›]")
_SUSPICIOUS = re.compile(  # what all of them look for
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffd\ud800-\udfff\u200b-\u200f\u2028-\u202e\u2060\ufeff\u00adÂÃâ]"
)


def rules_of(document: Document) -> Rules:
    """The thresholds of the document's category."""
    return RULES[document.metadata["category"]]


class Soundness(Block):
    """Rows that are no text at all: malformed, empty, far too large, of damaged encoding, or with an id seen before."""

    name = "soundness"

    def start(self, rank: int) -> None:
        """Prepare for a shard; see `Block.start`."""
        self.seen: set[int] = set()  # hashes of the ids: a fraction of their memory

    def judge(self, document: Document) -> Removal | list[Edit]:
        """Why the document is removed, or the edits made to its text; see `Block.judge`."""
        text = document.text
        name = xxhash.xxh64_intdigest(document.id)
        if name in self.seen:
            return Removal("id seen before", 1.0)
        self.seen.add(name)
        if text.startswith(MALFORMED):
            return Removal("malformed row", 1.0)
        if len(text) > _LARGEST_DOCUMENT or utf8_length(text) > _LARGEST_DOCUMENT:
            document.text = text[:_LARGEST_DOCUMENT]
            return Removal("too large", len(text) / 1e6)
        if not text.strip():
            return Removal("empty", 0.0)
        return self._repaired(document)

    def _repaired(self, document: Document) -> Removal | list[Edit]:
        text, edits = document.text, []
        if text.isascii():
            if not text.encode().translate(None, _SOUND_ASCII):  # much the fastest way to see that nothing else occurs
                document.text = text.strip()
                return []
        elif not _SUSPICIOUS.search(text):
            document.text = unicodedata.normalize("NFC", text).strip()
            return []
        else:
            if mojibake := [match.start() for match in _MOJIBAKE.finditer(text)]:
                edits = [Edit("mojibake", len(mojibake), text[max(0, mojibake[0] - EXCERPT // 2) :])]
                text = ftfy.fix_encoding(text)
            text = unicodedata.normalize("NFC", _INVISIBLE.sub("", text).replace("\u200b", " "))
        text = _with_plain_breaks(text, rules_of(document).parses)
        if _WINDOWS.search(text):
            text = text.translate(_C1)
        damaged = [match.start() for match in _CONTROL.finditer(text)]
        if len(damaged) > _MOST_DAMAGE * len(text):
            return Removal("broken encoding", len(damaged) / len(text), damaged[0])
        document.text = _CONTROL.sub(_without_control, text).strip() if damaged else text.strip()
        return edits


def _with_plain_breaks(text: str, is_code: bool) -> str:
    """Every break of a line, of whatever script or printer, as ``\\n``; a blank in code, where it stands in strings."""
    if not is_code:
        return _BREAK.sub("\n", text)
    return _BREAK.sub(lambda match: "\n" if match.group()[0] == "\r" else " ", _PAGE_OF_CODE.sub("", text))


def _without_control(match: re.Match[str]) -> str:
    """Nothing, but a blank between two words; a damaged character is a part of its word."""
    start, end = match.span()
    apart = match.string[start - 1 : start].isalnum() and match.string[end : end + 1].isalnum()
    return " " if apart and match.group() < "\u00a0" else ""


class Language(Block):
    """Documents that are not English, or only partly; code and formulas are not asked."""

    name = "language"

    def judge(self, document: Document) -> Removal | list[Edit]:
        """Why the document is removed, or the edits made to its text; see `Block.judge`."""
        if not rules_of(document).natural_language or reads_as_english(document.text):
            return []
        identified = identify(document.text, document.metadata.get("punctuated", True))
        if not identified.is_english(len(document.text)):
            return Removal(f"not English but {identified.language}", identified.english, identified.at)
        return []


class PersonalInformation(Block):
    """Web links, e-mail addresses, phone numbers, public IP addresses and bank accounts: taken out of the text.

    A document goes when they are a large part of it.
    """

    name = "personal_information"

    def judge(self, document: Document) -> Removal | list[Edit]:
        """Why the document is removed, or the edits made to its text; see `Block.judge`."""
        code = not rules_of(document).natural_language
        text, takings = without_personal_information(document.text, code)
        taken = sum(item.characters for item in takings)
        if taken > _MOST_PERSONAL * len(document.text):
            return Removal("mostly links or personal information", taken / len(document.text))
        if takings:
            document.text = text
        return [Edit(item.kind, item.count, item.excerpt) for item in takings]


class Completeness(Block):
    """Semantically incomplete samples: too short, begun or ended inside a sentence, code that does not parse.

    A cut-off end is trimmed to the last whole sentence when most of the text remains; otherwise the document goes.
    """

    name = "completeness"

    def judge(self, document: Document) -> Removal | list[Edit]:
        """Why the document is removed, or the edits made to its text; see `Block.judge`."""
        rules = rules_of(document)
        words = len(words_of(document.text))
        if words < rules.least_words:
            return Removal("too few words", words)
        if rules.parses:
            return syntax_verdict(document.text)
        if not rules.sentences or not document.metadata.get("punctuated", True):
            return []
        verdict = sentence_verdict(document.text, rules.least_words)
        if isinstance(verdict, Removal):
            return verdict
        if verdict < len(document.text):
            edit = Edit("end trimmed", len(document.text) - verdict, document.text[verdict:].strip())
            document.text = document.text[:verdict]
            return [edit]
        return []


class Repetition(Block):
    """Boilerplate, repetition and text that is no prose: Gopher's measures, thresholds by category."""

    name = "repetition"

    def judge(self, document: Document) -> Removal | list[Edit]:
        """Why the document is removed, or the edits made to its text; see `Block.judge`."""
        for measure in measures(document.text, rules_of(document)):
            if not measure.low <= measure.value <= measure.high:
                return Removal(measure.name, measure.value, measure.at)
        return []


def single_document_blocks(trace: Path) -> list[Block]:
    """The blocks in their order: cheap and coarse ones first."""
    return [kind(trace) for kind in (Soundness, Language, PersonalInformation, Completeness, Repetition)]

"""Text tools that every stage shares: sentences, and random draws by hash."""

import hashlib
import re

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+(?=[\"'“‘(\[]?[A-Z0-9])")
_ABBREVIATION = re.compile(r"(?:^|[\s(.])(?:[A-Z]|Mrs?|Ms|Dr|St|Prof|Sr|Jr|Gen|Hon|No|vs|etc|e\.g|i\.e|ca?|cf|al)\.$")
_SPACES = re.compile(r"\s+")


def sentences(text: str) -> list[str]:
    """Sentences of running text, in order, with white space collapsed; abbreviations such as ``Dr.`` end none."""
    whole: list[str] = []
    for piece in _SENTENCE_END.split(_SPACES.sub(" ", text).strip()):
        if whole and _ABBREVIATION.search(whole[-1]):
            whole[-1] = f"{whole[-1]} {piece}"
        elif piece:
            whole.append(piece)
    return whole


def is_punctuated(text: str) -> bool:
    """Whether a text has punctuation and capitals, from which some corpora have been stripped."""
    return bool(re.search(r"[A-Z]", text)) and text.rstrip(" \"'”’)]").endswith((".", "!", "?"))


def rank(seed: int, key: str) -> int:
    """A pseudo-random 64-bit number from seed and key, the same on every machine and in every order."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{key}".encode(), digest_size=8).digest(), "big")

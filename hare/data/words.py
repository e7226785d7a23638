"""What a word is, for every stage: as strings, as positions in the text, and as hashes computed by numpy.

A word is a run of letters and digits of any script, case-folded. What formatting does to a text is ignored: case,
punctuation, emphasis marks (``*word*``, ``_word_``), HTML tags and entities (``&amp;``, ``&#39;``), full-width
and other compatibility forms (Unicode NFKC), soft hyphens and other invisible characters. `words` is that definition;
`word_spans` gives their positions; `word_hashes` gives one 64-bit number per word without a Python object for each.
datatrove's English word tokenizer is spaCy, several times slower than a whole cleaning pass.
"""

import hashlib
import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"[^\W_]+")
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,200}>|<!--.{0,2000}?-->", re.DOTALL)
_ENTITY = re.compile(r"&(?:amp;)*#?\w{1,31};")
_SEGMENT = re.compile(rf"({_TAG.pattern})|((?:{_ENTITY.pattern})+)|([\x00-\x7f]?[^\x00-\x7f]+)", re.DOTALL)
_INVISIBLE = frozenset(["Cf", "Mn", "Mc", "Me"])  # Unicode categories: format characters, marks on a letter
_LANE = 8  # bytes of a word that are hashed at once
_LONG_WORD = 64  # bytes; longer words are rare and hashed one by one
_BLOCK = 1 << 17  # bytes of text hashed at once, so that the temporary arrays stay in the processor's cache
_MASKS = np.array([(1 << (8 * size)) - 1 for size in range(_LANE + 1)], np.uint64)
_ODD_1, _ODD_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_NONE, _NOWHERE = np.zeros(0, np.uint64), np.zeros(0, np.int64)
_NGRAM_BASE = 0xD6E8FEB86659FD93  # odd, so that multiplication loses nothing
_SHIFT_1, _SHIFT_2 = np.uint64(32), np.uint64(29)


def _folded_byte(byte: int) -> int:
    """Lower case of an ASCII word character, 0 for any other ASCII byte; bytes beyond ASCII stay."""
    character = chr(byte)
    if byte < 128:
        return ord(character.lower()) if character.isalnum() else 0
    return byte


_FOLD_TABLE = bytes(_folded_byte(byte) for byte in range(256))


def words(text: str) -> list[str]:
    """The words of a text, case-folded, in order."""
    return [word.casefold() for word in _WORD.findall(_without_invisible(_plain(text)))]


def word_spans(text: str) -> list[tuple[int, int]]:
    """Where each of `words` starts and ends in ``text``, in characters; an entity or a ligature is never cut."""
    if text.isascii() and "&" not in text and "<" not in text:
        return [match.span() for match in _WORD.finditer(text)]
    plain, starts, ends = [], [], []
    for piece, start, end in _pieces(text):
        plain.append(piece)
        starts += [start] * len(piece)
        ends += [end] * len(piece)
    return [(starts[match.start()], ends[match.end() - 1]) for match in _WORD.finditer("".join(plain))]


def _pieces(text: str) -> Iterator[tuple[str, int, int]]:
    """The normalised text in which words are searched, piece by piece, each with its start and end in the text."""
    done = 0
    for match in _SEGMENT.finditer(text):
        first, last = match.span()
        yield from ((text[place], place, place + 1) for place in range(done, first))
        if match[1]:
            yield " ", first, last
        elif match[2]:
            yield _without_invisible(_plain(match[0])), first, last
        else:
            yield from _letters_with_marks(text, first, last)
        done = last
    yield from ((text[place], place, place + 1) for place in range(done, len(text)))


def _letters_with_marks(text: str, first: int, last: int) -> Iterator[tuple[str, int, int]]:
    """Each character with the invisible ones after it, which may combine with it."""
    start = first
    for place in range(first + 1, last + 1):
        if place == last or unicodedata.category(text[place]) not in _INVISIBLE:
            yield _without_invisible(unicodedata.normalize("NFKC", text[start:place])), start, place
            start = place


def _plain(text: str) -> str:
    """The text without tags, entities and compatibility forms; most texts have none and are returned as they are."""
    if "<" in text:
        text = _TAG.sub(" ", text)
    if "&" in text:
        text = _ENTITY.sub(lambda match: html.unescape(html.unescape(match[0])), text)
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def _without_invisible(text: str) -> str:
    if text.isascii():
        return text
    return "".join(character for character in text if unicodedata.category(character) not in _INVISIBLE)


@dataclass(frozen=True)
class WordHashes:
    """Word hashes of several texts, one after the other.

    ``hashes``: uint64[words]; ``offsets``: int64[texts + 1], text i has ``hashes[offsets[i]:offsets[i + 1]]``.
    """

    hashes: NDArray[np.uint64]
    offsets: NDArray[np.int64]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Words per text, int64[texts]."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class MeasuredWords(WordHashes):
    """With the words' ``sizes`` in bytes, int64[words], and which are ``numeric``, digits alone, bool[words]."""

    sizes: NDArray[np.int64]
    numeric: NDArray[np.bool_]


def word_hashes(texts: Sequence[str]) -> WordHashes:
    """Hash every word of ``texts``; equal words have equal hashes, and the cost is linear in bytes for any text.

    Memory: some 5 bytes per byte of text, so pass a few MB at a time.
    """
    data, limits = _folded(texts)
    hashes, starts, _ = _hashed(data)
    return WordHashes(hashes, np.searchsorted(starts, limits))


def measured_words(texts: Sequence[str]) -> MeasuredWords:
    """As `word_hashes`, with the size and the kind of each word."""
    data, limits = _folded(texts)
    hashes, starts, sizes = _hashed(data)
    return MeasuredWords(hashes, np.searchsorted(starts, limits), sizes, _numeric(data, starts, sizes))


def _numeric(data: bytes, starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which words, bool[words], are ASCII digits alone. Few bytes are digits, so only these are counted."""
    digits = (np.frombuffer(data, np.uint8) - ord("0") <= 9).nonzero()[0]  # smaller bytes wrap around
    if not len(digits):
        return np.zeros(len(sizes), np.bool_)
    return np.bincount(starts.searchsorted(digits, side="right") - 1, minlength=len(sizes)) == sizes


def _folded(texts: Sequence[str]) -> tuple[bytes, NDArray[np.int64]]:
    """The texts' words as case-folded UTF-8 separated by zero bytes, and the limits of the texts, int64[texts + 1].

    `_LANE` spare bytes follow.
    """
    encoded = [_plain(text).encode("utf-8", "replace") for text in texts]
    limits = np.cumsum([0, *(len(text) + 1 for text in encoded)])
    data = b"\0".join([*encoded, b""])
    if not data.isascii():
        data, limits = _folded_beyond_ascii(data, limits)
    return data.translate(_FOLD_TABLE) + bytes(_LANE), limits


def _hashed(data: bytes) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]:
    """Hashes, first bytes and sizes of the words in the result of `_folded`, block by block: three arrays [words]."""
    blocks = []
    low, size = 0, len(data) - _LANE
    while low < size:
        high = _cut(data, low, size)
        hashes, starts, sizes = _hash_block(data[low : high + _LANE])
        blocks.append((hashes, starts + low, sizes))
        low = high
    if len(blocks) == 1:
        return blocks[0]
    hashes, starts, sizes = zip((_NONE, _NOWHERE, _NOWHERE), *blocks, strict=True)
    return np.concatenate(hashes), np.concatenate(starts), np.concatenate(sizes)


def _folded_beyond_ascii(data: bytes, limits: NDArray[np.int64]) -> tuple[bytes, NDArray[np.int64]]:
    """Case-fold non-ASCII characters and blank those outside words; return the bytes and the ``limits`` shifted along.

    Runs of such characters are found by numpy and folded through a cache: they are short, few and often repeated.
    """
    beyond = np.flatnonzero(np.frombuffer(data, np.uint8) >= 128)
    breaks = np.flatnonzero(np.diff(beyond) > 1)
    starts, ends = beyond[np.concatenate(([0], breaks + 1))], beyond[np.concatenate((breaks, [-1]))] + 1
    pieces, done = [], 0
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        pieces.append(data[done:start])
        pieces.append(_folded_run(data[start:end]))
        done = end
    grown = np.cumsum([0, *map(len, pieces[1::2])]) - np.cumsum(np.concatenate(([0], ends - starts)))
    return b"".join([*pieces, data[done:]]), limits + grown[np.searchsorted(starts, limits)]


@lru_cache(maxsize=1 << 16)
def _folded_run(run: bytes) -> bytes:
    return "".join(map(_folded_character, run.decode("utf-8"))).encode("utf-8")


@lru_cache(maxsize=1 << 16)
def _folded_character(character: str) -> str:
    """Case-folded; '' for an invisible character, a blank for one that is part of no word."""
    if unicodedata.category(character) in _INVISIBLE:
        return ""
    return character.casefold() if character.isalnum() else " "


def _cut(data: bytes, low: int, size: int) -> int:
    """End of the block that starts at ``low``: at most one block later, unless a word is longer than that."""
    if size - low <= _BLOCK:
        return size
    cut = data.rfind(b"\0", low, low + _BLOCK)
    return (cut if cut > low else data.index(b"\0", low + _BLOCK)) + 1


def _hash_block(data: bytes) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]:
    """Hashes, first bytes and sizes of the words in ``data``, which ends in a zero byte and `_LANE` spare bytes."""
    inside = np.frombuffer(data, np.uint8)[: len(data) - _LANE] != 0
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    if inside[0]:
        edges = np.concatenate(([0], edges))
    starts, sizes = edges[0::2], edges[1::2] - edges[0::2]
    lanes = np.ndarray((len(data) - _LANE + 1,), "<u8", buffer=data, strides=(1,))  # the 8 bytes from each byte on
    hashes = _mixed(lanes[starts] & _MASKS[np.minimum(sizes, _LANE)])
    longer = np.flatnonzero(sizes > _LANE)
    for done in range(_LANE, _LONG_WORD, _LANE):
        if not len(longer):
            break
        lane = lanes[starts[longer] + done] & _MASKS[np.minimum(sizes[longer] - done, _LANE)]
        hashes[longer] = _mixed(hashes[longer] ^ lane)
        longer = longer[sizes[longer] > done + _LANE]
    for word in longer:
        digest = hashlib.blake2b(data[starts[word] : starts[word] + sizes[word]], digest_size=8).digest()
        hashes[word] = int.from_bytes(digest, "little")
    return hashes, starts, sizes


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A bijection of 64-bit numbers that spreads every bit over all others (multiply and xor-shift)."""
    values = values * _ODD_1
    values ^= values >> _SHIFT_1
    values *= _ODD_2
    values ^= values >> _SHIFT_2
    return values


def ngram_hashes(words: NDArray[np.uint64], n: int) -> NDArray[np.uint64]:
    """Polynomial hashes of all n-grams of words: uint64[words] → uint64[max(words − n + 1, 0)].

    hash(w₀ … wₙ₋₁) = Σ wⱼ · base^(n−1−j) mod 2⁶⁴, by doubling: about 2·log₂(n) passes.
    """
    if len(words) < n:
        return np.zeros(0, np.uint64)
    hashes, size = words, 1
    for bit in bin(n)[3:]:
        hashes = hashes[:-size] * _power(size) + hashes[size:]
        size *= 2
        if bit == "1":
            hashes = with_next_word(hashes[:-1], words[size:])
            size += 1
    return hashes


def with_next_word(ngrams: NDArray[np.uint64], following: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hashes of n-grams, uint64[ngrams], each made one word longer by the word that follows it, uint64[ngrams]."""
    return ngrams * _power(1) + following


def _power(exponent: int) -> np.uint64:
    return np.uint64(pow(_NGRAM_BASE, exponent, 1 << 64))

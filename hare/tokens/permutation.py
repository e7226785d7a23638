"""A pseudo-random permutation of any length that is computed element by element and takes no memory."""

import hashlib

_ROUNDS = 6
_WORD = (1 << 64) - 1


class Permutation:
    """A bijection of ``range(length)`` chosen by ``key``.

    A Feistel network permutes the next power of four; walking its cycle until the value falls below ``length`` keeps
    the bijection (cycle walking, Black and Rogaway 2002). One look-up costs a few microseconds at any length.
    """

    def __init__(self, length: int, *key: int):
        self.length = length
        self._half_bits = max(1, (max(length - 1, 1).bit_length() + 1) // 2)
        self._mask = (1 << self._half_bits) - 1
        self._round_keys = [_round_key(number, key) for number in range(_ROUNDS)]

    def __call__(self, index: int) -> int:
        """Where ``index`` of ``range(length)`` goes."""
        if not 0 <= index < self.length:
            raise IndexError(f"{index} is outside range({self.length})")
        value = self._encrypt(index)
        while value >= self.length:
            value = self._encrypt(value)
        return value

    def _encrypt(self, value: int) -> int:
        left, right = value >> self._half_bits, value & self._mask
        for key in self._round_keys:
            left, right = right, left ^ (_mixed(right ^ key) & self._mask)
        return left << self._half_bits | right


def _round_key(number: int, key: tuple[int, ...]) -> int:
    named = ",".join(map(str, (number, *key))).encode()
    return int.from_bytes(hashlib.blake2b(named, digest_size=8).digest(), "little")


def _mixed(value: int) -> int:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _WORD
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _WORD
    return value ^ value >> 31

"""Token sequences that share prefixes, merged into trees that a causal model reads in one forward pass.

Multiple-choice requests repeat themselves: all choices of an item follow the same few-shot prompt, and all questions of
an MMLU subject the same five examples. A pack holds such sequences as a tree in which every shared token stands once.
Attention is allowed from a token to its ancestors only and each token keeps the position that it has in its own
sequence, so that a token's hidden state is the one that it would have had in that sequence alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Pack:
    """Sequences merged into one tree; its nodes are numbered in the order in which they were added.

    ``tokens`` and ``positions`` have one entry a node. ``paths`` maps the number of each sequence to its nodes, root
    first. A branch is a run of nodes that one sequence added below the node ``trunk[-1]``.
    """

    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    paths: dict[int, np.ndarray] = field(default_factory=dict)
    _branches: list[tuple[int, int, np.ndarray]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.tokens)

    def add(self, number: int, sequence: Sequence[int], shared: int, neighbour: np.ndarray) -> None:
        """Add ``sequence``, whose first ``shared`` tokens are those of the path ``neighbour``, int64[nodes]."""
        trunk, start = neighbour[:shared], len(self)
        self.tokens.extend(sequence[shared:])
        self.positions.extend(range(shared, len(sequence)))
        self.paths[number] = np.concatenate([trunk, np.arange(start, len(self))])
        self._branches.append((start, len(self), trunk))

    def mask(self) -> np.ndarray:
        """Who sees whom: bool[nodes, nodes], true where the column is the row itself or an ancestor of it."""
        seen = np.zeros((len(self), len(self)), dtype=bool)
        for start, end, trunk in self._branches:
            seen[start:end, trunk] = True
            seen[start:end, start:end] = np.tri(end - start, dtype=bool)
        return seen


def pack(sequences: Sequence[Sequence[int]], spare: int = 1024) -> list[Pack]:
    """Merge ``sequences`` into packs; every sequence, by its number in the list, is in exactly one pack.

    A sequence joins the pack of its lexicographic neighbour when it shares more with it than it adds, and while the
    pack stays within ``spare`` tokens of the length of its first sequence: attention costs the square of a pack's size.
    """
    packs: list[Pack] = []
    before: Sequence[int] = []
    neighbour, room = np.empty(0, dtype=np.int64), 0
    for number in sorted(range(len(sequences)), key=lambda number: sequences[number]):
        sequence = sequences[number]
        shared = _common_prefix(before, sequence)
        added = len(sequence) - shared
        if not packs or shared < added or len(packs[-1]) + added > room:
            packs.append(Pack())
            shared, neighbour, room = 0, np.empty(0, dtype=np.int64), len(sequence) + spare
        packs[-1].add(number, sequence, shared, neighbour)
        before, neighbour = sequence, packs[-1].paths[number]
    return packs


def batches(packs: Sequence[Pack], tokens: int) -> list[list[Pack]]:
    """Packs of like size together, longest first, so that a batch padded to its longest holds at most ``tokens``.

    A pack larger than that makes a batch of its own.
    """
    grouped: list[list[Pack]] = []
    for candidate in sorted(packs, key=len, reverse=True):
        if not grouped or len(grouped[-1][0]) * (len(grouped[-1]) + 1) > tokens:
            grouped.append([])
        grouped[-1].append(candidate)
    return grouped


def _common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """Number of leading tokens that two sequences share."""
    for length, (left, right) in enumerate(zip(first, second, strict=False)):
        if left != right:
            return length
    return min(len(first), len(second))

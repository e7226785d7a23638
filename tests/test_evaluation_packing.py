"""Packs hold every sequence once, share what can be shared, and let no token see what it should not."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hare.evaluation.packing import batches, pack

SEQUENCES = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12).map(tuple), min_size=1, max_size=14)


@given(SEQUENCES, st.integers(0, 20))
def test_a_path_reads_as_its_sequence_and_sees_nothing_else(sequences: list[tuple[int, ...]], spare: int) -> None:
    packs = pack(sequences, spare)
    assert sorted(number for packed in packs for number in packed.paths) == list(range(len(sequences)))
    for packed in packs:
        mask = packed.mask()
        for number, path in packed.paths.items():
            assert tuple(packed.tokens[node] for node in path) == sequences[number]
            assert [packed.positions[node] for node in path] == list(range(len(path)))
            for depth, node in enumerate(path):
                assert set(np.flatnonzero(mask[node])) == set(path[: depth + 1])


@given(SEQUENCES)
def test_packs_never_hold_more_than_their_sequences(sequences: list[tuple[int, ...]]) -> None:
    assert sum(map(len, pack(sequences))) <= sum(map(len, sequences))


def test_choices_of_an_item_share_their_prompt() -> None:
    prompt = tuple(range(100))
    (packed,) = pack([(*prompt, 200), (*prompt, 201, 202), (*prompt, 203)])
    assert len(packed) == 104


def test_strangers_are_kept_apart() -> None:
    assert len(pack([(1, 2, 3, 4), (1, 9, 9, 9)])) == 2


def test_a_pack_stays_within_the_spare_tokens_of_its_first_sequence() -> None:
    prompt = tuple(range(50))
    packs = pack([(*prompt, *[first] * 10) for first in range(60, 80)], spare=30)
    assert all(len(packed) <= 60 + 30 for packed in packs) and len(packs) == 5


@given(SEQUENCES, st.integers(1, 60))
def test_batches_hold_every_pack_once_and_respect_the_budget(sequences: list[tuple[int, ...]], tokens: int) -> None:
    packs = pack(sequences)
    grouped = batches(packs, tokens)
    assert sorted(map(id, packs)) == sorted(id(packed) for group in grouped for packed in group)
    for group in grouped:
        assert len(group) == 1 or len(group) * max(map(len, group)) <= tokens

"""The two-stage mixture and the packed files beneath it: exact, repeatable, and nothing read twice too early."""

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hare.core.errors import HareError
from hare.core.profile import load_profile
from hare.tokens.mixture import (
    MOST_READINGS,
    Mixture,
    MixtureSpec,
    MixtureStage,
    affordable,
    arm_mixture,
    interleaved,
    quotas,
)
from hare.tokens.packed import TokenFile, fingerprint
from hare.tokens.permutation import Permutation

NAMES = ("d1", "d2", "d3")
weights = st.dictionaries(st.sampled_from(NAMES), st.floats(0.01, 100.0), min_size=1)


def token_files(folder: Path, sizes: dict[str, int]) -> dict[str, str]:
    """Files whose every token names its file and place, so that a window tells where it was cut."""
    folder.mkdir(exist_ok=True)
    for number, (name, size) in enumerate(sizes.items()):
        (np.arange(size) + 10_000 * number).astype("<u2").tofile(folder / f"{name}.ds")
    return {name: str(folder / f"{name}.ds") for name in sizes}


def specification(folder: Path, stages: tuple[MixtureStage, ...], seed: int = 0) -> MixtureSpec:
    files = token_files(folder, {"d1": 801, "d2": 95, "d3": 203})
    return MixtureSpec(files, {name: fingerprint(path) for name, path in files.items()}, stages, 8, seed)


TWO_STAGES = (MixtureStage(40, {"d1": 1.0}), MixtureStage(160, {"d1": 46.5, "d2": 13.63, "d3": 39.87}))


@given(st.integers(1, 5000), st.integers(0, 9), st.integers(0, 9))
def test_a_permutation_is_a_bijection(length: int, seed: int, epoch: int) -> None:
    permutation = Permutation(length, seed, epoch)
    assert sorted(permutation(i) for i in range(length)) == list(range(length))


def test_permutations_mix_and_differ_by_key() -> None:
    orders = [[Permutation(4096, 0, epoch)(i) for i in range(4096)] for epoch in range(4)]
    for first, second in zip(orders, orders[1:], strict=False):
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.06
        assert abs(np.corrcoef(range(4096), first)[0, 1]) < 0.06
    assert abs(np.corrcoef(orders[0][:-1], orders[0][1:])[0, 1]) < 0.06


@given(st.integers(1, 3000), weights)
def test_quotas_are_exact_and_within_one_of_the_weights(samples: int, by_file: dict[str, float]) -> None:
    shared = quotas(MixtureStage(samples, by_file))
    assert sum(shared.values()) == samples
    for name, weight in by_file.items():
        assert abs(shared[name] - samples * weight / sum(by_file.values())) < 1 + 1e-6


@given(st.integers(1, 400), weights)
def test_interleaving_grows_one_file_at_a_time_and_stays_near_the_line(samples: int, by_file: dict[str, float]) -> None:
    quota = quotas(MixtureStage(samples, by_file))
    before = interleaved(quota, 0)
    assert set(before.values()) == {0}
    for upto in range(1, samples + 1):
        after = interleaved(quota, upto)
        assert sorted(after[name] - before[name] for name in quota) == [0] * (len(quota) - 1) + [1]
        assert all(abs(after[name] - quota[name] * upto / samples) <= 1 for name in quota)
        before = after
    assert before == quota


def test_the_papers_run_needs_no_array(tmp_path: Path) -> None:
    """At 600B tokens the place of any sample is computed at once, and the shares come out exactly."""
    samples = 286_102 * 1024
    mixture = Mixture(specification(tmp_path, (MixtureStage(samples, TWO_STAGES[1].weights),)))
    drawn = mixture.drawn(samples)
    assert sum(drawn.values()) == samples
    assert drawn["d2"] == pytest.approx(0.1363 * samples, abs=1)
    assert mixture.place(samples - 1)[1] in {count - 1 for count in drawn.values()}


def test_every_file_is_read_once_per_epoch_and_reshuffled(tmp_path: Path) -> None:
    mixture = Mixture(specification(tmp_path, TWO_STAGES))
    starts: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for index in range(len(mixture)):
        sample = mixture.sample(index)
        assert sample.shape == (9,) and sample.dtype == np.int64
        assert (np.diff(sample) == 1).all()
        starts[int(sample[0]) // 10_000].append(int(sample[0]) % 10_000 // 8)
    for number, name in enumerate(NAMES):
        windows, offsets = mixture.files[name].windows, starts[number]
        for start in range(0, len(offsets), windows):
            epoch = offsets[start : start + windows]
            assert len(set(epoch)) == len(epoch) and set(epoch) <= set(range(windows))
    d3 = mixture.files["d3"].windows
    assert starts[2][:d3] != starts[2][d3 : 2 * d3] and mixture.epochs()["d3"] > 2


def test_stage_two_goes_on_where_stage_one_left_d1(tmp_path: Path) -> None:
    mixture = Mixture(specification(tmp_path, TWO_STAGES))
    places = [mixture.place(index) for index in range(len(mixture))]
    assert [place for place in places if place[0] == "d1"] == [("d1", i) for i in range(mixture.drawn(200)["d1"])]
    assert Counter(name for name, _ in places[:40]) == {"d1": 40}
    assert Counter(name for name, _ in places[40:]) == quotas(TWO_STAGES[1])


@given(st.integers(0, 199))
def test_a_restart_sees_the_same_samples(tmp_path_factory: pytest.TempPathFactory, start: int) -> None:
    folder = tmp_path_factory.getbasetemp() / "restart"
    spec = specification(folder, TWO_STAGES, seed=3)
    whole, restarted = Mixture(spec), Mixture(MixtureSpec.from_json(spec.to_json()))
    for index in range(start, min(start + 3, 200)):
        assert (whole.sample(index) == restarted.sample(index)).all()


def test_another_seed_is_another_order(tmp_path: Path) -> None:
    first, second = (Mixture(specification(tmp_path, TWO_STAGES, seed)) for seed in (0, 1))
    same = sum((first.sample(i) == second.sample(i)).all() for i in range(200))
    assert same < 60


def test_arms_share_the_budget_and_the_order_of_d1(tmp_path: Path) -> None:
    tokens, weights = load_profile("smoke").tokens, load_profile("laptop").training.arms
    token_files(tmp_path, dict.fromkeys([*NAMES, "d3_passages"], 40_000))
    arms = {arm: Mixture(arm_mixture(parts, tmp_path, tokens, 50, 8, 0)) for arm, parts in weights.items()}
    assert {len(mixture) for mixture in arms.values()} == {400}
    assert arms["a"].drawn(400) == {"d1": 400}
    full = arms["d"].drawn(400)
    assert full == {name: len([i for i in range(400) if arms["d"].place(i)[0] == name]) for name in NAMES}
    first_stage = round(tokens.stage1_share * 50) * 8
    for index in range(first_stage):
        assert (arms["a"].sample(index) == arms["d"].sample(index)).all()
    read = {arm: [arms[arm].sample(i) for i in range(400) if arms[arm].place(i)[0] == "d1"] for arm in ("b", "c")}
    assert all((ours == theirs).all() for ours, theirs in zip(read["b"], read["c"], strict=False)), "same order of D1"


def test_a_toy_arm_of_any_parts_and_weights(tmp_path: Path) -> None:
    token_files(tmp_path, dict.fromkeys(NAMES, 40_000))
    tokens = dataclasses.replace(load_profile("smoke").tokens, stage1_share=0.0)
    mixture = Mixture(arm_mixture({"d1": 1, "d3": 2}, tmp_path, tokens, 30, 4, 0))
    assert mixture.drawn(120) == {"d1": 40, "d3": 80}


def test_a_part_too_small_for_its_weight_is_read_four_times_at_the_most(tmp_path: Path) -> None:
    token_files(tmp_path, {"d1": 60_000, "d2": 1300, "d3": 60_000})
    tokens = load_profile("smoke").tokens
    mixture = Mixture(arm_mixture({"d1": 1.0, "d2": 8.0, "d3": 1.0}, tmp_path, tokens, 50, 8, 0))
    read = mixture.drawn(400)
    assert mixture.epochs()["d2"] == MOST_READINGS and read["d2"] == MOST_READINGS * mixture.files["d2"].windows
    assert abs(read["d3"] - (400 - read["d2"] - round(tokens.stage1_share * 50) * 8) / 2) <= 1, "others in proportion"
    with pytest.raises(HareError, match="d1, d2 are too small for 368 sequences: .* more than 4 times"):
        token_files(tmp_path, {"d1": 6000, "d2": 1300})
        arm_mixture({"d1": 1.0, "d2": 1.0}, tmp_path, tokens, 50, 8, 0)


@given(
    weights=st.dictionaries(st.sampled_from(["d1", "d2", "d3"]), st.floats(0.1, 10), min_size=1),
    room=st.lists(st.integers(0, 200), min_size=3, max_size=3), samples=st.integers(1, 300),
)
def test_lowered_weights_fit_and_add_up(weights: dict[str, float], room: list[int], samples: int) -> None:
    places = dict(zip(("d1", "d2", "d3"), room, strict=True))
    if sum(places[part] for part in weights) < samples:
        with pytest.raises(HareError, match="too small"):
            affordable(weights, places, samples)
        return
    lowered = affordable(weights, places, samples)
    total = sum(lowered.values())
    assert all(lowered[part] / total * samples <= places[part] + 1e-6 for part in weights)


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    spec = specification(tmp_path, TWO_STAGES)
    with (tmp_path / "d2.ds").open("r+b") as file:
        file.write(b"\x07")
    with pytest.raises(HareError, match=r"d2\.ds has changed since this run was planned"):
        Mixture(spec)


def test_fingerprints_of_large_files_see_size_and_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hare.tokens.packed._BLOCK_BYTES", 16)
    monkeypatch.setattr("hare.tokens.packed._BLOCKS", 8)
    path = tmp_path / "large.ds"
    content = np.arange(4000).astype("<u2")
    content.tofile(path)
    known = fingerprint(path)
    content[:-1].tofile(path)
    assert fingerprint(path) != known
    content[0] += 1
    content.tofile(path)
    assert fingerprint(path) != known


@pytest.mark.parametrize("size", [0, 1, 15, 17])
def test_a_file_too_short_or_cut_is_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "x.ds").write_bytes(b"\0" * size)
    with pytest.raises(HareError, match="sequence_length"):
        TokenFile(tmp_path / "x.ds", 8, 0)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(HareError, match=r"nowhere\.ds is missing"):
        TokenFile(tmp_path / "nowhere.ds", 8, 0)


def test_weights_that_share_nothing_are_refused() -> None:
    for by_file in ({}, {"d1": 0.0}, {"d1": -1.0, "d2": 2.0}):
        with pytest.raises(HareError, match="cannot be shared out"):
            quotas(MixtureStage(10, by_file))


@settings(max_examples=20)
@given(unique=st.integers(1, 12), seed=st.integers(0, 3))
def test_a_smaller_text_is_repeated_and_no_window_is_read_twice_per_epoch(
    tmp_path_factory: pytest.TempPathFactory, unique: int, seed: int
) -> None:
    path = tmp_path_factory.mktemp("tokens") / "a.ds"
    np.arange(10 * 4 + 1).astype("<u2").tofile(path)
    file = TokenFile(path, 4, seed, unique)
    size = min(unique, 10)
    assert file.windows == size
    epochs = [[int(file[epoch * size + number][0]) for number in range(size)] for epoch in range(3)]
    assert len(set(epochs[0])) == size
    assert all(sorted(epoch) == sorted(epochs[0]) for epoch in epochs)


def test_a_smaller_text_is_drawn_from_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.ds"
    np.arange(1000 * 4 + 1).astype("<u2").tofile(path)
    drawn = [int(TokenFile(path, 4, 0, 50)[number][0]) // 4 for number in range(50)]
    assert min(drawn) < 100 and max(drawn) > 900
    other = [int(TokenFile(path, 4, 1, 50)[number][0]) // 4 for number in range(50)]
    assert set(drawn) != set(other)


def test_a_mixture_with_a_smaller_text_survives_its_json(tmp_path: Path) -> None:
    path = tmp_path / "a.ds"
    np.arange(10 * 4 + 1).astype("<u2").tofile(path)
    spec = MixtureSpec({"a": str(path)}, {"a": fingerprint(path)}, (MixtureStage(9, {"a": 1.0}),), 4, 0, {"a": 3})
    assert MixtureSpec.from_json(spec.to_json()) == spec
    assert Mixture(spec).epochs() == {"a": 3.0}

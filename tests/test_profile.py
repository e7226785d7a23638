"""Profiles: typed, complete, and refused with every mistake named at once."""

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hare.core.chain import CHAIN
from hare.core.errors import HareError
from hare.core.profile import (
    PROFILES,
    Corpus,
    Profile,
    check_profile,
    known_profiles,
    load_profile,
    section_from,
)

SMOKE = PROFILES / "smoke.yaml"
VALUES = yaml.safe_load(SMOKE.read_text(encoding="utf-8"))
SECTIONS = [name for name, value in VALUES.items() if isinstance(value, dict)]


def _changed(section: str, **changes: Any) -> dict[str, Any]:
    values = copy.deepcopy(VALUES)
    values[section] |= changes
    return values


def test_the_four_profiles_load() -> None:
    assert set(known_profiles()) == {"smoke", "laptop", "single-gpu", "cluster"}
    for name in known_profiles():
        assert load_profile(name).name == name


def test_no_field_belongs_to_two_sections() -> None:
    names = [name for section in SECTIONS for name in VALUES[section]]
    assert len(names) == len(set(names))


def test_parameters_of_every_step_are_scalars_and_lists() -> None:
    profile = load_profile("laptop")
    for step in CHAIN:
        values = profile.parameters(step)
        assert values["profile"] == "laptop"
        assert all(isinstance(value, str | int | float | bool | list) for value in values.values())


def test_an_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(HareError, match="no profile 'labtop'.*\n.*cluster, laptop, single-gpu, smoke"):
        load_profile("labtop")


def test_a_typo_is_met_with_the_name_that_was_meant() -> None:
    values = _changed("corpus", heldout_fractoin=0.1)
    with pytest.raises(HareError, match="heldout_fractoin = 0.1: unknown key; did you mean 'heldout_fraction'"):
        check_profile(values, SMOKE)


def test_all_mistakes_are_reported_at_once() -> None:
    values = _changed("training", train_steps="many", schedule="zigzag")
    del values["corpus"]["corpus_seed"]
    with pytest.raises(HareError) as caught:
        check_profile(values, SMOKE)
    message = str(caught.value)
    assert "training.train_steps = 'many': a whole number is wanted" in message
    assert "training.schedule = 'zigzag': choose one of 'constant', 'cosine', 'wsd'" in message
    assert "corpus.corpus_seed: missing" in message


@pytest.mark.parametrize(
    ("section", "key", "value", "fix"),
    [
        ("model", "attention_heads", 5, "not a multiple"),
        ("model", "key_value_heads", 3, "does not divide attention_heads"),
        ("training", "tensor_parallel", 3, "cannot be split evenly"),
        ("training", "pipeline_parallel", 9, "at most that many stages"),
        ("training", "data_parallel", 0, "at least 1"),
        ("training", "warmup_steps", 10_000, "not below train_steps"),
        ("training", "min_learning_rate", 1.0, "at most learning_rate"),
        ("training", "arms", ["d2"], "d1 \\(the baseline, always needed\\)"),
        ("training", "training_seeds", [0, 0], "none twice"),
        ("tokens", "sequence_length", 10**6, "longer than model.max_positions"),
        ("deployment", "speed_new_tokens", 1, "at least 2"),
        ("deployment", "speed_repeats", 0, "at least 1"),
        ("deployment", "speed_prompt_tokens", 10**6, "longer than model.max_positions"),
    ],
)
def test_impossible_combinations_are_refused(section: str, key: str, value: Any, fix: str) -> None:
    with pytest.raises(HareError, match=f"{section}.{key} = .*{fix}"):
        check_profile(_changed(section, **{key: value}), SMOKE)


def test_a_file_must_carry_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(VALUES))
    with pytest.raises(HareError, match="profile.name = 'smoke': the file is called mine.yaml"):
        load_profile(str(path))
    path.write_text(yaml.safe_dump({**VALUES, "name": "mine"}))
    assert load_profile(str(path)).name == "mine"


def test_broken_yaml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("corpus: [")
    with pytest.raises(HareError, match="mine.yaml is not valid YAML"):
        load_profile(str(path))


@given(st.text(min_size=1).filter(lambda key: all(key not in VALUES[section] for section in SECTIONS)))
def test_any_unknown_key_is_refused_by_name(key: str) -> None:
    with pytest.raises(HareError) as caught:
        check_profile(_changed("corpus", **{key: 1}), SMOKE)
    assert f"profile.corpus.{key} = 1: unknown key" in str(caught.value)


@given(st.one_of(st.none(), st.text(), st.booleans(), st.lists(st.integers()), st.dictionaries(st.text(), st.text())))
def test_any_wrong_type_is_refused_by_name(value: Any) -> None:
    with pytest.raises(HareError, match="training.train_steps = .*a whole number is wanted"):
        check_profile(_changed("training", train_steps=value), SMOKE)


@given(st.one_of(st.none(), st.integers(), st.text(), st.lists(st.integers())))
def test_anything_but_a_mapping_is_refused(values: Any) -> None:
    with pytest.raises(HareError, match="a mapping of keys to values is wanted"):
        check_profile(values, SMOKE)


def test_a_section_comes_back_from_a_notebook() -> None:
    corpus = load_profile("smoke").corpus
    values = dataclasses.asdict(corpus)
    assert section_from(Corpus, values | {"unrelated": 1}) == corpus
    with pytest.raises(HareError, match="The parameters cell is wrong: Corpus.corpus_seed: missing"):
        section_from(Corpus, {name: value for name, value in values.items() if name != "corpus_seed"})


def test_a_profile_is_frozen() -> None:
    profile = load_profile("smoke")
    assert isinstance(profile, Profile)
    with pytest.raises(dataclasses.FrozenInstanceError):
        profile.name = "other"  # type: ignore[misc]

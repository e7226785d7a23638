"""Profiles: what they hold, and every way in which one can be wrong."""

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pydantic
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from papermill.translators import PythonTranslator

from hare.core.checked import checked
from hare.core.errors import HareError
from hare.core.profile import PROFILES, Profile, changed, check_profile, known_profiles, load_profile, section_of
from hare.core.sections import Leakage

MINE = Path("mine.yaml")
LAPTOP = load_profile("laptop")
VALUES = {
    name: {key: list(value) if isinstance(value, tuple) else value for key, value in section.items()}
    for name, section in dataclasses.asdict(LAPTOP).items() if isinstance(section, dict)
}
NUMBERS = [
    (section, key, value) for section, fields in VALUES.items() for key, value in fields.items()
    if isinstance(value, int | float) and not isinstance(value, bool)
]
MAY_BE_ZERO = {
    "hub_shards", "corpus_seed", "synthesis_seed", "indexed_items",
    "decontamination_seed", "stage1_share", "zero_stage", "warmup_steps", "weight_decay",
    "items_per_task", "evaluation_seed", "leakage_peer_samples", "training_minutes",
    "leakage_seed", "tool_paraphrases", "baseline_items", "chat_items", "finetuning_seed", "quality_tool_items",
}


def _with(section: str, **changes: Any) -> dict[str, Any]:
    values = copy.deepcopy(VALUES)
    values[section] |= changes
    return values


def _refusal(values: Any) -> str:
    with pytest.raises(HareError) as caught:
        check_profile(values, MINE)
    return str(caught.value)


def test_the_profiles_that_ship_load_and_hold_only_what_differs() -> None:
    assert set(known_profiles()) >= {"smoke", "laptop", "single-gpu", "cluster"}
    for name in known_profiles():
        profile = load_profile(name)
        assert (profile.name, profile.source) == (name, name)
        stated = yaml.safe_load((PROFILES / f"{name}.yaml").read_text()) or {}
        for section, fields in stated.items():
            if isinstance(fields, dict):
                same = [key for key in fields if getattr(getattr(profile, section), key) == VALUES[section][key]]
                assert not same, f"{name}.{section} repeats the defaults of {same}"


def test_no_field_belongs_to_two_sections() -> None:
    names = [name for section in VALUES for name in VALUES[section]]
    assert sorted(names) == sorted(LAPTOP.fields())
    assert section_of("train_steps") == "training"


def test_an_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(HareError, match="no profile 'labtop'.*\n.*cluster, laptop"):
        load_profile("labtop")


def test_all_mistakes_are_reported_at_once() -> None:
    values = _with("training", train_steps="many", schedule="zigzag", learning_rate="3e-3")
    values["corpus"]["heldout_fractoin"] = 0.1
    values["model"]["attention_heads"] = 5
    message = _refusal(values)
    for line in (
        "training.train_steps = 'many': a whole number is wanted here, not str",
        "training.schedule = 'zigzag': choose one of 'constant', 'cosine' or 'wsd'",
        "training.learning_rate = '3e-3': a number is wanted here, not str (YAML takes 3e-3 for a text: write 3.0e-3)",
        "corpus.heldout_fractoin = 0.1: unknown key; did you mean 'heldout_fraction'?",
        "model.attention_heads = 5: hidden_size 128 is not a multiple of it; choose a divisor",
    ):
        assert f"\n    {line}\n" in message


@pytest.mark.parametrize(
    ("section", "key", "value", "fix"),
    [
        ("model", "attention_heads", 128, "leaves it even"),
        ("model", "key_value_heads", 3, "does not divide attention_heads"),
        ("training", "tensor_parallel", 3, "cannot be split evenly"),
        ("training", "pipeline_parallel", 9, "at most that many stages"),
        ("training", "zero_stage", True, "a whole number is wanted"),
        ("training", "warmup_steps", 10_000, "not below train_steps"),
        ("training", "min_learning_rate", 1.0, "at most learning_rate"),
        ("training", "arms", {}, "at least 1"),
        ("training", "arms", {"d2": {"d2": 1}}, "d1 is always needed"),
        ("training", "arms", ["d1", "d1+d2"], "a mapping is wanted here, not list"),
        ("training", "training_seeds", [0, 0], "none twice"),
        ("training", "training_seeds", [], "at least 1"),
        ("tokens", "vocabulary", "own-12", "own-<number of pieces"),
        ("tokens", "vocabulary", "gpt2", "own-<number of pieces"),
        ("tokens", "sequence_length", 10**6, "longer than model.max_positions"),
        ("leakage", "leak_sequence_length", 10**6, "longer than model.max_positions"),
        ("leakage", "leak_items", {1: 10, 2: 10}, "never planted, the control"),
        ("leakage", "leak_items", {0: 10, 2: 0}, "at least 1"),
        ("leakage", "leak_items", {0: 10, 2: 5, "2": 6}, "no key twice"),
        ("leakage", "leak_hidden_sizes", [33], "choose multiples"),
        ("decontamination", "d2_ngrams", [1], "at least 2"),
        ("finetuning", "finetuning_seeds", [0, 0], "none twice"),
        ("finetuning", "finetuned_arm", "d4", "choose one of training.arms"),
        ("finetuning", "instruct_model", "vllm", "URL"),
        ("synthesis", "generator", "gpt", "URL of an OpenAI-compatible server"),
        ("synthesis", "generator", "http://", "URL of an OpenAI-compatible server"),
        ("deployment", "speed_new_tokens", 1, "at least 2"),
        ("deployment", "speed_prompt_tokens", 10**6, "longer than model.max_positions"),
    ],
)
def test_what_cannot_work_is_refused(section: str, key: str, value: Any, fix: str) -> None:
    assert f"    {section}.{key}" in (message := _refusal(_with(section, **{key: value}))) and fix in message


def test_a_pipeline_needs_micro_batches() -> None:
    message = _refusal(_with("training", pipeline_parallel=2))
    assert "training.gradient_accumulation = 1: a pipeline of 2 stages needs at least as many micro-batches" in message


@pytest.mark.parametrize(("arms", "place"), [
    ({"d1": {"d1": 1}, "x": {"d9": 1}}, "training.arms.x.d9"),
    ({"d1": {"d1": 1}, "X/y": {"d1": 1}}, "training.arms.X/y"),
    ({"d1": {"d1": 1}, "x": {"d1": 0}}, "training.arms.x.d1"), ({"d1": {"d1": 1}, "x": {}}, "training.arms.x"),
    ({"d1": {"d1": float("inf")}}, "training.arms.d1.d1"), ({"d1": {"d1": 1}, "x": 3}, "training.arms.x"),
])
def test_an_arm_is_of_known_parts_and_weights_above_0(arms: Any, place: str) -> None:
    assert f"\n    {place} = " in _refusal(_with("training", arms=arms))


def test_arms_may_have_any_parts_and_weights() -> None:
    profile = check_profile(_with("training", arms={"d1": {"d1": 1}, "mixed": {"d1": 1, "d3": 2}}) | {
        "finetuning": {"finetuned_arm": "mixed"}}, MINE)
    assert profile.training.arms["mixed"] == {"d1": 1.0, "d3": 2.0}


@pytest.mark.parametrize(("section", "key", "value"), NUMBERS, ids=lambda value: str(value))
def test_no_number_goes_beyond_its_bounds(section: str, key: str, value: float) -> None:
    wrong = [-7, float("nan"), float("inf"), 10**400, True, "1", None, [value]]
    for bad in wrong + ([] if key in MAY_BE_ZERO else [0]):
        assert f"    {section}.{key} = " in _refusal(_with(section, **{key: bad})), bad
    if key in MAY_BE_ZERO:
        check_profile(_with(section, **{key: 0}), MINE)


@pytest.mark.parametrize("key", ["tasks", "leakage_benchmarks"])
def test_benchmarks_are_known_by_name(key: str) -> None:
    assert "arc_challenge" in _refusal(_with(section_of(key), **{key: ["arc_challenge", "arc"]}))
    assert "none twice" in _refusal(_with(section_of(key), **{key: ["gsm8k", "gsm8k"]}))


def _file(folder: Path, name: str, text: str) -> str:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return str(folder / name)


def test_a_file_extends_another_and_arms_are_replaced_as_a_whole(tmp_path: Path) -> None:
    _file(tmp_path, "base.yaml", "extends: smoke\ntraining: {train_steps: 20}\ncorpus: {cleaning_workers: 1}\n")
    path = _file(tmp_path, "mine.yaml", "extends: base.yaml\ntraining: {arms: {d1: {d1: 2}}}\n"
                 "finetuning: {finetuned_arm: d1}\nnotebook_minutes: 5\n")
    profile = load_profile(path)
    assert (profile.name, profile.source, profile.notebook_minutes) == ("mine", path, 5)
    assert profile.training.train_steps == 20 and profile.training.arms == {"d1": {"d1": 2.0}}
    assert profile.corpus.cleaning_workers == 1 and profile.model == load_profile("smoke").model


def test_a_profile_by_a_relative_path_keeps_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _file(tmp_path, "my own.yaml", "")
    monkeypatch.chdir(tmp_path)
    assert load_profile("my own.yaml").source == path and load_profile("my own.yaml").name == "my own"


@pytest.mark.parametrize(("name", "text", "message"), [
    ("mine.yaml", "extends: mine.yaml", r"extends itself: mine.yaml → mine.yaml"),
    ("mine.yaml", "extends: other.yaml", r"extends itself: mine.yaml → other.yaml → mine.yaml"),
    ("mine.yaml", "extends: nowhere", "There is no profile 'nowhere'"),
    ("mine.yaml", "extends: [smoke]", "a text is wanted here"),
    ("mine.yaml", "corpus: [", "mine.yaml is not valid YAML"),
    ("mine.yaml", "\x00", "mine.yaml is not valid YAML"),
    ("mine.yaml", "- 3", "a mapping of keys to values is wanted here"),
    ("mine.yaml", "synthesis:\n  topics: 3\n  topics: 4\n", "the key 'topics' is given twice"),
    ("mine.yaml", "corpus: {}\ncorpus: {}\n", "the key 'corpus' is given twice"),
    ("mine.yaml", "name: smoke", "name = 'smoke': the file is called mine.yaml"),
    ("mine.yaml", "source: smoke", "source = 'smoke': unknown key"),
    ("mine.yaml", "1: 2", "Keys should be strings"),
    ("published.yaml", "", "the name 'published': taken"),
    ("a@b.yaml", "", "no good name"),
    (".yaml", "", "no good name"),
    ("folder.yaml/x", "", "no profile"),
])
def test_files_that_are_not_profiles_are_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    _file(tmp_path, "other.yaml", "extends: mine.yaml")
    path = _file(tmp_path, name, text).removesuffix("/x")
    with pytest.raises(HareError, match=message):
        load_profile(path)


def test_changes_pass_through_the_same_checks() -> None:
    other = changed(LAPTOP, {"train_steps": 50, "training_seeds": [3]}, "the cell", LAPTOP.fields())
    assert other.training.training_seeds == (3,)
    with pytest.raises(HareError, match=r"the cell cannot be used:\n    training.warmup_steps = .*: not below"):
        changed(LAPTOP, {"train_steps": 5}, "the cell", LAPTOP.fields())
    assert changed(LAPTOP, {"train_steps": 5}, "the cell", ["train_steps"]).training.train_steps == 5
    with pytest.raises(HareError, match=r"training.train_steps = 0: choose at least 1"):
        changed(LAPTOP, {"train_steps": 0, "hidden_size": 7}, "the cell", LAPTOP.fields())


@given(st.text(min_size=1).filter(lambda key: all(key not in fields for fields in VALUES.values())))
def test_any_unknown_key_is_refused_by_name(key: str) -> None:
    assert f"corpus.{key} = 1: unknown key" in _refusal(_with("corpus", **{key: 1}))


@given(st.one_of(st.none(), st.text(), st.booleans(), st.lists(st.integers()), st.dictionaries(st.text(), st.text())))
def test_any_wrong_type_is_refused_by_name(value: Any) -> None:
    message = _refusal(_with("training", train_steps=value))
    assert "training.train_steps = " in message and "a whole number is wanted" in message


def test_batch_arithmetic_stands_in_one_place() -> None:
    training = dataclasses.replace(
        LAPTOP.training, micro_batch=3, gradient_accumulation=5, data_parallel=7, tensor_parallel=2, pipeline_parallel=4
    )
    assert (training.global_batch, training.processes) == (105, 56)


def test_a_profile_is_frozen_and_checked_however_it_is_made() -> None:
    assert isinstance(LAPTOP, Profile)
    with pytest.raises(dataclasses.FrozenInstanceError):
        LAPTOP.name = "other"  # type: ignore[misc]
    with pytest.raises(pydantic.ValidationError):
        dataclasses.replace(LAPTOP.training, train_steps=0)


@pytest.mark.parametrize("name", known_profiles())
def test_what_papermill_writes_into_a_cell_is_read_as_it_was(name: str) -> None:
    profile = load_profile(name)
    leakage, cell = profile.leakage, dict[str, Any]()
    exec(PythonTranslator.codify(profile.fields()), cell)  # as papermill injects parameters
    read = checked(Leakage, {field: cell[field] for field in Leakage.__dataclass_fields__}, "the cell", "correct it")
    assert read == leakage

"""The same fine-tunes from models pretrained for fewer and for more tokens."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from hare.core.profile import load_profile
from hare.finetuning import lengths, runs
from hare.finetuning.sft import Schedule
from hare.finetuning.tool_data import plain_set
from hare.finetuning.tools import COPIED, MARKED
from hare.training.inputs import Inputs
from tests.chat_toys import save_toy


@dataclasses.dataclass(frozen=True)
class _Planned:
    training: object
    tokens: int = 1000


def test_each_length_is_the_arms_run_with_other_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = load_profile("smoke")
    requests: list[dict] = []

    def run_of_arm(weights: dict, seed: int, model: object, tokens: object, training: object, inputs: Inputs) -> object:
        requests.append({"weights": weights, "seed": seed, "training": training, "heldout": inputs.heldout})
        return _Keyed(training)

    monkeypatch.setattr(lengths, "run_of_arm", run_of_arm)
    config = dataclasses.replace(profile.finetuning, pretraining_lengths=(0.5, 2.0))
    inputs = Inputs(tmp_path, {"web": tmp_path / "web.ds"}, tmp_path)
    listed = lengths.further_runs(tmp_path, config, profile.model, profile.tokens, profile.training, inputs)
    arm = profile.training
    assert [run.training.train_steps for run in listed] == [arm.train_steps // 2, 2 * arm.train_steps]
    assert all(one["weights"] == arm.arms["d"] and one["seed"] == 0 and one["heldout"] == {} for one in requests)
    assert dataclasses.replace(
        listed[1].training, train_steps=arm.train_steps, checkpoint_interval=arm.checkpoint_interval) == arm


@dataclasses.dataclass(frozen=True)
class _Keyed:
    training: object

    def keyed(self, parent: Path, name: str) -> "_Keyed":
        assert name.endswith("-steps")
        return self


def test_systems_are_called_after_the_tokens_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = save_toy(tmp_path / "hf")
    monkeypatch.setattr(lengths, "train", lambda run: dataclasses.make_dataclass("Done", ["hf"])(start))
    planned = [runs.Run(system, form, tmp_path, Schedule(1, 2, 1e-3, 0))
               for system, form in ((runs.HARE_TOOL, MARKED), (runs.COPYING, COPIED))]
    items = plain_set("train", {"open_camera": 3, "call_contact": 3}, 0)
    done = lengths.tuned(_Planned(None), planned, items, {"test": plain_set("test", {"call_contact": 2}, 0)})
    names = {name for one in done for name in one["rows"].system}
    assert names == {"hare-tool-1000-tokens", "copying-1000-tokens", "copying-1000-tokens-grammar"}


def test_the_curve_goes_from_random_weights_through_the_arm_to_the_longest() -> None:
    systems = ("hare-tool", "random-weights", "hare-tool-1000-tokens", "copying", "copying-random",
               "copying-1000-tokens", "copying-1000-tokens-grammar", "copying-grammar", "base")
    accuracy = pd.DataFrame([
        {"test_set": test_set, "system": system, "part": part, "exact": 0.5, "low": 0.4, "high": 0.6, "seeds": 1}
        for test_set in ("test", "hard") for system in systems for part in ("all", "with arguments", "open_camera")
    ])
    curve = lengths.curve_table(accuracy, 500, [_Planned(None)])
    by_form = curve[curve.part == "all"].groupby("form").tokens.agg(list).to_dict()
    assert by_form == {"marks": [0, 500, 1000], "copying": [0, 500, 1000], "copying, grammar": [500, 1000]}
    assert set(curve.part) == {"all", "with arguments"}

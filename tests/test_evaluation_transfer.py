"""The transfer matrix, its contrasts and outcomes, the noise and the seeds that an effect takes, on made-up rows."""

import itertools
import re

import numpy as np
import pandas as pd
import pytest

from hare.core.errors import HareError
from hare.core.paths import REPOSITORY
from hare.core.sections import Training
from hare.core.statistics import holm
from hare.evaluation import power, preregistration, transfer
from hare.evaluation.endpoints import FEWEST_SHARE, LABELS, OVERLAP_SHARE, PRIMARY
from hare.training.averaging import LAST_SHARE


def rows(effects: dict[str, float], seeds: int = 4, noise: float = 0.004) -> pd.DataFrame:
    """What arms lose on P and H3: 2 bits per byte, off by each arm's effect (ten times it on H3)."""
    random, table = np.random.default_rng(0), []
    for (arm, effect), seed, (endpoint, scale) in itertools.product(
        effects.items(), range(seeds), (("p", 1.0), ("h3", 10.0))
    ):
        of_run = scale * effect + noise * random.standard_normal()
        for group, item in itertools.product(("one", "two"), range(30)):
            size = 40 + item
            level = 2.0 + of_run + 0.01 * random.standard_normal()
            table.append({"arm": arm, "seed": seed, "endpoint": endpoint, "group": group, "item": item,
                          "nats": level * np.log(2) * size, "bytes": size})
    return pd.DataFrame(table)


def test_every_arm_and_endpoint_has_a_cell_with_its_difference_from_the_first() -> None:
    table = transfer.transfer_table(rows({"a": 0.0, "c": -0.05})).set_index(["arm", "endpoint"])
    assert set(table.index) == {(arm, endpoint) for arm in "ac" for endpoint in ("p", "h3")}
    assert table.loc[("a", "p"), "difference"] == 0
    assert table.loc[("c", "h3"), "difference"] == pytest.approx(-0.5, abs=0.01)
    assert table["p_holm"].isna().tolist() == [arm == "a" for arm, _ in table.index]
    contrasts = transfer.contrast_table(rows({"a": 0.0, "c": -0.05}))
    assert sorted(table["p_holm"].dropna()) == holm(sorted(contrasts["p"]))
    assert transfer.transfer_table(rows({"a": 0.0}))["p_holm"].isna().all()
    assert (transfer.transfer_table(rows({"a": 0.0, "c": -0.05}, seeds=1))["p_holm"].dropna() == 1).all()
    assert table.loc[("c", "p"), "items"] == 60 and table.loc[("c", "p"), "seeds"] == 4


@pytest.mark.parametrize(("effect", "seeds", "noise", "outcome"), [
    (-0.05, 4, 0.002, "better"), (0.05, 4, 0.002, "worse"), (0.0, 4, 0.002, "equivalent"), (0.0, 2, 0.1, "undecided"),
    (-0.3, 1, 0.002, "undecided"),
])
def test_three_outcomes(effect: float, seeds: int, noise: float, outcome: str) -> None:
    table = transfer.contrast_table(rows({"a": 0.0, "a2": 0.0, "c": effect}, seeds, noise))
    primary = table[(table["endpoint"] == "p") & (table["contrast"] == "c-a2")]
    assert primary["outcome"].tolist() == [outcome]
    assert (outcome in transfer.verdicts(table)[0]) and transfer.verdicts(table)[0].startswith("C against A2")


def test_nothing_is_said_of_tasks_where_they_do_not_move_held_out_tasks() -> None:
    (failed,), (moved,) = (
        transfer.verdicts(transfer.contrast_table(rows({"a": 0.0, "a2": 0.0, "c": effect}, noise=noise)))
        for effect, noise in ((0.0, 0.05), (-0.05, 0.002)))
    assert failed.endswith("The treatment failed: held-out tasks show no effect, so this says nothing of tasks.")
    assert "treatment" not in moved


def test_contrasts_are_those_whose_arms_are_there() -> None:
    table = transfer.contrast_table(rows({"a": 0.0, "b": 0.0, "d": 0.1}))
    assert set(table["contrast"]) == {"b-a", "d-a"}
    assert transfer.contrast_table(rows({"a": 0.0})).empty


def test_arms_without_a_registered_contrast_stand_against_the_first() -> None:
    table = transfer.contrast_table(rows({"a": 0.0, "without_language": 0.1, "tasks_10": 0.0}))
    primary = table[table["endpoint"] == "p"].set_index("contrast")
    assert primary["outcome"].to_dict() == {"without_language-a": "worse", "tasks_10-a": "equivalent"}
    assert (primary["p_holm"] >= primary["p"]).all()
    assert transfer.verdicts(table)[0].startswith("without language against A: worse")


def test_a_slope_per_tripling_of_topics_has_an_interval_over_seeds() -> None:
    counts = {"topics_1": 1, "topics_3": 3, "topics_9": 9}
    effects = {"a": 0.5, "topics_1": 0.0, "topics_3": -0.03, "topics_9": -0.06}
    slopes = transfer.slope_table(rows(effects, seeds=5), counts).set_index("endpoint")
    assert slopes["slope"].to_dict() == pytest.approx({"p": -0.03, "h3": -0.3}, abs=0.006)
    assert (slopes["high"] < 0).all() and (slopes["seeds"] == 5).all()
    drawn = transfer.topic_table(rows(effects, seeds=5), counts, slopes.reset_index()).set_index(["endpoint", "topics"])
    assert drawn.loc[("p", 9), "difference"] == pytest.approx(-0.06, abs=0.012) and len(drawn) == 2 * len(counts)
    assert drawn.loc[("h3", 1), "slope_high"] == slopes.loc["h3", "high"]
    noisy = transfer.slope_table(rows(effects, seeds=5, noise=0.1), counts).set_index("endpoint").loc["p"]
    assert noisy["low"] < 0 < noisy["high"] and noisy["p"] > 0.05
    assert transfer.slope_metrics(slopes.reset_index())["slope.h3.high"] == slopes.loc["h3", "high"]
    one = transfer.slope_table(rows(effects, seeds=1), counts)
    assert one["low"].isna().all() and one["p"].isna().all(), "one seed shows no choice of topics"
    assert transfer.slope_metrics(one) == {}
    assert transfer.slope_table(rows({"a": 0.0}), {}).empty and transfer.slope_metrics(pd.DataFrame()) == {}


def test_the_metrics_have_the_names_that_are_compared() -> None:
    bits = rows({"a": 0.0, "a2": 0.0, "c": -0.05})
    named = transfer.metrics(transfer.transfer_table(bits), transfer.contrast_table(bits), transfer.noise_table(bits))
    assert {"transfer.p.a", "transfer.h3.c.low", "contrast.c-a2.p", "contrast.c-a2.p.high", "mde.p"} <= set(named)
    assert all(np.isfinite(value) for value in named.values())


def test_runs_of_one_seed_on_two_processors_are_not_compared() -> None:
    transfer.refuse_mixed_processors({("a", 0): "one", ("c", 0): "one"})
    transfer.refuse_mixed_processors({("a", 0): "one", ("c", 0): "one", ("a", 1): "other", ("c", 1): "other"})
    with pytest.raises(HareError, match="different kinds of processor .one: a-seed0; other: c-seed0.[.]"):
        transfer.refuse_mixed_processors({("a", 0): "one", ("c", 0): "other", ("a", 1): "one", ("c", 1): "one"})


def test_the_seeds_that_an_effect_takes() -> None:
    noise = transfer.noise_table(rows({"a": 0.0, "b": 0.0, "c": 0.0}, noise=0.02)).set_index("endpoint")
    row = noise.loc["p"]
    assert row.run_sd == pytest.approx(0.02 * np.sqrt(2), rel=0.6)
    effects = [power.minimum_detectable_effect(row.run_sd, row.item_error, 3, seeds) for seeds in (2, 4, 16, 64)]
    assert effects == sorted(effects, reverse=True)
    enough = power.seeds_for(0.01, row.run_sd, row.item_error, 3)
    assert power.minimum_detectable_effect(row.run_sd, row.item_error, 3, enough) <= 0.01
    assert power.minimum_detectable_effect(row.run_sd, row.item_error, 3, enough - 1) > 0.01
    assert power.seeds_for(0.001, 0.02, 0.01, 3) is None, "no number of seeds removes what the items leave"


def spreads(exponent: float, arms: int = 5, seeds: int = 9) -> pd.DataFrame:
    tokens = [100_000, 200_000, 400_000, 800_000]
    run_sd = [0.04 * (count / 1e5) ** -exponent for count in tokens]
    return pd.DataFrame({"tokens": tokens, "run_sd": run_sd, "arms": arms, "seeds": seeds})


def test_tokens_needed_follow_the_spread_between_runs() -> None:
    decline = power.Decline.of(spreads(0.5))
    assert decline.exponent == pytest.approx(0.5) and decline.is_seen
    study = pd.Series({"run_sd": 0.02, "item_error": 0.001, "arms": 5, "seeds": 9})
    effect = power.minimum_detectable_effect(0.01, 0.001, 5, 9)
    assert power.tokens_for(effect, study, 1e6, decline) == pytest.approx(4e6), "half the spread takes four times"
    assert power.tokens_for(0.001, study, 1e6, decline) is None, "items forbid it"
    assert power.tokens_for(effect, study, 1e6, power.Decline.of(spreads(0.0))) is None, "no fall was seen"
    assert not power.Decline.of(spreads(0.0).iloc[:1]).is_seen


def test_the_spread_along_training_is_that_of_differences() -> None:
    random = np.random.default_rng(1)
    points = [
        {"arm": arm, "seed": seed, "tokens": tokens, "step": tokens, "category": "one", "sequence": 0, "bytes": 1000,
         "nats": np.log(2) * 1000 * (2 + shared[seed] + sd * random.standard_normal())}
        for shared in [random.standard_normal(60)] for tokens, sd in ((100, 0.2), (400, 0.1))
        for arm in "abc" for seed in range(60)
    ]
    table = power.noise_by_tokens(pd.DataFrame(points))
    assert table["tokens"].tolist() == [100, 400]
    assert np.allclose(table["run_sd"], [0.2 * np.sqrt(2), 0.1 * np.sqrt(2)], rtol=0.2)
    assert power.noise_by_tokens(pd.DataFrame([row for row in points if row["arm"] == "a"])).empty


def test_power_is_printed_from_the_record(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARE_RESULTS", str(tmp_path))
    with pytest.raises(HareError, match=r"noise\.csv is missing"):
        power.printed("laptop", 0.01, "p")
    folder = tmp_path / "laptop" / "training"  # type: ignore[operator]
    folder.mkdir(parents=True)
    transfer.noise_table(rows({"a": 0.0, "b": 0.0, "c": 0.0})).to_csv(folder / "noise.csv", index=False)
    with pytest.raises(HareError, match=r"noise_by_tokens\.csv is missing"):
        power.printed("laptop", 0.01, "p")
    spreads(0.5).to_csv(folder / "noise_by_tokens.csv", index=False)
    printed = power.printed("laptop", 0.01, "p")
    assert re.search(r"To decide 0\.01: \d+ seeds per arm\.", printed)
    assert "to the power of -0.50 ± " in printed
    transfer.noise_table(rows({"a": 0.0, "b": 0.0}, seeds=1)).to_csv(folder / "noise.csv", index=False)
    assert "To decide 0.01: two seeds or more first: one does not show how runs vary." in power.printed(
        "laptop", 0.01, "p")
    spreads(0.5).iloc[:1].to_csv(folder / "noise_by_tokens.csv", index=False)
    assert "cannot be told" in power.printed("laptop", 0.01, "p")
    for effect, endpoint in ((0.0, "p"), (-1.0, "p"), (float("nan"), "p"), (0.01, "h9"), (0.01, "n")):
        with pytest.raises(HareError):
            power.printed("laptop", effect, endpoint)


def test_code_and_registration_say_the_same() -> None:
    registered = preregistration.registered()
    text = (REPOSITORY / "paper" / "PREREGISTRATION.md").read_text(encoding="utf-8")
    assert registered["margin"] == transfer.MARGIN and f"is {transfer.MARGIN} bits per byte" in text
    assert registered["primary"] == PRIMARY and f"**{PRIMARY.upper()}, the primary endpoint**" in text
    assert registered["contrasts"] == ["-".join(pair) for pair in transfer.CONTRASTS]
    for arm, base in transfer.CONTRASTS:
        assert f"{arm.upper()} − {base.upper()} (" in text
    for endpoint in LABELS:
        assert f"**{endpoint.upper()}" in text
    assert "more than a fifth of the word 8-grams" in text and OVERLAP_SHARE == 1 / 5
    assert "less than an eighth of the number asked for" in text and FEWEST_SHARE == 1 / 8
    assert f"the mean of its last {Training().averaged_checkpoints} checkpoints" in text
    assert "in the last twentieth of the steps" in text and LAST_SHARE == 1 / 20
    for sets in registered["sets"].values():
        assert set(sets) == set(LABELS) and all(re.fullmatch("[0-9a-f]{64}", digest) for digest in sets.values())


def test_other_texts_than_the_registered_ones_are_refused_by_name(tmp_path: object) -> None:
    path = tmp_path / "preregistration.yaml"  # type: ignore[operator]
    path.write_text("sets:\n  laptop: {p: aa, n: bb, h1: cc, h2: dd, h3: ee}\n", encoding="utf-8")
    digests = {"p": "aa", "n": "bb", "h1": "cc", "h2": "dd", "h3": "ee"}
    assert preregistration.checked("laptop", digests, path).startswith("All 5 sets")
    assert "exploratory" in preregistration.checked("smoke", digests, path)
    with pytest.raises(HareError, match=r"profile laptop: h1 \(held-out text, other"):
        preregistration.checked("laptop", digests | {"h1": "other"}, path)

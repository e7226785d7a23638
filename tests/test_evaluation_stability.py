"""Signal and noise over checkpoints: what moves all arms alike is no noise, and a mean that lies lower is seen."""

import numpy as np
import pandas as pd

from hare.evaluation.endpoints import EndpointItem
from hare.evaluation.stability import metrics, stability_table, thinned


def rows(wander: float, gain: float = 0.0, arms: tuple[str, ...] = ("a", "c")) -> pd.DataFrame:
    """Two arms 0.5 bits apart; every checkpoint 0.1 lower than the one before; arm a wanders by ``wander``."""
    frames = []
    for number, arm in enumerate(arms):
        bits = {10: 3.2, 20: 3.1, 30: 3.0}
        steps = {step: value - 0.5 * number for step, value in bits.items()}
        steps[20] += wander if arm == "a" else 0
        for step, value in {0: steps[30] - gain, **steps}.items():
            frames.append(pd.DataFrame({
                "arm": arm, "step": step, "endpoint": "p", "group": "g", "item": range(4), "bytes": 100,
                "nats": value * 100 * np.log(2),
            }))
    return pd.concat(frames, ignore_index=True)


def test_what_moves_all_arms_alike_is_no_noise() -> None:
    [row] = stability_table(rows(0.0, gain=0.02)).to_dict("records")
    assert row["items"] == 4 and row["checkpoints"] == 3
    assert np.isclose(row["signal"], 0.5) and row["checkpoint_sd"] < 1e-9
    assert np.isclose(row["averaging_change"], -0.02)
    assert np.isclose(row["averaged"], row["last"] - 0.02)


def test_what_moves_one_arm_is() -> None:
    table = stability_table(rows(0.03))
    [row] = table.to_dict("records")
    assert np.isclose(row["checkpoint_sd"], 0.03 / np.sqrt(6), atol=1e-6)
    assert np.isclose(row["signal_to_noise"], 0.5 / row["checkpoint_sd"])
    assert metrics(table).keys() == {"signal_to_noise.p", "averaging_change.p"}


def test_one_arm_has_no_ratio_and_records_none() -> None:
    assert metrics(stability_table(rows(0.03, arms=("a",)))).keys() == {"averaging_change.p"}


def test_thinning_keeps_the_first_of_each_group() -> None:
    items = [EndpointItem(endpoint, group, "", f"{number}") for number in range(3)
             for endpoint, group in (("p", "g"), ("p", "h"), ("n", "g"))]
    assert [(item.endpoint, item.group, item.text) for item in thinned(items, 1)] == [
        ("p", "g", "0"), ("p", "h", "0"), ("n", "g", "0"),
    ]

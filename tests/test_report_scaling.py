"""What is said of a grid of sizes and lengths: only what its registered rules allow."""

import pandas as pd
import pytest

from hare.report.answers.scaling import beyond_the_grid, expectations, of_cells, verdict

HALF = 0.01  # half of every interval


def recorded(outcome: str = "cannot tell", **differences: tuple[float, float]) -> pd.DataFrame:
    """A table of two cells on P, H1 and H3, the smallest and the largest, each sure of its sign where its interval
    holds no zero; ``differences`` by endpoint, 0 where none is named. The law's row has ``outcome``."""
    rows = []
    for endpoint in ("p", "h1", "h3"):
        for value, size, tokens in zip(differences.get(endpoint, (0.0, 0.0)), (128, 256), (512, 4096), strict=True):
            rows.append((endpoint, "measured", size, tokens, value, 0.001 if abs(value) > HALF else 0.5, None))
        rows.append((endpoint, "extrapolated", None, 40960, 0.0, None, outcome))
    columns = ["endpoint", "kind", "hidden_size", "tokens", "difference", "p_holm", "outcome"]
    table = pd.DataFrame(rows, columns=columns)
    table = table.assign(low=table["difference"] - HALF, high=table["difference"] + HALF)
    return table.sample(frac=1, random_state=1).reset_index(drop=True)


def test_cells_are_counted_where_correction_leaves_them_and_named_by_size() -> None:
    told = of_cells(recorded(p=(-0.005, 0.03), h3=(-0.4, -0.9)))
    assert told == (" On benchmark answers better in 0 and worse in 1 of 2 cells, by Holm's correction over them: from "
                    "-0.005 [-0.015, +0.005] in the smallest to +0.030 [+0.020, +0.040] in the largest.")
    assert "better in 1 and worse in 0" in of_cells(recorded(p=(-0.03, 0.0)))
    assert of_cells(recorded().query("endpoint == 'h1'")) == ""


def test_expectations_come_out_fail_or_are_not_told() -> None:
    def judged(*arguments: str, **differences: tuple[float, float]) -> list[str]:
        return [told for _, told in expectations(recorded(*arguments, **differences))]

    yes, no, untold = "as expected", "not as expected", "cannot be told"
    assert judged("worse", p=(0.0, 0.05), h1=(0.0, 0.1), h3=(-0.4, -0.9)) == [yes, yes, yes, yes, yes]
    assert judged("better", p=(0.05, -0.05), h1=(0.0, 0.1), h3=(-0.4, 0.9)) == [no, no, no, no, no]
    assert judged(p=(0.015, 0.03), h3=(-0.4, 0.0)) == [untold] * 5, "worse, but not told from the smallest"
    assert judged(p=(0.0, 0.005))[1:3] == [yes, untold]
    assert judged(p=(-0.05, -0.02), h1=(0.0, -0.05))[2::2] == [no, yes], "both better in the largest"


@pytest.mark.parametrize("missing", ["endpoint != 'h3'", "endpoint != 'p'", "kind != 'extrapolated'"])
def test_nothing_is_expected_of_a_grid_without_endpoint_or_law(missing: str) -> None:
    assert list(expectations(recorded().query(missing))) == []


def test_a_grid_that_was_not_trained_has_no_verdict() -> None:
    assert verdict({}) == "" and beyond_the_grid({}) == ""

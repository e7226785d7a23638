"""What is said of profile `priors`: only what its registered rules allow."""

from itertools import product

import pandas as pd
import pytest

from hare.report.answers.priors import expectations, of_forms, of_shares

ARMS = ("without_links", "without_every_block", "tasks_10", "tasks_40", "pages_10", "pages_40", "rephrasings_10",
        "summaries_10")


def recorded(**differences: float) -> tuple[dict[str, float], pd.DataFrame]:
    """Metrics and contrasts of a study in which each named difference, ``<arm>__<endpoint>``, has half an interval of
    0.01, and all others are 0."""
    metrics, rows = {}, []
    for arm, endpoint in product(ARMS, ("p", "h1", "h2", "h3")):
        value = differences.pop(f"{arm}__{endpoint}", 0.0)
        name = f"contrast.{arm}-a.{endpoint}"
        metrics |= {name: value, f"{name}.low": value - 0.01, f"{name}.high": value + 0.01}
        told = "equivalent" if abs(value) < 0.01 else "better" if value < 0 else "worse"
        rows.append((f"{arm}-a", endpoint, value, value - 0.009, value + 0.009, told, 0.02))
    for endpoint in ("h1", "n"):
        value = differences.pop(f"slope__{endpoint}", 0.0)
        metrics |= {f"slope.{endpoint}": value, f"slope.{endpoint}.low": value - 0.01,
                    f"slope.{endpoint}.high": value + 0.01}
    assert not differences
    columns = ["contrast", "endpoint", "difference", "equivalence_low", "equivalence_high", "outcome", "margin"]
    return metrics, pd.DataFrame(rows, columns=columns)


@pytest.mark.parametrize(("more", "told"), [
    (-0.30, "gain"), (-0.12, "are not told apart"), (-0.09, "are not told apart"), (0.2, "lose")])
def test_more_tasks_gain_only_where_intervals_do_not_overlap(more: float, told: str) -> None:
    metrics, _ = recorded(tasks_10__h3=-0.1, tasks_40__h3=more)
    assert of_shares(metrics) == (
        f" From 10 to 40 % tasks, held-out tasks {told} and benchmark answers are not told apart.")
    assert of_shares({}) == "" and of_forms({}) == ""


def test_forms_are_told_apart_in_the_right_direction() -> None:
    assert of_forms(recorded()[0]) == " Of D2's forms at a tenth of the tokens none is told from another."
    told = of_forms(recorded(rephrasings_10__p=-0.05, pages_10__h1=0.05)[0])
    assert "rephrasings do better than pages on benchmark answers; rephrasings do better than summaries on " in told
    assert "rephrasings do better than pages on held-out text; summaries do better than pages on held-out text." in told


def test_expectations_are_judged_by_intervals_and_the_margin() -> None:
    judged = dict(expectations(*recorded()))
    assert judged["no single block moves P by the margin"] == "as expected"
    assert judged["leaving out every block makes H1 worse"] == "cannot be told"
    most = "10 % pages improve H2, and more than every arm without pages"
    assert dict(expectations(*recorded(**{f"{arm}__h2": 0.3 for arm in ARMS})))[most] == "not as expected"
    assert judged[most] == "cannot be told"
    assert dict(expectations(*recorded(pages_10__h2=-0.1, tasks_10__h2=-0.2)))[most] == "not as expected"
    metrics, contrasts = recorded(
        without_links__p=-0.03, without_every_block__h1=0.05, tasks_10__h3=-0.4, tasks_10__h1=0.02, tasks_40__h1=0.1,
        pages_10__h2=-0.2, pages_10__p=-0.015, slope__h1=-0.05, slope__n=0.05)
    judged = dict(expectations(metrics, contrasts))
    assert list(judged.values()) == [
        "not as expected", "as expected", "as expected", "as expected", "as expected", "cannot be told", "as expected",
        "as expected", "not as expected", "as expected"]
    barely = dict(expectations(*recorded(pages_10__p=-0.021)))["pages move P by less than the margin"]
    assert barely == "cannot be told", "as large as the margin, but not surely larger"
    raised = dict(expectations(*recorded(slope__h1=0.02, slope__n=0.2)))
    assert raised["they lower H1 more than N"] == "not as expected", "neither is lowered"


def test_nothing_is_judged_of_a_study_without_these_arms() -> None:
    metrics, contrasts = recorded()
    for arm in ("summaries_10-a", "without_every_block-a", "pages_10-a"):
        assert list(expectations(metrics, contrasts[contrasts["contrast"] != arm])) == []
    assert list(expectations(metrics, contrasts[contrasts["endpoint"] != "h2"])) == []
    assert list(expectations({}, contrasts)) == []

"""The article: Typst source in ``paper/`` whose every number and figure is read from ``results/`` by its name."""

import json
import math
from pathlib import Path
from typing import Any

from hare.core.errors import HareError
from hare.core.files import written_whole
from hare.core.paths import REPOSITORY
from hare.core.profile import DEFAULT
from hare.core.reading import read_record, read_sealed, recorded_table
from hare.report import cost, facts
from hare.report.paper import published
from hare.report.recorded import STAGES, Recorded

SOURCE = REPOSITORY / "paper" / "article.typ"
_RECORDED = (*STAGES, "study")


def write_article(recorded: Recorded) -> Path:
    """Typeset the article with the numbers of ``recorded``; return the path of the PDF.

    What no result holds is shown as not recorded.

    Raises:
        HareError: the source is not Typst.
    """
    import typst

    path = article_path(recorded)
    try:
        with written_whole(path) as temporary:
            typst.compile(
                str(SOURCE), output=str(temporary), root="/", sys_inputs=_inputs(recorded), format="pdf",
                ignore_system_fonts=True, timestamp=0,
            )
    except typst.TypstError as error:
        raise HareError(
            f"{SOURCE.name} cannot be typeset: {error.message}",
            "correct it, or restore it: git checkout paper",
        ) from error
    return path


def missing_names(recorded: Recorded) -> list[str]:
    """Metrics and figures that the article names and no result holds."""
    import typst

    marked = typst.query(str(SOURCE), "<missing>", field="value", root="/", sys_inputs=_inputs(recorded))
    return list(dict.fromkeys(json.loads(marked)))


def article_path(recorded: Recorded) -> Path:
    """``paper/article.pdf`` for the default profile; else the profile's own results folder."""
    ours = recorded.folder.parent == REPOSITORY / "results" and recorded.profile == DEFAULT
    return (SOURCE.parent if ours else recorded.folder) / "article.pdf"


def _inputs(recorded: Recorded) -> dict[str, str]:
    """What the source may name, as JSON: recorded metrics, printed numbers, figures with origin, the long table."""
    metrics = {stage: recorded.metrics(stage) for stage in _RECORDED if recorded.metrics(stage)}
    printed = published.all_setup() | published.reruns() | {
        "implied_mfu": cost.paper_mfu(), "implied_tokens_per_s": cost.paper_speed(),
    }
    excess = facts.excess_of_d2(recorded)
    if excess:
        metrics["mix"] = {"of_d2": excess.of_d2, "of_d1": excess.of_d1}
    if parameters := facts.parameters(recorded):
        metrics["models"] = {"parameters": parameters}
    if heldout := facts.heldout(recorded):
        metrics["heldout"] = heldout
    for name, profile in (("larger", facts.LARGER), ("night-arms", facts.NIGHT)):
        if arms := facts.arms_of(profile, recorded):
            metrics[name] = arms
    for profile in (facts.PRIORS, facts.GRID):
        if profile != recorded.profile and (there := Recorded(profile).metrics("training")):
            metrics[profile] = there
    if night := facts.full_leak(recorded):
        metrics["night"] = night
    table, verified = recorded.folder / "study" / "table_comparison.csv", _verification(recorded)
    return {
        "profile": recorded.profile, "records": json.dumps(metrics | {"verification": verified["metrics"]}),
        "printed": json.dumps(printed), "figures": json.dumps(_figures(recorded)),
        "table": str(table) if table.exists() else "", "verified": json.dumps(verified["of"]),
        "outcomes": json.dumps({"training": facts.outcomes(recorded), **{
            name: facts.outcomes(Recorded(profile))
            for name, profile in (("night-arms", facts.NIGHT), (facts.PRIORS, facts.PRIORS))
        }}),
        "excess": excess.category if excess else "",
        "priors": json.dumps(facts.of_priors()), "grid": json.dumps(facts.of_grid()),
        **{name: json.dumps(told) for name, told in facts.leaks(recorded).items()},
    }


def _verification(recorded: Recorded) -> dict[str, Any]:
    """What `hare verify --record` kept: metrics, and of which profile and of what difference; nothing where it was made
    with an earlier record of the arms."""
    path = recorded.folder / "verification" / "metrics.json"
    if not path.exists() or not _of_this_record(recorded, path.with_name("outcomes.csv")):
        return {"metrics": {}, "of": {}}
    record = read_record(path)
    of = {"profile": recorded.profile, "differences": record["provenance"]["differences"]}
    return {"metrics": record["metrics"], "of": of}


def _of_this_record(recorded: Recorded, outcomes: Path) -> bool:
    """Whether the contrasts that were verified are those that are recorded now."""
    table = recorded_table(outcomes)
    verified = table[(table["stage"] == "training") & table["name"].str.startswith("contrast.")].set_index("name")
    now = {name: value for name, value in recorded.metrics("training").items() if name.startswith("contrast.")}
    return set(now) == set(verified.index) and all(
        math.isclose(verified["recorded"][name], value, rel_tol=1e-12) for name, value in now.items())


def _figures(recorded: Recorded) -> dict[str, dict[str, Any]]:
    """By ``stage/name``, and those of the profiles beside it by ``night/stage/name``, ``priors/stage/name`` and
    ``scaling/stage/name``: absolute path of the picture, the notebook or command that drew it, its commit, cut, and its
    profile."""
    drawn = {}
    others = (("night/", facts.NIGHT), *((f"{profile}/", profile) for profile in (facts.PRIORS, facts.GRID)))
    for before, of in (("", recorded), *((before, Recorded(profile)) for before, profile in others)):
        for path in sorted(of.folder.glob("*/*.pdf")):  # they embed their font
            origin = read_sealed(path.with_suffix(".json"))
            drawn[f"{before}{path.parent.name}/{path.stem}"] = {
                "path": str(path), "notebook": Path(origin.get("notebook") or origin["command"]).stem,
                "commit": origin["git_commit"][:7], "profile": of.profile,
            }
    return drawn

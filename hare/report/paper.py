"""The report in ``paper/``: a template whose numbers are filled in from ``results/`` and link to where they stand."""

import os
from functools import partial
from pathlib import Path

import jinja2

from hare.core.files import write_text
from hare.core.paths import REPOSITORY
from hare.report import cost, published, study
from hare.report.printed_leakage import scores_and_leakage
from hare.report.recorded import STAGES, Recorded
from hare.report.study_figures import ablation_finding, score_leakage_finding
from hare.report.tables import LEGEND, markdown, tables

TEMPLATE = REPOSITORY / "paper" / "template.md"
DEFAULT_PROFILE = "laptop"


def write_report(recorded: Recorded) -> Path:
    """Fill in the template and write the report; return its path."""
    path = report_path(recorded)
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    write_text(path, template.render(_vocabulary(recorded, path.parent)).rstrip() + "\n")
    return path


def report_path(recorded: Recorded) -> Path:
    """``paper/report.md`` for the default profile, ``paper/report-<profile>.md`` for another.

    Where results lie outside the repository, so does the report: in the profile's own folder.
    """
    if recorded.folder.parent != REPOSITORY / "results":
        return recorded.folder / "report.md"
    name = "report.md" if recorded.profile == DEFAULT_PROFILE else f"report-{recorded.profile}.md"
    return REPOSITORY / "paper" / name


def _vocabulary(recorded: Recorded, here: Path) -> dict[str, object]:
    """What the template may name."""
    made = tables(recorded)
    return {
        "profile": recorded.profile,
        "missing": recorded.missing,
        "has": lambda stage: stage not in recorded.missing,
        "number": partial(_number, recorded, here),
        "printed": _printed,
        "figure": partial(_figure, recorded, here),
        "table": lambda name: markdown(made[f"table_{name}"]),
        "legend": LEGEND,
        "finding": _findings(recorded),
        "paper_mfu": f"{cost.paper_mfu():.1%}",
        "paper_speed": f"{cost.paper_speed():,.0f}",
        "hardware": lambda stage: _hardware(recorded, stage),
        "stages": STAGES,
    }


def _number(recorded: Recorded, here: Path, stage: str, name: str, form: str = ",.4g") -> str:
    """A recorded number as a link to the file it stands in, its name as the tip, its interval behind it."""
    found = recorded.measured(stage, name)
    if found is None:
        return "*not measured*"
    link = os.path.relpath(recorded.folder / stage / "metrics.json", here)
    text = f'[{found.value:{form}}]({link} "{name}")'
    return text if found.low is None else f"{text} [{found.low:{form}}, {found.high:{form}}]"


def _printed(quantity: str, form: str = ",.4g") -> str:
    """A number of the paper's set-up."""
    return f"{published.setup(quantity):{form}}"


def _figure(recorded: Recorded, here: Path, stage: str, name: str, caption: str) -> str:
    """The picture with its caption and data, or a line that says why it is not there."""
    path = recorded.figure(stage, name)
    if path is None:
        return f"*Left out: {caption} Nothing of it has been recorded.*"
    link = os.path.relpath(path, here)
    return f"![{caption}]({link})\n\n*{caption}* ([data]({link[:-4]}.csv), [origin]({link[:-4]}.json))"


def _findings(recorded: Recorded) -> dict[str, str]:
    frame = study.ablation(recorded)
    differences = frame[frame.measure == "difference in bits per byte"]
    epochs = published.published_epochs()
    most = epochs.loc[epochs.epochs.idxmax()]
    return {
        "ablation": ablation_finding(differences) if len(differences) else "no difference has been measured",
        "score_leakage": score_leakage_finding(scores_and_leakage()),
        "paper_epochs": f"{most.file.split(': ')[-1]} {most.epochs:.0f} times",
    }


def _hardware(recorded: Recorded, stage: str) -> str:
    machine = recorded.provenance(stage).get("hardware", {})
    described = f"{machine.get('cores', '?')} cores of {machine.get('processor', 'an unnamed processor')}"
    return ", ".join([described, *machine.get("gpus", [])])

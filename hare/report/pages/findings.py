"""The findings on the README's first screen, written from ``results/`` between two marks, so that none is typed."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from hare.core.chain import step_of_stage
from hare.core.errors import HareError
from hare.core.files import write_text
from hare.core.paths import REPOSITORY
from hare.report import cost
from hare.report.answers import decontamination, finetuning, leakage, study, training
from hare.report.answers.numbers import number
from hare.report.recorded import Recorded

README = REPOSITORY / "README.md"
BEGIN, END = "<!-- findings, written by `hare figures` -->", "<!-- end of findings -->"
_FINDINGS = {
    "decontamination": decontamination.answer, "training": training.answer, "leakage": leakage.answer,
    "finetuning": finetuning.answer, "study": study.answer,
}


def findings(recorded: Recorded) -> str:
    """A numbered list in Markdown: each finding with its number, its 95 % interval, and the executed notebook."""
    lines = [f"{number}. {text}" for number, text in enumerate(_sentences(recorded), 1)]
    return "\n".join([BEGIN, "", *_scale(recorded), *lines, "", END])


def write_findings(recorded: Recorded, path: Path = README) -> Path:
    """Put the findings of ``recorded`` between the README's marks.

    Raises:
        HareError: the marks are not there.
    """
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        problem = f"{path.name} lacks the two marks between which the findings stand."
        raise HareError(problem, f"restore it: git checkout {path.name}")
    before, rest = text.split(BEGIN)
    write_text(path, before + findings(recorded) + rest.split(END)[1])
    return path


def _scale(recorded: Recorded) -> list[str]:
    """One paragraph with the size of the study, where it has been run whole."""
    study, spent = recorded.metrics("training"), recorded.metrics("bench").get("reproduce_wall_seconds")
    shape, pieces = recorded.provenance("training").get("parameters"), recorded.metrics("tokens").get("vocabulary_size")
    if not (study and spent and shape and pieces):
        return []
    parameters = cost.shape_of(shape, int(pieces)).parameters
    return [
        f"Scale: {study['arms']:.0f} arms × {study['seeds_per_arm']:.0f} seeds, models of {parameters / 1e6:.2f} "
        f"million parameters, {study['tokens_per_run']:,.0f} tokens per run; the whole study "
        f"took {spent / 60:.0f} minutes.",
        "",
    ]


def _sentences(recorded: Recorded) -> Iterator[str]:
    """What is recorded, with a link to its executed notebook; a stage that has recorded nothing has no sentence."""
    for stage, answer in _FINDINGS.items():
        if recorded.metrics(stage):
            name = step_of_stage(stage).notebook
            link = f"[{name[:2]}](results/{recorded.profile}/notebooks/{name}.ipynb)"
            text = answer(recorded.metrics(stage))
            yield f"{text}{_of_pages(recorded.metrics(stage))} {link}"


def _of_pages(metrics: Mapping[str, float]) -> str:
    """What D2 buys, where an arm adds it alone."""
    if "contrast.b-a.p" not in metrics:
        return ""
    changed = number(metrics, "contrast.b-a.p", "+.3f")
    return f" Synthetic pages (D2) change it by {changed}, read beside D1 from another mix of sources than D1's own."

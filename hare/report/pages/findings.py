"""The findings on the README's first screen, written from ``results/`` between two marks, so that none is typed."""

from collections.abc import Iterator
from pathlib import Path

from hare.core.errors import HareError
from hare.core.files import write_text
from hare.core.paths import REPOSITORY
from hare.report.recorded import Recorded

README = REPOSITORY / "README.md"
BEGIN, END = "<!-- findings, written by `hare figures` -->", "<!-- end of findings -->"


def findings(recorded: Recorded) -> str:
    """A numbered list in Markdown: each finding with its number, its 95 % interval, and the executed notebook."""
    lines = [f"{number}. {text}" for number, text in enumerate(_sentences(recorded), 1)]
    return "\n".join([BEGIN, "", *lines, "", END])


def write_findings(recorded: Recorded, path: Path = README) -> Path:
    """Put the findings of ``recorded`` between the README's marks.

    Raises:
        HareError: the marks are not there.
    """
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        what = f"{path.name} lacks the two marks between which the findings stand."
        raise HareError(what, f"restore it: git checkout {path.name}")
    before, rest = text.split(BEGIN)
    write_text(path, before + findings(recorded) + rest.split(END)[1])
    return path


def _sentences(recorded: Recorded) -> Iterator[str]:
    """What is recorded, in the order of the notebooks; a stage that has recorded nothing has no sentence."""
    stages = {
        "decontamination": _detector, "training": _arms, "leakage": _leak, "finetuning": _calls, "study": _tables,
    }
    for stage, sentence in stages.items():
        if recorded.metrics(stage):
            yield sentence(recorded)


def _number(recorded: Recorded, stage: str, name: str, form: str) -> str:
    measured = recorded.measured(stage, name)
    if measured is None:
        return "not recorded"
    text = f"{measured.value:{form}}"
    return text if measured.low is None else f"{text} [{measured.low:{form}}, {measured.high:{form}}]"


def _link(recorded: Recorded, name: str) -> str:
    return f"[{name[:2]}](results/{recorded.profile}/notebooks/{name}.ipynb)"


def _detector(recorded: Recorded) -> str:
    def rate(rule: str) -> str:
        return _number(recorded, "decontamination", f"planted.inside_a_document.{rule}.detection_rate", ".1%")

    return (
        f"**A rule that counts the share of a document sees nothing inside documents.** Of benchmark items planted in "
        f"longer documents the paper's rule finds {rate('document-share-10-15')}, one shared 13-gram "
        f"{rate('any-13-gram')}, counting the covered share of the item {rate('item-coverage')}. "
        f"{_link(recorded, '03_remove_benchmarks')}"
    )


def _arms(recorded: Recorded) -> str:
    def contrast(endpoint: str) -> str:
        return _number(recorded, "training", f"contrast.c-a2.{endpoint}", "+.3f")

    return (
        f"**What tasks in the training data buy.** With their text held equal, the form of tasks changes the loss on "
        f"tasks of that form by {contrast('h3')} bits per byte, on held-out text by {contrast('h1')}, on the "
        f"answers of five benchmarks by {contrast('p')}, where the smallest detectable effect is "
        f"{_number(recorded, 'training', 'mde.p', '.3f')}; the paper's whole mixture changes the latter by "
        f"{_number(recorded, 'training', 'contrast.d-a.p', '+.3f')}. {_link(recorded, '05_pretrain_arms')}"
    )


def _leak(recorded: Recorded) -> str:
    doses = sorted({int(match[1]) for match, _ in recorded.matching("leakage", r"auc\.min_k\.dose_(\d+)")})
    if not doses:
        return f"**Leaks** were not measured by dose. {_link(recorded, '07_measure_leakage')}"

    def auc(estimator: str, dose: int) -> str:
        return _number(recorded, "leakage", f"auc.{estimator}.dose_{dose}", ".2f")

    least, most = doses[0], doses[-1]
    return (
        f"**From which dose on a leak shows.** Telling planted from never-planted items, 0.5 being chance: the paper's "
        f"measure (5-gram, five starts) reaches {auc('fivegram_five_starts', least)} for items read {least} time and "
        f"{auc('fivegram_five_starts', most)} for items read {most} times; the likelihood of their rarest tokens "
        f"(Min-K %) {auc('min_k', least)} and {auc('min_k', most)}. {_link(recorded, '07_measure_leakage')}"
    )


def _calls(recorded: Recorded) -> str:
    def accuracy(system: str) -> str:
        return _number(recorded, "finetuning", f"tool.test.{system}.accuracy", ".1%")

    return (
        f"**Copying arguments fails in a small model, pointing at them does not.** Whole calls right on held-out "
        f"phrasings: {accuracy('hare-tool')} by marking words, {accuracy('copying')} by the paper's copying, "
        f"{accuracy('random-weights')} by marking from random weights. {_link(recorded, '08_finetune_models')}"
    )


def _tables(recorded: Recorded) -> str:
    def correlation(split: str) -> str:
        return _number(recorded, "study", f"printed.score_leakage_rank_correlation.{split}", ".2f")

    return (
        f"**The printed tables do not carry \"score goes with leakage\" on test splits.** Rank correlation of score "
        f"and leakage, read from print: {correlation('train')} on training splits, {correlation('test')} on test "
        f"splits. The printed days imply {_number(recorded, 'study', 'paper.implied_mfu_share', '.1%')} of the GPUs' "
        f"peak. {_link(recorded, '10_draw_figures')}"
    )

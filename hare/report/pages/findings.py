"""The findings on the README's first screen, written from ``results/`` between two marks, so that none is typed."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from hare.core.chain import step_of_stage
from hare.core.errors import HareError
from hare.core.files import write_text
from hare.core.paths import REPOSITORY
from hare.report import facts
from hare.report.answers import decontamination, finetuning, leakage, priors, scaling, study, training
from hare.report.answers.numbers import number
from hare.report.recorded import Recorded

README = REPOSITORY / "README.md"
BEGIN, END = "<!-- findings, written by `hare figures` -->", "<!-- end of findings -->"
_FINDINGS: dict[str, Callable[[Recorded], str]] = {
    "decontamination": lambda recorded: decontamination.answer(recorded.metrics("decontamination")),
    "training": lambda recorded: training.answer(recorded.metrics("training"), facts.outcomes(recorded)),
    "leakage": lambda recorded: leakage.answer(recorded.metrics("leakage")),
    "finetuning": lambda recorded: finetuning.answer(recorded.metrics("finetuning")),
    "study": lambda recorded: study.answer(recorded.metrics("study")),
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
    """Paragraphs with the size of the study, where it has been run whole, and with what its models are worth."""
    study, spent = recorded.metrics("training"), recorded.metrics("bench").get("reproduce_wall_seconds")
    parameters = facts.parameters(recorded)
    if not (study and spent and parameters):
        return []
    return [
        f"Scale: {study['arms']:.0f} arms × {study['seeds_per_arm']:.0f} seeds, models of {parameters / 1e6:.2f} "
        f"million parameters, {study['tokens_per_run']:,.0f} tokens per run; the whole study, notebooks 01 to 07 and "
        f"10, took {spent / 60:.0f} minutes.",
        *_worth(facts.heldout(recorded)),
        "",
    ]


def _worth(heldout: Mapping[str, float]) -> Iterator[str]:
    """Where the arms stand beside tables of the same tokens."""
    if {"bigram", "fivegram"} <= set(heldout):
        yield (
            f"After so few tokens they predict held-out text at {heldout['best_arm']:.2f} to "
            f"{heldout['worst_arm']:.2f} bits per byte (the fewer, the better), where a table of pairs of the same "
            f"word pieces needs {heldout['bigram']:.2f} and one of up to five {heldout['fivegram']:.2f}: what follows "
            "are differences between arms, not the worth of one."
        )


def _sentences(recorded: Recorded) -> Iterator[str]:
    """What is recorded, with a link to its executed notebook; a stage that has recorded nothing has no sentence."""
    for stage, answer in _FINDINGS.items():
        if recorded.metrics(stage):
            name = step_of_stage(stage).notebook
            link = f"[{name[:2]}](results/{recorded.profile}/notebooks/{name}.ipynb)"
            beside = {"training": _of_mix, "leakage": _of_full_leak}.get(stage)
            yield f"{answer(recorded)}{beside(recorded) if beside else ''} {link}"
        if stage == "training":
            of_others = (_with_every_control, _of_priors, _of_grid, _at_larger_size)
            yield from filter(None, (of_other(recorded) for of_other in of_others))


def _of_mix(recorded: Recorded) -> str:
    """How far the mix of D2 is from D1's, which no arm holds equal."""
    excess = facts.excess_of_d2(recorded)
    if excess is None:
        return ""
    return (f" Of D2's tokens {excess.of_d2:.0%} are of category {excess.category}, of D1's {excess.of_d1:.0%}.")


def _with_every_control(recorded: Recorded) -> str:
    """The contrasts of the study with further controls on benchmark answers, each with its registered outcome."""
    there, outcomes = facts.arms_of(facts.NIGHT, recorded), facts.outcomes(Recorded(facts.NIGHT))
    if not there:
        return ""
    asked = {
        "c-a2": "tasks against their text without the form", "c-c0": "tasks against tasks with shuffled answers",
        "d-a1": "the whole mixture against text in the tasks' mix of categories",
        "d-a": "the whole mixture against plain text", "b-a": "synthetic pages against plain text",
    }
    if training.failed(there):
        return ("**With two further controls the treatment failed: tasks do not even move held-out tasks.** "
                f"{_link(facts.NIGHT, 'training')}")
    named = {asked.get(pair, pair): told for pair, told in outcomes.items()}
    neither = "".join(f"; {told}: {', '.join(name for name, this in named.items() if this == told)}"
                      for told in ("equivalent", "undecided") if told in named.values())
    return (
        f"**With two further controls (arms A1 and C0), {_decided(named)}.** By the registered rule, with "
        f"{there['times_the_tokens']:.1f} times the tokens, {there['parameters'] / 1e6:.1f} million parameters and "
        f"{there['seeds_per_arm']:.0f} seeds{_differences(there, outcomes, asked)}{neither}. Against plain text the "
        f"mix of topics is not held equal; {training.detectable(there)}. {_link(facts.NIGHT, 'training')}"
    )


def _differences(there: Mapping[str, float], outcomes: Mapping[str, str], asked: Mapping[str, str]) -> str:
    """Of contrasts on benchmark answers that are better or worse: each with its interval."""
    listed = "; ".join(f"{asked.get(pair, pair)} {number(there, f'contrast.{pair}.p', '+.3f')}"
                       for pair, told in outcomes.items() if told in ("better", "worse"))
    return f": {listed}" if listed else ""


def _of_priors(recorded: Recorded) -> str:
    """Which changes to A's data help or hurt on benchmark answers by the registered rule, and what topics do."""
    other = Recorded(facts.PRIORS)
    there, outcomes = other.metrics("training"), facts.outcomes(other)
    if recorded.profile == facts.PRIORS or not outcomes:
        return ""
    changes = {pair: priors.change(pair) for pair in outcomes}
    named = {changes[pair]: told for pair, told in outcomes.items()}
    return (
        f"**Of {len(outcomes)} changes to plain training text, {_decided(named)}.** By the registered rule, "
        f"with {there['seeds_per_arm']:.0f} seeds, the mix of topics not held equal"
        f"{_differences(there, outcomes, changes)}; {training.detectable(there)}."
        f"{priors.of_shares(there)}{priors.of_forms(there)}{priors.of_topics(there)} {_link(facts.PRIORS, 'training')}"
    )


def _decided(outcomes: Mapping[str, str]) -> str:
    """Which contrasts, by their names, are better and which worse on benchmark answers, and how many neither."""
    named = {told: [name for name, this in outcomes.items() if this == told] for told in set(outcomes.values())}
    better, worse = (", ".join(named.get(told, [])) or "none" for told in ("better", "worse"))
    neither = ", ".join(f"{len(named[told])} {told}" for told in ("equivalent", "undecided") if told in named)
    return f"better on benchmark answers: {better}; worse: {worse}{'; ' if neither else ''}{neither}"


def _of_grid(recorded: Recorded) -> str:
    """Whether tasks keep the sign of what they do beyond the sizes that were trained."""
    other = Recorded(facts.GRID)
    there, cells = other.metrics("training"), other.table("training", "scaling")
    if recorded.profile == facts.GRID or not scaling.verdict(there) or cells is None:
        return ""
    return (
        f"**What tasks in the place of text do at ten times the grid's largest size: {scaling.verdict(there)}.** Over "
        f"{cells['hidden_size'].nunique()} sizes and {cells.loc[cells['kind'] == 'measured', 'tokens'].nunique()} "
        f"lengths of run, {there['seeds_per_arm']:.0f} seeds each.{scaling.of_cells(cells)}"
        f"{scaling.beyond_the_grid(there)} {_link(facts.GRID, 'training')}"
    )


def _link(profile: str, stage: str) -> str:
    """A profile's name as a link to its executed notebook."""
    return f"[{profile}](results/{profile}/notebooks/{step_of_stage(stage).notebook}.ipynb)"


def _at_larger_size(recorded: Recorded) -> str:
    """What the paper's whole mixture does with more tokens and parameters, with what else is different there."""
    there = facts.arms_of(facts.LARGER, recorded)
    if not there:
        return ""

    def contrast(endpoint: str) -> str:
        return number(there, f"contrast.d-a.{endpoint}", "+.3f")

    outcome = facts.outcomes(Recorded(facts.LARGER)).get("d-a", "no outcome")
    return (
        f"**With {there['times_the_tokens']:.0f} times the tokens, D1, D2 and D3 together against plain text on "
        f"benchmark answers: {outcome}.** On one GPU, with {there['parameters'] / 1e6:.1f} million parameters and "
        f"{there['seeds_per_arm']:.0f} seeds, the mixture, {there['tasks_share']:.0%} of it tasks that are read "
        f"{there['tasks_epochs']:.0f} times and {there['pages_share']:.1%} D2 that is read {there['pages_epochs']:.0f} "
        f"times, moves held-out tasks by {contrast('h3')}, held-out text by {contrast('h1')}, "
        f"benchmark answers by {contrast('p')}; {training.detectable(there)}. Size, repetition, the share of D2 "
        f"and the mix of topics are not told apart. {_link(facts.LARGER, 'training')}"
    )


def _of_full_leak(recorded: Recorded) -> str:
    """What the leak experiment of full size says of its narrowest and widest models."""
    there = facts.full_leak(recorded)
    if not there:
        return ""

    def of_both(name: str, spec: str) -> str:
        return f"{number(there, name, spec)} and {number(there, f'widest.{name}', spec)}"

    widest = {name.removeprefix("widest."): value for name, value in there.items() if name.startswith("widest.")}
    return (
        f" With {there['planted.items']:.0f} items in {there['planted.runs']:.0f} runs at hidden sizes "
        f"{there['narrowest_size']:.0f} to {there['widest_size']:.0f}, {there['layers']:.0f} layers each "
        f"({_link(facts.NIGHT, 'leakage')}), at all positions {leakage.seen_from(there, leakage.REGISTERED)} in the "
        f"narrowest models and {leakage.seen_from(widest, leakage.REGISTERED)} in the widest, at five places "
        f"{leakage.seen_from(there, leakage.PAPERS)} and {leakage.seen_from(widest, leakage.PAPERS)}; 16 readings buy "
        f"{of_both('gain.accuracy.dose_16', '+.0f')} points of accuracy on the leaked items."
    )

"""Everything known about one benchmark, as one object: a new benchmark is one more of these.

Sources, decontamination, evaluation, leakage and figures all iterate over specs; none of them names a benchmark.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hare.benchmarks.forms import Form
from hare.benchmarks.sources import Row, Source
from hare.core.errors import HareError

SPLITS = ("train", "dev", "validation", "test")


@dataclass(frozen=True)
class Protocol:
    """How the leaderboard asks a benchmark.

    ``task`` is lm-eval's name for it, ``folder`` where lm-eval keeps the definition, ``metric`` what is ranked by.
    ``group``: the file in that folder that averages the tasks of a benchmark with subsets. ``config``: the whole task
    definition, for a benchmark that lm-eval does not have. ``by_letter``: whether the scored answer is an option's
    letter instead of its text.
    """

    task: str
    folder: str
    shots: int
    fewshot_split: str
    test_split: str
    metric: str
    group: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    by_letter: bool = False

    @property
    def splits(self) -> list[str]:
        """The splits that are read: few-shot examples first, then the items."""
        return [split for split in (self.fewshot_split, self.test_split) if split]


def stated_target(_: Row, target: Any) -> list[int]:
    """The right choice of a logged lm-eval sample, where the target is its number."""
    return [int(target)]


def no_subsets() -> list[str]:
    """The single subset, named '', of a benchmark without subsets."""
    return [""]


@dataclass(frozen=True)
class BenchmarkSpec:
    """One benchmark.

    What it is: ``name`` (in code, metrics and files), ``label`` (in figures), ``chance`` (share of items that guessing
    gets right; None where it differs by item).

    Where its rows are: ``sources`` maps a split to a function from the subset to its `Source`, or to None where this
    machine lacks it; ``subsets`` names the subsets.

    What a row holds: ``question_answer`` gives the question and the text of the gold answer (ValueError, KeyError or
    IndexError where there is none), ``texts`` all natural language, the question first, ``options`` the answers to
    choose from, ``cloze`` the context and the gold answer for 0-shot bits per byte (OLMES: the answer's text, never its
    letter; the answer carries its leading space).

    How it is used: ``form`` says how it reads as running text (decontamination), ``protocol`` how the leaderboard asks
    it, ``right_choices`` gives the numbers of the right choices of a logged sample from its row and target, the gold
    one first; ``leakage_glue`` stands between question and answer in the leakage method, ``leakage_lists_options`` says
    whether the options stand in its question.

    How the paper's tables name it: ``published_label``, ``published_column`` and ``published_splits`` (our split →
    theirs); empty where it is not printed.
    """

    name: str
    label: str
    chance: float | None
    sources: Mapping[str, Callable[[str], Source | None]]
    question_answer: Callable[[Row], tuple[str, str]]
    texts: Callable[[Row], list[str]]
    cloze: Callable[[Row], tuple[str, str]]
    form: Form
    protocol: Protocol
    options: Callable[[Row], list[str]] = lambda row: []
    subsets: Callable[[], list[str]] = no_subsets
    right_choices: Callable[[Row, Any], list[int]] = stated_target
    leakage_glue: str = " "
    leakage_lists_options: bool = False
    published_label: str = ""
    published_column: str = ""
    published_splits: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a spec that could not be used later.

        Raises:
            HareError: naming each key that is wrong, with the fix.
        """
        unknown = [split for split in self.sources if split not in SPLITS]
        unread = [split for split in self.protocol.splits if split not in self.sources]
        rules = [
            (self.name.isidentifier(), "name", "use letters, digits and underscores"),
            (bool(self.label.strip()), "label", "say how figures are to name it"),
            (self.chance is None or 0 <= self.chance <= 1, "chance", "give a share from 0 to 1, or None"),
            (bool(self.sources), "sources", "give at least one split a source, such as {'test': …}"),
            (not unknown, "sources", f"rename {', '.join(unknown)}; splits are {', '.join(SPLITS)}"),
            (not unread, "protocol", f"it reads {' and '.join(unread)}: give a source, or name another split"),
        ]
        wrong = [f"{key}: {fix}" for holds, key, fix in rules if not holds]
        if wrong:
            keys = ", ".join(dict.fromkeys(line.split(":")[0] for line in wrong))
            raise HareError(f"The benchmark spec {self.name!r} is incomplete: {keys}.", "; ".join(wrong))

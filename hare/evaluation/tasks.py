"""The Open LLM Leaderboard v1 protocol: lm-eval's own tasks, with nothing replaced but where their rows are read from.

Prompts, few-shot draws, answer choices, filters and metrics stay lm-eval's. On a machine that reaches the Hugging Face
hub, and does not forbid it, the stock tasks are used as they are. Elsewhere the splits that a task reads come from the
local files of `hare.benchmarks.registry`, in the hub's schema.
"""

import contextlib
import functools
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from hare.benchmarks import registry as benchmarks
from hare.core.errors import HareError
from hare.core.files import sha256_of
from hare.core.paths import cache_folder
from hare.core.provenance import digest_of
from hare.evaluation.hub import hub_reachable

FROM_HUB = hub_reachable()
os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "0" if FROM_HUB else "1"
os.environ.setdefault("HF_DATASETS_CACHE", str(cache_folder() / "datasets"))

import datasets  # noqa: E402  (reads the variables above while it is imported)
import lm_eval.api.task  # noqa: E402
import lm_eval.tasks  # noqa: E402
import lm_eval.utils  # noqa: E402
from lm_eval.api.group import Group  # noqa: E402
from lm_eval.api.task import Task  # noqa: E402
from lm_eval.config.group import GroupConfig  # noqa: E402
from tqdm import tqdm  # noqa: E402

_TASKS = Path(lm_eval.tasks.__file__).parent
# lm-eval compiles a prompt's template anew for every row; compiled once, it renders the same text many times faster.
lm_eval.utils.env.from_string = functools.cache(lm_eval.utils.env.from_string)


@dataclass(frozen=True)
class Protocol:
    """How the leaderboard asks one benchmark.

    ``task`` is lm-eval's name for it, ``folder`` where lm-eval keeps the definition, ``metric`` what is ranked by.
    """

    task: str
    folder: str
    shots: int
    fewshot_split: str
    test_split: str
    metric: str


PROTOCOL = {
    "arc_challenge": Protocol("arc_challenge", "arc", 25, "train", "test", "acc_norm"),
    "hellaswag": Protocol("hellaswag", "hellaswag", 10, "train", "validation", "acc_norm"),
    "mmlu": Protocol("mmlu", "mmlu/default", 5, "dev", "test", "acc"),
    "truthfulqa": Protocol("truthfulqa_mc2", "truthfulqa", 0, "", "validation", "acc"),
    "winogrande": Protocol("winogrande", "winogrande", 5, "train", "validation", "acc"),
    "gsm8k": Protocol("gsm8k", "gsm8k", 5, "train", "test", "exact_match"),
}


@dataclass(frozen=True)
class Benchmark:
    """One benchmark of the leaderboard, ready to be asked: ``tasks`` maps names to lm-eval tasks, MMLU's are 57."""

    name: str
    protocol: Protocol
    tasks: dict[str, Task]

    def rows_digest(self, task: str) -> dict[str, str]:
        """Digest of the rows that a task reads, by split: of the local file, or of the rows themselves."""
        found = self.tasks[task]
        files = (found.config.dataset_kwargs or {}).get("data_files")
        if files:
            return {split: sha256_of(Path(path)) for split, path in files.items()}
        return {split: digest_of(list(found.dataset[split])) for split in _splits(self.protocol)}

    def asked(self, chosen: Iterable[str]) -> Group | Task:
        """What lm-eval is handed: the task; for MMLU the group of the ``chosen`` tasks, averaged as in the stock."""
        if self.name != "mmlu":
            return self.tasks[self.protocol.task]
        stock = yaml.safe_load((_TASKS / self.protocol.folder / "_mmlu.yaml").read_text(encoding="utf-8"))
        group = Group.from_config(GroupConfig(**{**stock, "task": list(chosen)}))
        for name in chosen:
            group.add(self.tasks[name])
        return group


def missing(names: Iterable[str]) -> dict[str, str]:
    """The benchmarks among ``names`` that cannot be asked here, each with the reason.

    Raises:
        HareError: a name is not one of the leaderboard's.
    """
    reasons = {}
    for name in names:
        if name not in PROTOCOL:
            raise HareError(f"There is no leaderboard benchmark {name!r}.", f"choose from {', '.join(PROTOCOL)}")
        if FROM_HUB:
            continue
        present = benchmarks.splits(name)
        absent = [split for split in _splits(PROTOCOL[name]) if split not in present]
        if absent:
            reasons[name] = benchmarks.available(name).why or f"no split {' and '.join(absent)} here"
    return reasons


def load(names: Iterable[str]) -> list[Benchmark]:
    """The stock tasks of the benchmarks that can be asked here, reading the hub or local files (`FROM_HUB`).

    Raises:
        HareError: a name is unknown, none of the benchmarks can be asked, or the hub does not hand one out.
    """
    names = list(names)
    skipped = missing(names)
    present = [name for name in names if name not in skipped]
    if not present:
        raise HareError(f"None of the tasks can be evaluated here: {skipped}.", "name at least one that can in `tasks`")
    datasets.disable_progress_bars()
    folders = [_TASKS / PROTOCOL[name].folder for name in present]
    with quietly(), _naming_hub_errors():
        manager = lm_eval.tasks.TaskManager(include_defaults=False, include_path=folders)
        loaded = manager.load([{"group": "leaderboard", "task": [spec for name in present for spec in _members(name)]}])
    return [
        Benchmark(name, PROTOCOL[name], {spec["task"]: loaded["tasks"][spec["task"]] for spec in _members(name)})
        for name in present
    ]


@contextlib.contextmanager
def _naming_hub_errors() -> Iterator[None]:
    try:
        yield
    except (OSError, datasets.exceptions.DatasetsError) as error:
        if not FROM_HUB:
            raise
        raise HareError(
            f"The hub answers, but not with a benchmark: {error}", "set HF_HUB_OFFLINE=1 to read local files instead"
        ) from error


def _members(name: str) -> list[dict]:
    """Overrides of the stock tasks of a benchmark: the number of examples shown, and where need be the local files."""
    protocol = PROTOCOL[name]
    return [
        {
            "task": f"{protocol.task}_{subset}" if subset else protocol.task,
            "num_fewshot": protocol.shots,
            **({} if FROM_HUB else _local_rows(name, subset)),
        }
        for subset in benchmarks.subsets(name)
    ]


def _local_rows(name: str, subset: str) -> dict:
    files = {split: str(benchmarks.file(name, split, subset)) for split in _splits(PROTOCOL[name])}
    return {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": files}}


def origin_of(name: str) -> str:
    """Where a benchmark's rows come from, for the record: the hub, an index archive, extra data, or the last two."""
    found = {} if FROM_HUB else dict.fromkeys(benchmarks.rows_from(name, split) for split in _splits(PROTOCOL[name]))
    return " and ".join(found) or "the hub"


def _splits(protocol: Protocol) -> list[str]:
    return [split for split in (protocol.fewshot_split, protocol.test_split) if split]


def choose_items(benchmark: Benchmark, items: int, seed: int) -> dict[str, list[int]]:
    """A fixed subset of ``items`` rows: row numbers, ascending, by lm-eval task; 0 means all of them.

    The subset is the start of one seeded order, so that a smaller subset lies within a larger one. In MMLU the order
    goes round the subjects, so that a subset spreads over all of them.
    """
    rng = np.random.default_rng([seed, *benchmark.name.encode()])
    sizes = {name: len(task.eval_docs) for name, task in benchmark.tasks.items()}
    subjects = [list(sizes)[number] for number in rng.permutation(len(sizes))]
    orders = {name: rng.permutation(sizes[name]).tolist() for name in subjects}
    rounds = range(max(sizes.values()))
    order = [(name, orders[name][turn]) for turn in rounds for name in subjects if turn < sizes[name]]
    chosen = order[: items or None]
    return {
        name: sorted(row for subject, row in chosen if subject == name)
        for name in sizes
        if any(subject == name for subject, _ in chosen)
    }


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Silence lm-eval's own bars and notices, which would drown ours."""
    logger, bar = logging.getLogger("lm_eval"), lm_eval.api.task.tqdm
    level = logger.level
    logger.setLevel(logging.ERROR)
    lm_eval.api.task.tqdm = functools.partial(tqdm, disable=True)
    try:
        yield
    finally:
        logger.setLevel(level)
        lm_eval.api.task.tqdm = bar

"""The Open LLM Leaderboard v1 protocol: lm-eval's own tasks, with nothing replaced but where their rows are read from.

Prompts, few-shot draws, answer choices, filters and metrics stay lm-eval's. The splits that a task reads come from the
local files of `hare.benchmarks.registry`, in the hub's schema, or, when the profile asks for it, from the hub itself.
Importing this module does nothing: no request, no environment variable, no change to lm-eval.
"""

import contextlib
import functools
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub.constants
import lm_eval.api.task
import lm_eval.tasks
import lm_eval.utils
import numpy as np
import pyarrow.json
import yaml
from lm_eval.api.group import Group
from lm_eval.api.task import ConfigurableTask, Task
from lm_eval.config.group import GroupConfig
from tqdm import tqdm

from hare.benchmarks import registry as benchmarks
from hare.benchmarks.spec import BenchmarkSpec, Protocol
from hare.core.errors import HareError
from hare.core.files import sha256_of
from hare.core.provenance import digest_of

_TASKS = Path(lm_eval.tasks.__file__).parent
_BLOCK = 1 << 30  # bytes of JSON read at once: a whole file, so that one kind is found for each column


@dataclass(frozen=True)
class Benchmark:
    """One benchmark of the leaderboard, ready to be asked: ``tasks`` maps names to lm-eval tasks, MMLU's are 57."""

    name: str
    protocol: Protocol
    tasks: dict[str, Task]
    from_hub: bool = False

    def rows_digest(self, task: str) -> dict[str, str]:
        """Digest of the rows that a task reads, by split: of the local file, or of the rows themselves."""
        loaded = self.tasks[task]
        files = (loaded.config.dataset_kwargs or {}).get("data_files")
        if files:
            return {split: sha256_of(Path(path)) for split, path in files.items()}
        return {split: digest_of(list(loaded.dataset[split])) for split in self.protocol.splits}

    def asked(self, chosen: Iterable[str]) -> Group | Task:
        """What lm-eval is handed: the task; for MMLU the group of the ``chosen`` tasks, averaged as in the stock."""
        if not self.protocol.group:
            return self.tasks[self.protocol.task]
        stock = yaml.safe_load((_TASKS / self.protocol.folder / self.protocol.group).read_text(encoding="utf-8"))
        group = Group.from_config(GroupConfig(**{**stock, "task": list(chosen)}))
        for name in chosen:
            group.add(self.tasks[name])
        return group


def missing(names: Iterable[str], from_hub: bool = False) -> dict[str, str]:
    """The benchmarks among ``names`` that cannot be asked here, each with the reason; a hub has them all.

    Raises:
        HareError: there is no benchmark of that name.
    """
    reasons = {}
    for name in names:
        absent = [split for split in benchmarks.spec_of(name).protocol.splits if split not in benchmarks.splits(name)]
        if absent and not from_hub:
            reasons[name] = benchmarks.available(name).why or f"no split {' and '.join(absent)} here"
    return reasons


def load(names: Iterable[str], from_hub: bool = False) -> list[Benchmark]:
    """The stock tasks of the benchmarks that can be asked here, reading local files, or the hub where it is asked for.

    Raises:
        HareError: a name is unknown, none of the benchmarks can be asked, or the hub does not hand one out.
    """
    names = list(names)
    skipped = missing(names, from_hub)
    present = [benchmarks.spec_of(name) for name in names if name not in skipped]
    if not present:
        raise HareError(f"None of the tasks can be evaluated here: {skipped}.", "name at least one that can in `tasks`")
    datasets.disable_progress_bars()
    members = {spec.name: _members(spec, from_hub) for spec in present}
    stock = [task for spec in present if not spec.protocol.config for task in members[spec.name]]
    configured = [task for spec in present if spec.protocol.config for task in members[spec.name]]
    with quietly(), _hub_errors() if from_hub else _offline():
        loaded = {task["task"]: ConfigurableTask(config=task) for task in configured}
        if stock:
            folders = [_TASKS / spec.protocol.folder for spec in present if not spec.protocol.config]
            manager = lm_eval.tasks.TaskManager(include_defaults=False, include_path=folders)
            loaded |= manager.load([{"group": "leaderboard", "task": stock}])["tasks"]
    for task in loaded.values():
        _read_once(task)
    return [
        Benchmark(spec.name, spec.protocol, {task["task"]: loaded[task["task"]] for task in members[spec.name]},
                  from_hub)
        for spec in present
    ]


def _read_once(task: Task) -> None:
    """Keep the evaluated rows of a task as a list: lm-eval prepares all of them anew each time it looks at one."""
    for split in ("validation_docs", "test_docs"):
        setattr(task, split, functools.cache(functools.partial(_listed, getattr(task, split))))


def _listed(read: Callable[[], Iterable[dict[str, Any]] | None]) -> list[dict[str, Any]]:
    return list(read() or ())


@contextlib.contextmanager
def _hub_errors() -> Iterator[None]:
    """Say which benchmark the hub withholds, or that it must not be asked."""
    try:
        yield
    except (OSError, datasets.exceptions.DatasetsError) as error:
        raise HareError(
            f"The hub does not hand out a benchmark: {error}",
            "read local files instead (tasks_from_hub: false), or connect, with HF_HUB_OFFLINE=0",
        ) from error


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Local files are read without a look-up on the hub."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_replaced(datasets.config, "HF_HUB_OFFLINE", True))
        stack.enter_context(_replaced(huggingface_hub.constants, "HF_HUB_OFFLINE", True))
        yield


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _members(spec: BenchmarkSpec, from_hub: bool) -> list[dict]:
    """Overrides of the stock tasks of a benchmark: the number of examples shown, and where need be the local files."""
    protocol = spec.protocol
    return [
        {
            **protocol.config,
            "task": f"{protocol.task}_{subset}" if subset else protocol.task,
            "num_fewshot": protocol.shots,
            **({} if from_hub else _local_rows(spec, subset)),
        }
        for subset in benchmarks.subsets(spec.name)
    ]


def _local_rows(spec: BenchmarkSpec, subset: str) -> dict:
    files = {split: str(benchmarks.file(spec.name, split, subset)) for split in spec.protocol.splits}
    return {"dataset_path": "json", "dataset_name": None, "custom_dataset": _tables,
            "dataset_kwargs": {"data_files": files}}


def _tables(data_files: dict[str, str], **_: Any) -> datasets.DatasetDict:
    """The rows as `datasets` reads them, but none of its files in between, which would carry no digest."""
    return datasets.DatasetDict({
        split: datasets.Dataset(pyarrow.json.read_json(path, pyarrow.json.ReadOptions(block_size=_BLOCK)))
        for split, path in data_files.items()
    })


def origin_of(benchmark: Benchmark) -> str:
    """Where a benchmark's rows come from, for the record: the hub, an index archive, extra data, or the last two."""
    if benchmark.from_hub:
        return "the hub"
    origins = [benchmarks.rows_from(benchmark.name, split) for split in benchmark.protocol.splits]
    return " and ".join(dict.fromkeys(origins))


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
    """Silence lm-eval's own bars and notices, which would drown ours, and let it compile each prompt template once.

    lm-eval compiles a template anew for every row; compiled once, it renders the same text many times faster.
    """
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.ERROR)
    compiled = functools.cache(lm_eval.utils.env.from_string)
    silent = functools.partial(tqdm, disable=True)
    try:
        with _replaced(lm_eval.api.task, "tqdm", silent), _replaced(lm_eval.utils.env, "from_string", compiled):
            yield
    finally:
        logger.setLevel(level)

"""Our requests are the stock tasks' requests, letter by letter; subsets are fixed, nested and spread."""

import subprocess
import sys
from pathlib import Path

import datasets
import lm_eval.api.task
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lm_eval.tasks import TaskManager

from hare.benchmarks import registry as benchmarks
from hare.core.errors import HareError
from hare.evaluation import tasks
from hare.evaluation.tasks import Benchmark, choose_items, load, missing
from tests.evaluation_toys import HUB, SUBJECTS, local_benchmarks

__all__ = ["local_benchmarks"]
Files = dict[tuple[str, str], Path]
PROTOCOL = {name: spec.protocol for name, spec in benchmarks.SPECS.items()}
ROWS = [3, 11, 12, 30]


def stock_names(name: str) -> list[str]:
    return [f"mmlu_{subject}" for subject in SUBJECTS] if name == "mmlu" else [PROTOCOL[name].task]


def stock_tasks(name: str, files: Files, monkeypatch: pytest.MonkeyPatch) -> dict[str, lm_eval.api.task.Task]:
    """lm-eval's own tasks, told nothing; the hub's data sets hold the rows of our files."""
    with monkeypatch.context() as patched:
        hub_of(files, patched)
        folder = Path(tasks.lm_eval.tasks.__file__).parent / PROTOCOL[name].folder
        return TaskManager(include_defaults=False, include_path=str(folder)).load(stock_names(name))["tasks"]


def hub_of(files: Files, patched: pytest.MonkeyPatch) -> None:
    """Put a hub in place whose data sets hold the rows of ``files``."""
    by_address = {address: hub for hub, address in HUB.items()}

    def from_hub(path: str, name: str | None = None, **_: object) -> datasets.DatasetDict:
        hub = by_address[path, name]
        data_files = {split: str(file) for (key, split), file in files.items() if key == hub}
        return datasets.load_dataset("json", data_files=data_files)

    patched.setattr(lm_eval.api.task.datasets, "load_dataset", _apart(from_hub, datasets.load_dataset))


def _apart(from_hub: object, local: object) -> object:
    return lambda path, **options: (local if path == "json" else from_hub)(path, **options)


def requests_of(task: lm_eval.api.task.Task, shots: int) -> list[tuple[int, str, tuple]]:
    """As `lm_eval.simple_evaluate` prepares and builds them."""
    if task.get_config("num_fewshot") != 0:
        task.set_config(key="num_fewshot", value=shots)
    task.set_fewshot_seed(seed=1234)
    task.build_all_requests(samples=ROWS)
    return [(instance.doc_id, instance.request_type, instance.args) for instance in task.instances]


@pytest.mark.parametrize("name", PROTOCOL)
def test_our_requests_are_the_stock_tasks_requests(
    name: str, local_benchmarks: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ours,) = load([name])
    stock = stock_tasks(name, local_benchmarks, monkeypatch)
    assert list(ours.tasks) == list(stock)
    for task in stock:
        expected = requests_of(stock[task], PROTOCOL[name].shots)
        assert requests_of(ours.tasks[task], PROTOCOL[name].shots) == expected
        assert ours.tasks[task].VERSION == stock[task].VERSION
        assert len(expected) >= len(ROWS)


def test_importing_does_nothing_to_lm_eval_the_environment_or_the_network() -> None:
    script = (
        "import os, socket; before = dict(os.environ)\n"
        "socket.socket.connect = lambda *_: (_ for _ in ()).throw(AssertionError('a request'))\n"
        "import lm_eval.utils, lm_eval.api.task; stock = lm_eval.utils.env.from_string, lm_eval.api.task.tqdm\n"
        "known = dict(os.environ)\n"
        "import hare.evaluation.tasks, hare.evaluation.harness\n"
        "assert (lm_eval.utils.env.from_string, lm_eval.api.task.tqdm) == stock\n"
        "assert dict(os.environ) == known, 'the environment was changed'"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("name", ["winogrande", "mmlu", "truthfulqa"])
def test_with_a_hub_the_stock_tasks_are_used_as_they_are(
    name: str, local_benchmarks: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    (local,) = load([name])
    monkeypatch.setattr(benchmarks, "splits", lambda name, subset="": [])  # no local file is needed
    monkeypatch.setattr(benchmarks, "file", lambda *_: pytest.fail("a local file was read"))
    hub_of(local_benchmarks, monkeypatch)
    assert missing([name], from_hub=True) == {} and missing([name])
    (stock,) = load([name], from_hub=True)
    for task, stock_task in stock.tasks.items():
        assert stock_task.config.dataset_path != "json"
        assert requests_of(stock_task, PROTOCOL[name].shots) == requests_of(local.tasks[task], PROTOCOL[name].shots)
        assert stock.rows_digest(task) and stock.rows_digest(task) != local.rows_digest(task)


def test_a_hub_that_withholds_a_benchmark_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def gated(path: str, *_: object, **__: object) -> None:
        raise datasets.exceptions.DatasetNotFoundError(f"{path} is gated")

    monkeypatch.setattr(lm_eval.api.task.datasets, "load_dataset", gated)
    with pytest.raises(HareError, match="read local files instead"):
        load(["winogrande"], from_hub=True)


def test_prompts_show_as_many_examples_as_the_leaderboard(local_benchmarks: Files) -> None:
    for benchmark in load(PROTOCOL):
        task = next(iter(benchmark.tasks.values()))
        (_, _, (context, *_)), *_ = requests_of(task, benchmark.protocol.shots)
        opening = benchmark.name == "mmlu"  # its prompts start with a sentence about the subject
        shown = context.count("\n\n") - opening
        assert shown == (6 if benchmark.name == "truthfulqa" else benchmark.protocol.shots)


def test_a_benchmark_without_its_examples_is_skipped_by_name(
    local_benchmarks: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    present = {"gsm8k": ["test"], "winogrande": ["train", "validation"]}
    monkeypatch.setattr(benchmarks, "splits", lambda name, subset="": present[name])
    assert list(missing(["gsm8k", "winogrande"])) == ["gsm8k"]
    assert [benchmark.name for benchmark in load(["gsm8k", "winogrande"])] == ["winogrande"]
    with pytest.raises(HareError, match="None of the tasks can be evaluated here"):
        load(["gsm8k"])


def test_a_file_that_is_gone_is_named(local_benchmarks: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Splits are announced by an archive whose file cannot be had: an error, never a benchmark silently left out."""
    def gone(name: str, split: str, subset: str = "") -> Path:
        raise HareError(f"{name}/{split}: the archive cannot be fetched.", "connect once")

    monkeypatch.setattr(benchmarks, "file", gone)
    with pytest.raises(HareError, match="winogrande/train: the archive cannot be fetched"):
        load(["winogrande"])


def test_an_unknown_benchmark_is_refused() -> None:
    with pytest.raises(HareError, match="no benchmark 'piqa'"):
        missing(["piqa"])


class Rows:
    """As much of an lm-eval task as choosing items looks at."""

    def __init__(self, count: int):
        self.eval_docs = range(count)


def benchmark_of(sizes: list[int]) -> Benchmark:
    return Benchmark("mmlu", PROTOCOL["mmlu"], {f"mmlu_{number}": Rows(size) for number, size in enumerate(sizes)})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 80), st.integers(0, 3))
def test_a_subset_is_nested_spread_and_exact(sizes: list[int], items: int, seed: int) -> None:
    benchmark = benchmark_of(sizes)
    chosen, larger = choose_items(benchmark, items, seed), choose_items(benchmark, items + 1, seed)
    assert sum(map(len, chosen.values())) == min(items, sum(sizes))
    assert all(rows == sorted(set(rows)) and set(rows) <= set(larger[name]) for name, rows in chosen.items())
    unfinished = [len(chosen.get(name, [])) for name, task in benchmark.tasks.items()
                  if len(chosen.get(name, [])) < len(task.eval_docs)]
    assert not unfinished or max(map(len, chosen.values())) <= max(sizes)
    assert not unfinished or max(unfinished) - min(unfinished) <= 1


def test_no_limit_means_every_row() -> None:
    assert choose_items(benchmark_of([3, 5]), 0, seed=1) == {"mmlu_0": [0, 1, 2], "mmlu_1": [0, 1, 2, 3, 4]}


def test_another_seed_chooses_other_rows() -> None:
    assert choose_items(benchmark_of([500]), 20, seed=0) != choose_items(benchmark_of([500]), 20, seed=1)


def test_rows_are_prepared_once(local_benchmarks: Files) -> None:
    (loaded,) = load(["hellaswag"])
    task = loaded.tasks["hellaswag"]
    assert task.eval_docs is task.eval_docs and task.eval_docs == list(task.config.process_docs(
        task.dataset[task.config.validation_split]
    ))


def test_a_benchmark_is_answered_by_letter_where_its_task_offers_letters(local_benchmarks: Files) -> None:
    for loaded in load(["arc_challenge", "hellaswag", "winogrande", "mmlu"]):
        task = next(iter(loaded.tasks.values()))
        offered = task.doc_to_choice(task.eval_docs[0])
        assert loaded.protocol.by_letter == (offered == ["A", "B", "C", "D"])

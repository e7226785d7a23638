"""Models through lm-eval: one report a model, one benchmark at a time, nothing computed twice after an interruption.

A benchmark that is answered lies in a file of its own; one that was interrupted goes on from its journal of batches.
"""

import functools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import transformers
from lm_eval.defaults import DEFAULT_OTHER_SEED
from lm_eval.evaluator import evaluate as lm_eval_evaluate

from hare.core.code import code_of
from hare.core.files import folder_written_whole, sha256_of, write_json
from hare.core.provenance import digest_of
from hare.core.seals import kept_file
from hare.core.sections import Evaluation
from hare.evaluation.backend import SharedPrefixLM
from hare.evaluation.journal import Journal
from hare.evaluation.scores import first_filtered, item_scores
from hare.evaluation.tasks import Benchmark, choose_items, quietly

_REPORTED = ("results", "groups", "group_subtasks", "configs", "versions", "n-shot", "higher_is_better", "n-samples")


@dataclass(frozen=True)
class Candidate:
    """A model to evaluate: its Hugging Face ``folder``, the ``arm`` it stands for, its training seed if it has one.

    It is asked ``items`` items of every benchmark; 0 means all of them.
    """

    arm: str
    seed: int | None
    folder: Path
    items: int

    @property
    def label(self) -> str:
        """Name of the model in reports and on progress lines."""
        return self.arm if self.seed is None else f"{self.arm}-seed{self.seed}"


@dataclass(frozen=True)
class Evaluated:
    """A candidate's results: lm-eval's ``report``, one row of scores per item, and one per benchmark on its requests.

    The rows of ``requests`` say how many there were, and how many lost their beginning to the model's context length.
    """

    candidate: Candidate
    report: dict[str, Any]
    items: list[dict[str, Any]]
    requests: list[dict[str, Any]]


def trained_models(artifact: Callable[[str], Path], items: int) -> list[Candidate]:
    """The models that the training stage lists; ``artifact`` gives the verified path of an artifact by name.

    Raises:
        HareError: the training stage has not run to its end, or one of its models has changed since.
    """
    listed = json.loads(artifact("training/runs.json").read_text(encoding="utf-8"))
    return [Candidate(run["arm"], run["seed"], artifact(f"training/{run['hf']}"), items) for run in listed]


def evaluate(candidate: Candidate, benchmarks: list[Benchmark], config: Evaluation, finished: Path) -> Evaluated:
    """Ask a model all benchmarks; those found in the folder ``finished`` are read from there.

    The configured seed chooses the items and nothing else: few-shot examples are drawn with lm-eval's own default seed.
    Whatever a benchmark's answers depend on (weights, rows, items, batch, threads, versions) is in its file's name.
    """
    model, load = _model(candidate, config)
    report: dict[str, Any] = {part: {} for part in _REPORTED}
    items, requests = [], []
    for benchmark in benchmarks:
        chosen = choose_items(benchmark, candidate.items, config.evaluation_seed)
        path = finished / candidate.label / f"{benchmark.name}-{_key(model, benchmark, chosen, config)[:16]}.json"
        ask = functools.partial(_ask, benchmark=benchmark, chosen=chosen, label=candidate.label)
        answered = _answered(path, load, ask)
        for part in _REPORTED:
            report[part].update(answered["report"].get(part, {}))
        report.update({name: value for name, value in answered["report"].items() if name not in _REPORTED})
        who = {"arm": candidate.arm, "seed": candidate.seed}
        items += [{**who, **row} for row in answered["items"]]
        requests.append({**who, "benchmark": benchmark.name, **answered["requests"]})
    report["model"] = {"name": candidate.label, "sha256": model}
    return Evaluated(candidate, report, items, requests)


def write_reports(evaluated: list[Evaluated], folder: Path) -> None:
    """Write lm-eval's reports as ``<arm>-seed<k>.json`` in ``folder``, which then holds nothing else."""
    with folder_written_whole(folder) as temporary:
        for answers in evaluated:
            write_json(temporary / f"{answers.candidate.label}.json", answers.report)


def _key(model: str, benchmark: Benchmark, chosen: dict[str, list[int]], config: Evaluation) -> str:
    """Digest of everything that the answers depend on."""
    rows = {name: benchmark.rows_digest(name) for name in chosen}
    return digest_of([_code(), model, benchmark.name, benchmark.protocol.shots, rows, chosen, _arithmetic(config)])


def _arithmetic(config: Evaluation) -> list[Any]:
    """What the last digits of a score depend on."""
    versions = {package: version(package) for package in ("lm-eval", "torch", "transformers")}
    return [config.evaluation_batch, config.evaluation_threads, torch.cuda.is_available(), versions]


def _model(candidate: Candidate, config: Evaluation) -> tuple[str, Callable[[], SharedPrefixLM]]:
    """Digest of the model's folder, and what loads it when first needed."""
    torch.set_num_threads(config.evaluation_threads)
    return (
        sha256_of(candidate.folder),
        functools.cache(lambda: SharedPrefixLM(candidate.folder, config.evaluation_batch)),
    )


def _answered(path: Path, load: Callable[[], SharedPrefixLM], ask: Callable[[SharedPrefixLM], Any]) -> Any:
    """What lies at ``path``; if nothing intact does, the model is asked, from where a killed process stopped."""

    def write(temporary: Path) -> None:
        lm, journal = load(), path.with_suffix(".journal")
        lm.truncated, lm.journal = 0, Journal(journal)
        write_json(temporary, ask(lm))
        lm.journal.close()
        journal.unlink()

    return json.loads(kept_file(path, write).read_text(encoding="utf-8"))


@functools.cache
def _code() -> dict[str, str]:
    """How a request is put, answered, scored and kept."""
    return code_of("hare.evaluation.harness", leaving_out=("core/",))


def _ask(lm: SharedPrefixLM, benchmark: Benchmark, chosen: dict[str, list[int]], label: str) -> dict[str, Any]:
    """lm-eval's report on one benchmark, and the items' scores."""
    for name in chosen:
        benchmark.tasks[name].set_fewshot_seed(DEFAULT_OTHER_SEED)
    with quietly():
        lm.task_shown = f"{label} on {benchmark.name}"
        asked = benchmark.asked(chosen)
        tasks = {"tasks": {name: benchmark.tasks[name] for name in chosen}}
        groups = {"groups": {asked.name: asked}} if benchmark.protocol.group else {}
        result = lm_eval_evaluate(lm, {**tasks, **groups}, samples=chosen, bootstrap_iters=0)
    samples = result.pop("samples")
    items = [row for name in chosen for row in item_scores(benchmark, name, samples[name])]
    asked_for = sum(len(sample["arguments"]) for name in chosen for sample in first_filtered(samples[name]))
    requests = {"requests": asked_for, "truncated": lm.truncated, "context": lm.max_length}
    report = {part: result[part] for part in _REPORTED if part in result}
    return {"report": _without_machine({**report, **_about(lm)}), "items": items, "requests": requests}


def _about(lm: SharedPrefixLM) -> dict[str, Any]:
    """What lm-eval itself adds to a report, but for the description of the machine."""
    return {
        "config": {
            "backend": type(lm).__name__,
            "model_num_parameters": lm.model.num_parameters(),
            "model_dtype": str(lm.model.dtype),
            "batch_size": lm.batch_size,
            "fewshot_seed": DEFAULT_OTHER_SEED,
        },
        "max_length": lm.max_length,
        "lm_eval_version": version("lm-eval"),
        "transformers_version": transformers.__version__,
    }


def _without_machine(report: dict[str, Any]) -> dict[str, Any]:
    """The report without what differs between machines and runs: absolute paths and addresses of functions."""
    text = json.dumps(report, ensure_ascii=False, default=str)
    text = re.sub(r'"/[^"]*/(lm_eval/tasks/[^"]*)"', r'"\1"', text)
    text = re.sub(r'"/[^"]*/benchmarks/[^"/]*/([^"]*\.jsonl)"', r'"\1"', text)
    return json.loads(re.sub(r" at 0x[0-9a-f]+", "", text))

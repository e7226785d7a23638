"""The tool-calling study: data, systems, answers. The notebook calls these one after the other."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from hare.core.progress import track
from hare.core.sections import Finetuning
from hare.finetuning import lengths, retrieval, runs
from hare.finetuning.controls import BagOfWords
from hare.finetuning.functions import FUNCTIONS, Call
from hare.finetuning.instruct import InstructGrammar
from hare.finetuning.outside import asked as outside
from hare.finetuning.outside.home_assistant import human_set
from hare.finetuning.phrases.grammar import jaccard, phrasings, words_of
from hare.finetuning.scoring import score_rows
from hare.finetuning.sft import Schedule
from hare.finetuning.tool_data import VALIDATION_ITEMS, ToolItem, check_executable, hard_set, plain_set, training_counts
from hare.finetuning.tools import in_all_passes
from hare.synthesis.engines.choice import chosen_generator
from hare.synthesis.engines.generator import Generator
from hare.training.run import TrainingRun

RETRIEVAL, RETRIEVAL_EXAMPLES = "retrieval", "retrieval-examples"
_GENERATION_BATCH = 16
_CALIBRATION = 28  # validation requests
_HARD_VALIDATION = 4  # of each function and kind of difficulty


@dataclass(frozen=True)
class ToolSets:
    """Training and validation set, our two test sets, and the one that people phrased."""

    train: list[ToolItem]
    validation: list[ToolItem]
    test: list[ToolItem]
    hard: list[ToolItem]
    human: list[ToolItem]

    def tests(self) -> dict[str, list[ToolItem]]:
        """The sets that systems are compared on, by name."""
        return {"test": self.test, "hard": self.hard, "human": self.human}

    def scored(self) -> dict[str, list[ToolItem]]:
        """The same and the validation set."""
        return {"validation": self.validation, **self.tests()}

    def rows(self) -> Iterator[dict[str, object]]:
        """All items as JSON rows."""
        for item in (*self.train, *self.validation, *self.test, *self.hard, *self.human):
            yield dataclasses.asdict(item)


def item_from(row: dict) -> ToolItem:
    """Inverse of a row of `ToolSets.rows`."""
    call = Call(row["call"]["function"], tuple(row["call"]["arguments"]))
    return ToolItem(**{**row, "call": call, "values": tuple(map(tuple, row["values"]))})


def make_sets(config: Finetuning, published: pd.DataFrame) -> ToolSets:
    """All sets. Every gold call is executed in the sandbox.

    Raises:
        HareError: a gold call is refused.
    """
    seed, names = config.finetuning_seeds[0], [function.name for function in FUNCTIONS]
    sets = ToolSets(
        plain_set("train", training_counts(published, config.tool_data_share), seed),
        [*plain_set("validation", dict.fromkeys(names, min(VALIDATION_ITEMS, config.tool_test_items)), seed),
         *hard_set("validation", min(_HARD_VALIDATION, config.tool_hard_items), seed)],
        plain_set("test", dict.fromkeys(names, config.tool_test_items), seed),
        hard_set("test", config.tool_hard_items, seed),
        human_set(config.tool_human_items, seed),
    )
    for items in (sets.train, *sets.scored().values()):
        check_executable(items)
    return sets


def count_table(sets: ToolSets, published: pd.DataFrame) -> pd.DataFrame:
    """Items by function beside the paper's: api, function, then the number in each set."""
    rows = []
    for function in FUNCTIONS:
        parts = {"train": sets.train, **sets.scored()}
        counts = {name: sum(item.call.function == function.name for item in items) for name, items in parts.items()}
        rows.append({"api": function.api, "function": function.name, **counts})
    printed = published.rename(columns={"training_samples": "paper_train", "test_samples": "paper_test"})
    return pd.DataFrame(rows).merge(printed[["api", "paper_train", "paper_test"]], on="api")


def closeness_table(shown: Sequence[ToolItem]) -> pd.DataFrame:
    """How close training comes to the test phrasings: function, phrasings, families, and of the share of words that
    each phrasing has in common with its closest among ``shown`` (Jaccard): median and highest."""
    trained = {words_of(item.core) for item in shown}
    rows = []
    for function in FUNCTIONS:
        tests = [phrasing for phrasing in phrasings("test") if phrasing.function == function.name]
        closest = [max(jaccard(words_of(test.core), other) for other in trained) for test in tests]
        rows.append({
            "function": function.name, "phrasings": len(tests), "families": len({test.family for test in tests}),
            "median": pd.Series(closest).median(), "highest": max(closest),
        })
    return pd.DataFrame(rows)


def seen_in_training(train: Sequence[ToolItem], config: Finetuning) -> list[ToolItem]:
    """Every variant of the training items that the longest runs show the models, of every seed."""
    steps = max(config.tool_steps, config.copying_steps)
    schedules = [Schedule(steps, config.tool_batch, 0.0, seed) for seed in config.finetuning_seeds]
    return [item for schedule in schedules for item in in_all_passes(train, schedule)]


def fine_tuned(
    folder: Path, sets: ToolSets, config: Finetuning, out: Path, further: Sequence[TrainingRun] = ()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`score_rows` of all fine-tuned systems, of those from the ``further`` pretraining runs, and of the baselines
    under the grammar, the Berkeley sets' among them; and what each fine-tune cost. The first seed's HARE-Tool is saved
    at ``out``."""
    planned = runs.planned(folder, config)
    first = next(run for run in planned if run.system == runs.HARE_TOOL)
    from_further = [first, next(run for run in planned if run.system == runs.COPYING)]
    longest = sorted(further, key=lambda run: -run.training.train_steps)
    trained: list[runs.Task] = [(lengths.tuned, (run, from_further, sets.train, sets.tests())) for run in longest]
    trained.append((outside.schema_answers, (folder, sets.train, config, config.finetuning_seeds[0])))
    trained += [(runs.carried_out, (run, sets.train, sets.scored() if run.system == runs.HARE_TOOL else sets.tests(),
                                    out if run is first else None)) for run in planned]
    others: list[runs.Task] = []
    if config.instruct_model == "embedded":
        others += [(grammar_answers, (sets, config, examples)) for examples in (True, False)]
        others.append((outside.instruct_answers, (config,)))
    results = runs.side_by_side([*trained, *others], config.finetuning_processes)
    lists = [result if isinstance(result, list) else [result] for result in results[: len(trained)]]
    done = [one for listed in lists for one in listed]
    rows = pd.concat([*(one["rows"] for one in done), *results[len(trained) :]], ignore_index=True)
    return rows, pd.DataFrame([one["costs"] for one in done if one["costs"]["steps"]])


def bag_of_words_answers(sets: ToolSets, config: Finetuning) -> pd.DataFrame:
    """`score_rows` of the control without a network, trained on what HARE-Tool is shown."""
    seed = config.finetuning_seeds[0]
    shown = in_all_passes(sets.train, Schedule(config.tool_steps, config.tool_batch, 0.0, seed))
    system = BagOfWords(shown, seed)
    return pd.concat([
        score_rows(items, system.answer([item.request for item in items]), system.name, seed, name)
        for name, items in sets.tests().items()
    ], ignore_index=True)


def grammar_answers(sets: ToolSets, config: Finetuning, with_examples: bool) -> pd.DataFrame:
    """`score_rows` of retrieval and the instruct model under HARE-Tool's grammar, on a subset of each test set."""
    torch.set_num_threads(1)
    system = InstructGrammar(retrieval.WORKED_EXAMPLES if with_examples else {})
    chosen = retrieval.seeded_subset(sets.validation, _CALIBRATION, config.finetuning_seeds[0])
    usual = [item.request for item in chosen]
    system.calibrate(usual, retrieval.ranked_functions(usual))
    name = f"{RETRIEVAL_EXAMPLES if with_examples else RETRIEVAL}-grammar"
    rows = []
    for test_set, items in _asked(sets, config).items():
        requests = [item.request for item in items]
        readings = system.answer(requests, retrieval.ranked_functions(requests))
        rows.append(score_rows(items, readings, name, 0, test_set))
    return pd.concat(rows, ignore_index=True)


def _asked(sets: ToolSets, config: Finetuning) -> Mapping[str, list[ToolItem]]:
    """The subset of each test set that baselines are asked."""
    return {name: retrieval.seeded_subset(items, config.baseline_items, config.finetuning_seeds[0])
            for name, items in sets.tests().items()}


def instruct_generator(config: Finetuning) -> Generator:
    """The instruct model of the free baseline: SmolLM2 in process, or a server's model."""
    return chosen_generator(config.instruct_model, config.instruct_model_name, _GENERATION_BATCH)


def baseline_answers(sets: ToolSets, config: Finetuning) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`score_rows` of retrieval and the freely decoding instruct model on a subset of each test set; the recall of
    retrieval on all of it.

    The model is asked with the descriptions alone, as the paper's baseline is, and again with a worked example of each
    function offered.
    """
    generator, tests, rows, recalls = instruct_generator(config), sets.tests(), [], []
    for name, items in track(tests.items(), "retrieve descriptions", "sets", len(tests)):
        ranked = retrieval.ranked_functions([item.request for item in items])
        recalls.append(retrieval.recall_table(items, ranked).assign(test_set=name))
    asked = _asked(sets, config)
    for name, items in track(asked.items(), "ask the baselines", "sets", len(asked)):
        requests = [item.request for item in items]
        ranked = retrieval.ranked_functions(requests)
        for system, examples in ((RETRIEVAL, {}), (RETRIEVAL_EXAMPLES, retrieval.WORKED_EXAMPLES)):
            readings = retrieval.answer(requests, generator, ranked, examples)
            rows.append(score_rows(items, readings, system, 0, name))
    return pd.concat(rows, ignore_index=True), pd.concat(recalls, ignore_index=True)

"""The tool-calling study: data, systems, answers. The notebook calls these one after the other."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from hare.core.sections import Finetuning
from hare.finetuning import retrieval
from hare.finetuning.dialogue import load_for_chat
from hare.finetuning.functions import FUNCTIONS, Call
from hare.finetuning.grammar import Phrasing, phrasings
from hare.finetuning.scoring import score_rows
from hare.finetuning.sft import Schedule
from hare.finetuning.tool_data import VALIDATION_ITEMS, ToolItem, check_executable, hard_set, plain_set, training_counts
from hare.finetuning.tools import (
    CONSTRAINED,
    COPIED,
    GREEDY,
    MARKED,
    SPELLED,
    ToolModel,
    in_all_passes,
    train_tool,
)
from hare.synthesis.generator import Generator

HARE_TOOL, COPYING, NO_TOKENS, BASE = "hare-tool", "hare-tool-copying", "no-functional-tokens", "base"
RETRIEVAL, RETRIEVAL_EXAMPLES = "retrieval", "retrieval-examples"
_PLAN = {
    MARKED: (HARE_TOOL, (CONSTRAINED,)), COPIED: (COPYING, (GREEDY, CONSTRAINED)), SPELLED: (NO_TOKENS, (GREEDY,)),
}
HEADLINE = {  # name in the record: system and decoding
    "hare-tool": (HARE_TOOL, CONSTRAINED), "hare-tool-copying": (COPYING, GREEDY),
    "hare-tool-copying-grammar": (COPYING, CONSTRAINED), "no-functional-tokens": (NO_TOKENS, GREEDY),
    "retrieval": (RETRIEVAL, GREEDY), "retrieval-examples": (RETRIEVAL_EXAMPLES, GREEDY),
    "base": (BASE, GREEDY),
}
_GENERATION_BATCH = 16


@dataclass(frozen=True)
class ToolSets:
    """Training, validation and two test sets."""

    train: list[ToolItem]
    validation: list[ToolItem]
    test: list[ToolItem]
    hard: list[ToolItem]

    def scored(self) -> dict[str, list[ToolItem]]:
        """The sets that systems are scored on, by name."""
        return {"validation": self.validation, "test": self.test, "hard": self.hard}

    def rows(self) -> Iterator[dict[str, object]]:
        """All items as JSON rows."""
        for item in (*self.train, *self.validation, *self.test, *self.hard):
            yield dataclasses.asdict(item)


def item_from(row: dict) -> ToolItem:
    """Inverse of a row of `ToolSets.rows`."""
    call = Call(row["call"]["function"], tuple(row["call"]["arguments"]))
    return ToolItem(**{**row, "call": call, "values": tuple(map(tuple, row["values"]))})


def instruct_generator(config: Finetuning) -> Generator:
    """The instruct model of baseline and paraphrases: SmolLM2 in process, or a server's model."""
    if config.instruct_model == "embedded":
        from hare.synthesis.embedded import EmbeddedGenerator

        return EmbeddedGenerator(_GENERATION_BATCH)
    from hare.synthesis.served import ServedGenerator

    return ServedGenerator(config.instruct_model, config.instruct_model_name, _GENERATION_BATCH)


def make_sets(config: Finetuning, published: pd.DataFrame, paraphrases: Sequence[Phrasing]) -> ToolSets:
    """All sets; ``paraphrases`` widen the training set's phrasings. Every gold call is executed in the sandbox.

    Raises:
        HareError: a gold call is refused.
    """
    seed, names = config.finetuning_seed, [function.name for function in FUNCTIONS]
    sets = ToolSets(
        plain_set("train", training_counts(published, config.tool_data_share), seed,
                  [*phrasings("train"), *paraphrases]),
        plain_set("validation", dict.fromkeys(names, min(VALIDATION_ITEMS, config.tool_test_items)), seed),
        plain_set("test", dict.fromkeys(names, config.tool_test_items), seed),
        hard_set(config.tool_hard_items, seed),
    )
    for items in (sets.train, sets.validation, sets.test, sets.hard):
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


def trained_systems(
    folder: Path, train: Sequence[ToolItem], config: Finetuning
) -> tuple[list[ToolModel], pd.DataFrame]:
    """HARE-Tool, its relatives (the configured forms), the pretrained model in ``folder`` as it is, and what each
    fine-tune cost.

    All start from the same weights and see the same items for the same number of steps. The first one is HARE-Tool.
    """
    schedule, systems, costs = _schedule(config), [], []
    for form in config.tool_forms:
        name, ways = _PLAN[form]
        model = load_for_chat(folder, config.finetuning_seed)
        trained = train_tool(model, train, schedule, form, f"fine-tune {name}")
        costs.append({"system": name, "items": len(train), **dataclasses.asdict(trained)})
        systems += [ToolModel(name, model, form, decoding) for decoding in ways]
    untouched = ToolModel(BASE, load_for_chat(folder, config.finetuning_seed).eval(), SPELLED, GREEDY)
    return [*systems, untouched], pd.DataFrame(costs)


def seen_in_training(train: Sequence[ToolItem], config: Finetuning) -> list[ToolItem]:
    """Every variant of the training items that `trained_systems` shows the models."""
    return in_all_passes(train, _schedule(config))


def _schedule(config: Finetuning) -> Schedule:
    return Schedule(config.tool_epochs, config.tool_batch, config.tool_learning_rate, config.finetuning_seed)


def answers(systems: Sequence[ToolModel], sets: Mapping[str, Sequence[ToolItem]]) -> pd.DataFrame:
    """`score_rows` of every system on every set."""
    rows = []
    for system in systems:
        for name, items in sets.items():
            readings = system.answer([item.request for item in items])
            rows.append(score_rows(items, readings, system.name, system.decoding, name))
    return pd.concat(rows, ignore_index=True)


def baseline_answers(sets: Mapping[str, Sequence[ToolItem]], config: Finetuning) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`score_rows` of retrieval and instruct model on a subset of each set; the recall of retrieval on all of it.

    The model is asked with the descriptions alone, and again with a worked example of each function offered.
    """
    torch.set_num_threads(config.finetuning_threads)
    generator, rows, recalls = instruct_generator(config), [], []
    for name, items in sets.items():
        functions = retrieval.ranked_functions([item.request for item in items])
        ranked = {item.id: found for item, found in zip(items, functions, strict=True)}
        recalls.append(retrieval.recall_table(items, list(ranked.values())).assign(test_set=name))
        chosen = retrieval.seeded_subset(items, config.baseline_items, config.finetuning_seed)
        offered = [ranked[item.id] for item in chosen]
        for system, examples in ((RETRIEVAL, {}), (RETRIEVAL_EXAMPLES, retrieval.WORKED_EXAMPLES)):
            readings = retrieval.answer([item.request for item in chosen], generator, offered, examples)
            rows.append(score_rows(chosen, readings, system, GREEDY, name))
    return pd.concat(rows, ignore_index=True), pd.concat(recalls, ignore_index=True)

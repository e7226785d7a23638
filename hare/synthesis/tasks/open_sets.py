"""D3's open part: openly licensed task sets that index archives ship, as natural-language tasks.

Only sets that no benchmark of this study uses, in English, written for the archive itself under its MIT licence; sets
in the same archive that repackage other data (LogiQA, MedMCQA, CREPE, …) are left out.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hare.data.archives import archive_of, read_lines
from hare.data.text import rank
from hare.synthesis.tasks.items import OPEN_SET, Item, objection_to

OPEN_SHARE = 0.1  # of D3 at the most; the paper has 41 %, but the open sets within reach are small and narrow
_DATA = "evals/registry/data/"
Samples = Iterator[tuple[str, str, str]]  # instruction, input, output


@dataclass(frozen=True)
class OpenSet:
    """One set with its data card; ``read`` yields instruction, input and output of each sample."""

    name: str
    package: str
    licence: str
    card: str
    read: Callable[[str], Samples]
    members: tuple[str, ...]


_SELF_PROMPTING_TASKS = frozenset({
    "2d_movement.dev.v0", "ambiguous-sentences.dev.v0", "categorize-with-distractors.dev.v0",
    "css-selectors-verbal.dev.v0", "escher-sentences.dev.v0", "finger-tracking.dev.v0", "first-letters.dev.v0",
    "forth-stack-sim.dev.v0", "linear-equations.dev.v0", "logic-statements.dev.v0", "mandaliof-table.dev.v0",
    "music-theory-triads-identification.dev.v0", "ph-calculation.dev.v0", "sort-numbers.s1.simple-v0",
    "squares-gpt.dev.v0",
})


def _self_prompting(member: str) -> Samples:
    for line in read_lines(archive_of("evals"), member):
        task = json.loads(line)
        if task["eval"] in _SELF_PROMPTING_TASKS:
            for sample in task["train_samples"]:
                yield task["instruction"], sample["input"], str(sample["output"])


_INSTRUCTIONS = {"You are a helpful assistant.": "Answer the question."}  # instructions that say nothing about the task


def _conversations(member: str) -> Samples:
    for line in read_lines(archive_of("evals"), member):
        sample = json.loads(line)
        instruction, *questions = (message["content"] for message in sample["input"])
        if len(questions) != 1:  # with worked examples, or without an instruction
            continue
        ideal = sample["ideal"][0] if isinstance(sample["ideal"], list) else sample["ideal"]
        yield _INSTRUCTIONS.get(instruction, instruction), questions[0], str(ideal)


OPEN_SETS: tuple[OpenSet, ...] = (
    OpenSet(
        "evals-self-prompting", "evals", "MIT",
        "Fifteen small tasks in English (sorting, logic, geometry, chemistry, stack machines), an instruction each.",
        _self_prompting, (f"{_DATA}self_prompting/samples.jsonl",),
    ),
    OpenSet(
        "evals-conversations", "evals", "MIT",
        "Dates to write out, names to compare, system events to classify, number sequences to continue.",
        _conversations,
        tuple(f"{_DATA}{name}/samples.jsonl" for name in (
            "event_categories", "imperial_date_to_string", "integer-sequence-predictions",
            "list_comparison_missing_name",
        )),
    ),
    OpenSet(
        "evals-calculations", "evals", "MIT",
        "Things to work out: resistors, determinants, bit patterns, probabilities, chemical equations, scales, counts.",
        _conversations,
        tuple(f"{_DATA}{name}.jsonl" for name in (
            "balance_chemical_equation/samples", "bitwise/samples", "count_token_freq_dna/samples",
            "determinant/samples", "logical_counting/samples", "matrix_mult_rows/samples",
            "music_theory_scale_modes/samples", "probability_questions/probability_questions",
            "resistor_ohm_calculator/samples",
        )),
    ),
)


def open_items(wanted: int, seed: int) -> list[Item]:
    """At most ``wanted`` valid items of the open sets, drawn evenly over sets by hash."""
    share, items = -(-wanted // len(OPEN_SETS)), []
    for chosen in OPEN_SETS:
        valid = [item for item in _items(chosen) if objection_to(item) is None]
        items += sorted(valid, key=lambda item: rank(seed, item.source))[:share]
    return items[:wanted]


def _items(chosen: OpenSet) -> Iterator[Item]:
    for member in chosen.members:
        for number, (instruction, given, output) in enumerate(chosen.read(member)):
            yield Item(
                "instruction", OPEN_SET, f"{chosen.name}/{member.removeprefix(_DATA).split('/')[0]}/{number}",
                chosen.name, "instructions", "", given.strip(), instruction.strip(), output.strip(),
                output, output,
            )

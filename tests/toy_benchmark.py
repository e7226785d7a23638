"""A benchmark that nobody has heard of, defined in one file, as any new one would be."""

from hare.benchmarks.forms import LISTED
from hare.benchmarks.sources import Row, Source
from hare.benchmarks.spec import BenchmarkSpec, Protocol

WORDS = ("quartz", "lantern", "meadow", "falcon", "copper", "harbour", "thistle", "velvet", "glacier", "walnut")


def _row(number: int) -> Row:
    picked = [WORDS[(number * step + step) % len(WORDS)] for step in (1, 3, 7, 9)]
    riddle = f"Riddle {number}: Mary does not begin to see what is under the {picked[0]} near {picked[1]} {number}?"
    choices = [f"the {word} number {number + place}" for place, word in enumerate(picked)]
    return {"riddle": riddle, "choices": choices, "right": number % 4}


def _source(first: int) -> Source:
    return Source(lambda: f"toy-{first}", lambda: (_row(number) for number in range(first, first + 30)))


def _question_answer(row: Row) -> tuple[str, str]:
    return row["riddle"], row["choices"][row["right"]]


SPEC = BenchmarkSpec(
    name="riddles",
    label="Old riddles",
    chance=0.25,
    sources={"train": lambda _: _source(0), "test": lambda _: _source(100)},
    question_answer=_question_answer,
    texts=lambda row: [row["riddle"], *row["choices"]],
    options=lambda row: row["choices"],
    cloze=lambda row: (f"Q: {row['riddle']}\nA:", f" {row['choices'][row['right']]}"),
    form=LISTED,
    protocol=Protocol("riddles", "", 2, "train", "test", "acc", config={
        "output_type": "multiple_choice", "training_split": "train", "test_split": "test", "fewshot_split": "train",
        "doc_to_text": "Q: {{riddle}}\nA:", "doc_to_target": "right", "doc_to_choice": "choices",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }),
)

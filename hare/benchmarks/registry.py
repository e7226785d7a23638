"""The benchmarks by name, and their rows as local files, as on the Hugging Face hub, so that stock tasks read them.

Everything is read through `file`: a JSON-lines copy in the cache, made once from an index archive. A new benchmark is a
file that defines ``SPEC``, and its line in ``SPECS``.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hare.benchmarks import arc_challenge, gsm8k, hellaswag, mmlu, sources, truthfulqa, winogrande
from hare.benchmarks.sources import ExtraFile, Row, Source
from hare.benchmarks.spec import SPLITS, BenchmarkSpec
from hare.core.code import code_of
from hare.core.errors import HareError
from hare.core.files import read_jsonl, write_jsonl
from hare.core.paths import cache_folder
from hare.core.provenance import digest_of
from hare.core.seals import kept_file

SPECS: dict[str, BenchmarkSpec] = {
    module.SPEC.name: module.SPEC for module in (arc_challenge, hellaswag, winogrande, mmlu, gsm8k, truthfulqa)
}


@dataclass(frozen=True)
class Availability:
    """Whether a benchmark can be read here; ``why`` names what is missing, also when only some splits are."""

    yes: bool
    why: str

    def __bool__(self) -> bool:
        return self.yes


def spec_of(name: str) -> BenchmarkSpec:
    """The spec of a benchmark.

    Raises:
        HareError: there is no benchmark of that name.
    """
    if name not in SPECS:
        raise HareError(f"There is no benchmark {name!r}.", f"choose one of {', '.join(SPECS)}")
    return SPECS[name]


def answered_by_letter(name: str) -> bool:
    """Whether the leaderboard scores an option's letter instead of its text."""
    return spec_of(name).protocol.by_letter


def label_of(name: str) -> str:
    """A benchmark's label in figures; any other name, such as "average", is its own label."""
    return SPECS[name].label if name in SPECS else name


def available(name: str) -> Availability:
    """Whether at least one split of benchmark ``name`` can be read on this machine."""
    spec, present = spec_of(name), splits(name)
    absent = {split: source for split, source in spec.sources.items()
              if isinstance(source, ExtraFile) and split not in present}
    reasons = [f"no archive ships {f'its {split} split' if len(spec.sources) > 1 else 'it'}: "
               f"put {source.path} under $HARE_EXTRA_DATA" for split, source in absent.items()]
    return Availability(bool(present), "; ".join(reasons))


def subsets(name: str) -> list[str]:
    """The subsets of a benchmark; one without subsets has a single subset named ''."""
    return spec_of(name).subsets()


def splits(name: str, subset: str = "") -> list[str]:
    """Names of the splits that can be read on this machine, in the order train, dev, validation, test.

    All subsets of a benchmark have the same splits, so the subset may be left out.
    """
    sources = _sources(name, subset or subsets(name)[0])
    return [split for split in SPLITS if split in sources]


def rows_from(name: str, split: str) -> str:
    """Where the rows of a split come from, for the record: "index archive" or "extra data" (``$HARE_EXTRA_DATA``)."""
    return "extra data" if _sources(name, subsets(name)[0])[split].extra else "index archive"


def file(name: str, split: str, subset: str = "") -> Path:
    """Path of the split as JSON lines in the hub's schema; made on the first call, atomically.

    Raises:
        HareError: the benchmark, subset or split is unknown or not available here, or its source is damaged.
    """
    sources = _sources(name, subset)
    if split not in sources:
        problem = f"{name}{f', subset {subset!r},' if subset else ''} has no split {split!r} here"
        raise HareError(f"{problem}.", available(name).why or f"choose one of {', '.join(splits(name, subset))}")
    return _cached(sources[split], Path(name) / subset / f"{split}.jsonl")


def rows(name: str, split: str, subset: str = "") -> list[Row]:
    """All rows of a split, in the hub's order and schema."""
    return list(read_jsonl(file(name, split, subset)))


def rewrites(name: str, split: str) -> list[list[Row]]:
    """Up to three sets of language-model rewrites of the split's rows, not in the rows' order; usually there are none.

    A row has ``question`` and ``answer`` rewritten, beside ``original_question`` and ``original_answer``.
    """
    spec_of(name)
    versions = []
    for version in (1, 2, 3):
        path = sources.extra_file(f"{name}_rewritten/{split}-{version}.jsonl.gz")
        if path is not None:
            source = sources.extra_jsonl(path, sources.rewritten_row)
            versions.append(list(read_jsonl(_cached(source, Path(f"{name}_rewritten") / f"{split}-{version}.jsonl"))))
    return versions


def question_answer(name: str, row: Row) -> tuple[str, str]:
    """The question of a row and the text of its gold answer.

    Raises:
        HareError: the row has no label, as in the hidden test splits.
    """
    try:
        return spec_of(name).question_answer(row)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise HareError(
            f"A row of {name} has no usable gold label: {str(row)[:200]}",
            f"use a labelled split: {', '.join(splits(name))}",
        ) from error


def texts(name: str, row: Row) -> list[str]:
    """All natural language of a row: first the question, then every answer option (GSM8K: the solution)."""
    return spec_of(name).texts(row)


def passages(name: str, row: Row, longest: int) -> list[str]:
    """Texts whose n-grams, up to ``longest`` words, represent the item in the decontamination index."""
    spec = spec_of(name)
    return spec.form.passages(spec.texts(row), longest)


def _sources(name: str, subset: str) -> dict[str, Source]:
    spec, known = spec_of(name), subsets(name)
    if subset not in known:
        fix = f"choose one of its {len(known)} subsets" if len(known) > 1 else "leave the subset out"
        raise HareError(f"{name} has no subset {subset!r}.", fix)
    sources = {split: source(subset) for split, source in spec.sources.items()}
    return {split: source for split, source in sources.items() if source is not None}


def _cached(source: Source, relative: Path) -> Path:
    """The rows as JSON lines in the cache, in a folder named after their source and the code that makes them."""
    folder = cache_folder() / "benchmarks" / digest_of([source.fingerprint(), _code()])[:16]
    return kept_file(folder / relative, lambda temporary: write_jsonl(temporary, source.read()))


@cache
def _code() -> dict[str, str]:
    return code_of("hare.benchmarks.registry", leaving_out=("core/",))

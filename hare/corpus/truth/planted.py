"""Planted truth: known defects in copies of real texts, to measure precision and recall of every block.

The clean texts are whole documents of edited sources, taken raw and not chosen by any block, so a false alarm on them
is a real one. Each block sees all clean texts and the defects of its own kind. Nothing planted ever enters D1.
"""

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datatrove.data import Document

from hare.core.files import written_whole
from hare.core.statistics import wilson_interval
from hare.corpus.block import Block, Removal
from hare.corpus.blocks import Completeness, Language, PersonalInformation, Repetition, Soundness
from hare.corpus.completeness import parses
from hare.corpus.masking import masked
from hare.corpus.personal import without_personal_information
from hare.corpus.shared_lines import line_hash, lines_of, shared
from hare.corpus.signature_files import StoredSignatures, append
from hare.corpus.sources.registry import source_named
from hare.corpus.truth import defects, lookalikes
from hare.data.minhash import duplicates, signatures_of

_CLEAN_SOURCES = (
    ("wikipedia-summaries", 4), ("king-james-bible", 2), ("house-of-commons", 1), ("eu-regulations", 1),
    ("mathematics-explained", 1), ("python-graph-library", 1),
)
_LEAST_WORDS = 60
_MOST_CHARACTERS = 12_000
HARMLESS = "harmless: "  # kinds that begin so are look-alikes


def clean_documents(count: int) -> list[Document]:
    """Raw whole documents of edited sources, of middling length."""
    parts = sum(part for _, part in _CLEAN_SOURCES)
    documents = []
    for name, part in _CLEAN_SOURCES:
        source, wanted = source_named(name), count * part // parts
        for key, text in source.rows():
            if wanted and len(text) <= _MOST_CHARACTERS and len(text.split()) >= _LEAST_WORDS:
                documents.append(_document(f"{name}/{key}", text, source.category, name))
                wanted -= 1
            if not wanted:
                break
    return documents


def _document(identifier: str, text: str, category: str, source: str = "planted") -> Document:
    return Document(text=text, id=identifier, metadata={"source": source, "category": category, "punctuated": True})


def measure(count: int, seed: int, trace: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Plant about ``count`` defects of each kind among as many clean documents.

    Returns:
        One row per block and kind: planted, caught, recall with its 95 % Wilson interval; kind "(clean)" counts false
        alarms instead, and its ``precision`` is that of the block. And one row per false alarm, to be looked at.
    """
    generator = random.Random(seed)
    clean = clean_documents(count)
    prose = [document for document in clean if document.metadata["category"] not in ("code", "math")]
    code = [document.text for document in clean if document.metadata["category"] == "code"]
    texts = [document.text for document in prose]
    rows, alarms = [], []
    for kind, planted in (
        (Soundness, defects.unsound(texts, generator)),
        (Language, defects.foreign(texts, count // 10, generator)),
        (Completeness, defects.cut_off(texts, code, generator)),
        (Repetition, defects.boilerplate(texts, generator)),
    ):
        of_block, false = _caught(kind(trace), list(planted), clean)
        rows += of_block
        alarms += false
    rows += _personal(texts, code, generator)
    rows += _duplicates(texts, trace, generator)
    rows += _shared_lines(texts, generator)
    return pd.DataFrame(rows), pd.DataFrame(alarms, columns=["block", "source", "reason", "score", "excerpt"])


def _caught(block: Block, planted: list[defects.Planted], clean: list[Document]) -> tuple[list[dict[str, Any]], list]:
    """Rows of one block that removes or trims, and its false alarms."""
    block.start(0)
    tally: dict[str, list[bool]] = {}
    for number, defect in enumerate(planted):
        document = _document(f"planted/{number}", defect.text, defect.category)
        tally.setdefault(defect.kind, []).append(bool(block.judge(document)))
    alarms = []
    for document in clean:
        copy = Document(text=document.text, id=document.id, metadata=dict(document.metadata))
        verdict = block.judge(copy)
        if isinstance(verdict, Removal):
            excerpt = document.text[max(0, verdict.at - 100) :][:200]
            alarms.append([block.name, document.metadata["source"], verdict.reason, verdict.score, masked(excerpt)])
        elif verdict and not isinstance(block, Soundness):
            alarms.append([block.name, document.metadata["source"], verdict[0].reason, verdict[0].count,
                           masked(verdict[0].excerpt[:200])])
    hits = {kind: (sum(caught), len(caught)) for kind, caught in tally.items()}
    return list(_rows(block.name, hits, len(alarms), len(clean))), alarms


def _personal(texts: list[str], code: list[str], generator: random.Random) -> list[dict[str, Any]]:
    """Rows of the block that takes spans out: a span is caught when it is gone, an alarm is anything else taken.

    A look-alike is an alarm when it is no longer there, and so is a code file that parsed and no longer does.
    """
    hits: dict[str, list[bool]] = {}
    alarms: dict[str, list[bool]] = {}
    others = 0
    for spoilt in [*lookalikes.in_prose(texts, generator), *lookalikes.in_code(code, generator)]:
        cleaned, takings = without_personal_information(spoilt.text, spoilt.is_code)
        gone = [(kind, span not in cleaned) for kind, span in spoilt.spans]
        wrong = [(kind, span not in cleaned) for kind, span in spoilt.harmless]
        real = without_personal_information(spoilt.clean, spoilt.is_code)[1]
        taken = sum(item.count for item in takings) - sum(item.count for item in real)
        others += max(0, taken - sum(hit for _, hit in gone + wrong))
        if spoilt.is_code:
            wrong.append(("broken files", not parses(cleaned)))
        for tally, outcomes in ((hits, gone), (alarms, wrong)):
            for kind, hit in outcomes:
                tally.setdefault(kind, []).append(hit)
    counted = {kind: (sum(outcomes), len(outcomes)) for kind, outcomes in hits.items()}
    false = sum(map(sum, alarms.values())) + others
    rows = list(_rows(PersonalInformation.name, counted, false, sum(map(len, alarms.values()))))
    return rows + [_alarm_row(kind, sum(outcomes), len(outcomes)) for kind, outcomes in sorted(alarms.items())]


def _alarm_row(kind: str, alarms: int, planted: int) -> dict[str, Any]:
    """A kind of look-alikes: ``caught`` are false alarms, ``low`` and ``high`` the interval of their share."""
    low, high = wilson_interval(alarms, planted)
    return {"block": PersonalInformation.name, "kind": f"{HARMLESS}{kind}", "planted": planted, "caught": alarms,
            "low": low, "high": high}


def _duplicates(texts: list[str], trace: Path, generator: random.Random) -> list[dict[str, Any]]:
    """Rows of the two deduplicating blocks: copies, and edits at known Jaccard similarities of 5-word shingles.

    Half of them are planted into the source of their originals, half into another one; the search is the pipeline's,
    over one file of signatures per source.
    """
    planted = sorted(defects.duplicates(texts, generator), key=lambda defect: defect.across)
    first_foreign = sum(not defect.across for defect in planted)
    files = [trace / "0.signatures", trace / "1.signatures"]
    copies = [defect.text for defect in planted[:first_foreign]]
    for file, held in zip(files, (texts + copies, [defect.text for defect in planted[first_foreign:]]), strict=True):
        with written_whole(file) as temporary:
            append(signatures_of(held), temporary)
    repeats = {item.index: item for item in duplicates(StoredSignatures(files))}
    rows = []
    for block, exact in (("exact_duplicates", True), ("near_duplicates", False)):
        hits: dict[str, list[int]] = {}
        alarms = harmless = 0
        for number, defect in enumerate(planted):
            hit = repeats.get(len(texts) + number)
            caught = hit is not None and (hit.exact or not exact)
            if defect.kind.startswith("harmless"):
                harmless += 1
                alarms += caught
            elif defect.kind.startswith("copy") == exact:
                pair = hits.setdefault(f"{defect.kind}, across sources" if defect.across else defect.kind, [0, 0])
                pair[0] += caught
                pair[1] += 1
        alarms += sum(1 for index, item in repeats.items() if index < len(texts) and item.exact == exact)
        rows += _rows(block, {kind: (pair[0], pair[1]) for kind, pair in hits.items()}, alarms, harmless + len(texts))
    return rows


def _shared_lines(texts: list[str], generator: random.Random) -> list[dict[str, Any]]:
    """Rows of the block that takes lines out: a notice is caught in each document but the first that holds it."""
    spoilt = list(defects.with_notices(texts, generator))
    lines = np.concatenate([lines_of(str(number), text) for number, (text, _, _) in enumerate(spoilt)])
    going = lines[shared(lines)]["line"]
    hits: dict[str, tuple[int, int]] = {}
    for kind, notice in dict.fromkeys((kind, notice) for _, kind, notice in spoilt):
        caught, planted = hits.get(kind, (0, 0))
        copies = sum(1 for _, _, planted_notice in spoilt if planted_notice == notice) - 1
        hits[kind] = caught + int((going == line_hash(notice)).sum()), planted + copies
    alarms = len(going) - sum(caught for caught, _ in hits.values())
    return list(_rows("shared_lines", hits, alarms, len(lines) - len(spoilt)))


def _rows(block: str, hits: dict[str, tuple[int, int]], alarms: int, clean: int) -> Iterator[dict[str, Any]]:
    for kind, (caught, planted) in hits.items():
        low, high = wilson_interval(caught, planted)
        yield {"block": block, "kind": kind, "planted": planted, "caught": caught, "recall": caught / planted,
               "low": low, "high": high}
    caught, planted = (sum(pair[k] for pair in hits.values()) for k in (0, 1))
    low, high = wilson_interval(caught, planted)
    yield {"block": block, "kind": "(all)", "planted": planted, "caught": caught, "recall": caught / planted,
           "low": low, "high": high}
    low, high = wilson_interval(caught, caught + alarms)
    yield {"block": block, "kind": "(clean)", "planted": clean, "caught": alarms,
           "precision": caught / max(1, caught + alarms), "low": low, "high": high}


def planted_metrics(frame: pd.DataFrame) -> dict[str, float]:
    """``planted.<block>.precision`` and ``.recall``, each with its interval, and ``planted.<block>.<kind>.recall``."""
    metrics: dict[str, float] = {}
    for row in frame.itertuples():
        if row.kind.startswith(HARMLESS):
            kind = row.kind.removeprefix(HARMLESS).replace(" ", "_")
            metrics[f"planted.{row.block}.false_alarms.{kind}"] = row.caught / row.planted
            continue
        if row.kind == "(clean)":
            name, value = f"planted.{row.block}.precision", row.precision
        elif row.kind == "(all)":
            name, value = f"planted.{row.block}.recall", row.recall
        else:
            name, value = f"planted.{row.block}.{re.sub(r'[^a-z0-9]+', '_', row.kind)}.recall", row.recall
        metrics[name] = float(value)
        if row.kind in ("(clean)", "(all)"):
            metrics |= {f"{name}.low": float(row.low), f"{name}.high": float(row.high)}
    return metrics

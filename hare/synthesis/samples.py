"""A sample of D2 and D3 small enough to be committed, of sources whose licence lets anyone pass the text on."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hare.core.files import written_whole
from hare.corpus.sources.registry import source_named
from hare.data.archives import archive_of
from hare.data.text import rank
from hare.synthesis.open_sets import OPEN_SETS

# Not in here: posts, newswire and web pages, whose packers own no right to the text; the Bible, under Crown rights.
MAY_BE_PASSED_ON = frozenset({
    "mathematics-problems", "wikipedia-summaries", "wikipedia-articles", "wikipedia-passages", "world-factbook",
    "service-documentation", "tales", "book-excerpts", "shakespeare-milton", "state-of-the-union", "house-of-commons",
    "software-licences", "eu-regulations", "mathematics-explained", "python-web-framework", "python-graph-library",
})
_OPEN_LICENCES = {open_set.name: open_set.licence for open_set in OPEN_SETS}


def origin_of(row: dict[str, Any]) -> str:
    """The source of D1, or the open set, from which the passage of a row of D2 or D3 comes."""
    return row["metadata"]["seed_passage"].removeprefix("d2/").split("/", 1)[0]


def licence_of(origin: str) -> str:
    """The licence of a source or an open set; '' where the text may not be passed on."""
    if origin in _OPEN_LICENCES:
        return _OPEN_LICENCES[origin]
    return source_named(origin).licence if origin in MAY_BE_PASSED_ON else ""


def sampled(rows: Sequence[dict[str, Any]], per_kind: int, seed: int) -> list[dict[str, Any]]:
    """At most ``per_kind`` rows of each kind that may be passed on, drawn by hash, each with its source and licence."""
    drawn: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: rank(seed, row["id"])):
        own = drawn.setdefault(row["metadata"]["kind"], [])
        if len(own) < per_kind and licence_of(origin_of(row)):
            rights = {"origin": origin_of(row), "licence": licence_of(origin_of(row))}
            own.append({"id": row["id"], "text": row["text"], "metadata": row["metadata"] | rights})
    return [row for kind in sorted(drawn) for row in drawn[kind]]


def write_sample(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Write rows as compressed JSON lines; the same rows give the same bytes at any time and under any name."""
    lines = "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)
    with written_whole(path) as temporary:
        temporary.write_bytes(gzip.compress(lines.encode(), compresslevel=9, mtime=0))
    return path


def provenance(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Where sampled rows come from: ``origin``, ``licence``, ``archive``, ``archive_sha256``, ``rows``."""
    counts = pd.Series([row["metadata"]["origin"] for row in rows], dtype=str).value_counts().sort_index()
    table = []
    for origin, count in counts.items():
        package = next((s.package for s in OPEN_SETS if s.name == origin), None) or source_named(str(origin)).package
        table.append((origin, licence_of(str(origin)), package, archive_of(package).sha256, int(count)))
    return pd.DataFrame(table, columns=["origin", "licence", "archive", "archive_sha256", "rows"])

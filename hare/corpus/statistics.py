"""What cleaning did, as tables: by block and source, by reason, by length, between sources, against the paper."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
from pandas.io.formats.style import Styler

from hare.core.errors import HareError
from hare.core.paths import REPOSITORY
from hare.core.reading import read_table
from hare.corpus.block import EXCERPT, HERE
from hare.corpus.masking import masked
from hare.corpus.pipeline import BLOCKS, Cleaned, trace_files
from hare.corpus.sources.registry import DECOY

_OTHER_STEPS = {"words": "measure", "signing": "deduplication", "line signing": "deduplication of lines"}
_COUNTED = ("documents_in", "documents_out", "bytes_in", "bytes_out", "edits", "seconds")


def flow(cleaned: Cleaned) -> pd.DataFrame:
    """One row per block and source: documents and bytes in and out, edits, processor seconds.

    Raises:
        HareError: documents were lost without a trace, which would be a defect of the pipeline.
    """
    rows = []
    for launch in cleaned.launches.values():
        for rank, source in enumerate(cleaned.sources):
            path = launch / "stats" / f"{rank:05d}.json"
            if path.exists():
                rows += [{"source": source.name, "category": source.category, **row}
                         for row in _step_counts(path, "block")]
    frame = pd.DataFrame(rows)
    frame["block"] = pd.Categorical(frame["block"], BLOCKS, ordered=True)
    frame = frame.sort_values(["block", "source"], ignore_index=True).astype({"block": str})
    frame["documents_removed"] = frame["documents_in"] - frame["documents_out"]
    _check_conservation(cleaned, frame)
    return frame


def _step_counts(path: Path, wanted: str) -> list[dict[str, Any]]:
    """Counts of the steps of a type from datatrove's statistics of one task."""
    rows = []
    for step in json.loads(path.read_text(encoding="utf-8")):
        kind, _, name = step["name"].partition(": ")
        if kind == wanted:
            totals = {key: value["total"] for key, value in step["stats"].items() if isinstance(value, dict)}
            plain = {key: value for key, value in step["stats"].items() if not isinstance(value, dict)}
            rows.append({"block": name, **{key: (totals | plain).get(key, 0) for key in _COUNTED}})
    return rows


def _check_conservation(cleaned: Cleaned, frame: pd.DataFrame) -> None:
    """Documents in = documents out + documents removed, at every block and from block to block."""
    written = Counter()
    for row in removed(cleaned):
        written[row["source"], row["block"]] += 1
    for source, of_source in frame.groupby("source", sort=False):
        arriving = of_source["documents_in"].iloc[0]
        for row in of_source.itertuples():
            if row.documents_in != arriving or row.documents_removed != written[source, row.block]:
                raise HareError(
                    f"Block {row.block} lost documents of {source}: {row.documents_in} in, {row.documents_out} out, "
                    f"{written[source, row.block]} removals written.",
                    f"delete {cleaned.folder} and run the notebook again; if it happens twice, report it",
                )
            arriving = row.documents_out


def removed(cleaned: Cleaned) -> Iterable[dict[str, Any]]:
    """Rows of all removals: id, source, category, block, reason, score, bytes, excerpt."""
    return _traces(cleaned.folder / "removed")


def edits(cleaned: Cleaned) -> Iterable[dict[str, Any]]:
    """Rows of all edits: id, source, category, block, reason, score (how often), excerpt."""
    return _traces(cleaned.folder / "edits")


def _traces(folder: Path) -> Iterable[dict[str, Any]]:
    for path in trace_files(folder):
        with path.open("rb") as lines:
            for line in lines:
                yield orjson.loads(line)


def by_source(cleaned: Cleaned, counts: pd.DataFrame) -> pd.DataFrame:
    """One row per source: raw and kept documents, MB and words, with its licence and counterpart in the paper."""
    rows = []
    for rank, source in enumerate(cleaned.sources):
        steps = counts[counts["source"] == source.name]
        first, last = steps.iloc[0], steps.iloc[-1]
        rows.append({
            "source": source.name, "category": source.category,
            "raw_documents": int(first.documents_in), "kept_documents": int(last.documents_out),
            "raw_mb": first.bytes_in / 1e6, "kept_mb": last.bytes_out / 1e6,
            "raw_words": int(_lengths(cleaned, "raw", rank).sum()),
            "kept_words": int(_lengths(cleaned, "kept", rank).sum()),
            "kept_share": last.bytes_out / first.bytes_in, "licence": source.licence,
            "counterpart": source.counterpart, "archive": source.package, "card": source.card,
        })
    return pd.DataFrame(rows)


def _lengths(cleaned: Cleaned, when: str, rank: int) -> np.ndarray:
    return np.load(cleaned.folder / when / f"{rank:05d}.npy")


def lengths(cleaned: Cleaned) -> pd.DataFrame:
    """Quantiles of the documents' lengths in words, by category, raw and kept."""
    rows = []
    for category in dict.fromkeys(source.category for source in cleaned.sources):
        ranks = [rank for rank, source in enumerate(cleaned.sources) if source.category == category]
        for when in ("raw", "kept"):
            words = np.concatenate([_lengths(cleaned, when, rank) for rank in ranks])
            if len(words):
                low, q1, median, q3, high = np.quantile(words, [0.05, 0.25, 0.5, 0.75, 0.95])
                rows.append({"category": category, "when": when, "documents": len(words), "p05": low, "p25": q1,
                             "median": median, "p75": q3, "p95": high})
    return pd.DataFrame(rows)


def reasons(cleaned: Cleaned) -> pd.DataFrame:
    """Documents and MB removed by block, reason and category; a duplicate's reason names the source it repeats."""
    counts: Counter[tuple[str, str, str]] = Counter()
    size: Counter[tuple[str, str, str]] = Counter()
    for row in removed(cleaned):
        reason = row["reason"].split("/", 1)[0]
        counts[row["block"], reason, row["category"]] += 1
        size[row["block"], reason, row["category"]] += row["bytes"]
    rows = [
        {"block": block, "reason": reason, "category": category, "documents": count,
         "mb": size[block, reason, category] / 1e6}
        for (block, reason, category), count in counts.items()
    ]
    frame = pd.DataFrame(rows, columns=["block", "reason", "category", "documents", "mb"])
    return frame.sort_values(["documents", "block", "reason", "category"], ascending=[False, True, True, True])


def overlap(cleaned: Cleaned) -> pd.DataFrame:
    """Documents of one source that repeat a document of another one (or of its own), exactly or nearly."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for row in removed(cleaned):
        if row["block"].endswith("duplicates"):
            original = row["reason"].removeprefix("repeats ").split("/", 1)[0]
            counts[row["source"], original, row["block"].removesuffix("_duplicates")] += 1
    rows = [{"source": source, "repeats": original, "kind": kind, "documents": count}
            for (source, original, kind), count in sorted(counts.items())]
    return pd.DataFrame(rows, columns=["source", "repeats", "kind", "documents"])


def published_sources() -> pd.DataFrame:
    """The paper's Table 3: source, category, weight_percent."""
    return read_table(REPOSITORY / "results" / "published" / "d1_sources.csv")


def weights(sources: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """One row per category of the paper's Table 3: its share of the paper's D1 and of the text kept here, percent.

    Without the decoy.
    """
    sources = sources[sources["source"] != DECOY]
    total_weight, total_mb = published["weight_percent"].sum(), sources["kept_mb"].sum()
    category_of = dict(zip(published["source"], published["category"], strict=True))
    ours = sources.assign(paper=sources["counterpart"].map(category_of).fillna("(not in the paper)"))
    rows = []
    for category in [*dict.fromkeys(published["category"]), "(not in the paper)"]:
        mine = ours[ours["paper"] == category]
        theirs = published.loc[published["category"] == category, "weight_percent"]
        rows.append({
            "category": category,
            "paper_percent": 100 * theirs.sum() / total_weight,
            "hare_percent": 100 * mine["kept_mb"].sum() / total_mb,
            "sources": ", ".join(mine["source"]),
        })
    return pd.DataFrame(rows)


def examples(cleaned: Cleaned, block: str, count: int = 5) -> pd.DataFrame:
    """A few removals of one block, of different sources and reasons where there are any; persons' data is masked."""
    by_kind: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in removed(cleaned):
        if row["block"] == block:
            by_kind.setdefault((row["source"], row["reason"].split("/", 1)[0]), []).append(row)
    largest = sorted(by_kind.values(), key=len, reverse=True)
    chosen = [rows[len(rows) // 2] for rows in largest[:count]]
    frame = pd.DataFrame(chosen, columns=["block", "source", "reason", "score", "excerpt"])
    frame["excerpt"] = [masked(_whole_words(excerpt)) for excerpt in frame["excerpt"]]
    return frame


def _whole_words(excerpt: str) -> str:
    """An excerpt without the words that its ends cut through: half an address is not known for one."""
    if len(excerpt) < EXCERPT:
        return excerpt
    return re.sub(r"^\S+|\S+$" if HERE in excerpt else r"\S+$", "…", excerpt)


def readable(frame: pd.DataFrame) -> Styler:
    """A table of excerpts as a reader wants it: whole, their lines as they are, no row numbers."""
    lines = {"white-space": "pre-wrap", "text-align": "left"}
    table = frame.reset_index(drop=True).style  # one number may stand for rows of several blocks
    return table.hide(axis="index").format(precision=3).set_properties(subset=["excerpt"], **lines)


def throughput(cleaned: Cleaned, counts: pd.DataFrame) -> pd.DataFrame:
    """MB of text per second of processor time, by block and for signing, and in total for one pass through all.

    "words" is the one pass that finds the words of a raw document, which all blocks share.
    """
    sums = counts.groupby("block", sort=False)[["bytes_in", "seconds"]].sum()
    for name, kind in _OTHER_STEPS.items():
        rows = [row for path in sorted((cleaned.launches["filter"] / "stats").glob("*.json"))
                for row in _step_counts(path, kind)]
        sums.loc[name, ["bytes_in", "seconds"]] = pd.DataFrame(rows)[["bytes_in", "seconds"]].sum()
    rows = [{"block": block, "mb_per_s": row.bytes_in / 1e6 / max(row.seconds, 1e-9)} for block, row in sums.iterrows()]
    raw = counts.loc[counts["block"] == BLOCKS[0], "bytes_in"].sum() / 1e6
    return pd.DataFrame([*rows, {"block": "all blocks", "mb_per_s": raw / max(sums["seconds"].sum(), 1e-9)}])


def metrics(counts: pd.DataFrame, sources: pd.DataFrame, speed: pd.DataFrame) -> dict[str, float]:
    """The stage's headline numbers, and removals by block; the decoy counts only in ``known_overlap``."""
    of_decoy, counts = counts[counts["source"] == DECOY], counts[counts["source"] != DECOY]
    sources = sources[sources["source"] != DECOY]
    values = {
        "raw_mb": float(sources["raw_mb"].sum()), "kept_mb": float(sources["kept_mb"].sum()),
        "sources": len(sources), "categories": int(sources["category"].nunique()),
        "documents_in": int(sources["raw_documents"].sum()), "documents_out": int(sources["kept_documents"].sum()),
        "documents_removed": int(counts["documents_removed"].sum()),
        "cleaning_mb_per_s_per_core": float(speed["mb_per_s"].iloc[-1]),
    }
    for block, gone in counts.groupby("block", sort=False)["documents_removed"].sum().items():
        values[f"removed.{block}"] = int(gone)
    if len(of_decoy):
        arrived = of_decoy.set_index("block")["documents_in"]["exact_duplicates"]
        values["known_overlap.reuters_8.removed_share"] = 1 - of_decoy["documents_out"].iloc[-1] / max(1, arrived)
    return values


def check_shards(cleaned: Cleaned) -> None:
    """Every document is in exactly one of the two folders under an id of its own, and no category is missing in one.

    Raises:
        HareError: naming the id or the category.
    """
    seen: set[str] = set()
    categories_of: dict[str, set[str]] = {"d1": set(), "heldout": set()}
    for part, categories in categories_of.items():
        for path in sorted((cleaned.folder / part).glob("*.jsonl")):
            for line in path.read_bytes().splitlines():
                row = orjson.loads(line)
                if row["id"] in seen:
                    raise HareError(f"Id {row['id']} occurs twice.", "make the reader's keys unique in its source")
                seen.add(row["id"])
                categories.add(row["metadata"]["category"])
    if categories_of["d1"] != categories_of["heldout"]:
        missing = sorted(categories_of["d1"] ^ categories_of["heldout"])
        raise HareError(f"Only one side of the split has {', '.join(missing)}.", "raise max_mb_per_source")

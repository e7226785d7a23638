"""Writes D2 and D3 as the published set: Parquet with a column for everything that a text depends on, and a data card.

Not part of the chain: a set is published by `hare publish`, and then pinned.
"""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from hare.core.checked import read_yaml
from hare.core.errors import HareError
from hare.core.files import folder_written_whole, sha256_of, write_text, written_whole
from hare.synthesis import published
from hare.synthesis.drafts import OBJECTIONS, Draft, decoding_of, request_for
from hare.synthesis.engines.embedded import EmbeddedGenerator, engine_record
from hare.synthesis.engines.generator import Generator
from hare.synthesis.published import FILES, Published
from hare.synthesis.rights import licence_of, origin_of
from hare.synthesis.tasks.items import Item, documents
from hare.synthesis.topics import TopicModel

_CARD, _PINS = "README.md", "pins.yaml"
_PINS_SAY = "# sha256 of the files of each published set, which lie in results/<name>/synthesis.\n"
GATES_PASSED = ", ".join(OBJECTIONS)


def d2_table(
    drafts: Sequence[Draft], generator: Generator, topics: TopicModel, max_new_tokens: int, seed: int
) -> pd.DataFrame:
    """One row per accepted draft, with its seed, prompt, decoding, engine, random seed and licence.

    Raises:
        HareError: the licence of a seed's source does not let its text be passed on.
    """
    engine, rows = _engine(generator), []
    for draft in drafts:
        if draft.objection:
            continue
        passage, prompt = draft.seed.passage, draft.prompt
        decoding = decoding_of(prompt.form, max_new_tokens)
        rows.append({
            "id": draft.id, "text": draft.text, "kind": prompt.form, "category": passage.category,
            "topic": topics.labels[draft.seed.topic], "tokens": draft.tokens,
            **_rights(passage.id),
            "seed_document": passage.document, "seed_passage": passage.id, "seed_text": passage.text,
            "prompt": prompt.family, "prompt_sha256": prompt.family_sha256, "prompt_text": prompt.text,
            "model": engine["weights"], "engine": f"{engine['engine']} {engine['version']}".strip(),
            "engine_settings": engine["settings"], "wheel_record_sha256": engine["wheel_record_sha256"],
            "instruction_sets": engine["instruction_sets"], "generator": generator.name,
            "random_seed": request_for(draft.seed, prompt, seed).seed, "gates_passed": GATES_PASSED,
            "decoding": json.dumps(dataclasses.asdict(decoding)),
            "share_in_d1": round(draft.in_d1, 4),
        })
    return pd.DataFrame(rows)


def _engine(generator: Generator) -> dict[str, str]:
    """Model and engine with its settings; of a server only the model's name is known."""
    record = engine_record()
    if isinstance(generator, EmbeddedGenerator):
        return record
    return dict.fromkeys(record, "") | {"engine": "served", "weights": generator.name}


def d3_table(items: Sequence[Item]) -> pd.DataFrame:
    """One row per item, with the text of the task, its fields, and the licence of its source.

    Raises:
        HareError: the licence of an item's source does not let its text be passed on.
    """
    texts = documents(items)
    rows = [{
        "id": row["id"], "text": row["text"], **vars(item), "options": list(item.options),
        **_rights(item.source),
        "wordings": row["metadata"]["prompt"],
    } for item, row in zip(items, texts, strict=True)]
    return pd.DataFrame(rows)


def _rights(passage: str) -> dict[str, str]:
    """Source and licence of a passage or a sample, by its id."""
    origin = origin_of(passage)
    if not (licence := licence_of(origin)):
        raise HareError(
            f"{passage} cannot be published: the licence of {origin} does not let its text be passed on.",
            "leave out what was made from it; `hare.synthesis.rights` lists what may be passed on",
        )
    return {"origin": origin, "licence": licence}


def request_table(
    drafts: Sequence[Draft], generator: Generator, max_new_tokens: int, seed: int
) -> pd.DataFrame:
    """One chunk of requests of one form with every answer as it came, those that were rejected included."""
    form = drafts[0].prompt.form
    chunk = [draft for draft in drafts if draft.prompt.form == form][: generator.block]
    return pd.DataFrame([{
        "id": draft.id, "form": form, "max_new_tokens": max_new_tokens, "messages": list(draft.prompt.messages),
        "random_seed": request_for(draft.seed, draft.prompt, seed).seed, "answer": draft.answer.text,
        "objection": draft.objection, "generator": generator.name,
    } for draft in chunk])


def publish(name: str, tables: Published, changed: Sequence[str], staged: Path) -> None:
    """Publish a set under ``name``: the files in ``changed``, the data card, and the pins of all three.

    Everything is first written to the folder ``staged``, which appears whole; a run that is killed while it installs
    what is there is finished by the next `install`.
    """
    with folder_written_whole(staged) as folder:
        pins = write(folder, tables, changed)
        write_text(folder / _PINS, yaml.safe_dump(pins))
    install(name, staged)


def install(name: str, staged: Path) -> None:
    """Move what `publish` has staged into the set's folder, then pin it; nothing is done when nothing is staged."""
    if not staged.exists():
        return
    pins = read_yaml(staged / _PINS)
    if any(sha256_of(staged / file) != digest for file, digest in pins.items()):
        raise HareError(f"{staged} holds files that were changed since they were written.", "delete this folder")
    for file in (*pins, _CARD):
        with written_whole(published.folder_of(name) / file) as temporary:
            shutil.copyfile(staged / file, temporary)
    known = read_yaml(published.PINS)
    known[name] = known.get(name, {}) | pins
    write_text(published.PINS, _PINS_SAY + yaml.safe_dump(known))
    shutil.rmtree(staged)


def write(folder: Path, tables: Published, names: Sequence[str] = FILES) -> dict[str, str]:
    """Write the files in ``names`` and the data card; return the digest of each of these files."""
    for name, table in zip(FILES, (tables.d2, tables.d3, tables.requests), strict=True):
        if name in names:
            with written_whole(folder / name) as temporary:
                table.to_parquet(temporary, index=False, compression="zstd", compression_level=19)
    write_text(folder / _CARD, card(tables.d2, tables.d3))
    return {name: sha256_of(folder / name) for name in names}


def card(d2: pd.DataFrame, d3: pd.DataFrame) -> str:
    """The data card, in the format that ``datasets`` and its hub read."""
    configs = "".join(
        f"- config_name: {name}\n  data_files:\n  - split: train\n    path: {name}.parquet\n" for name in ("d2", "d3")
    )
    return f"""---
language:
- en
license: other
license_name: by-row
task_categories:
- text-generation
tags:
- synthetic
- pretraining
pretty_name: HARE D2 and D3, rebuilt
configs:
{configs}---

# HARE D2 and D3, rebuilt

Synthetic pretraining text (D2, {len(d2):,} texts, {int(d2["tokens"].sum()):,} tokens of its generator) and tasks in
natural language (D3, {len(d3):,} items), made by notebook 02 of this repository from openly licensed passages.
`load_dataset("parquet", data_files=...)` reads either file.

**D2** was written by {_listed(d2["model"])} with {_listed(d2["engine"])} and passed the gates named in each row.
Of a rewrite only the sentences that its seed passage bears out are kept; a textbook page is fluent and often wrong.
Notebook 02 gives the share of texts with a false or unsupported statement, by form. Each row has its seed passage,
prompt, decoding, random seed, engine settings and instruction sets of the processor; `round` counts the rounds in which
the set grew.

**D3** was built without a model; `support` is the passage as it stands, `evidence` what shows the answer to be right.

## Forms and kinds

{_counts(d2, "kind", "D2 form")}

{_counts(d3, "kind", "D3 kind")}

## Sources and licences, by row

The column `licence` holds the licence of the source that a text was made from; rows made from Wikipedia stay under
CC BY-SA. Nothing here was made from a source whose text may not be passed on.

{_licences(d2, d3)}
"""


def _listed(column: pd.Series) -> str:
    return ", ".join(sorted(column.unique()))


def _counts(table: pd.DataFrame, column: str, title: str) -> str:
    lines = [f"| {value} | {count:,} |" for value, count in table[column].value_counts().sort_index().items()]
    return "\n".join([f"| {title} | texts |", "|---|---|", *lines])


def _licences(d2: pd.DataFrame, d3: pd.DataFrame) -> str:
    both = pd.concat([d2[["origin", "licence"]], d3[["origin", "licence"]]])
    counts: Any = both.value_counts().sort_index()
    lines = [f"| {origin} | {licence} | {count:,} |" for (origin, licence), count in counts.items()]
    return "\n".join(["| source | licence | rows |", "|---|---|---|", *lines])

"""D2 and D3 as published: Parquet files with a data card, pinned by their digests, read instead of written afresh.

Texts are inputs of the study and must not change between runs. The files are in ``results/<profile>/synthesis``; their
digests are in ``published.yaml``, beside this module, so that a file that differs is refused by name.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hare.core.checked import read_yaml
from hare.core.errors import HareError
from hare.core.files import sha256_of
from hare.core.paths import REPOSITORY
from hare.synthesis.drafts import decoding_of
from hare.synthesis.engines.generator import Generation, Generator, Request
from hare.synthesis.tasks.items import Item, rendered

PINS = Path(__file__).with_name("published.yaml")
FILES = ("d2.parquet", "d3.parquet", "d2_requests.parquet")


@dataclass(frozen=True)
class Published:
    """One published set: the texts of D2, the items of D3, and one chunk of D2's requests with every answer."""

    d2: pd.DataFrame
    d3: pd.DataFrame
    requests: pd.DataFrame


def folder_of(name: str) -> Path:
    """Folder of that profile's published set."""
    return REPOSITORY / "results" / name / "synthesis"


def read(name: str) -> Published | None:
    """The published set of that name, its digests checked; None when ``name`` is empty.

    Raises:
        HareError: no such set is known, or a file is missing or differs from what was published.
    """
    if not name:
        return None
    pins = read_yaml(PINS)
    if name not in pins:
        raise HareError(
            f"synthesis.published = {name!r} names no published set.",
            f"choose one of {', '.join(pins) or 'none'}, or leave it empty to train on texts written afresh",
        )
    for file in FILES:
        path = folder_of(name) / file
        if not path.exists():
            raise HareError(f"{path} is missing.", "fetch it from the repository (`git checkout`)")
        if (digest := sha256_of(path)) != pins[name][file]:
            raise HareError(
                f"{path} has sha256 {digest}, but {pins[name][file]} was published.",
                "restore it from the repository (`git checkout`); a new set needs a new line in published.yaml",
            )
    return Published(*(pd.read_parquet(folder_of(name) / file) for file in FILES))


def d2_rows(known: Published) -> list[dict[str, Any]]:
    """The texts of D2 as rows of shards."""
    rows = []
    for record in known.d2.to_dict("records"):
        text, name = record.pop("text"), record.pop("id")
        rows.append({"text": text, "id": name, "metadata": {**record, "source": "synthetic", "method": "generated"}})
    return rows


def d3_items(known: Published) -> list[Item]:
    """The items of D3, as they were built."""
    fields = list(Item.__dataclass_fields__)
    records = known.d3[fields].to_dict("records")
    return [Item(**{**record, "options": tuple(record["options"])}) for record in records]


def asked_again(known: Published | None, generator: Generator) -> pd.DataFrame:
    """One chunk of the published requests, asked again: ``form``, ``texts``, ``identical``, ``why_not_more``.

    Empty when nothing is published. The chunk is one of those in which the published texts were generated, including
    the rejected texts, since rounding in an answer depends on what is computed in the same batch.
    """
    columns = ["form", "texts", "identical", "why_not_more"]
    if known is None:
        return pd.DataFrame(columns=columns)
    asked = known.requests
    form, length = asked["form"].iloc[0], int(asked["max_new_tokens"].iloc[0])
    requests = [
        Request(tuple({"role": m["role"], "content": m["content"]} for m in row.messages), int(row.random_seed))
        for row in asked.itertuples()
    ]
    answers = generator.generate(requests, decoding_of(form, length))
    identical = _identical(answers, asked["answer"].tolist())
    why = "" if identical == len(asked) else f"published by {asked['generator'].iloc[0]}; this is {generator.name}"
    return pd.DataFrame([(form, len(asked), identical, why)], columns=columns)


def _identical(answers: Sequence[Generation], texts: Sequence[str]) -> int:
    return sum(answer.text == text for answer, text in zip(answers, texts, strict=True))


def identity_metrics(again: pd.DataFrame, fresh: Sequence[Item], tasks: Sequence[Item]) -> dict[str, float]:
    """``d2.identical_share`` of the chunk asked again, and ``d3.identical_share`` of the tasks built afresh."""
    if again.empty:
        return {}
    published = Counter(rendered(item) for item in tasks)
    same = sum(rendered(item) in published for item in fresh)
    return {
        "d2.asked_again": int(again["texts"].sum()),
        "d2.identical_share": float(again["identical"].sum() / again["texts"].sum()),
        "d3.identical_share": same / max(1, len(fresh)),
    }

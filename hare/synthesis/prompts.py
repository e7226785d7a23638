"""Prompts as data: one YAML file a family, with the source categories it suits, audiences, styles and wordings.

The file's name is the family's name; its digest goes into the record of every text that it led to.
"""

import dataclasses
import random
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pydantic.dataclasses
from pydantic import Field

from hare.core.checked import CLOSED, AtLeastOne, Text, Whole, listed, mistakes_in, read_yaml
from hare.core.errors import HareError
from hare.core.files import sha256_of
from hare.synthesis.seeds import Seed

PROMPTS = Path(__file__).parent / "prompts"
SYSTEM = "You are an experienced teacher who writes clear and correct prose."
SEED_CHARACTERS = 220  # no more of a seed passage enters a prompt: a longer one costs time and invites copying
_PLACEHOLDERS = {"seed", "terms", "audience", "style"}


Named = Annotated[dict[Text, Text], Field(min_length=1)]


@pydantic.dataclasses.dataclass(frozen=True, config=CLOSED)
class _File:
    """What a prompt file must hold."""

    version: Whole
    categories: AtLeastOne[Text]
    audiences: Named
    styles: Named
    prompts: AtLeastOne[Text]


@dataclass(frozen=True)
class PromptFamily:
    """One family of prompts; ``prompts`` are the wordings, with placeholders seed, terms, audience and style."""

    name: str
    version: int
    categories: tuple[str, ...]
    audiences: dict[str, str]
    styles: dict[str, str]
    prompts: tuple[str, ...]
    sha256: str


@dataclass(frozen=True)
class Prompt:
    """A filled-in prompt and where it comes from; ``family`` is ``<name>@<version>``."""

    text: str
    family: str
    family_sha256: str
    wording: int
    audience: str
    style: str


def load_families(folder: Path = PROMPTS) -> list[PromptFamily]:
    """All prompt families of a folder, by name.

    Raises:
        HareError: a file is malformed, lists nothing, or a wording uses a placeholder that nobody fills.
    """
    return [_load_family(path) for path in sorted(folder.glob("*.yaml"))]


def _load_family(path: Path) -> PromptFamily:
    values = read_yaml(path)
    mistakes = [line for _, line in mistakes_in(_File, values)]
    wordings = values.get("prompts") if isinstance(values.get("prompts"), list) else []
    for number, wording in enumerate(map(str, wordings)):
        mistakes += [f"prompts[{number}]: {mistake}" for mistake in _mistakes_in(wording)]
    if mistakes:
        raise HareError(f"{path} cannot be used:\n{listed(mistakes)}", "correct the prompt file")
    return PromptFamily(path.stem, **dataclasses.asdict(_File(**values)), sha256=sha256_of(path))


def _mistakes_in(wording: str) -> list[str]:
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(wording) if name is not None}
    except ValueError as error:
        return [str(error)]
    unknown = [f"unknown placeholder {{{name}}}" for name in sorted(names - _PLACEHOLDERS)]
    return unknown + ([] if "seed" in names else ["no {seed} in it"])


def fill(seed: Seed, terms: Sequence[str], families: Sequence[PromptFamily], draw: random.Random) -> Prompt:
    """One prompt for a seed: a family that suits its category, then wording, audience and style, all drawn evenly.

    ``terms`` name the seed's topic; a topic without any is called "this subject".

    Raises:
        HareError: no family suits the seed's category.
    """
    suitable = [family for family in families if seed.passage.category in family.categories]
    if not suitable:
        raise HareError(
            f"No prompt family is meant for text of category {seed.passage.category!r}.",
            f"add the category to a file in {PROMPTS}",
        )
    family = draw.choice(suitable)
    wording = draw.randrange(len(family.prompts))
    audience, style = draw.choice(sorted(family.audiences)), draw.choice(sorted(family.styles))
    text = family.prompts[wording].format(
        seed=shortened(seed.passage.text), terms=" and ".join(terms[:2]) or "this subject",
        audience=family.audiences[audience], style=family.styles[style],
    )
    return Prompt(text, f"{family.name}@{family.version}", family.sha256, wording, audience, style)


def shortened(text: str, most: int = SEED_CHARACTERS) -> str:
    """At most the first ``most`` characters, cut at a sentence or line end in their second half, else at a space."""
    if len(text) <= most:
        return text
    cut = text[:most]
    end = max(cut.rfind(mark) for mark in (". ", ".\n", "! ", "? ", "\n"))
    return cut[: end + 1].rstrip() if end >= most / 2 else cut.rpartition(" ")[0]

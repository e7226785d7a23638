"""Prompts as data: one YAML file per family, with its form, the source categories it suits, and its wordings.

The file's name is the family's name; its digest is recorded with every text that it produced.
"""

import random
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pydantic.dataclasses
from pydantic import Field

from hare.core.checked import CLOSED, AnyNumber, AtLeastOne, Text, Whole, checked, listed, mistakes_in, read_yaml
from hare.core.errors import HareError
from hare.core.files import sha256_of
from hare.synthesis.engines.generator import Message
from hare.synthesis.forms import FORMS
from hare.synthesis.seeds import Seed

PROMPTS = Path(__file__).parent / "prompts"
SEED_CHARACTERS = 220  # no more of a seed enters the prompt for a page: a longer one costs time and invites copying
_PLACEHOLDERS = {"seed", "passage", "audience"}


@pydantic.dataclasses.dataclass(frozen=True, config=CLOSED)
class Example:
    """A worked example: a passage and the text made of it, shown before the request."""

    passage: Text
    answer: Text


@pydantic.dataclasses.dataclass(frozen=True, config=CLOSED)
class _File:
    """What a prompt file must hold."""

    version: Whole
    form: Literal[*FORMS]  # type: ignore[valid-type]
    categories: AtLeastOne[Text]
    prompts: AtLeastOne[Text]
    system: Text
    audiences: dict[Text, Text] = Field(default_factory=lambda: {"any": ""}, min_length=1)
    examples: AnyNumber[Example] = ()


@dataclass(frozen=True)
class PromptFamily:
    """One family of prompts for one form, as its file has it, with the file's name and digest.

    ``prompts`` are the wordings, with the placeholders seed (shortened), passage (whole) and audience.
    """

    name: str
    version: int
    form: str
    categories: tuple[str, ...]
    prompts: tuple[str, ...]
    system: str
    audiences: dict[str, str]
    examples: tuple[Example, ...]
    sha256: str


@dataclass(frozen=True)
class Prompt:
    """A filled-in prompt and its origin; ``family`` is ``<name>@<version>``."""

    text: str
    form: str
    family: str
    family_sha256: str
    wording: int
    audience: str
    before: tuple[Message, ...] = ()  # system message and worked examples

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation that the generator continues."""
        return (*self.before, {"role": "user", "content": self.text})


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
    return PromptFamily(**vars(checked(_File, values, str(path), "correct the prompt file")),
                        name=path.stem, sha256=sha256_of(path))


def _mistakes_in(wording: str) -> list[str]:
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(wording) if name is not None}
    except ValueError as error:
        return [str(error)]
    unknown = [f"unknown placeholder {{{name}}}" for name in sorted(names - _PLACEHOLDERS)]
    return unknown + ([] if names & {"seed", "passage"} else ["neither {seed} nor {passage} in it"])


def forms_for(category: str, families: Sequence[PromptFamily]) -> list[str]:
    """Forms that text of a category can be given, since there is a family for them."""
    forms = {family.form for family in families if category in family.categories}
    return [form for form in FORMS if form in forms]


def fill(seed: Seed, form: str, families: Sequence[PromptFamily], draw: random.Random) -> Prompt:
    """One prompt for a seed: a family of the form that suits its category, then wording and audience, drawn.

    Raises:
        HareError: no family of that form suits the seed's category.
    """
    category = seed.passage.category
    suitable = [family for family in families if family.form == form and category in family.categories]
    if not suitable:
        raise HareError(
            f"No prompt family writes a {form} from text of category {category!r}.",
            f"add the category to a file in {PROMPTS}",
        )
    family = draw.choice(suitable)
    wording = draw.randrange(len(family.prompts))
    audience = draw.choice(sorted(family.audiences))
    template, blanks = family.prompts[wording], {"audience": family.audiences[audience]}
    before = [{"role": "system", "content": family.system}]
    for example in family.examples:
        before.append({"role": "user", "content": template.format(seed="", passage=example.passage, **blanks)})
        before.append({"role": "assistant", "content": example.answer})
    text = template.format(seed=shortened(seed.passage.text), passage=seed.passage.text, **blanks)
    version = f"{family.name}@{family.version}"
    return Prompt(text, form, version, family.sha256, wording, audience, tuple(before))


def shortened(text: str, most: int = SEED_CHARACTERS) -> str:
    """At most the first ``most`` characters, cut at a sentence or line end in their second half, else at a space."""
    if len(text) <= most:
        return text
    cut = text[:most]
    end = max(cut.rfind(mark) for mark in (". ", ".\n", "! ", "? ", "\n"))
    return cut[: end + 1].rstrip() if end >= most / 2 else cut.rpartition(" ")[0]

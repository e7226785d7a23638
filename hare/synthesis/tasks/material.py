"""What an item of D3 is built from: a passage, its topic and its sentences."""

from dataclasses import dataclass, field
from typing import Any

from hare.data.text import sentences
from hare.synthesis.passages import Passage
from hare.synthesis.tasks.items import BUILT, Item


@dataclass(frozen=True)
class Topic:
    """Distractors from a passage's topic: its label, words, names and sentences of other passages."""

    label: str
    words: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()


@dataclass(frozen=True)
class Material:
    """One passage of D1 with its topic and its sentences."""

    passage: Passage
    topic: Topic
    sentences: tuple[str, ...] = field(default=())

    @classmethod
    def of(cls, passage: Passage, topic: Topic) -> "Material":
        """The material of a passage, cut into sentences."""
        return cls(passage, topic, tuple(sentences(passage.text)))

    def item(self, kind: str, **fields: Any) -> Item:
        """An item of this passage; fields that are not given stay empty."""
        whole = {"passage": "", "question": "", "support": self.passage.text} | fields
        return Item(
            kind, BUILT, self.passage.id, "d1", self.passage.category, self.topic.label, **whole
        )

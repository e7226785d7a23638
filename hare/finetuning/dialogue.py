"""The paper's chat template as token ids: rounds of a role and a text between ``<round_start>`` and ``<round_end>``.

Text is always encoded here without control tokens: ``<round_end>`` typed by a user stays eleven characters of text and
ends nothing. The template that is saved beside a model does the same by putting a space behind the bracket: a tokenizer
of transformers cannot tell the two apart. Functional tokens, one per function, follow Octopus v2 (Chen and Li 2024).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from transformers import MistralForCausalLM

from hare.core.errors import HareError
from hare.core.files import folder_written_whole
from hare.finetuning.functions import FUNCTIONS
from hare.model.exported import load_exported, multiplying_as_training
from hare.tokens.tokenizer import Tokenizer

ROUND_START, ROUND_END, SLOT = "<round_start>", "<round_end>", "<slot>"
ROLES = ("system", "user", "assistant")
API_TOKENS = tuple(f"<api_{number}>" for number in range(len(FUNCTIONS)))
MARKS = ("<out>", "<in_1>", "<in_2>")  # of a word in a request: in no slot, in the first, in the second
CONTROL_TOKENS = (ROUND_START, ROUND_END, SLOT, *API_TOKENS, *MARKS)
Message = dict[str, str]


@dataclass(frozen=True)
class Example:
    """One training sequence: ids, and for each whether it is learnt (part of an answer)."""

    ids: tuple[int, ...]
    scored: tuple[bool, ...]


class Dialogue:
    """The chat template over one vocabulary, whose ids the control tokens follow."""

    def __init__(self, tokenizer: Tokenizer):
        """``tokenizer``: of a pretrained model, or of a folder that `save_for_chat` wrote."""
        self.tokenizer = tokenizer
        described = json.loads((tokenizer.folder / "tokenizer.json").read_text(encoding="utf-8"))
        added = {token["content"]: token["id"] for token in described.get("added_tokens") or []}
        self.text_size = added.get(ROUND_START, tokenizer.size)  # ids below it stand for text
        self._control = {token: self.text_size + place for place, token in enumerate(CONTROL_TOKENS)}
        self._words: dict[str, tuple[int, ...]] = {}

    @classmethod
    def load(cls, folder: Path) -> "Dialogue":
        """The template over the vocabulary of the model in ``folder``."""
        return cls(Tokenizer.load(folder))

    @property
    def size(self) -> int:
        """Number of ids, control tokens included."""
        return self.text_size + len(CONTROL_TOKENS)

    @property
    def end(self) -> int:
        """Id of ``<round_end>``."""
        return self._control[ROUND_END]

    def control_id(self, token: str) -> int:
        """Id of a control token."""
        return self._control[token]

    @cached_property
    def api_ids(self) -> list[int]:
        """Ids of the functional tokens, in the order of the functions."""
        return [self._control[token] for token in API_TOKENS]

    @cached_property
    def mark_ids(self) -> list[int]:
        """Ids of the marks: outside, in the first slot, in the second."""
        return [self._control[token] for token in MARKS]

    def text_ids(self, text: str) -> list[int]:
        """Ids of plain text; control tokens spelled in it stay text."""
        return self.tokenizer.encode(text)

    def text_of(self, ids: Sequence[int]) -> str:
        """Text of plain ids; control tokens are passed over."""
        return self.tokenizer.decode([number for number in ids if number < self.text_size])

    def word_ids(self, word: str) -> tuple[int, ...]:
        """Ids of one word of a request, as it stands behind a space."""
        if word not in self._words:
            spaced = word if self.tokenizer.kind == "sentencepiece" else f" {word}"
            self._words[word] = tuple(self.text_ids(spaced))
        return self._words[word]

    def round_ids(self, role: str, content: Sequence[int]) -> list[int]:
        """One closed round: ``<round_start>`` role content ``<round_end>``.

        Raises:
            HareError: the template has no such role.
        """
        return [*self._opened(role), *content, self.end]

    def _opened(self, role: str) -> list[int]:
        if role not in ROLES:
            raise HareError(f"The chat template has no role {role!r}.", f"choose one of {', '.join(ROLES)}")
        return [self._control[ROUND_START], *self.text_ids(role)]

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Ids of a conversation up to the assistant's next answer.

        Raises:
            HareError: the roles do not follow the template: an optional system, then user and assistant in turn, user
                last.
        """
        roles = [message["role"] for message in messages]
        turns = roles[1:] if roles[:1] == ["system"] else roles
        if turns != ["user", "assistant"] * (len(turns) // 2) + ["user"]:
            raise HareError(
                f"The chat template does not know the order {', '.join(roles) or 'of no message'}.",
                "give an optional system message, then user and assistant in turn, the user last",
            )
        rounds = [self.round_ids(message["role"], self.text_ids(message["content"])) for message in messages]
        return [self.tokenizer.begin, *(token for ids in rounds for token in ids), *self._opened("assistant")]

    def request_ids(self, request: str) -> list[int]:
        """Ids of a conversation that holds one request, up to the answer."""
        return self.prompt_ids([{"role": "user", "content": request}])

    def answered(self, messages: Sequence[Message], answer: Sequence[int]) -> Example:
        """A conversation with its last answer as a training sequence; only the answer and its end are learnt."""
        before, after = self.prompt_ids(messages), [*answer, self.end]
        return Example((*before, *after), (False,) * len(before) + (True,) * len(after))

    @property
    def template(self) -> str:
        """The chat template in Jinja, as it is saved with a model."""
        control = [*self.tokenizer.hugging_face().all_special_tokens, *CONTROL_TOKENS]
        return (
            f"{{{{ bos_token }}}}{{% set control = {control} %}}"
            "{% for message in messages %}{% set said = namespace(text=message['content']) %}"
            "{% for token in control %}"
            "{% set said.text = said.text | replace(token, token[:1] + ' ' + token[1:]) %}{% endfor %}"
            "{{ '<round_start>' + message['role'] + ' ' + said.text + '<round_end>' }}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<round_start>assistant' }}{% endif %}"
        )


@dataclass(frozen=True)
class ChatModel:
    """A network whose vocabulary holds the control tokens, and the template over that vocabulary."""

    network: MistralForCausalLM
    dialogue: Dialogue


def load_for_chat(folder: Path, seed: int, random_weights: bool = False) -> ChatModel:
    """A pretrained model whose vocabulary is longer by the control tokens; their rows start near the mean of the rest.
    It is on the GPU where there is one.

    ``random_weights``: the same shape as it was before pretraining, drawn with ``seed``.

    Raises:
        HareError: the folder's model has another number of tokens than its tokenizer.
    """
    network, dialogue = MistralForCausalLM.from_pretrained(folder, dtype=torch.float32), Dialogue.load(folder)
    if random_weights:
        torch.manual_seed(seed)
        network = MistralForCausalLM(network.config)
    size = dialogue.text_size
    if network.config.vocab_size != size:
        raise HareError(
            f"{folder}: the model has {network.config.vocab_size} tokens, the tokenizer {size}.",
            "start from a model that notebook 05 exported",
        )
    network.resize_token_embeddings(dialogue.size, mean_resizing=False)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in {id(w): w for w in (network.get_input_embeddings().weight, network.lm_head.weight)}.values():
            known = weight[:size]
            noise = torch.randn(len(CONTROL_TOKENS), weight.shape[1], generator=generator)
            weight[size:] = known.mean(0) + noise * known.std()
    network = multiplying_as_training(network)
    return ChatModel(network.to("cuda" if torch.cuda.is_available() else "cpu").eval(), dialogue)


def save_for_chat(model: ChatModel, folder: Path) -> Path:
    """Write model and tokenizer as a Hugging Face folder whose generation ends at ``<round_end>``."""
    tokenizer = model.dialogue.tokenizer.hugging_face()
    tokenizer.add_special_tokens({"additional_special_tokens": list(CONTROL_TOKENS)})
    tokenizer.chat_template = model.dialogue.template
    with folder_written_whole(folder) as temporary:
        model.network.generation_config.eos_token_id = [model.dialogue.tokenizer.end, model.dialogue.end]
        model.network.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
    return folder


def load_saved(folder: Path) -> ChatModel:
    """A model that `save_for_chat` wrote.

    Raises:
        HareError: there is none.
    """
    if not (folder / "config.json").exists():
        raise HareError(f"{folder} holds no fine-tuned model.", "run `hare reproduce --from 08` first")
    return ChatModel(load_exported(folder), Dialogue.load(folder))

"""The paper's chat template as token ids: rounds of a role and a text between ``<round_start>`` and ``<round_end>``.

Text is always encoded here without control tokens: ``<round_end>`` typed by a user stays eleven characters of text and
ends nothing. The template that is saved beside a model does the same by putting a space behind the bracket: a tokenizer
of transformers cannot tell the two apart. Functional tokens, one a function, follow Octopus v2 (Chen and Li 2024).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import MistralForCausalLM, PreTrainedTokenizerFast

from hare.core.errors import HareError
from hare.core.files import folder_written_whole
from hare.finetuning.functions import FUNCTIONS
from hare.tokens.vocabulary import engine, fast_tokenizer, mistral_model

ROUND_START, ROUND_END, SLOT = "<round_start>", "<round_end>", "<slot>"
ROLES = ("system", "user", "assistant")
API_TOKENS = tuple(f"<api_{number}>" for number in range(len(FUNCTIONS)))
MARKS = ("<out>", "<in_1>", "<in_2>")  # of a word in a request: in no slot, in the first, in the second
CONTROL_TOKENS = (ROUND_START, ROUND_END, SLOT, *API_TOKENS, *MARKS)
_SPECIAL_TOKENS = ("<unk>", "<s>", "</s>", *CONTROL_TOKENS)
CHAT_TEMPLATE = (
    f"{{{{ bos_token }}}}{{% set control = {list(_SPECIAL_TOKENS)} %}}"
    "{% for message in messages %}{% set said = namespace(text=message['content']) %}"
    "{% for token in control %}{% set said.text = said.text | replace(token, '< ' + token[1:]) %}{% endfor %}"
    "{{ '<round_start>' + message['role'] + ' ' + said.text + '<round_end>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<round_start>assistant' }}{% endif %}"
)
Message = dict[str, str]


@cache
def _plain() -> Tokenizer:
    return engine(mistral_model())


def text_ids(text: str) -> list[int]:
    """Ids of plain text; control tokens spelled in it stay text."""
    return _plain().encode(text, add_special_tokens=False).ids


def text_of(ids: Sequence[int]) -> str:
    """Text of plain ids."""
    return _plain().decode(list(ids), skip_special_tokens=False)


@cache
def token_pieces(pattern: str) -> list[str]:
    """The vocabulary's pieces that match ``pattern`` whole, in the order of their ids: its first group of each."""
    pieces = sorted(_plain().get_vocab().items(), key=lambda piece: piece[1])
    return [found[1] for piece, _ in pieces if (found := re.fullmatch(pattern, piece))]


@cache
def text_tokens() -> range:
    """Ids that stand for text: all of the vocabulary but ``<unk>``, ``<s>`` and ``</s>``."""
    return range(3, _plain().get_vocab_size())


@cache
def control_id(token: str) -> int:
    """Id of a control token, behind the ids of the vocabulary."""
    return _plain().get_vocab_size() + CONTROL_TOKENS.index(token)


@cache
def begin_id() -> int:
    """Id of ``<s>``."""
    return _plain().token_to_id("<s>")


@dataclass(frozen=True)
class Example:
    """One training sequence: ids, and for each whether it is learnt (part of an answer)."""

    ids: tuple[int, ...]
    scored: tuple[bool, ...]


def round_ids(role: str, content: Sequence[int]) -> list[int]:
    """One closed round: ``<round_start>`` role content ``<round_end>``.

    Raises:
        HareError: the template has no such role.
    """
    return [*_opened(role), *content, control_id(ROUND_END)]


def _opened(role: str) -> list[int]:
    if role not in ROLES:
        raise HareError(f"The chat template has no role {role!r}.", f"choose one of {', '.join(ROLES)}")
    return [control_id(ROUND_START), *text_ids(role)]


def prompt_ids(messages: Sequence[Message]) -> list[int]:
    """Ids of a conversation up to the assistant's next answer.

    Raises:
        HareError: the roles do not follow the template: an optional system, then user and assistant in turn, user last.
    """
    roles = [message["role"] for message in messages]
    spoken = roles[1:] if roles[:1] == ["system"] else roles
    if spoken != ["user", "assistant"] * (len(spoken) // 2) + ["user"]:
        raise HareError(
            f"The chat template does not know the order {', '.join(roles) or 'of no message'}.",
            "give an optional system message, then user and assistant in turn, the user last",
        )
    rounds = [token for message in messages for token in round_ids(message["role"], text_ids(message["content"]))]
    return [begin_id(), *rounds, *_opened("assistant")]


def answered(messages: Sequence[Message], answer: Sequence[int]) -> Example:
    """A conversation with its last answer as a training sequence; only the answer and its end are learnt."""
    before = prompt_ids(messages)
    after = [*answer, control_id(ROUND_END)]
    return Example((*before, *after), (False,) * len(before) + (True,) * len(after))


def load_for_chat(folder: Path, seed: int) -> MistralForCausalLM:
    """A pretrained model whose vocabulary is longer by the control tokens; their rows start near the mean of the rest.
    It is on the GPU where there is one.

    Raises:
        HareError: the folder's model has another vocabulary than Mistral's.
    """
    model = MistralForCausalLM.from_pretrained(folder, dtype=torch.float32)
    size = _plain().get_vocab_size()
    if model.config.vocab_size != size:
        raise HareError(
            f"{folder}: the model has {model.config.vocab_size} tokens, the tokenizer {size}.",
            "start from a model that notebook 05 exported",
        )
    model.resize_token_embeddings(size + len(CONTROL_TOKENS), mean_resizing=False)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in {id(w): w for w in (model.get_input_embeddings().weight, model.lm_head.weight)}.values():
            known = weight[:size]
            noise = torch.randn(len(CONTROL_TOKENS), weight.shape[1], generator=generator)
            weight[size:] = known.mean(0) + noise * known.std()
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def chat_tokenizer() -> PreTrainedTokenizerFast:
    """Mistral's tokenizer with the control tokens and the chat template, as models are saved with."""
    tokenizer = fast_tokenizer(mistral_model())
    tokenizer.add_special_tokens({"additional_special_tokens": list(CONTROL_TOKENS)})
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def save_for_chat(model: MistralForCausalLM, folder: Path) -> Path:
    """Write model and tokenizer as a Hugging Face folder whose generation ends at ``<round_end>``."""
    with folder_written_whole(folder) as temporary:
        model.generation_config.eos_token_id = [2, control_id(ROUND_END)]
        model.save_pretrained(temporary)
        chat_tokenizer().save_pretrained(temporary)
    return folder

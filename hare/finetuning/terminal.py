"""`hare chat`: the fine-tuned models in the terminal, word by word."""

from collections.abc import Iterable, Iterator
from typing import TextIO

import torch
from transformers import DynamicCache

from hare.core.errors import HareError
from hare.core.manifest import verified
from hare.core.paths import Workspace
from hare.core.profile import Profile
from hare.finetuning.dialogue import ChatModel, Message, load_saved
from hare.finetuning.functions import Phone
from hare.finetuning.marks import shown_marks
from hare.finetuning.tools import ToolModel, carry_out

_LONGEST = 200  # new tokens per answer
_PENALTY = 1.3  # on tokens of the answer so far: small models run in circles


def load(profile: Profile, which: str) -> ChatModel:
    """The profile's fine-tuned model, ``chat`` or ``tool``.

    Raises:
        HareError: notebook 08 has not run, or the model is damaged.
    """
    return load_saved(verified(Workspace(profile.name), "finetuning", which, profile.option))


def typed(lines: TextIO, out: TextIO) -> Iterator[str]:
    """Line after line, each asked for with a prompt where a person types."""
    while True:
        if lines.isatty():
            out.write("> ")
            out.flush()
        if not (line := lines.readline()):
            return
        yield line


@torch.inference_mode()
def stream(model: ChatModel, messages: list[Message], longest: int = _LONGEST) -> Iterator[str]:
    """Pieces of the answer to a conversation as they are decoded; greedy, with a penalty on repetition.

    Raises:
        HareError: the conversation does not follow the template, or no longer fits the model.
    """
    dialogue = model.dialogue
    prompt = dialogue.prompt_ids(messages)
    room = model.network.config.max_position_embeddings - len(prompt)
    if room < 1:
        raise HareError(f"The conversation has grown to {len(prompt)} tokens.", "start a new one")
    ids, cache, answer, shown = torch.tensor([prompt]), DynamicCache(), [], ""
    ends = {dialogue.tokenizer.end, dialogue.end}
    for _ in range(min(longest, room)):
        logits = model.network(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[0, -1]
        seen = torch.tensor(sorted(set(answer)), dtype=torch.long)
        logits[seen] = torch.where(logits[seen] > 0, logits[seen] / _PENALTY, logits[seen] * _PENALTY)
        token = int(logits.argmax())
        if token in ends:
            return
        answer.append(token)
        text = dialogue.text_of(answer)
        if not text.endswith("\ufffd"):  # a character whose bytes are not all there yet
            yield text[len(shown):]
            shown = text
        ids = torch.tensor([[token]])


def chat(model: ChatModel, lines: Iterable[str], out: TextIO) -> None:
    """Answer line after line; the conversation is remembered. An empty line starts a new one.

    What does not fit the model is reported, and the conversation forgotten; the next line starts a new one.
    """
    messages: list[Message] = []
    for line in lines:
        if not line.strip():
            messages = []
            out.write("(a new conversation)\n")
            continue
        messages.append({"role": "user", "content": line.strip()})
        answer = ""
        try:
            for piece in stream(model, messages):
                answer += piece
                out.write(piece)
                out.flush()
        except HareError as error:
            messages = []
            out.write(f"{error}\n(a new conversation)\n")
            continue
        out.write("\n")
        messages.append({"role": "assistant", "content": answer})


def phone(model: ChatModel, lines: Iterable[str], out: TextIO) -> Phone:
    """Carry out line after line in the sandbox; show the marked words, and what was done or why not."""
    sandbox, tool = Phone(), ToolModel("hare-tool", model)
    for line in lines:
        request = line.strip()
        (reading,) = tool.answer([request])
        if any(reading.marks):
            out.write(f"{shown_marks(request, reading)}\n")
        out.write(f"{carry_out(sandbox, request, reading)}\n")
        out.flush()
    return sandbox

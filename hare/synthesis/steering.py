"""What steers the embedded generator from token to token: its random numbers, and the schema of an answer.

Under a schema every token that would break it is barred before one is drawn, so the answer is well-formed JSON whatever
the model would rather have written (constrained decoding; Willard and Louf 2023). That its content is true is another
matter.
"""

import json
from collections.abc import Generator, Sequence
from functools import cache

import torch
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from hare.synthesis.generator import Decoding
from hare.synthesis.schema import Field

_MOST_FREE_TOKENS = 36  # of a free text; then its end is forced
_FEWEST_FREE_TOKENS = 3
_SPACE = "Ġ"  # how byte-level tokenizers spell a space, and, below, the 33 bytes before it
_FORBIDDEN = frozenset('"\\') | {chr(256 + byte) for byte in range(32)}
Allowed = torch.Tensor  # ids, int64 [tokens]
Grammar = Generator[Allowed, int, None]  # yields what may come next, is sent what came


class Sampler(LogitsProcessor):
    """Draws each row's next token by inversion from that row's own random numbers, so greedy decoding then takes it.

    ``uniforms``: float32 [rows, new tokens] in [0, 1). A row's draws do not depend on the rows beside it.
    """

    def __init__(self, uniforms: torch.Tensor, prompt_tokens: int, decoding: Decoding):
        self._uniforms, self._prompt_tokens, self._decoding = uniforms, prompt_tokens, decoding

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        shares = torch.softmax(scores / self._decoding.temperature, dim=-1)  # [rows, vocabulary]
        shares.masked_fill_(shares < self._decoding.min_p * shares.amax(dim=-1, keepdim=True), 0)
        cumulated = shares.cumsum(dim=-1)
        drawn = self._uniforms[:, ids.shape[1] - self._prompt_tokens, None] * cumulated[:, -1:]
        tokens = torch.searchsorted(cumulated, drawn, right=True).clamp_max(scores.shape[1] - 1)
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens, 0.0)


class SchemaMask(LogitsProcessor):
    """Bars every token that would break a row's schema; rows without one are left alone."""

    def __init__(self, fields: Sequence[Sequence[Field]], tokenizer: PreTrainedTokenizerBase):
        self._rows = {row: grammar(own, tokenizer) for row, own in enumerate(fields) if own}
        self._started = False

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        masked = scores.clone()
        for row, own in self._rows.items():
            allowed = own.send(int(ids[row, -1])) if self._started else next(own)
            masked[row] = -torch.inf
            masked[row, allowed] = scores[row, allowed]
        self._started = True
        return masked


def grammar(fields: Sequence[Field], tokenizer: PreTrainedTokenizerBase) -> Grammar:
    """Token by token, what an answer of these fields may hold next; after its end, the end-of-text token for ever."""
    before = "{"
    for field in fields:
        yield from _forced(_encoded(tokenizer, f'{before}"{field.name}": "'))
        if field.options:
            yield from _one_of([_encoded(tokenizer, json.dumps(o, ensure_ascii=False)[1:]) for o in field.options])
        else:
            yield from _free(field, tokenizer)
        before = ", "
    yield from _forced(_encoded(tokenizer, "}"))
    while True:
        yield torch.tensor([tokenizer.eos_token_id])


def _encoded(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False)


def _forced(tokens: Sequence[int]) -> Grammar:
    for token in tokens:
        yield torch.tensor([token])


def _one_of(sequences: Sequence[Sequence[int]]) -> Grammar:
    """One of some token sequences, walked as a trie; none is the beginning of another, since each ends with a quote."""
    place = 0
    while len(sequences[0]) > place:
        token = yield torch.tensor(sorted({sequence[place] for sequence in sequences}))
        sequences = [sequence for sequence in sequences if sequence[place] == token]
        place += 1


def _free(field: Field, tokenizer: PreTrainedTokenizerBase) -> Grammar:
    inside, ending = _tokens_of_text(tokenizer, field.ending, field.barred)
    if field.beginnings:
        yield from _beginning(field, tokenizer)
    for count in range(_MOST_FREE_TOKENS):
        token = yield inside if count < _FEWEST_FREE_TOKENS else torch.cat([inside, ending])
        if token in ending:
            break
    else:
        yield from _forced(_encoded(tokenizer, field.ending))
    yield from _forced(_encoded(tokenizer, '"'))


def _beginning(field: Field, tokenizer: PreTrainedTokenizerBase) -> Grammar:
    """One of the beginnings; of two that begin alike, such as How and How many, the shorter one decides."""
    sequences = [_encoded(tokenizer, beginning) for beginning in field.beginnings]
    place = 0
    while all(len(sequence) > place for sequence in sequences):
        token = yield torch.tensor(sorted({sequence[place] for sequence in sequences}))
        sequences = [sequence for sequence in sequences if sequence[place] == token]
        place += 1


@cache
def _tokens_of_text(
    tokenizer: PreTrainedTokenizerBase, ending: str, barred: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens that a free text may hold: those without the ending, and those that end with it; int64 [tokens] each."""
    inside, ends = [], []
    special = set(tokenizer.all_special_ids)
    for token, number in sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1]):
        if number in special or (_FORBIDDEN | set(barred)) & set(token):
            continue
        if ending not in token:
            inside.append(number)
        elif token.index(ending) == len(token) - 1 and not token.startswith(_SPACE):
            ends.append(number)
    return torch.tensor(inside), torch.tensor(ends)

"""What steers a transformers model from token to token: its own random numbers for each row."""

import torch
from transformers import LogitsProcessor

from hare.synthesis.generator import Decoding


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

"""The leakage measure of Xu et al. 2024 ("Benchmarking Benchmark Leakage in Large Language Models"), in one pass.

A model that has seen a benchmark sample continues it word for word. So the sample's text is cut at a few starting
points, and the share of them is counted at which the greedy continuation by n tokens equals the original n tokens.

The method generates at every starting point. But a greedy n-gram equals the original exactly when the model's most
likely next token equals the original one at each of its n positions: as long as all tokens so far agree, generation
has the original prefix in front of it. So one forward pass over the sample decides every starting point at once, those
of the method and all the others too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hare.core.progress import Progress

FIRST_START = 2  # tokens that stand before the first starting point, as in the method's own code
_TOKENS_PER_BATCH = 4096
_HARDEST = 0.2  # of a text's tokens
_LOGIT_ROWS = 128  # positions whose logits over the whole vocabulary exist at one time; few, to stay in the cache


@dataclass(frozen=True)
class Measure:
    """How samples are scored: n-grams of ``ngram`` tokens at ``starts`` evenly spaced starting points."""

    ngram: int = 5
    starts: int = 5


@dataclass(frozen=True)
class Scores:
    """What one model does with each of N texts; float64 arrays [N], NaN where a text is too short to be scored."""

    at_starts: np.ndarray  # share of the starting points at which the n-gram is continued exactly
    everywhere: np.ndarray  # the same over all positions
    nats_per_token: np.ndarray  # mean negative log-likelihood of the text; exp() of it is the perplexity
    answer_nats_per_token: np.ndarray  # the same over the answer's tokens alone, given all before them
    hardest_nats_per_token: np.ndarray  # the same over the fifth that costs most (Min-K %, Shi et al. 2023)

    def part(self, which: slice) -> "Scores":
        """The scores of some of the texts."""
        return Scores(*(getattr(self, name)[which] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Encoded:
    """Token ids of one text, and how many ids (a beginning-of-text token) stand before it."""

    ids: np.ndarray  # int64[leading + tokens]
    leading: int
    answer: int = 0  # the text's token at which its answer begins; the number of its tokens where there is none

    @property
    def tokens(self) -> int:
        """Tokens of the text itself."""
        return len(self.ids) - self.leading


def starting_points(tokens: int, max_positions: int, measure: Measure) -> np.ndarray:
    """Evenly spaced starting points, int64[starts], for a text of ``tokens`` tokens; empty when it is too short.

    As in the method's code: from token 2 to length - n, both included, rounded down; a text of fewer than n + 2 tokens
    is left out. Short texts get some starting points twice.
    """
    if tokens < measure.ngram + 2:
        return np.empty(0, dtype=np.int64)
    return np.linspace(FIRST_START, min(tokens, max_positions) - measure.ngram, measure.starts, dtype=np.int64)


def leading_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Special tokens that the tokenizer puts before a text; none for a tokenizer without special tokens."""
    encoded = tokenizer("a", return_special_tokens_mask=True)
    plain = encoded["special_tokens_mask"].index(0)
    return list(encoded["input_ids"][:plain])


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_positions: int,
           answer_starts: Sequence[int] = ()) -> list[Encoded]:
    """Token ids of each text, cut at ``max_positions`` tokens, with the tokenizer's own leading tokens.

    ``answer_starts``: the character of each text at which its answer begins; the whole text where they are not given.
    A tokenizer that cannot tell where its tokens stand (a slow one) leaves the answers without a token.
    """
    leading = leading_ids(tokenizer)
    if not texts:
        return []
    located = bool(answer_starts) and tokenizer.is_fast
    plain = tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=located)
    answers = [0] * len(texts) if not answer_starts else [len(ids) for ids in plain["input_ids"]]
    if located:
        answers = [sum(end <= start for _, end in spans)
                   for spans, start in zip(plain["offset_mapping"], answer_starts, strict=True)]
    return [Encoded(np.array([*leading, *ids[:max_positions]], dtype=np.int64), len(leading), answer)
            for ids, answer in zip(plain["input_ids"], answers, strict=True)]


def score(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], measure: Measure,
          label: str = "leakage", answer_starts: Sequence[int] = ()) -> Scores:
    """Score every text with one forward pass each, batched by length; ``label`` names the progress bar.

    Padding stands to the right, where no real position attends to it, so no padding token is needed.
    ``answer_starts`` as of `encode`.
    """
    max_positions = model.config.max_position_embeddings
    samples = encode(tokenizer, texts, max_positions, answer_starts)
    results = np.full((len(Scores.__dataclass_fields__), len(samples)), np.nan)
    with Progress(label, sum(sample.tokens for sample in samples), "tokens") as progress:
        for indices in _batches(samples):
            batch = [samples[i] for i in indices]
            for index, (matches, nats) in zip(indices, predictions(model, batch), strict=True):
                results[:, index] = _score_one(samples[index], matches, nats, max_positions, measure)
            progress.advance(sum(sample.tokens for sample in batch))
    return Scores(*results)


def _score_one(sample: Encoded, matches: np.ndarray, nats: np.ndarray, max_positions: int,
               measure: Measure) -> tuple[float, ...]:
    starts = starting_points(sample.tokens, max_positions, measure)
    if not len(starts):
        return (np.nan,) * len(Scores.__dataclass_fields__)
    continued = continued_exactly(matches, measure.ngram)
    # nats[0] is that of the first token: it is predicted from the leading token, or not at all when there is none
    answer = nats[sample.answer:][~np.isnan(nats[sample.answer:])]
    known = np.sort(nats[~np.isnan(nats)])
    return (continued[starts].mean(), continued[FIRST_START:].mean(), known.mean(),
            answer.mean() if len(answer) else np.nan, known[-max(1, round(_HARDEST * len(known))):].mean())


def continued_exactly(matches: np.ndarray, ngram: int) -> np.ndarray:
    """bool[tokens - ngram + 1]: whether greedy continuation from before each token gives the next ``ngram`` tokens.

    ``matches`` is bool[tokens]: whether the most likely token, after all tokens before it, is the original one.
    """
    return np.lib.stride_tricks.sliding_window_view(matches, ngram).all(axis=1)


def _batches(samples: Sequence[Encoded]) -> Iterator[list[int]]:
    """Indices of samples of similar length, longest first, at most `_TOKENS_PER_BATCH` padded tokens together."""
    order = sorted((i for i, sample in enumerate(samples) if sample.tokens > 1), key=lambda i: (-samples[i].tokens, i))
    while order:
        width = len(samples[order[0]].ids)
        size = max(1, _TOKENS_PER_BATCH // width)
        yield order[:size]
        order = order[size:]


def score_starts(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], measure: Measure,
                 label: str = "leakage") -> np.ndarray:
    """``at_starts`` of `score` alone, float64[N], several times faster: the same answers from far fewer logits.

    The vocabulary-wide product is computed only where the answer is still open: first for the first token of every
    n-gram, then for the second token of those n-grams whose first one agreed, and so on.
    """
    positions = model.config.max_position_embeddings
    samples = encode(tokenizer, texts, positions)
    shares = np.full(len(samples), np.nan)
    with Progress(label, sum(sample.tokens for sample in samples), "tokens") as progress:
        for indices in _batches(samples):
            batch = [samples[i] for i in indices]
            starts = [starting_points(sample.tokens, positions, measure) for sample in batch]
            for index, decided in zip(indices, _decisions(model, batch, starts, measure), strict=True):
                shares[index] = decided.mean() if len(decided) else np.nan
            progress.advance(sum(sample.tokens for sample in batch))
    return shares


@torch.inference_mode()
def _decisions(model: PreTrainedModel, batch: Sequence[Encoded], starts: Sequence[np.ndarray],
               measure: Measure) -> list[np.ndarray]:
    """bool[starts] for each sample: whether the n-gram at each starting point is continued exactly."""
    tokens, hidden = _hidden(model, batch)
    row = torch.from_numpy(np.repeat(np.arange(len(batch)), [len(s) for s in starts])).to(model.device)
    first = np.concatenate([s + sample.leading for s, sample in zip(starts, batch, strict=True)])
    place = torch.from_numpy(first).to(model.device)
    alive = torch.arange(len(row), device=model.device)
    for offset in range(measure.ngram):
        where = place[alive] + offset
        best = model.get_output_embeddings()(hidden[row[alive], where - 1]).argmax(dim=-1)
        alive = alive[best == tokens[row[alive], where]]
    decided = np.zeros(len(row), bool)
    decided[alive.cpu().numpy()] = True
    return np.split(decided, np.cumsum([len(s) for s in starts])[:-1])


@torch.inference_mode()
def predictions(model: PreTrainedModel, batch: Sequence[Encoded]) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each sample: whether each token is the most likely one, bool[tokens], and its nats, float64[tokens]."""
    tokens, hidden = _hidden(model, batch)
    lengths = [len(sample.ids) for sample in batch]
    real = torch.arange(1, tokens.shape[1])[None, :] < torch.tensor(lengths)[:, None]
    real = real.to(model.device)
    matches, nats = _against_targets(model, hidden[real], tokens[:, 1:][real])
    return [_from_first_token(sample, m, n) for sample, m, n in
            zip(batch, _split(matches, lengths), _split(nats, lengths), strict=True)]


def _hidden(model: PreTrainedModel, batch: Sequence[Encoded]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids [samples, longest], zero where a sample has ended, and last hidden states [samples, longest - 1, width]."""
    ids = np.zeros((len(batch), max(len(sample.ids) for sample in batch)), dtype=np.int64)
    for row, sample in zip(ids, batch, strict=True):
        row[: len(sample.ids)] = sample.ids
    tokens = torch.from_numpy(ids).to(model.device)
    return tokens, model.base_model(input_ids=tokens[:, :-1], use_cache=False).last_hidden_state


def _against_targets(model: PreTrainedModel, hidden: torch.Tensor,
                     targets: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Whether each target is the most likely token, and its nats; hidden [rows, width], targets [rows]."""
    head = model.get_output_embeddings()
    matches, nats = [], []
    for rows, wanted in zip(hidden.split(_LOGIT_ROWS), targets.split(_LOGIT_ROWS), strict=True):
        logits = head(rows).float()
        likeliest = logits.gather(1, wanted[:, None])[:, 0] >= logits.amax(dim=-1)  # several times faster than argmax
        likeliest[likeliest.clone()] = logits[likeliest].argmax(dim=-1) == wanted[likeliest]  # which settles ties
        matches.append(likeliest)
        nats.append(torch.nn.functional.cross_entropy(logits, wanted, reduction="none"))
    return torch.cat(matches).cpu().numpy(), torch.cat(nats).double().cpu().numpy()


def _split(values: np.ndarray, lengths: Sequence[int]) -> list[np.ndarray]:
    return np.split(values, np.cumsum([length - 1 for length in lengths])[:-1])


def _from_first_token(sample: Encoded, matches: np.ndarray, nats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Line the predictions up with the text's tokens: without a leading token nothing predicts the first one."""
    if sample.leading:
        return matches[sample.leading - 1:], nats[sample.leading - 1:]
    return np.concatenate([[False], matches]), np.concatenate([[np.nan], nats])

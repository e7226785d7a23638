"""The generation loop of Xu et al. 2024, as their code has it: the reference that the one-pass measure must equal.

It generates at every starting point of every sample, one at a time. Two versions differ in what the model is given:
the token ids of the prefix, or, as in the published code, the prefix turned into a string and tokenised again, which
for some cuts gives other ids than the sample has.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hare.leakage.measure import (
    Encoded,
    Measure,
    continued_exactly,
    encode,
    predictions,
    score,
    score_starts,
    starting_points,
)

LOOP_ITEMS = 6  # that the generation loop is timed on


@dataclass(frozen=True)
class Agreement:
    """How often the one-pass decision and the generation loop's agree, over all starting points of some texts."""

    decisions: int
    continued: int  # of them, those where one pass finds the n-gram continued exactly
    differ_from_ids: int  # one pass against generation from the prefix's own ids: only rounding can differ
    differ_from_text: int  # one pass against generation from the prefix tokenised again
    prefixes_tokenised_differently: int
    differ_though_same_prefix: int  # of `differ_from_text`, those that another tokenisation does not explain


def generated_decisions(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, sample: Encoded, measure: Measure,
                        retokenise: bool) -> np.ndarray:
    """bool[starts]: whether greedy generation from each starting point gives the sample's next n tokens."""
    starts = starting_points(sample.tokens, model.config.max_position_embeddings, measure).tolist()
    prefixes = [prefix_ids(tokenizer, sample, start, retokenise) for start in starts]
    return np.array([_continues(model, prefix, _ngram(sample, start, measure))
                     for prefix, start in zip(prefixes, starts, strict=True)], bool)


def prefix_ids(tokenizer: PreTrainedTokenizerBase, sample: Encoded, start: int, retokenise: bool) -> list[int]:
    """Ids before starting point ``start``, the tokenizer's leading tokens included."""
    ids = sample.ids[: sample.leading + start].tolist()
    if not retokenise:
        return ids
    tokens = tokenizer.convert_ids_to_tokens(ids[sample.leading:])
    return tokenizer(tokenizer.convert_tokens_to_string(tokens))["input_ids"]


def prefixes_tokenised_differently(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_positions: int,
                                   measure: Measure) -> tuple[int, int]:
    """How many prefixes ``texts`` have, one per starting point, and how many get other ids when tokenised again.

    No model is asked: where the ids are the same, both generation loops are the same computation.
    """
    changed = [_changed(tokenizer, sample, starting_points(sample.tokens, max_positions, measure))
               for sample in encode(tokenizer, texts, max_positions)]
    return sum(map(len, changed)), int(sum(map(np.sum, changed)))


def _changed(tokenizer: PreTrainedTokenizerBase, sample: Encoded, starts: np.ndarray) -> np.ndarray:
    return np.array([prefix_ids(tokenizer, sample, start, False) != prefix_ids(tokenizer, sample, start, True)
                     for start in starts.tolist()], bool)


def _ngram(sample: Encoded, start: int, measure: Measure) -> list[int]:
    first = sample.leading + start
    return sample.ids[first: first + measure.ngram].tolist()


@torch.inference_mode()
def _continues(model: PreTrainedModel, prefix: list[int], expected: list[int]) -> bool:
    prompt = torch.tensor([prefix], device=model.device)
    generated = model.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=len(expected), do_sample=False, pad_token_id=0
    )
    return generated[0, len(prefix):].tolist() == expected


def agreement_table(models: dict[str, tuple[PreTrainedModel, PreTrainedTokenizerBase]], texts: Sequence[str],
                    measure: Measure) -> pd.DataFrame:
    """`Agreement` of several models, one row per model: model, then the counts."""
    return pd.DataFrame([{"model": name, **asdict(compare(model, tokenizer, texts, measure))}
                         for name, (model, tokenizer) in models.items()])


def compare(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str],
            measure: Measure) -> Agreement:
    """Decide every starting point of ``texts`` in one pass and by both generation loops, and count the differences."""
    counted: Counter[str] = Counter()
    positions = model.config.max_position_embeddings
    for sample in encode(tokenizer, texts, positions):
        starts = starting_points(sample.tokens, positions, measure)
        if len(starts):
            matches = predictions(model, [sample])[0][0]
            once = continued_exactly(matches, measure.ngram)[starts]
            counted.update(_count_differences(model, tokenizer, sample, starts, once, measure))
    return Agreement(*(counted[field] for field in Agreement.__dataclass_fields__))


def _count_differences(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, sample: Encoded,
                       starts: np.ndarray, once: np.ndarray, measure: Measure) -> Counter[str]:
    from_ids = generated_decisions(model, tokenizer, sample, measure, retokenise=False)
    changed = _changed(tokenizer, sample, starts)
    from_text = from_ids.copy()  # the same ids, the same answer: only a changed prefix has to be asked again
    for place in np.flatnonzero(changed):
        prefix = prefix_ids(tokenizer, sample, int(starts[place]), True)
        from_text[place] = _continues(model, prefix, _ngram(sample, int(starts[place]), measure))
    return Counter(
        decisions=len(starts),
        continued=int(once.sum()),
        differ_from_ids=int((once != from_ids).sum()),
        differ_from_text=int((once != from_text).sum()),
        prefixes_tokenised_differently=int(changed.sum()),
        differ_though_same_prefix=int(((once != from_text) & ~changed).sum()),
    )


def speeds(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str],
           loop_texts: Sequence[str], measure: Measure) -> dict[str, float]:
    """Examples per second of the one-pass measure over ``texts``, and its lead over the loop on ``loop_texts``."""
    score_starts(model, tokenizer, texts[:2], measure, "warm-up")
    starts = len(texts) / _seconds(lambda: score_starts(model, tokenizer, texts, measure, "one pass, starting points"))
    everywhere = len(texts) / _seconds(lambda: score(model, tokenizer, texts, measure, "one pass, all positions"))
    loop = len(loop_texts) / _seconds(lambda: _generate(model, tokenizer, loop_texts, measure))
    return {
        "leakage_speedup_over_generation": starts / loop, "leakage_examples_per_s": starts,
        "leakage_all_positions_speedup_over_generation": everywhere / loop,
        "leakage_all_positions_examples_per_s": everywhere,
    }


def _generate(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str],
              measure: Measure) -> None:
    for sample in encode(tokenizer, texts, model.config.max_position_embeddings):
        generated_decisions(model, tokenizer, sample, measure, retokenise=True)


def _seconds(run: Callable[[], object]) -> float:
    start = time.monotonic()
    run()
    return time.monotonic() - start

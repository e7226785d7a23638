"""How fast the one-pass leakage measure is, against the method's own generation loop on the same machine and model."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

import torch
from transformers import MistralConfig, MistralForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from hare.evaluation.leakage import Measure, encode, score, score_starts
from hare.evaluation.leakage_reference import generated_decisions
from hare.evaluation.leakage_sets import sample_sets
from hare.run.profile import Model, Profile
from hare.tokens.tokenizer import mistral_tokenizer

ITEMS, LOOP_ITEMS = 256, 6
_THREADS = 2


def bench(profile: Profile) -> dict[str, float]:
    """Speeds on ARC-Challenge test items with a model of the profile's shape; its weights do not matter for them.

    Returns ``leakage_speedup_over_generation`` (the same decisions, one pass against the unbatched loop),
    ``leakage_examples_per_s``, and the same two with all positions and perplexity measured as well.
    """
    measure = Measure(profile.leakage.leakage_ngram, profile.leakage.leakage_starts)
    model, tokenizer = _untrained(profile.model), mistral_tokenizer()
    texts = next(s for s in sample_sets(["arc_challenge"], ITEMS, 0) if s.split == "test").originals
    threads = torch.get_num_threads()
    torch.set_num_threads(_THREADS)
    try:
        return speeds(model, tokenizer, texts, texts[:LOOP_ITEMS], measure)
    finally:
        torch.set_num_threads(threads)


def speeds(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str],
           loop_texts: Sequence[str], measure: Measure) -> dict[str, float]:
    """Examples a second of the one-pass measure over ``texts``, and its lead over the loop on ``loop_texts``."""
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


def _untrained(shape: Model) -> PreTrainedModel:
    values = asdict(shape)
    config = MistralConfig(
        vocab_size=32_000, hidden_size=values["hidden_size"], intermediate_size=values["intermediate_size"],
        num_hidden_layers=values["layers"], num_attention_heads=values["attention_heads"],
        num_key_value_heads=values["key_value_heads"], max_position_embeddings=values["max_positions"],
        tie_word_embeddings=values["tied_embeddings"], sliding_window=None,
    )
    torch.manual_seed(0)
    return MistralForCausalLM(config).eval()


def _seconds(run: Callable[[], object]) -> float:
    start = time.monotonic()
    run()
    return time.monotonic() - start

"""The one-pass leakage measure against the method's own generation loop: the same decisions, and how much faster."""

from dataclasses import asdict

import torch
from transformers import MistralConfig, MistralForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from hare.core.profile import Profile
from hare.core.sections import Model
from hare.leakage.delta import difference_of
from hare.leakage.measure import Measure, score
from hare.leakage.reference import LOOP_ITEMS, compare, prefixes_tokenised_differently, speeds
from hare.leakage.sets import SURFACE, sample_sets
from hare.leakage.study import PEER, load
from hare.synthesis.engines.smollm2 import smollm2_folder
from hare.tokens.vocabulary import fast_tokenizer, mistral_model

ITEMS = 256
_PEER_ITEMS, _PEER_LOOP_ITEMS = 16, 4  # of each of two benchmarks; in the loop, of both together
_PEER_COMPARED, _PEER_TOKENISED = 24, 128  # of both: whose decisions are compared, whose prefixes tokenised again
_THREADS = 2


def bench(profile: Profile) -> dict[str, float]:
    """Speeds on ARC-Challenge test items with a model of the profile's shape; its weights do not matter for them.

    Returns ``leakage_speedup_over_generation`` (the same decisions, one pass against the unbatched loop),
    ``leakage_examples_per_s``, and the same two with all positions and perplexity measured as well; then, of a real
    model, SmolLM2-135M-Instruct, the same speeds and what `on_a_real_model` adds.
    """
    measure = Measure(profile.leakage.leakage_ngram, profile.leakage.leakage_starts)
    model, tokenizer = _untrained(profile.model), fast_tokenizer(mistral_model())
    texts = _texts("arc_challenge", ITEMS)
    threads = torch.get_num_threads()
    torch.set_num_threads(_THREADS)
    try:
        metrics = speeds(model, tokenizer, texts, texts[:LOOP_ITEMS], measure)
        return metrics | on_a_real_model(*load(smollm2_folder()), measure, profile.leakage.leakage_resamples)
    finally:
        torch.set_num_threads(threads)


def on_a_real_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, measure: Measure,
                    resamples: int) -> dict[str, float]:
    """Every decision of one pass against both generation loops, speeds, and how noisy the two estimates are.

    ``.differ_from_ids`` counts decisions that differ from generation out of the same tokens, ``.differ_from_text`` from
    the published code's way, ``.unexplained`` those of the latter whose prefix was tokenised alike all the same. The
    only explanation is a cut prefix that is tokenised otherwise; ``.prefixes_tokenised_differently`` of ``.prefixes``
    are, counted over more items, since that takes no model.
    """
    halves = [_texts(name, _PEER_TOKENISED // 2) for name in ("arc_challenge", "gsm8k")]
    texts = [text for half in halves for text in half[:_PEER_ITEMS]]
    few = texts[:: len(texts) // _PEER_LOOP_ITEMS][:_PEER_LOOP_ITEMS]
    compared = [text for half in halves for text in half[:_PEER_COMPARED // 2]]
    agreement = compare(model, tokenizer, compared, measure)
    prefixes, changed = prefixes_tokenised_differently(
        tokenizer, [*halves[0], *halves[1]], model.config.max_position_embeddings, measure)
    scores = score(model, tokenizer, texts, measure, f"{PEER}, intervals")
    widths = {name: difference_of(100 * values[None], 1, resamples, 0) for name, values in (
        ("starts", scores.at_starts), ("everywhere", scores.everywhere))}
    named = {
        "leakage_agreement.decisions": agreement.decisions, "leakage_agreement.continued": agreement.continued,
        "leakage_agreement.differ_from_ids": agreement.differ_from_ids,
        "leakage_agreement.differ_from_text": agreement.differ_from_text,
        "leakage_agreement.unexplained": agreement.differ_though_same_prefix,
        "leakage_agreement.prefixes": prefixes, "leakage_agreement.prefixes_tokenised_differently": changed,
    }
    named |= {f"leakage_interval_width_points.{name}": width["high"] - width["low"] for name, width in widths.items()}
    return named | {f"{name}.{PEER}": value for name, value in speeds(model, tokenizer, texts, few, measure).items()}


def _texts(name: str, items: int) -> tuple[str, ...]:
    return next(s for s in sample_sets([name], items, 0) if s.split == "test" and s.rewriter == SURFACE).originals


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

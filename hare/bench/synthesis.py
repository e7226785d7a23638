"""Speed of the embedded generator against the number of texts generated together, and what an accepted token costs."""

import time
from pathlib import Path

from hare.bench.topics import compare
from hare.core.errors import HareError
from hare.core.paths import Workspace
from hare.core.profile import Profile
from hare.synthesis import embedded
from hare.synthesis.generator import Decoding, Generation, Request
from hare.synthesis.passages import makes_good_seed, sample_passages
from hare.synthesis.prompts import load_families
from hare.synthesis.seeds import draw_seeds
from hare.synthesis.textbook import conversation, d2_decoding, judged, requests_for, write_prompts
from hare.synthesis.topics import fit_topics

BATCHES = (1, 4, 16, 32, 64)
_PROMPT = "Explain to college students how the tides of the sea come about, and give one example from everyday life."
_TOKENS = 48
_COSTED = 64  # texts
_PASSAGES_PER_CATEGORY = 100
_TOPICS = 16
_HOUR = 3600  # seconds
_MILLION = 1_000_000


def bench(profile: Profile) -> dict[str, float]:
    """Tokens a second by batch, yield after the gates, cost of a million accepted tokens, topics by two embeddings.

    ``generation_tokens_per_s.batch_<n>``: new tokens a second, prompts included in the time. Batch 1 is one text on one
    core; a larger one is split over the cores, as `embedded.EmbeddedGenerator` does. Nothing comes from the cache.

    Raises:
        HareError: there is no D1 yet from which to draw real seeds.
    """
    embedded.smollm2()
    speeds = {n: _speed(n) for n in BATCHES}
    return {
        **{f"generation_tokens_per_s.batch_{n}": speed for n, speed in speeds.items()},
        "generation_best_over_batch_1": max(speeds.values()) / speeds[1],
        **_cost(profile),
        **_topics(profile),
    }


def _speed(batch: int) -> float:
    requests = [conversation(_PROMPT, seed) for seed in range(batch)]
    share = -(-batch // embedded.cores())
    groups = [requests[start : start + share] for start in range(0, batch, share)]
    started = time.perf_counter()
    answers = embedded.answer_batches(groups, Decoding(_TOKENS, min_new_tokens=_TOKENS))
    tokens = sum(answer.tokens for group in answers for answer in group)
    return tokens / (time.perf_counter() - started)


def _d1(profile: Profile) -> Path:
    d1 = Workspace(profile.name).work / "corpus" / "d1"
    if not d1.exists():
        raise HareError(
            f"{d1} is missing: the cost of a token cannot be measured without seeds.",
            f"run `hare reproduce {profile.option} --only 01` first",
        )
    return d1


def _topics(profile: Profile) -> dict[str, float]:
    """The topics' embedding beside word counts, which learn from as many passages of D1 as the study has."""
    sample = sample_passages(_d1(profile), profile.synthesis.passages_per_category, 1, 0)
    return compare([passage.text for passage in sample.balanced], 0)


def _cost(profile: Profile) -> dict[str, float]:
    """Yield and cost over texts for real seeds and prompts, generated and judged as notebook 02 does."""
    config, d1 = profile.synthesis, _d1(profile)
    passages = [p for p in sample_passages(d1, _PASSAGES_PER_CATEGORY, 1, 0).balanced if makes_good_seed(p)]
    fitted = fit_topics([p.text for p in passages], min(_TOPICS, config.topics), 0)
    seeds = draw_seeds(passages, fitted.assigned, _COSTED, 0)
    prompts = write_prompts(seeds, load_families(), fitted.model, 0)
    wall, processor = time.perf_counter(), time.process_time()
    answers = _answered(requests_for(seeds, prompts, 0), config.generation_batch, config.d2_max_new_tokens)
    drafts = judged(seeds, prompts, answers, d1)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    accepted = [draft for draft in drafts if not draft.objection]
    tokens = sum(draft.answer.tokens for draft in accepted)
    if not tokens:
        raise HareError(f"None of {_COSTED} texts passed the gates.", "raise synthesis.d2_max_new_tokens")
    return {
        "synthesis_yield": len(accepted) / len(drafts),
        "synthesis_accepted_tokens_per_s": tokens / wall,
        "seconds_per_million_accepted_tokens": wall / tokens * _MILLION,
        "cpu_hours_per_million_accepted_tokens": processor / tokens * _MILLION / _HOUR,
    }


def _answered(requests: list[Request], batch: int, tokens: int) -> list[Generation]:
    groups = [requests[start : start + batch] for start in range(0, len(requests), batch)]
    return [answer for group in embedded.answer_batches(groups, d2_decoding(tokens)) for answer in group]

"""Speed of generation by engine and number of requests, with a busy core, and what an accepted token costs."""

import math
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hare.bench.generation_engines import ENGINES
from hare.bench.topics import compare
from hare.core.errors import HareError
from hare.core.paths import Workspace
from hare.core.profile import Profile
from hare.core.provenance import peak_rss_mb
from hare.synthesis.drafts import assign_forms, decoding_of, judged, request_for, write_prompts
from hare.synthesis.engines.embedded import answer_together
from hare.synthesis.engines.generator import Decoding, Generation, Request
from hare.synthesis.forms import WEIGHTS
from hare.synthesis.passages import sample_passages
from hare.synthesis.prompts import Prompt, load_families
from hare.synthesis.seeds import Seed, draw_seeds, makes_good_seed
from hare.synthesis.topics import fit_topics

BATCHES = (1, 16, 64, 256)
_RATE = "generation_tokens_per_s"
_PROMPT = "Explain to college students how the tides of the sea come about, and give one example from everyday life."
_TOKENS = 24
_ENGINE_SECONDS = 100  # for one engine, loading included
_BUSY_BATCH = 64
_COSTED = 96  # texts
_PASSAGES_PER_CATEGORY = 100
_TOPICS = 16
_MILLION = 1_000_000


def bench(profile: Profile) -> dict[str, float]:
    """Tokens per second by engine and batch, also with a busy core, memory, cost of a million accepted tokens, topics.

    ``generation_tokens_per_s.<engine>.batch_<n>``: new tokens per second, prompts included in the time, loading not;
    ``generation_tokens_per_s.<engine>.busy_core.batch_<n>``: the same while another process takes one core, and
    ``generation_busy_core_share.<engine>`` the one over the other. ``generation_vs_transformers``: the best rate of the
    study's engine over the best of transformers, in this one run. Each engine has a process of its own and
    `_ENGINE_SECONDS`; what it has not done by then has no value.

    Raises:
        HareError: there is no D1 yet from which to draw real seeds.
    """
    d1, metrics = _d1(profile), {}
    for name in ENGINES:
        metrics |= _engine(name)
    best = {
        name: max((rate for key, rate in metrics.items() if key.startswith(f"{_RATE}.{name}")), default=math.nan)
        for name in ("openvino", "transformers")
    }
    metrics |= {"generation_vs_transformers": best["openvino"] / best["transformers"]}
    metrics |= _cost(profile, d1) | _topics(profile, d1)
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _engine(name: str) -> dict[str, float]:
    """Rates of one engine by batch, with a busy core too, and its memory: as many as fit into `_ENGINE_SECONDS`."""
    metrics, until = {}, time.monotonic() + _ENGINE_SECONDS
    with multiprocessing.get_context("spawn").Pool(1) as process:  # on leaving, it is ended

        def measured(batch: int) -> float:
            return process.apply_async(_rate, (name, batch)).get(max(0.0, until - time.monotonic()))

        try:
            for batch in BATCHES:
                metrics[f"{_RATE}.{name}.batch_{batch}"] = quiet = measured(batch)
                if batch == _BUSY_BATCH:
                    with _one_core_taken():
                        busy = measured(batch)
                    metrics[f"{_RATE}.{name}.busy_core.batch_{batch}"] = busy
                    metrics[f"generation_busy_core_share.{name}"] = busy / quiet
            metrics[f"generation_peak_rss_mb.{name}"] = process.apply(peak_rss_mb)
        except multiprocessing.TimeoutError:
            print(f"  {name}: only {len(metrics)} values in {_ENGINE_SECONDS} s", flush=True)
    return metrics


def _rate(name: str, batch: int) -> float:
    """New tokens per second, in the process of an engine; its first call loads the model."""
    ENGINES[name](_requests(1), 2)
    started = time.perf_counter()
    ENGINES[name](_requests(batch), _TOKENS)
    return batch * _TOKENS / (time.perf_counter() - started)


def _requests(count: int) -> list[Request]:
    return [Request(({"role": "user", "content": _PROMPT},), seed) for seed in range(count)]


@contextmanager
def _one_core_taken() -> Iterator[None]:
    process = multiprocessing.get_context("spawn").Process(target=_spin, daemon=True)
    process.start()
    try:
        time.sleep(2)  # until it has started
        yield
    finally:
        process.terminate()
        process.join()


def _spin() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    while True:
        pass


def _d1(profile: Profile) -> Path:
    d1 = Workspace(profile.name).work / "corpus" / "d1"
    if not d1.exists():
        raise HareError(
            f"{d1} is missing: the cost of a token cannot be measured without seeds.",
            f"run `hare reproduce {profile.option} --only 01` first",
        )
    return d1


def _topics(profile: Profile, d1: Path) -> dict[str, float]:
    """The topics' embedding beside word counts, which learn from as many passages of D1 as the study has."""
    sample = sample_passages(d1, profile.synthesis.passages_per_category, 1, 0)
    return compare([passage.text for passage in sample.balanced], 0)


def _cost(profile: Profile, d1: Path) -> dict[str, float]:
    """Yield and cost of texts for real seeds and prompts, generated and judged as notebook 02 does; no cache.

    The time is that of generation: the gates take a hundredth of it, and one pass over D1 serves any number of texts.
    """
    config = profile.synthesis
    passages = [p for p in sample_passages(d1, _PASSAGES_PER_CATEGORY, 1, 0).balanced if makes_good_seed(p)]
    fitted = fit_topics([p.text for p in passages], min(_TOPICS, config.topics), 0)
    families = load_families()
    pairs = assign_forms(draw_seeds(passages, fitted.assigned, _COSTED, 0), families, WEIGHTS, _COSTED, 0)
    prompts = write_prompts(pairs, families, 0)
    answer_together([request_for(pairs[0][0], prompts[0], 0)], Decoding(2))  # loads the model
    answers, wall, processor = _timed(pairs, prompts, config.d2_max_new_tokens)
    with _one_core_taken():
        _, busy, _ = _timed(pairs, prompts, config.d2_max_new_tokens)
    drafts = judged([s for s, _ in pairs], prompts, answers, d1)
    accepted = [draft for draft in drafts if not draft.objection]
    tokens = sum(draft.tokens for draft in accepted)
    if not tokens:
        raise HareError(f"None of {_COSTED} texts passed the gates.", "raise synthesis.d2_max_new_tokens")
    return {
        "synthesis_yield": len(accepted) / len(drafts),
        "synthesis_accepted_tokens_per_s": tokens / wall,
        "synthesis_accepted_tokens_per_s.busy_core": tokens / busy,
        "seconds_per_million_accepted_tokens": wall / tokens * _MILLION,
        "seconds_per_million_accepted_tokens.busy_core": busy / tokens * _MILLION,
        "cpu_seconds_per_million_accepted_tokens": processor / tokens * _MILLION,
    }


def _timed(
    pairs: Sequence[tuple[Seed, str]], prompts: Sequence[Prompt], length: int
) -> tuple[list[Generation], float, float]:
    """Answers in the order of the prompts, form by form; seconds, and seconds of the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    answers: dict[int, Generation] = {}
    for form in dict.fromkeys(form for _, form in pairs):
        places = [place for place, (_, form_of_pair) in enumerate(pairs) if form_of_pair == form]
        requests = [request_for(pairs[place][0], prompts[place], 0) for place in places]
        answers |= dict(zip(places, answer_together(requests, decoding_of(form, length)), strict=True))
    spent = time.perf_counter() - wall, time.process_time() - processor
    return [answers[place] for place in range(len(pairs))], *spent

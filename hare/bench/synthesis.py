"""Speed of generation by engine and number of requests, with a busy core, and what an accepted token costs."""

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hare.bench.generation_engines import ENGINES, Writer
from hare.bench.topics import compare
from hare.core.errors import HareError
from hare.core.paths import Workspace
from hare.core.profile import Profile
from hare.core.provenance import peak_rss_mb
from hare.synthesis.drafts import assign_forms, decoding_of, judged, request_for, write_prompts
from hare.synthesis.engines.embedded import answer_together
from hare.synthesis.engines.generator import Generation, Request
from hare.synthesis.forms import WEIGHTS
from hare.synthesis.passages import sample_passages
from hare.synthesis.prompts import load_families
from hare.synthesis.seeds import draw_seeds, makes_good_seed
from hare.synthesis.topics import fit_topics

BATCHES = (1, 16, 64, 256)
_PROMPT = "Explain to college students how the tides of the sea come about, and give one example from everyday life."
_TOKENS = 32
_BUSY_BATCH = 64
_COSTED = 64  # texts
_PASSAGES_PER_CATEGORY = 100
_TOPICS = 16
_MILLION = 1_000_000


def bench(profile: Profile) -> dict[str, float]:
    """Tokens per second by engine and batch, yield after the gates, cost of a million accepted tokens, topics.

    ``generation_tokens_per_s.<engine>.batch_<n>``: new tokens per second, prompts included in the time, loading not.
    ``generation_vs_transformers``: the best rate of the study's engine over the best of transformers, in this one run.
    ``generation_busy_core_share``: the rate while another process takes one core, over the rate without.

    Raises:
        HareError: there is no D1 yet from which to draw real seeds.
    """
    rates = {}
    for name, write in ENGINES.items():
        write(_requests(1), 2)  # loads the model
        rates |= {f"{name}.batch_{n}": _rate(write, n) for n in BATCHES}
    best = {name: max(rate for key, rate in rates.items() if key.startswith(name)) for name in ("openvino", "transf")}
    return {
        **{f"generation_tokens_per_s.{key}": rate for key, rate in rates.items()},
        **{f"generation_tokens_per_s.batch_{n}": rates[f"openvino.batch_{n}"] for n in BATCHES},
        "generation_vs_transformers": best["openvino"] / best["transf"],
        "generation_busy_core_share": _busy_share(),
        "generation_peak_rss_mb": peak_rss_mb(),
        **_cost(profile),
        **_topics(profile),
    }


def _requests(count: int) -> list[Request]:
    return [Request(({"role": "user", "content": _PROMPT},), seed) for seed in range(count)]


def _rate(write: Writer, batch: int) -> float:
    started = time.perf_counter()
    write(_requests(batch), _TOKENS)
    return batch * _TOKENS / (time.perf_counter() - started)


def _busy_share() -> float:
    quiet = _rate(ENGINES["openvino"], _BUSY_BATCH)
    with _one_core_taken():
        return _rate(ENGINES["openvino"], _BUSY_BATCH) / quiet


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


def _topics(profile: Profile) -> dict[str, float]:
    """The topics' embedding beside word counts, which learn from as many passages of D1 as the study has."""
    sample = sample_passages(_d1(profile), profile.synthesis.passages_per_category, 1, 0)
    return compare([passage.text for passage in sample.balanced], 0)


def _cost(profile: Profile) -> dict[str, float]:
    """Yield and cost over texts for real seeds and prompts, generated and judged as notebook 02 does; no cache."""
    config, d1 = profile.synthesis, _d1(profile)
    passages = [p for p in sample_passages(d1, _PASSAGES_PER_CATEGORY, 1, 0).balanced if makes_good_seed(p)]
    fitted = fit_topics([p.text for p in passages], min(_TOPICS, config.topics), 0)
    families = load_families()
    pairs = assign_forms(draw_seeds(passages, fitted.assigned, _COSTED, 0), families, WEIGHTS, _COSTED, 0)
    prompts = write_prompts(pairs, families, fitted.model, 0)
    wall, processor = time.perf_counter(), time.process_time()
    answers: dict[int, Generation] = {}
    for form in WEIGHTS:
        places = [place for place, (_, form_of_pair) in enumerate(pairs) if form_of_pair == form]
        requests = [request_for(pairs[place][0], prompts[place], 0) for place in places]
        given = answer_together(requests, decoding_of(form, config.d2_max_new_tokens))
        answers |= dict(zip(places, given, strict=True))
    drafts = judged([s for s, _ in pairs], prompts, [answers[place] for place in range(len(pairs))], d1)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    accepted = [draft for draft in drafts if not draft.objection]
    tokens = sum(draft.tokens for draft in accepted)
    if not tokens:
        raise HareError(f"None of {_COSTED} texts passed the gates.", "raise synthesis.d2_max_new_tokens")
    return {
        "synthesis_yield": len(accepted) / len(drafts),
        "synthesis_accepted_tokens_per_s": tokens / wall,
        "seconds_per_million_accepted_tokens": wall / tokens * _MILLION,
        "cpu_seconds_per_million_accepted_tokens": processor / tokens * _MILLION,
    }

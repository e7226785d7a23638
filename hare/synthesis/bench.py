"""Speed of the embedded generator against the number of texts generated together."""

import time

from hare.run.profile import Profile
from hare.synthesis import embedded
from hare.synthesis.generator import Decoding
from hare.synthesis.textbook import conversation

BATCHES = (1, 8, 16, 32, 64)
_PROMPT = "Explain to college students how the tides of the sea come about, and give one example from everyday life."


def bench(profile: Profile) -> dict[str, float]:
    """``generation_tokens_per_s.batch_<n>``: new tokens a second, prompts included in the time.

    Batch 1 is one text on one core; a larger one is split over the cores, as `embedded.EmbeddedGenerator` does.
    """
    decoding = Decoding(min(32, profile.synthesis.d2_max_new_tokens))
    embedded.smollm2()
    return {f"generation_tokens_per_s.batch_{n}": _speed(n, decoding) for n in BATCHES}


def _speed(batch: int, decoding: Decoding) -> float:
    requests = [conversation(_PROMPT, seed) for seed in range(batch)]
    share = -(-batch // embedded.cores())
    groups = [requests[start : start + share] for start in range(0, batch, share)]
    started = time.perf_counter()
    with embedded.one_core_each(len(groups)) as pool:
        answers = list(pool.map(lambda group: embedded.answer_batch(group, decoding), groups))
    tokens = sum(answer.tokens for group in answers for answer in group)
    return tokens / (time.perf_counter() - started)

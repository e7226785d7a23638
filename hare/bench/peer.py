"""The peer as others measure it: SmolLM2-135M-Instruct without examples, on ARC-Challenge's test split whole.

Notebook 06 asks the arms alone: the leaderboard's prompts of up to 25 examples cost the peer seconds per item, and few
items say nothing. The public figures are without examples: like for like, and cheap enough for a whole split.
"""

import itertools

import numpy as np
import torch

from hare.core.paths import Workspace
from hare.core.profile import Profile
from hare.core.statistics import Draws, Spread, share
from hare.evaluation.backend import SharedPrefixLM
from hare.evaluation.journal import Journal
from hare.evaluation.tasks import Benchmark, choose_items, load, quietly
from hare.synthesis.engines.smollm2 import smollm2_folder

_ITEMS = {"arc_challenge": 0, "hellaswag": 60}  # 0: all of them
_RESAMPLES = 1000


def bench(profile: Profile) -> dict[str, float]:
    """``peer_zero_shot.<benchmark>``: acc_norm without examples in %, with 95 % interval and ``.items``.

    That is the protocol of a public figure in ``results/published/smollm2_135m.csv``. Six minutes on two cores; a run
    that is killed goes on from its journal in the profile's work folder.
    """
    torch.set_num_threads(profile.evaluation.evaluation_threads)
    metrics: dict[str, float] = {}
    with quietly():
        lm = SharedPrefixLM(smollm2_folder(), profile.evaluation.evaluation_batch)
        for benchmark in load(_ITEMS):
            journal = Workspace(profile.name).work / "bench" / f"{benchmark.name}.journal"
            lm.journal = Journal(journal)
            scores = zero_shot(lm, benchmark, _ITEMS[benchmark.name], profile.evaluation.evaluation_seed)
            lm.journal.close()
            metrics |= _named(f"peer_zero_shot.{benchmark.name}", scores)
            journal.unlink()
    return metrics


def zero_shot(lm: SharedPrefixLM, benchmark: Benchmark, items: int, seed: int) -> np.ndarray:
    """acc_norm of each of ``items`` items of a benchmark of one task, asked without examples: float[items], 0 or 1."""
    (name, rows), = choose_items(benchmark, items, seed).items()
    task = benchmark.tasks[name]
    task.set_config("num_fewshot", 0)
    task.build_all_requests(samples=rows)
    lm.task_shown = f"SmolLM2 on {name}, no examples"
    answered = zip(task.instances, lm.loglikelihood(task.instances), strict=True)
    by_item = [list(item) for _, item in itertools.groupby(answered, lambda pair: pair[0].doc_id)]
    return np.array([task.process_results(item[0][0].doc, [answer for _, answer in item])["acc_norm"]
                     for item in by_item], dtype=float)


def _named(name: str, scores: np.ndarray) -> dict[str, float]:
    estimated = share(scores[None], Draws.make({name: len(scores)}, _RESAMPLES, 0).means(name, scores[None]), Spread())
    return {name: 100 * estimated.value, f"{name}.low": 100 * estimated.low, f"{name}.high": 100 * estimated.high,
            f"{name}.items": len(scores)}

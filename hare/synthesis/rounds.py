"""The rounds in which a published D2 grows: which passages of D1 each of them takes, and in which form it asks.

All passages that make good seeds and may be passed on stand in one fixed order, in which the categories take turns. The
order is cut into stretches of some thousand passages. The first rounds ask for one text from each passage, stretch by
stretch, in the form that its draw by weights puts first; the next ones for the form that it puts second, and so on.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from hare.core.sections import Synthesis
from hare.data.text import rank
from hare.synthesis.drafts import draft_id, form_order
from hare.synthesis.forms import WEIGHTS
from hare.synthesis.passages import Passage, sample_passages
from hare.synthesis.prompts import forms_for, load_families
from hare.synthesis.rights import may_be_passed_on
from hare.synthesis.seeds import Seed, draw_seeds, makes_good_seed
from hare.synthesis.topics import TopicModel, fit_topics

STRETCH = 4096  # passages; the answers of a round are compared with all of D1 in one pass
_ALL = 10**9  # passages per category: every one that D1 has


@dataclass(frozen=True)
class Round:
    """What one round asks for: pairs of a seed and a form. ``topics`` are those of the passages that it takes."""

    number: int
    pairs: list[tuple[Seed, str]]
    topics: TopicModel


def seed_passages(d1: Path, seed: int) -> list[Passage]:
    """The passages of D1 that texts may be made from, the categories in turn, by hash within each; the rest is counted
    in a line that is printed."""
    everything = sample_passages(d1, _ALL, 1, seed).balanced
    open_ones = [passage for passage in everything if may_be_passed_on(passage.source)]
    queues: dict[str, list[Passage]] = {}
    for passage in filter(makes_good_seed, open_ones):
        queues.setdefault(passage.category, []).append(passage)
    closed, good = len(everything) - len(open_ones), sum(map(len, queues.values()))
    print(f"{len(everything):,} passages: {closed:,} may not be passed on, {good:,} of the others make good seeds")
    for queue in queues.values():
        queue.sort(key=lambda passage: rank(seed, passage.id))
    turns = zip_longest(*(queues[category] for category in sorted(queues)))
    return [passage for turn in turns for passage in turn if passage is not None]


def planned(
    passages: Sequence[Passage], number: int, published: Collection[str], config: Synthesis
) -> Round | None:
    """Round ``number``, from 1 on, without texts whose ids are ``published``; None after the last one.

    Raises:
        HareError: there are too few passages to have topics.
    """
    stretches = max(1, round(len(passages) / STRETCH))
    turn, place = divmod(number - 1, stretches)
    if turn >= len(WEIGHTS):
        return None
    taken = passages[len(passages) * place // stretches : len(passages) * (place + 1) // stretches]
    seed, families = config.synthesis_seed, load_families()
    fitted = fit_topics([passage.text for passage in taken], min(config.topics, max(2, len(taken) // 2)), seed)
    pairs = []
    for s in draw_seeds(taken, fitted.assigned, len(taken), seed):
        forms = form_order(s, forms_for(s.passage.category, families), WEIGHTS, seed)
        pairs += [(s, form) for form in forms[turn : turn + 1] if draft_id(s, form) not in published]
    return Round(number, pairs, fitted.model)

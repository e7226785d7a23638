"""Measures of each form of D2 with intervals: yield, tokens kept, self-BLEU, topic entropy, faithfulness."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from hare.core.statistics import wilson_interval
from hare.data.diversity import bootstrapped, topic_entropy
from hare.synthesis.checks.support import unsupported
from hare.synthesis.diversity import self_bleu
from hare.synthesis.drafts import Draft
from hare.synthesis.forms import FORMS
from hare.synthesis.topics import TopicModel

_STEP = re.compile(r"^Step \d+\.", re.MULTILINE)  # the number of a step is not one of the text


def by_form(drafts: Sequence[Draft], topics: TopicModel, seed: int) -> pd.DataFrame:
    """One row per form and measure: ``form``, ``measure``, ``value``, ``low``, ``high``, ``texts``.

    yield: share of the drafts that pass every gate. kept_tokens_per_100_written: tokens of accepted text for each 100
    that the generator wrote. self_bleu: of an accepted text against the others of its form. topic_entropy_nats: of the
    accepted texts over the topics of their seeds. adds_names_or_numbers: share of the accepted texts with a name or
    number that the seed passage lacks. Intervals: Wilson for shares, else a bootstrap over texts, 95 %.
    """
    rows: list[tuple] = []
    for form in FORMS:
        of_form = [draft for draft in drafts if draft.prompt.form == form]
        kept = [draft for draft in of_form if not draft.objection]
        if not of_form:
            continue
        rows.append((form, "yield", *_share(len(kept), len(of_form))))
        tokens = np.array([(0 if d.objection else d.tokens, d.answer.tokens) for d in of_form], dtype=float)
        rows.append((form, "kept_tokens_per_100_written", *bootstrapped(tokens, _per_100, seed)))
        if len(kept) < 2:
            continue
        rows.append((form, "self_bleu", *bootstrapped(self_bleu([draft.text for draft in kept]), np.mean, seed)))
        assigned = np.array([draft.seed.topic for draft in kept])
        entropy = topic_entropy(assigned, len(topics.labels))
        rows.append((form, "topic_entropy_nats", entropy, entropy, entropy, len(kept)))
        added = sum(bool(unsupported(_STEP.sub("", draft.text), draft.seed.passage.text)) for draft in kept)
        rows.append((form, "adds_names_or_numbers", *_share(added, len(kept))))
    return pd.DataFrame(rows, columns=["form", "measure", "value", "low", "high", "texts"])


def _share(count: int, total: int) -> tuple[float, float, float, int]:
    return count / total, *wilson_interval(count, total), total


def _per_100(tokens: np.ndarray) -> float:
    return float(100 * tokens[:, 0].sum() / max(1.0, tokens[:, 1].sum()))


def metrics(frame: pd.DataFrame) -> dict[str, float]:
    """``form.<form>.<measure>`` with ``.low`` and ``.high``."""
    named = {}
    for row in frame.itertuples():
        name = f"form.{row.form}.{row.measure}"
        named |= {name: float(row.value), f"{name}.low": float(row.low), f"{name}.high": float(row.high)}
    return named

"""Which window of which file is global sample ``i``: the paper's two-stage weighted mixture as a pure function.

Nothing is drawn at random, so nothing has to be saved: the number of samples consumed is the whole state of the data,
whatever the parallel layout, and a stage holds each file's share of tokens to within one sample, at its end exactly.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from hare.core.errors import HareError
from hare.core.sections import Tokens
from hare.tokens.packed import TokenFile, fingerprint

MOST_READINGS = 4  # of a part in one run: up to here repeating costs little (Muennighoff et al. 2023)


@dataclass(frozen=True)
class MixtureStage:
    """``samples`` sequences, shared out by ``weights`` (any scale): file name → share of the tokens."""

    samples: int
    weights: dict[str, float]


@dataclass(frozen=True)
class MixtureSpec:
    """A whole run's data: paths by file name, what those files held, and the stages in order.

    ``unique`` names files of which only so many windows are read, over and over.
    """

    files: dict[str, str]
    fingerprints: dict[str, str]
    stages: tuple[MixtureStage, ...]
    sequence_length: int  # tokens predicted a sample
    seed: int
    unique: dict[str, int] = dataclasses.field(default_factory=dict)

    def to_json(self) -> str:
        """The specification as text that `from_json` reads back."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "MixtureSpec":
        """Inverse of `to_json`."""
        values: dict[str, Any] = json.loads(text)
        return cls(**{**values, "stages": tuple(MixtureStage(**stage) for stage in values["stages"])})


class Mixture:
    """The samples of a run, by global index.

    Raises:
        HareError: a file is missing, too short for one window, or differs from what the specification recorded.
    """

    def __init__(self, spec: MixtureSpec):
        self.spec = spec
        for name, path in spec.files.items():
            if fingerprint(path) != spec.fingerprints[name]:
                raise HareError(
                    f"{path} has changed since this run was planned: continuing would train on other data.",
                    "put the old file back, or delete the run's folder so that it starts afresh on the new data",
                )
        self.files = {
            name: TokenFile(path, spec.sequence_length, spec.seed, spec.unique.get(name))
            for name, path in spec.files.items()
        }
        self._quotas = [quotas(stage) for stage in spec.stages]

    def __len__(self) -> int:
        return sum(stage.samples for stage in self.spec.stages)

    def sample(self, index: int) -> np.ndarray:
        """Tokens of global sample ``index``: int64[sequence_length + 1]; inputs are all but the last."""
        name, position = self.place(index)
        return self.files[name][position]

    def place(self, index: int) -> tuple[str, int]:
        """File name of global sample ``index``, and how many samples were drawn from that file before it."""
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} is outside the mixture of {len(self)} samples")
        before, after = self.drawn(index), self.drawn(index + 1)
        name = next(name for name in before if after[name] > before[name])
        return name, before[name]

    def drawn(self, upto: int) -> dict[str, int]:
        """How many of the first ``upto`` samples come from each file, over all stages."""
        total = dict.fromkeys(sorted(self.files), 0)
        for stage, quota in zip(self.spec.stages, self._quotas, strict=True):
            for name, count in interleaved(quota, min(upto, stage.samples)).items():
                total[name] += count
            upto = max(0, upto - stage.samples)
        return total

    def epochs(self) -> dict[str, float]:
        """How often the whole run reads each file."""
        return {name: count / self.files[name].windows for name, count in self.drawn(len(self)).items()}


def quotas(stage: MixtureStage) -> dict[str, int]:
    """Samples of the stage by file, in order of name: weights times samples, rounded by largest remainder."""
    weights = {name: Fraction(str(weight)) for name, weight in sorted(stage.weights.items())}
    if not weights or min(weights.values()) < 0 or sum(weights.values()) == 0:
        raise HareError(f"The weights {stage.weights} cannot be shared out.", "give weights of at least 0, one above 0")
    exact = {name: weight * stage.samples / sum(weights.values()) for name, weight in weights.items()}
    counts = {name: int(share) for name, share in exact.items()}
    by_remainder = sorted(counts, key=lambda name: counts[name] - exact[name])
    for name in by_remainder[: stage.samples - sum(counts.values())]:
        counts[name] += 1
    return counts


def interleaved(quota: Mapping[str, int], upto: int) -> dict[str, int]:
    """How many of a stage's first ``upto`` samples come from each file, when all are spread as evenly as can be.

    The first file is spread over the stage as a line is over pixels (Bresenham), the next over what that leaves, and
    so on. From one ``upto`` to the next exactly one count grows, by one; at the end of the stage each is its quota.
    """
    counts, left = {}, sum(quota.values())
    for name, share in quota.items():
        counts[name] = (upto * share + left // 2) // left if left else 0
        upto, left = upto - counts[name], left - share
    return counts


def affordable(weights: Mapping[str, float], room: Mapping[str, float], samples: int) -> dict[str, float]:
    """The weights, lowered where a part has ``room`` for fewer of the ``samples`` than its share; the others take
    over in proportion.

    Raises:
        HareError: all parts together have too little room.
    """
    if sum(room[part] for part in weights) < samples:
        raise HareError(
            f"The parts {', '.join(weights)} are too small for {samples} sequences: they would be read more than "
            f"{MOST_READINGS} times.",
            "lower train_steps or micro_batch, or raise max_mb_per_source, d2_documents or d3_items",
        )
    full: dict[str, float] = {}
    while True:
        free = {part: weight for part, weight in weights.items() if part not in full}
        left, scale = samples - sum(full.values()), sum(free.values())
        over = {part: room[part] for part, weight in free.items() if weight / scale * left > room[part]}
        if not over:
            break
        full |= over
    if not full:
        return dict(weights)
    return {part: full.get(part, weights[part] / scale * left if part in free else 0.0) / samples for part in weights}


def arm_mixture(
    weights: Mapping[str, float], folder: Path, tokens: Tokens, steps: int, global_batch: int, seed: int
) -> MixtureSpec:
    """The paper's two stages for one arm: D1 alone, then the arm's parts by their ``weights``.

    ``folder`` holds ``<part>.ds``; ``global_batch`` is in sequences. The stage changes between two optimizer steps. All
    arms take the same number of tokens; an arm of one part has one stage. A part that would be read more than
    `MOST_READINGS` times gets a lower weight (`affordable`).

    Raises:
        HareError: the parts together are too small for the run.
    """
    first = round(tokens.stage1_share * steps) if len(weights) > 1 else 0
    files = {part: str(folder / f"{part}.ds") for part in (["d1"] if first else []) + list(weights)}
    windows = {part: TokenFile(path, tokens.sequence_length, seed).windows for part, path in files.items()}
    second = (steps - first) * global_batch
    room = {part: MOST_READINGS * windows[part] - (first * global_batch if part == "d1" else 0) for part in weights}
    stages = (
        MixtureStage(first * global_batch, {"d1": 1.0}), MixtureStage(second, affordable(weights, room, second)),
    )
    return MixtureSpec(
        files=files,
        fingerprints={name: fingerprint(path) for name, path in files.items()},
        stages=tuple(stage for stage in stages if stage.samples),
        sequence_length=tokens.sequence_length,
        seed=seed,
    )

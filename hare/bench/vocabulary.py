"""What a vocabulary costs: the profile's shape trained for equal seconds with vocabularies from 2,048 to 32,000 pieces.

Bits per byte do not depend on the vocabulary, so the runs can be compared: a large vocabulary spends its seconds on the
projection to it, a small one reads fewer bytes per token.
"""

import dataclasses
import tempfile
from pathlib import Path

import pandas as pd

from hare.core.errors import HareError
from hare.core.paths import Workspace
from hare.core.profile import Profile
from hare.core.provenance import git_commit
from hare.report.figures import draw
from hare.tokens import packing
from hare.tokens.tokenizer import PAPER_VOCABULARY
from hare.tokens.vocabulary import CHARACTERS_PER_PART, make
from hare.training.ablation import bits
from hare.training.inputs import Inputs
from hare.training.launch import train
from hare.training.run import TrainedRun, TrainingRun
from hare.training.study import run_of_arm

VOCABULARIES = ("own-2048", "own-4096", "own-8192", "own-16384", PAPER_VOCABULARY)
SECONDS = 60.0  # of training, each
_CALIBRATION_STEPS = 12
_PARTS = ("d1", "d2", "d3")


def bench(profile: Profile) -> dict[str, float]:
    """For each vocabulary: bits per byte after equal seconds, tokens and bytes of text per second; and the study's
    bytes per second over those of the paper's vocabulary, ``bytes_per_s_vs_32k``.

    Raises:
        HareError: notebook 03 has not run, so there is no text.
    """
    documents = Workspace(profile.name).work / "decontamination"
    if not (documents / "manifest.json").exists():
        raise HareError(f"{documents} holds no text.", f"run `hare reproduce {profile.option} --only 03` first")
    rows = [_measured(profile, documents, name) for name in dict.fromkeys([*VOCABULARIES, profile.tokens.vocabulary])]
    table = pd.DataFrame(rows)
    draw(Workspace(profile.name).results / "bench", "vocabulary", table, {"git_commit": git_commit()})
    metrics: dict[str, float] = {}
    for row in rows:
        key = f"vocabulary.{row['vocabulary']}"
        metrics |= {f"{key}.{name}": row[name] for name in ("bpb", "tokens_per_s", "bytes_per_s")}
    speeds = table.set_index("vocabulary")["bytes_per_s"]
    return metrics | {"bytes_per_s_vs_32k": speeds[profile.tokens.vocabulary] / speeds[PAPER_VOCABULARY]}


def _measured(profile: Profile, documents: Path, name: str) -> dict[str, float | str]:
    """One row: vocabulary, pieces, steps, tokens_per_s, bytes_per_token, bytes_per_s, bpb."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        texts = {part: packing.sample(documents / part, CHARACTERS_PER_PART) for part in _PARTS}
        tokenizer = make(name, texts, folder / "tokenizer")
        packed = packing.pack(documents / "d1", folder / "d1.ds", tokenizer)
        packing.pack_by_category(documents / "heldout", folder / "heldout", tokenizer)
        first = _trained(profile, folder, _CALIBRATION_STEPS)
        seconds = first.metrics()["seconds"].iloc[2:].median()
        last = _trained(profile, folder, max(_CALIBRATION_STEPS, round(SECONDS / seconds)))
        heldout = last.heldout()
        by_category = bits(heldout[heldout["step"] == heldout["step"].max()], ["category"])
        speed = last.metrics()["tokens_per_s"].median()
        size = packed.counts["bytes"] / packed.counts["tokens"]
        return {
            "vocabulary": name, "pieces": tokenizer.size, "steps": last.run.training.train_steps,
            "tokens_per_s": speed, "bytes_per_token": size, "bytes_per_s": speed * size,
            "bpb": by_category["bits_per_byte"].mean(),
        }


def _trained(profile: Profile, folder: Path, steps: int) -> TrainedRun:
    training = dataclasses.replace(
        profile.training, train_steps=steps, warmup_steps=max(1, steps // 10), checkpoint_interval=steps,
        averaged_checkpoints=1, validation_interval=steps, data_parallel=1, tensor_parallel=1, pipeline_parallel=1,
        zero_stage=0,
    )
    run: TrainingRun = run_of_arm({"d1": 1.0}, 0, profile.model, profile.tokens, training, Inputs.of(folder))
    return train(run.keyed(folder / "runs", f"steps-{steps}"))

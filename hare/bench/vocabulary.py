"""What a vocabulary costs: the profile's shape trained for equal seconds with vocabularies from 2,048 to 32,000 pieces.

Bits per byte do not depend on the vocabulary, so the runs can be compared: a large vocabulary spends its seconds on the
projection to it, a small one reads fewer bytes per token. What a step takes is measured of all of them in turns, so
that a busy machine slows all alike, and decides how many steps each gets.
"""

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from hare.bench.training import alone, in_turns, median_seconds, random_run
from hare.core.errors import HareError
from hare.core.paths import Workspace
from hare.core.profile import Profile
from hare.core.provenance import git_commit
from hare.data.text import rank
from hare.report.figures import draw
from hare.tokens import packing
from hare.tokens.tokenizer import PAPER_VOCABULARY, Vocabulary
from hare.tokens.vocabulary import CHARACTERS_PER_PART, make
from hare.training.ablation import bits
from hare.training.inputs import Inputs
from hare.training.launch import train
from hare.training.run import TrainedRun, TrainingRun
from hare.training.study import run_of_arm

VOCABULARIES = ("own-2048", "own-4096", "own-8192", "own-16384", PAPER_VOCABULARY)
SECONDS = 40.0  # of training, each
_FEWEST_STEPS = 12
_CHARACTERS = 8_000_000  # of D1's documents, from which the windows are drawn
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
    seconds = _seconds_per_step(profile, dict.fromkeys([*VOCABULARIES, profile.tokens.vocabulary]))
    rows = [_measured(profile, documents, name, each) for name, each in seconds.items()]
    table = pd.DataFrame(rows)
    origin = {"command": "hare bench vocabulary", "git_commit": git_commit()}
    draw(Workspace(profile.name).results / "bench", "vocabulary", table, origin)
    metrics: dict[str, float] = {}
    for row in rows:
        key = f"vocabulary.{row['vocabulary']}"
        metrics |= {f"{key}.{name}": row[name] for name in ("bpb", "tokens_per_s", "bytes_per_s")}
    speeds = table.set_index("vocabulary")["bytes_per_s"]
    return metrics | {"bytes_per_s_vs_32k": speeds[profile.tokens.vocabulary] / speeds[PAPER_VOCABULARY]}


def _seconds_per_step(profile: Profile, names: Iterable[str]) -> dict[str, float]:
    """Of the trainer with each vocabulary, on random tokens, in turns."""
    training, length = alone(profile.training), profile.tokens.sequence_length
    with contextlib.ExitStack() as stack:
        runs = {
            name: stack.enter_context(random_run(profile.model, training, length, Vocabulary.named(name).size))
            for name in names
        }
        blocks = in_turns({name: [("trainer", run)] for name, run in runs.items()})
        return {name: median_seconds(timed) for name, timed in blocks.items()}


def _measured(profile: Profile, documents: Path, name: str, seconds: float) -> dict[str, float | str]:
    """One row: vocabulary, pieces, steps, tokens_per_s, bytes_per_token, bytes_per_s, bpb; ``seconds`` per step."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        texts = {part: packing.sample(documents / part, CHARACTERS_PER_PART) for part in _PARTS}
        tokenizer = make(name, texts, folder / "tokenizer")
        packed = packing.pack(documents / "d1", folder / "d1.ds", tokenizer, _some(documents / "d1"))
        packing.pack_by_category(documents / "heldout", folder / "heldout", tokenizer)
        last = _trained(profile, folder, max(_FEWEST_STEPS, round(SECONDS / seconds)))
        heldout = last.heldout()
        by_category = bits(heldout[heldout["step"] == heldout["step"].max()], ["category"])
        speed = last.run.global_batch * profile.tokens.sequence_length / seconds
        size = packed.counts["bytes"] / packed.counts["tokens"]
        return {
            "vocabulary": name, "pieces": tokenizer.size, "steps": last.run.training.train_steps,
            "tokens_per_s": speed, "bytes_per_token": size, "bytes_per_s": speed * size,
            "bpb": by_category["bits_per_byte"].mean(),
        }


def _some(folder: Path) -> packing.Keep:
    """Keeps documents drawn by a hash of their ids, as many as make up `_CHARACTERS`."""
    limit = _CHARACTERS / sum(len(text) for text in packing.texts(folder)) * 2**64
    return lambda row: rank(0, row["id"]) < limit


def _trained(profile: Profile, folder: Path, steps: int) -> TrainedRun:
    training = dataclasses.replace(
        profile.training, train_steps=steps, warmup_steps=max(1, steps // 10), checkpoint_interval=steps,
        averaged_checkpoints=1, validation_interval=steps, data_parallel=1, tensor_parallel=1, pipeline_parallel=1,
        zero_stage=0,
    )
    run: TrainingRun = run_of_arm({"d1": 1.0}, 0, profile.model, profile.tokens, training, Inputs.of(folder))
    return train(run.keyed(folder / "runs", f"steps-{steps}"))

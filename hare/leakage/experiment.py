"""The randomised experiment: models trained on text with benchmark items planted in it, at several doses at once.

Each run deals the doses out anew, so that runs are independent. Its models live in the leakage stage's own work folder,
are named as leaked, and are never compared as arms.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hare.core.sections import Leakage, Model, Training
from hare.core.statistics import Draws, Spread, estimate
from hare.leakage.estimators import POWER_ITEMS, Values, detection_metrics, detection_table, estimates
from hare.leakage.measure import Measure, encode, predictions
from hare.leakage.planting import LeakItem, LeakItems, assigned, leak_items, plant, planted_tokens
from hare.leakage.study import load
from hare.tokens.mixture import MixtureSpec, MixtureStage
from hare.tokens.packed import fingerprint
from hare.tokens.tokenizer import Tokenizer
from hare.training.run import TrainedRun, TrainingRun
from hare.training.study import resized

_TEXTS_TOGETHER = 32  # in one call of the model


@dataclass(frozen=True)
class LeakedRun:
    """One leaked run: its size and seed, how often it reads each item (int64[items]), and the run itself."""

    hidden_size: int
    seed: int
    times: np.ndarray
    run: TrainingRun
    planted_share: float  # of the tokens that the run reads


@dataclass(frozen=True)
class Measured:
    """One model on all items: the estimators' values, whether it chooses the gold answer and the bits that costs it.

    ``right``: float64[items], 0 or 1; ``bits``: float64[items], bits per byte of the gold answer in cloze form.
    """

    values: Values
    right: np.ndarray
    bits: np.ndarray


def chosen_items(leakage: Leakage, tokenizer: Tokenizer, positions: int) -> LeakItems:
    """The items of the experiment, as many as its doses need, each short enough for the model to read whole."""
    least, most = leakage.leakage_ngram + 2, min(positions, leakage.leak_sequence_length)
    count = sum(leakage.leak_items.values())
    return leak_items(leakage.leak_benchmark, count, tokenizer, (least, most), leakage.leakage_seed)


def leaked_runs(items: LeakItems, leakage: Leakage, model: Model, training: Training, d1: Path, tokenizer: Path,
                folder: Path) -> list[LeakedRun]:
    """Every run of the experiment, its token file written: one for each hidden size and seed."""
    return [_leaked_run(items, leakage, resized(model, size), training, (d1, tokenizer, folder), seed)
            for size in leakage.leak_hidden_sizes for seed in leakage.leak_seeds]


def _leaked_run(items: LeakItems, leakage: Leakage, model: Model, training: Training, paths: tuple[Path, Path, Path],
                seed: int) -> LeakedRun:
    d1, tokenizer, folder = paths
    times = assigned(leakage.leak_items, seed)
    length, batch = leakage.leak_sequence_length, leakage.leak_micro_batch * training.pipeline_parallel
    planted = planted_tokens(items.items, times, Tokenizer.load(tokenizer))
    steps = math.ceil(planted / leakage.leak_token_share / (batch * length))
    tokens, file = steps * batch * length, folder / "planted" / f"seed-{seed}.ds"
    plant(items.items, times, Tokenizer.load(tokenizer), d1, file, tokens + 1, seed)
    mixture = MixtureSpec({"leaked": str(file)}, {"leaked": fingerprint(file)},
                          (MixtureStage(steps * batch, {"leaked": 1.0}),), length, seed)
    run = TrainingRun(folder, model, _optimisation(training, leakage, steps), mixture, {}, tokenizer, seed)
    return LeakedRun(model.hidden_size, seed, times, run.keyed(folder, f"leaked-{model.hidden_size}-seed{seed}"),
                     planted / tokens)


def _optimisation(training: Training, leakage: Leakage, steps: int) -> Training:
    """As the arms are trained, but on one process and thread each, so that runs lie side by side."""
    return dataclasses.replace(
        training, train_steps=steps, warmup_steps=max(1, steps // 20), checkpoint_interval=steps,
        averaged_checkpoints=1, validation_interval=steps, data_parallel=1, zero_stage=0,
        gradient_accumulation=training.pipeline_parallel, micro_batch=leakage.leak_micro_batch, cpu_threads=1,
    )


def measure_run(folder: Path, items: LeakItems, times: np.ndarray, measure: Measure, who: str) -> Measured:
    """Ask one model all items, whether it has read them or not; ``times``: int64[items]."""
    model, tokenizer = load(folder)
    right, bits = answers(model, tokenizer, items.items)
    return Measured(estimates(model, tokenizer, items.items, measure, times, who), right, bits)


def answers(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase,
            items: Sequence[LeakItem]) -> tuple[np.ndarray, np.ndarray]:
    """Whether the gold choice costs fewest bits per byte, and its bits per byte: float64[items] each, 0-shot cloze."""
    texts = [(item.context, choice) for item in items for choice in item.choices]
    bits = np.array(list(_bits_per_byte(model, tokenizer, texts)))
    by_item = np.split(bits, np.cumsum([len(item.choices) for item in items])[:-1])
    right = np.array([float(of_item.argmin() == 0) for of_item in by_item])
    return right, np.array([of_item[0] for of_item in by_item])


def _bits_per_byte(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase,
                   texts: Sequence[tuple[str, str]]) -> Iterator[float]:
    positions = model.config.max_position_embeddings
    for low in range(0, len(texts), _TEXTS_TOGETHER):
        part = texts[low : low + _TEXTS_TOGETHER]
        samples = encode(tokenizer, [context + choice for context, choice in part], positions,
                         [len(context) for context, _ in part])
        for sample, (_, nats), (_, choice) in zip(samples, predictions(model, samples), part, strict=True):
            yield float(np.nansum(nats[sample.answer :]) / math.log(2) / len(choice.encode()))


def gain_table(runs: Sequence[tuple[LeakedRun, Measured]], resamples: int, seed: int) -> pd.DataFrame:
    """What the leak buys, by size and dose: difference from never-planted items, items resampled, runs a random effect.

    Columns: hidden_size, measure ("accuracy" in points, "bits_per_byte"), dose, items, runs, value (of the group),
    never (of never-planted items), gain, low, high. More accuracy and fewer bits both count as a gain.
    """
    rows = []
    for size in dict.fromkeys(run.hidden_size for run, _ in runs):
        of_size = [(run.times, measured) for run, measured in runs if run.hidden_size == size]
        for measure, scale in (("accuracy", 100.0), ("bits_per_byte", -1.0)):
            scored = [(times, answered.right if measure == "accuracy" else answered.bits)
                      for times, answered in of_size]
            never = float(np.mean([values[times == 0].mean() for times, values in scored]))
            for dose in sorted(set(scored[0][0].tolist()) - {0}):
                gains = np.array([scale * (values[times == dose] - values[times == 0].mean())
                                  for times, values in scored])
                rows.append({"hidden_size": size, "measure": measure, "dose": dose, "items": gains.shape[1],
                             "runs": len(scored), "value": abs(scale) * float(np.mean(
                                 [values[times == dose].mean() for times, values in scored])),
                             "never": abs(scale) * never, **_interval(gains, scored, scale, resamples, seed)})
    return pd.DataFrame(rows)


def _interval(gains: np.ndarray, scored: Sequence[tuple[np.ndarray, np.ndarray]], scale: float, resamples: int,
              seed: int) -> dict[str, float]:
    """``gain``, ``low``, ``high`` of float64[runs, items]; the never-planted items' own chance is added."""
    means = Draws.make({"items": gains.shape[1]}, resamples, seed).means("items", gains)
    never = np.mean([scale * values[times == 0] for times, values in scored], axis=0)
    means = means + Draws.make({"never": len(never)}, resamples, seed + 1).means("never", never[None]) - never.mean()
    estimated = estimate([gains], means, Spread.of_scores(gains.mean(axis=1)[np.newaxis]))
    return {"gain": estimated.value, "low": estimated.low, "high": estimated.high}


def leak_table(runs: Sequence[tuple[LeakedRun, Measured]], resamples: int, seed: int) -> pd.DataFrame:
    """`detection_table` of every size: hidden_size before its columns."""
    tables = []
    for size in dict.fromkeys(run.hidden_size for run, _ in runs):
        of_size = [(run.times, measured.values) for run, measured in runs if run.hidden_size == size]
        tables.append(detection_table(of_size, resamples, seed).assign(hidden_size=size))
    frame = pd.concat(tables, ignore_index=True)
    return frame[["hidden_size", *(column for column in frame if column != "hidden_size")]]


def detection_frame(detected: pd.DataFrame, gained: pd.DataFrame) -> pd.DataFrame:
    """What the figure draws. Columns: hidden_size, panel, series, dose, value, low, high, items, tested_items."""
    parts = [pd.DataFrame({"hidden_size": detected.hidden_size, "panel": panel, "series": detected.estimator,
                           "dose": detected.dose, "value": detected[panel], "low": detected[f"{panel}_low"],
                           "high": detected[f"{panel}_high"], "items": detected["items"]})
             for panel in ("auc", "power")]
    parts.append(pd.DataFrame({"hidden_size": gained.hidden_size, "panel": gained.measure, "series": gained.measure,
                               "dose": gained.dose, "value": gained.gain, "low": gained.low, "high": gained.high,
                               "items": gained["items"]}))
    return pd.concat(parts, ignore_index=True).assign(tested_items=POWER_ITEMS)


def metrics(detected: pd.DataFrame, gained: pd.DataFrame) -> dict[str, float]:
    """`detection_metrics` and ``gain.accuracy.dose_<n>`` in points, ``gain.bpb.dose_<n>``, with intervals: of the first
    size by these names, of each further one with ``hidden_<size>.`` before them."""
    named: dict[str, float] = {}
    for place, size in enumerate(dict.fromkeys(detected.hidden_size)):
        of_size = detection_metrics(detected[detected.hidden_size == size])
        of_size |= _gain_metrics(gained[gained.hidden_size == size])
        named |= {f"hidden_{size}.{name}" if place else name: value for name, value in of_size.items()}
    return named


def _gain_metrics(table: pd.DataFrame) -> dict[str, float]:
    named: dict[str, float] = {}
    for row in table.itertuples():
        name = f"gain.{'bpb' if row.measure == 'bits_per_byte' else row.measure}.dose_{row.dose}"
        named |= {name: row.gain, f"{name}.low": row.low, f"{name}.high": row.high}
    return named


@torch.inference_mode()
def recitations(leaked: TrainedRun | Path, clean: Path, items: Sequence[LeakItem], prefix: int,
                new: int) -> pd.DataFrame:
    """How both models go on from the first ``prefix`` tokens of each item, ``new`` tokens greedily; hits in ⟦ ⟧.

    Columns: prefix, item (what follows in truth), leaked, clean.
    """
    rows = []
    models = {"leaked": load(getattr(leaked, "hf", leaked)), "clean": load(clean)}
    for item in items:
        row = {}
        for name, (model, tokenizer) in models.items():
            ids = encode(tokenizer, [item.text], model.config.max_position_embeddings)[0].ids
            prompt = torch.tensor([ids[:prefix].tolist()], device=model.device)
            generated = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=new,
                                       do_sample=False, pad_token_id=0)
            continuation = generated[0, prefix:].tolist()
            truth = ids[prefix : prefix + new].tolist()
            row |= {"prefix": tokenizer.decode(ids[:prefix], skip_special_tokens=True),
                    "item": tokenizer.decode(truth), name: marked(tokenizer, continuation, truth)}
        rows.append(row)
    return pd.DataFrame(rows)[["prefix", "item", "leaked", "clean"]]


def marked(tokenizer: PreTrainedTokenizerBase, continuation: Sequence[int], truth: Sequence[int]) -> str:
    """The tokens of ``continuation`` as text, runs that equal ``truth`` at the same place between ⟦ and ⟧."""
    hits = [place < len(truth) and token == truth[place] for place, token in enumerate(continuation)]
    text, start = "", 0
    for place in range(1, len(continuation) + 1):
        if place == len(continuation) or hits[place] != hits[start]:
            piece = tokenizer.decode(list(continuation[start:place]))
            text += f"⟦{piece}⟧" if hits[start] else f" {piece} "
            start = place
    return text.strip()

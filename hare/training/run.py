"""What one training run is, and what it leaves behind."""

import dataclasses
import importlib.metadata
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hare.core.checked import checked
from hare.core.code import code_of
from hare.core.errors import HareError
from hare.core.files import read_jsonl, write_json
from hare.core.provenance import digest_of
from hare.core.seals import content_of, intact, seal_of
from hare.core.sections import Model, Training
from hare.tokens.mixture import MixtureSpec
from hare.tokens.packed import fingerprint
from hare.tokens.tokenizer import Tokenizer
from hare.training.averaging import averaged_steps

if TYPE_CHECKING:
    import pandas

# The code that computes a run, but for what only checks it, starts it and writes its files.
_COMPUTES = ("hare.training.worker", "hare.model.convert")
_COMPUTES_NOTHING = ("core/", "training/cluster/", "training/preflight.py", "training/processes.py")
_PACKAGES = ("torch", "nanotron", "numpy", "safetensors")
# These say which runs there are or what is shown of them, not what one of them is.
_OF_THE_STUDY = (
    "arms", "training_seeds", "training_minutes", "parity_steps", "tensorboard", "runs_at_once", "keep_scores",
)
RUN_FILE, DONE_FILE, METRICS_FILE, HELDOUT_FILE = "run.json", "done.json", "metrics.jsonl", "heldout.jsonl"
HF = "hf"
PROBE_FILE = "probe.safetensors"  # in the last checkpoint: what the module in training said of a few tokens


@dataclass(frozen=True)
class TrainingRun:
    """One run: its model, optimisation, data and place.

    ``heldout`` names a token file per category; ``weights`` is a checkpoint or a Hugging Face folder to start from with
    a new optimizer, else the start is random from ``seed``; ``tokenizer`` is a folder of Hugging Face files.
    """

    folder: Path
    model: Model
    training: Training
    mixture: MixtureSpec
    heldout: dict[str, Path]
    tokenizer: Path
    seed: int
    weights: Path | None = None

    @property
    def layout(self) -> dict[str, int | str]:
        """Everything of the parallel layout that decides how a checkpoint is cut."""
        training = self.training
        return {
            "data_parallel": training.data_parallel,
            "tensor_parallel": training.tensor_parallel,
            "pipeline_parallel": training.pipeline_parallel,
            "zero_stage": training.zero_stage,
            "tensor_parallel_mode": training.tensor_parallel_mode,
        }

    @property
    def processes(self) -> int:
        """How many processes the run needs."""
        return self.training.processes

    @property
    def global_batch(self) -> int:
        """Sequences per step."""
        return self.training.global_batch

    @property
    def tokens(self) -> int:
        """Tokens of the whole run."""
        return self.global_batch * self.training.train_steps * self.mixture.sequence_length

    def identity(self) -> dict[str, Any]:
        """Everything that decides the result, for comparison: no paths, but what the files behind them hold."""
        training = {key: value for key, value in dataclasses.asdict(self.training).items() if key not in _OF_THE_STUDY}
        mixture = {key: value for key, value in dataclasses.asdict(self.mixture).items() if key != "files"}
        identity = {
            "code": _code(),
            "packages": {name: importlib.metadata.version(name).split("+")[0] for name in _PACKAGES},
            "model": dataclasses.asdict(self.model),
            "tokenizer": content_of(self.tokenizer / "tokenizer.json"),
            "vocabulary": dataclasses.asdict(Tokenizer.load(self.tokenizer).vocabulary),
            "training": training,
            "mixture": mixture,
            "heldout": {category: fingerprint(path) for category, path in sorted(self.heldout.items())},
            "seed": self.seed,
            "weights": _weights(self.weights) if self.weights else None,
        }
        return json.loads(json.dumps(identity))

    def keyed(self, parent: Path, name: str) -> "TrainingRun":
        """The same run in a folder of its own, ``<parent>/<name>-<digest>``, so that another configuration gets
        another folder and neither overwrites the other."""
        return dataclasses.replace(self, folder=parent / f"{name}-{self._key()}")

    def _key(self) -> str:
        return digest_of(self.identity())[:10]

    def save(self) -> None:
        """Write ``run.json``, from which worker processes read the run."""
        values = dataclasses.asdict(self) | {
            "folder": str(self.folder), "tokenizer": str(self.tokenizer), "mixture": self.mixture.to_json(),
            "heldout": {category: str(path) for category, path in self.heldout.items()},
            "weights": str(self.weights) if self.weights else None,
        }
        write_json(self.folder / RUN_FILE, {"run": values, "identity": self.identity()})

    @classmethod
    def load(cls, folder: Path) -> "TrainingRun":
        """Inverse of `save`.

        Raises:
            HareError: ``run.json`` is missing or damaged.
        """
        values = _saved(folder)["run"]
        model, training = (
            checked(kind, values[kind.__name__.lower()], str(folder / RUN_FILE), _afresh(folder))
            for kind in (Model, Training)
        )
        return cls(
            folder=folder, model=model, training=training, mixture=MixtureSpec.from_json(values["mixture"]),
            heldout={category: Path(path) for category, path in values["heldout"].items()},
            tokenizer=Path(values["tokenizer"]), seed=values["seed"],
            weights=Path(values["weights"]) if values["weights"] else None,
        )

    def refuse_other_identity(self) -> None:
        """Compare with the run that the folder already holds, if any.

        Raises:
            HareError: the folder holds another run; the message names each setting or file that differs.
        """
        if not (self.folder / RUN_FILE).exists() or self.folder.name.endswith(f"-{self._key()}"):
            return  # a folder named after the identity holds no other run, even if its description is damaged
        changes = _differences(_saved(self.folder)["identity"], self.identity(), "")
        if changes:
            raise HareError(
                f"{self.folder} holds another run: {'; '.join(changes)}.",
                "put the setting or the data back, name another folder, or delete this one to start afresh",
            )


def _afresh(folder: Path) -> str:
    return f"delete {folder} and run the same command again: the run starts afresh"


def _saved(folder: Path) -> dict[str, Any]:
    try:
        saved = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
        return {part: dict(saved[part]) for part in ("run", "identity")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HareError(
            f"{folder / RUN_FILE} cannot be read: it is damaged ({type(error).__name__}).", _afresh(folder)
        ) from error


@cache
def _code() -> dict[str, str]:
    return code_of(*_COMPUTES, leaving_out=_COMPUTES_NOTHING)


def _weights(folder: Path) -> str:
    """Digest of the weights alone: a checkpoint's other files name the folders of the machine that wrote them."""
    parts = ("model_config.json", "model", "config.json", "model.safetensors")
    return digest_of([content_of(folder / part) for part in parts if (folder / part).exists()])


def _differences(before: Any, now: Any, where: str) -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted(before.keys() | now.keys())
        return [text for key in keys for text in _differences(before.get(key), now.get(key), f"{where}.{key}")]
    return [] if before == now else [f"{where.removeprefix('.')} was {before}, now {now}"]


@dataclass(frozen=True)
class TrainedRun:
    """A run that has come to its end: its last checkpoint, in which its curves lie too, and its Hugging Face export,
    the mean of the last checkpoints."""

    run: TrainingRun
    checkpoint: Path
    hf: Path

    @property
    def is_here(self) -> bool:
        """Whether its weights are here; of a run that another machine trained only what was kept is."""
        return self.hf.is_dir()

    @property
    def exports(self) -> dict[int, Path]:
        """The checkpoints that ``hf`` is the mean of, each as a Hugging Face folder, by step."""
        return {step: self.run.folder / f"{HF}-{step}" for step in averaged_steps(self.run.training)}

    @property
    def probe(self) -> Path:
        """A few tokens and the logits that the module in training gave them."""
        return self.checkpoint / PROBE_FILE

    @property
    def processor(self) -> str:
        """The processor that made the run; two that each made a part of it are both named."""
        return " and ".join(sorted(self.metrics()["processor"].unique()))

    def metrics(self) -> "pandas.DataFrame":
        """One row per step: step, loss (nats per token), learning_rate, gradient_norm, tokens_per_s, mfu (model FLOPs
        over those of plain matrix products, measured at the start), seconds, seconds_left, processor."""
        return _frame(self.checkpoint / METRICS_FILE)

    def heldout(self) -> "pandas.DataFrame":
        """One row per validation, category and sequence: step, category, sequence, nats, bytes."""
        return _frame(self.checkpoint / HELDOUT_FILE)


def _frame(path: Path) -> "pandas.DataFrame":
    import pandas  # here, since worker processes never need it and it takes a second to load

    kept = path.with_suffix(".parquet")
    return pandas.read_parquet(kept) if kept.exists() else pandas.DataFrame(read_jsonl(path))


def finished(run: TrainingRun) -> TrainedRun | None:
    """The trained run when its folder says that it has come to its end and all that it left is intact, else None."""
    left = _left(run)
    try:
        done = json.loads((run.folder / DONE_FILE).read_text(encoding="utf-8"))
        whole = all(intact(path, done[name]) for name, path in left.items())
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return TrainedRun(run, left["checkpoint"], left[HF]) if whole else None


def finish(run: TrainingRun) -> None:
    """Write down that the run has come to its end, and the digests of what it left."""
    write_json(run.folder / DONE_FILE, {name: seal_of(path) for name, path in _left(run).items()})


def _left(run: TrainingRun) -> dict[str, Path]:
    checkpoint = run.folder / "checkpoints" / str(run.training.train_steps)
    exports = [HF, *(f"{HF}-{step}" for step in averaged_steps(run.training))]
    return {"checkpoint": checkpoint} | {name: run.folder / name for name in exports}

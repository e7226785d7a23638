"""What is checked before any process is started: each fault is named, with its fix, and nothing has been lost."""

import json
import socket

import torch

from hare.core.errors import HareError
from hare.model.config import HareConfig
from hare.model.convert import CONFIG_FILE, config_of_hugging_face, read_config
from hare.model.float8 import refuse_without_torchao
from hare.model.pointwise import refuse_without_compiler
from hare.tokens.packed import TOKEN_TYPE
from hare.tokens.tokenizer import Tokenizer
from hare.training.checkpoints import last_good, refuse_other_layout
from hare.training.cluster.estimate import pipeline_stages
from hare.training.journal import refuse_without_tensorboard
from hare.training.run import TrainingRun

_SHAPE = (
    "hidden_size", "intermediate_size", "layers", "attention_heads", "key_value_heads", "tied_embeddings", "vocab_size"
)


def refuse_faults(run: TrainingRun) -> None:
    """Refuse a run that cannot go on.

    Raises:
        HareError: the mixture has another length than the run, the folder holds another run or a checkpoint of another
            layout, the starting weights have another shape, the vocabulary is too large, a pipeline rank is left
            without blocks, or an option asks for a
            package or compiler that is not there.
    """
    _refuse_other_length(run)
    newest = last_good(run.folder / "checkpoints")
    if newest is not None:
        refuse_other_layout(newest, run.layout)
    run.refuse_other_identity()
    _refuse_large_vocabulary(run)
    _refuse_empty_stage(run)
    if run.weights is not None:
        _refuse_other_shape(run)
    if run.training.torch_compile:
        refuse_without_compiler()
    if run.training.tensorboard:
        refuse_without_tensorboard()
    if run.training.precision == "float8":
        refuse_without_torchao()


def _refuse_other_length(run: TrainingRun) -> None:
    samples = sum(stage.samples for stage in run.mixture.stages)
    wanted = run.training.train_steps * run.global_batch
    if samples != wanted:
        raise HareError(
            f"The mixture has {samples} samples, but the run takes {wanted} ({run.training.train_steps} steps of "
            f"{run.global_batch}).",
            "make the mixture with the same steps and global batch as the run",
        )


def _refuse_large_vocabulary(run: TrainingRun) -> None:
    vocabulary, most = Tokenizer.load(run.tokenizer).size, 1 << 8 * TOKEN_TYPE.itemsize
    if vocabulary > most:
        raise HareError(
            f"The tokenizer {run.tokenizer} has {vocabulary} tokens, but token files number at most {most}.",
            "use a tokenizer that fits in 16 bits, such as the paper's",
        )
    if vocabulary % run.training.tensor_parallel:
        raise HareError(
            f"A vocabulary of {vocabulary} cannot be split over tensor_parallel {run.training.tensor_parallel}.",
            "choose a divisor",
        )


def _refuse_empty_stage(run: TrainingRun) -> None:
    """nanotron shares blocks out by cost; with a large head and few layers a pipeline rank can come out empty."""
    pipeline = run.training.pipeline_parallel
    stages = pipeline_stages(run.model, pipeline, Tokenizer.load(run.tokenizer).size)
    if (0, 0, 0) in stages:
        raise HareError(
            f"Pipeline rank {stages.index((0, 0, 0))} of {pipeline} would have nothing to do: the projection to the "
            f"vocabulary costs more than all {run.model.layers} layers that could be put beside it.",
            "lower pipeline_parallel, or take a deeper model",
        )


def _refuse_other_shape(run: TrainingRun) -> None:
    """Compare the model of ``run.weights`` with the run's, field by field."""
    assert run.weights is not None
    wanted = HareConfig.of(run.model, Tokenizer.load(run.tokenizer).vocabulary)
    config = _config_of(run)
    if config.vocab_size < wanted.vocab_size:
        raise HareError(
            f"The tokenizer has {wanted.vocab_size} tokens, more than the embedding of {run.weights} with "
            f"{config.vocab_size} rows.",
            "use the tokenizer that these weights were trained with",
        )
    other = [
        f"{name} {getattr(config, name)} instead of {getattr(wanted, name)}"
        for name in _SHAPE if getattr(config, name) != getattr(wanted, name)
    ]
    if other:
        raise HareError(
            f"The weights in {run.weights} are of another shape: {', '.join(other)}.",
            "use the model section and the tokenizer that these weights were trained with",
        )


def _config_of(run: TrainingRun) -> HareConfig:
    assert run.weights is not None
    try:
        if (run.weights / CONFIG_FILE).exists():
            return read_config(run.weights)
        return config_of_hugging_face(run.weights)
    except (OSError, json.JSONDecodeError, TypeError) as error:
        raise HareError(
            f"{run.weights} holds neither a checkpoint ({CONFIG_FILE}) nor an exported model (config.json): {error}.",
            "name the folder of a checkpoint or of an exported model",
        ) from error


def refuse_more_processes_than_gpus(processes: int) -> None:
    """On a machine with GPUs each process needs one of its own.

    Raises:
        HareError: there are fewer; a run over several machines is started by its scripts instead.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else processes
    if processes > gpus:
        raise HareError(
            f"The run needs {processes} processes, one per GPU, but this machine has {gpus}.",
            "lower data_parallel, tensor_parallel or pipeline_parallel, or take the scripts for several machines that "
            "`hare train --dry-run` prints",
        )


def refuse_other_world(run: TrainingRun, world: int) -> None:
    """Inside a launch: there must be as many processes as the layout has places.

    Raises:
        HareError: there are more or fewer.
    """
    if world != run.processes:
        training = run.training
        raise HareError(
            f"{world} processes were started, but {run.folder.name} has places for {run.processes} (data "
            f"{training.data_parallel} x tensor {training.tensor_parallel} x pipeline {training.pipeline_parallel}).",
            "start as many processes as the layout has places, or change the layout",
        )


def refuse_used_port(port: int) -> None:
    """The processes of several machines meet at a port of the first.

    Raises:
        HareError: another program listens there.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("", port))
        except OSError as error:
            raise HareError(
                f"Port {port} of this machine cannot be used: {error.strerror}.",
                "choose another one, such as `--port 29600`, or end what holds it",
            ) from error

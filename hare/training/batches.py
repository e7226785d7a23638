"""Micro-batches for nanotron's trainer: a pure function of the number of samples consumed and the parallel position."""

from collections.abc import Iterator

import numpy as np
import torch

import hare.model.nanotron.shim  # noqa: F401
from hare.core.errors import HareError
from hare.model.attention import document_numbers
from hare.tokens.mixture import Mixture

# isort: split
import nanotron.distributed as dist
from nanotron.parallel.pipeline_parallel.tensor_pointer import TensorPointer
from nanotron.trainer import DistributedTrainer

Batch = dict[str, torch.Tensor | TensorPointer]


def micro_batch(trainer: DistributedTrainer, windows: np.ndarray) -> Batch:
    """One micro-batch of int64[batch, sequence + 1] tokens, placed where the pipeline wants inputs and labels.

    Raises:
        HareError: a token is outside the model's vocabulary.
    """
    config = trainer.model_config
    if windows.max() >= config.vocab_size:
        raise HareError(
            f"A training sequence holds token {windows.max()}, but the vocabulary has {config.vocab_size} entries.",
            "use token files made with the model's own tokenizer",
        )
    model, rank = trainer.unwrapped_model, dist.get_rank(trainer.parallel_context.pp_pg)
    tokens = torch.from_numpy(windows)
    inputs, labels = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
    batch: Batch = {
        "input_ids": inputs if rank == model.input_pp_rank else TensorPointer(model.input_pp_rank),
        "label_ids": labels if rank == model.output_pp_rank else TensorPointer(model.output_pp_rank),
    }
    return batch | {"documents": document_numbers(inputs, config.bos_token_id)} if config.mask_documents else batch


def training_batches(trainer: DistributedTrainer, mixture: Mixture) -> Iterator[Batch]:
    """Micro-batches from the first sample that the trainer has not consumed.

    A step's samples are shared out over the data-parallel replicas in contiguous runs, so that the batch of a step is
    the same set of samples under every layout.
    """
    replicas = trainer.parallel_context.dp_pg
    size, count = trainer.micro_batch_size, trainer.n_micro_batches_per_batch
    start = trainer.consumed_train_samples
    while True:
        first = start + dist.get_rank(replicas) * size * count
        for number in range(count):
            indices = range(first + number * size, first + (number + 1) * size)
            yield micro_batch(trainer, np.stack([mixture.sample(index) for index in indices]))
        start += trainer.global_batch_size

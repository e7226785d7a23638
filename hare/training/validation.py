"""Forward passes over held-out sequences, under any parallel layout."""

import numpy as np
import torch

import hare.model.nanotron_shim  # noqa: F401
from hare.model.device import ON_GPU
from hare.training.batches import micro_batch
from hare.training.heldout import HeldoutSequences

# isort: split
import nanotron.distributed as dist
from nanotron.trainer import DistributedTrainer


@torch.no_grad()
def nats_by_sequence(trainer: DistributedTrainer, heldout: HeldoutSequences) -> np.ndarray:
    """Cross-entropy of each held-out sequence in nats, float64[sequences]; only the last pipeline rank has numbers.

    The sequences are shared out over the data-parallel replicas, a micro-batch at a time.
    """
    replicas = trainer.parallel_context.dp_pg
    device = torch.device("cuda" if ON_GPU else "cpu")
    nats = torch.zeros(len(heldout.tokens), dtype=torch.float64, device=device)
    starts = range(0, len(nats), trainer.micro_batch_size)
    for start in starts[dist.get_rank(replicas) :: replicas.size()]:
        batch = micro_batch(trainer, heldout.tokens[start : start + trainer.micro_batch_size])
        placed = {key: value.to(device) if isinstance(value, torch.Tensor) else value for key, value in batch.items()}
        found = trainer.unwrapped_model(**placed)["nats"]
        if isinstance(found, torch.Tensor):
            nats[start : start + len(found)] = found.double()
    dist.all_reduce(nats, group=replicas)
    return nats.cpu().numpy()

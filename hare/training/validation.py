"""Forward passes over held-out sequences, under any parallel layout."""

import numpy as np
import torch

import hare.model.nanotron.shim  # noqa: F401
from hare.model.nanotron.device import ON_GPU
from hare.training.batches import Batch, micro_batch
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
        losses = trainer.unwrapped_model(**_placed(batch, device))["nats"]
        if isinstance(losses, torch.Tensor):
            nats[start : start + len(losses)] = losses.double()
    dist.all_reduce(nats, group=replicas)
    return nats.cpu().numpy()


@torch.no_grad()
def probe(trainer: DistributedTrainer, windows: np.ndarray) -> dict[str, torch.Tensor] | None:
    """What the module in training says of int64[batch, sequence + 1] tokens, to compare an export with.

    Returns ``input_ids`` int64[batch, sequence] and ``logits`` float32[batch, sequence, vocabulary] on the last
    pipeline rank, None on the others.
    """
    device = torch.device("cuda" if ON_GPU else "cpu")
    batch = _placed(micro_batch(trainer, windows), device)
    hidden_states = trainer.unwrapped_model.hidden_states(batch["input_ids"], batch.get("documents"))
    if not isinstance(hidden_states, torch.Tensor):
        return None
    part = trainer.unwrapped_model.head.pp_block.logits(hidden_states).float().transpose(0, 1).contiguous()
    group = trainer.parallel_context.tp_pg
    parts = [torch.empty_like(part) for _ in range(group.size())]
    dist.all_gather(parts, part, group=group)
    return {"input_ids": torch.from_numpy(windows[:, :-1]).contiguous(), "logits": torch.cat(parts, -1).cpu()}


def _placed(batch: Batch, device: torch.device) -> Batch:
    return {key: value.to(device) if isinstance(value, torch.Tensor) else value for key, value in batch.items()}

"""Every process of a parallel layout, built one after the other in this one: real groups and modules, no data.

PyTorch's fake process group stands for the others, and parameters live on the "meta" device, so that the paper's
sixteen ranks fit in a laptop's memory. What is checked is nanotron's own code: which ranks it puts together, and which
slice of which tensor each rank holds.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
import torch
import torch.distributed

import hare.model.nanotron.shim  # noqa: F401
from hare.core.errors import HareError
from hare.core.profile import Profile
from hare.model.config import HareConfig
from hare.model.nanotron.device import GlooContext
from hare.model.network import HareForTraining
from hare.model.sizes import parameters
from hare.tokens.tokenizer import Vocabulary
from hare.training.cluster.estimate import estimate, vocabulary_size

# isort: split
from nanotron.config import ParallelismArgs
from nanotron.models import build_model
from nanotron.parallel.pipeline_parallel.block import PipelineBlock
from nanotron.trainer import mark_tied_parameters

Slices = tuple[tuple[tuple[int, int], ...], ...]


@dataclass(frozen=True)
class Held:
    """One rank's part of a parameter: the whole tensor's shape, and the slices of it that this rank holds."""

    whole: tuple[int, ...]
    slices: Slices

    @property
    def size(self) -> int:
        """Elements."""
        return sum(_size(part) for part in self.slices)


@dataclass(frozen=True)
class Rank:
    """What one process of the layout would hold."""

    number: int
    machine: int
    data: int
    pipeline: int
    tensor: int
    groups: dict[str, tuple[int, ...]]
    blocks: tuple[str, ...]
    parameters: dict[str, Held]

    @property
    def size(self) -> int:
        """Elements of all its parameters."""
        return sum(held.size for held in self.parameters.values())


def simulate(profile: Profile) -> list[Rank]:
    """All ranks of the profile's layout, checked.

    Raises:
        HareError: groups do not split the ranks, a tensor-parallel group leaves its machine, or the slices that a
            replica's ranks hold are not the whole model.
    """
    training, vocabulary = profile.training, Vocabulary.named(profile.tokens.vocabulary)
    config = HareConfig.of(profile.model, vocabulary, training)
    world = training.processes
    layout = ParallelismArgs(
        dp=training.data_parallel, pp=training.pipeline_parallel, tp=training.tensor_parallel,
        tp_mode=training.tensor_parallel_mode.upper(), tp_linear_async_communication=False,
    )
    per_machine = profile.cluster.gpus_per_node
    ranks = [_built(number, number // per_machine, config, layout) for number in range(world)]
    mistakes = [*_group_mistakes(ranks), *_slice_mistakes(ranks, parameters(profile.model, vocabulary.size))]
    mistakes += [f"rank {rank.number} has no block to run" for rank in ranks if not rank.blocks]
    if mistakes:
        raise HareError("The layout does not hold together: " + "; ".join(mistakes), "choose another layout")
    return ranks


@contextlib.contextmanager
def _pretending(number: int, world: int) -> Iterator[None]:
    """Inside, this process is rank ``number`` of ``world`` in a fake default group."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    before = dict(os.environ)
    os.environ |= {"RANK": str(number), "WORLD_SIZE": str(world), "LOCAL_RANK": "0"}
    torch.distributed.init_process_group("fake", store=FakeStore(), rank=number, world_size=world)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()
        os.environ.clear()
        os.environ.update(before)


def _built(number: int, machine: int, config: HareConfig, layout: ParallelismArgs) -> Rank:
    with _pretending(number, layout.dp * layout.tp * layout.pp):
        context = GlooContext(layout.tp, layout.pp, layout.dp)
        model = build_model(
            lambda: HareForTraining(config, context, layout), context, torch.bfloat16, device=torch.device("meta")
        )
        mark_tied_parameters(model, context, layout)
        pipeline, data, tensor = context.get_3d_ranks(number)
        groups = {
            kind: tuple(torch.distributed.get_process_group_ranks(getattr(context, f"{kind}_pg")))
            for kind in ("tp", "dp", "pp", "mp")
        }
        blocks = tuple(
            name for name, module in model.named_modules()
            if isinstance(module, PipelineBlock) and module.rank == pipeline
        )
        held = {name: _held(parameter) for name, parameter in model.named_parameters()}
    return Rank(number, machine, data, pipeline, tensor, groups, blocks, held)


def _held(parameter: torch.Tensor) -> Held:
    if not parameter.is_sharded:
        shape = tuple(parameter.shape)
        return Held(shape, (tuple((0, size) for size in shape),))
    info = parameter.get_sharded_info()
    whole = tuple(int(size) for size in info.unsharded_shape)
    pairs = info.local_global_slices_pairs
    return Held(whole, tuple(
        tuple(part.indices(size)[:2] for part, size in zip(pair.global_slices, whole, strict=True)) for pair in pairs
    ))


def _size(slices: tuple[tuple[int, int], ...]) -> int:
    product = 1
    for start, stop in slices:
        product *= stop - start
    return product


def _group_mistakes(ranks: list[Rank]) -> list[str]:
    everyone, mistakes = [rank.number for rank in ranks], []
    for kind in ("tp", "dp", "pp", "mp"):
        groups = {rank.groups[kind] for rank in ranks}
        if sorted(number for group in groups for number in group) != everyone:
            mistakes.append(f"the {kind} groups {sorted(groups)} do not split the ranks")
        mistakes += [
            f"rank {rank.number} is not in its own {kind} group" for rank in ranks
            if rank.number not in rank.groups[kind]
        ]
    machine = {rank.number: rank.machine for rank in ranks}
    for group in {rank.groups["tp"] for rank in ranks}:
        if len({machine.get(number) for number in group}) > 1:
            mistakes.append(f"the tensor-parallel group {group} is spread over machines")
    return mistakes


def _slice_mistakes(ranks: list[Rank], wanted: int) -> list[str]:
    """For each replica: each parameter's slices, over its ranks, must be the whole tensor once."""
    mistakes = []
    for replica in sorted({rank.data for rank in ranks}):
        shapes: dict[str, tuple[int, ...]] = {}
        slices: dict[str, set[tuple[tuple[int, int], ...]]] = {}
        for rank in ranks:
            if rank.data == replica:
                for name, held in rank.parameters.items():
                    shapes[name] = held.whole
                    slices.setdefault(name, set()).update(held.slices)
        for name, shape in shapes.items():
            if sum(map(_size, slices[name])) != _size(tuple((0, size) for size in shape)):
                mistakes.append(f"{name} of replica {replica} is not held once, as a whole")
        total = sum(_size(tuple((0, size) for size in shape)) for shape in shapes.values())
        if total != wanted:
            mistakes.append(f"replica {replica} holds {total:,} parameters instead of {wanted:,}")
        placed = Counter(block for rank in ranks if rank.data == replica and not rank.tensor for block in rank.blocks)
        mistakes += [f"block {name} runs {count} times" for name, count in placed.items() if count != 1]
    return mistakes


def table(ranks: list[Rank]) -> pd.DataFrame:
    """One row per rank: rank, machine, data, pipeline, tensor, first_block, last_block, parameters_m."""
    return pd.DataFrame([
        {
            "rank": rank.number, "machine": rank.machine, "data": rank.data, "pipeline": rank.pipeline,
            "tensor": rank.tensor, "first_block": rank.blocks[0], "last_block": rank.blocks[-1],
            "parameters_m": rank.size / 1e6,
        }
        for rank in ranks
    ])


def described(profile: Profile, ranks: list[Rank]) -> str:
    """The table, the groups, and what has been checked, for the command line."""
    groups = {kind: sorted({rank.groups[kind] for rank in ranks}) for kind in ("tp", "pp", "dp")}
    lines = [table(ranks).to_string(index=False, float_format="{:.1f}".format), ""]
    for kind, name in (("tp", "tensor"), ("pp", "pipeline"), ("dp", "data")):
        lines.append(f"{name} groups: {'; '.join(' '.join(map(str, group)) for group in groups[kind])}")
    fullest = max(rank.size for rank in ranks)
    lines += [
        f"{len(ranks)} ranks built: the groups split them, no tensor group leaves its machine, and each replica holds "
        f"all {parameters(profile.model, vocabulary_size(profile)):,} parameters once.",
        f"The fullest rank holds {fullest:,} parameters; the memory estimate counts "
        f"{estimate(profile).chosen.held:,}.",
    ]
    return "\n".join(lines)

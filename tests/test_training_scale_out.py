"""Sixteen GPUs without one: files that are printed and checked, and every rank of a layout built here."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from hare.cli import CANNOT, main
from hare.core.errors import HareError
from hare.core.profile import Profile, load_profile
from hare.model.sizes import NAMED, parameters
from hare.training.cluster import simulate as simulation
from hare.training.cluster.estimate import estimate, pipeline_stages, vocabulary_size
from hare.training.cluster.scale_out import YAML, machines, plan
from hare.training.cluster.scripts import SLURM, TORCHRUN
from hare.training.cluster.simulate import described, simulate, table

CLUSTER = load_profile("cluster")


def laid_out(data: int, tensor: int, pipeline: int, **changes: object) -> Profile:
    """An eight-layer model, as wide as the paper's, under a layout of sixteen or fewer."""
    training = dataclasses.replace(
        CLUSTER.training, data_parallel=data, tensor_parallel=tensor, pipeline_parallel=pipeline, **changes
    )
    model = dataclasses.replace(NAMED["1.1B"], layers=8)
    return dataclasses.replace(CLUSTER, training=training, model=model)


def test_the_papers_run_is_planned_on_two_machines(tmp_path: Path) -> None:
    planned = plan(CLUSTER, tmp_path)
    settings = yaml.safe_load(planned.files[YAML])
    assert settings["parallelism"]["dp"] == 16 and settings["model"]["model_config"]["vocab_size"] == 32000
    assert settings["tokens"]["train_steps"] == CLUSTER.training.train_steps
    assert "--nnodes=2 --nproc-per-node=8" in planned.files[TORCHRUN]
    assert "#SBATCH --nodes=2" in planned.files[SLURM] and "#SBATCH --gpus-per-node=8" in planned.files[SLURM]
    assert "hare.training.cluster.job cluster " in planned.files[SLURM]
    assert "#SBATCH --time=24:00:00\n" in planned.files[SLURM]
    printed = str(planned)
    assert "nanotron reads nanotron.yaml back" in printed and "bash can read slurm.sbatch" in printed
    assert "layout recommended" in printed and "days per run" in printed and "fit" in printed


def test_tensor_parallelism_is_told_to_every_machine(tmp_path: Path) -> None:
    assert "CUDA_DEVICE_MAX_CONNECTIONS=1" in plan(laid_out(8, 2, 1), tmp_path).files[TORCHRUN]
    assert "CUDA_DEVICE_MAX_CONNECTIONS" not in plan(CLUSTER, tmp_path).files[TORCHRUN]


def test_a_model_that_does_not_fit_is_refused_with_the_table(tmp_path: Path) -> None:
    training = dataclasses.replace(CLUSTER.training, micro_batch=64, gradient_accumulation=1)
    with pytest.raises(HareError, match=r"(?s)GB on its fullest GPU.*layout recommended"):
        plan(dataclasses.replace(CLUSTER, training=training), tmp_path)


def test_machines_are_filled() -> None:
    assert machines(4, 8) == (1, 4) and machines(16, 8) == (2, 8) and machines(16, 4) == (4, 4)
    with pytest.raises(HareError, match="12 processes do not fill machines of 8 GPUs"):
        machines(12, 8)


@pytest.mark.parametrize(
    ("layout", "mode"), [((4, 2, 2), "all_reduce"), ((2, 2, 4), "reduce_scatter"), ((16, 1, 1), "all_reduce")]
)
def test_sixteen_ranks_hold_the_model_once_a_replica(layout: tuple[int, int, int], mode: str) -> None:
    profile = laid_out(*layout, tensor_parallel_mode=mode)
    ranks = simulate(profile)
    data, tensor, pipeline = layout
    assert len(ranks) == 16 and len({(rank.data, rank.tensor, rank.pipeline) for rank in ranks}) == 16
    for rank in ranks:
        assert [len(rank.groups[kind]) for kind in ("dp", "tp", "pp")] == [data, tensor, pipeline]
    assert max(rank.size for rank in ranks) == estimate(profile).chosen.held
    assert sorted(table(ranks)["rank"]) == list(range(16))
    assert f"{parameters(profile.model, vocabulary_size(profile)):,} parameters once" in described(profile, ranks)


def test_a_pipeline_rank_without_a_block_is_found() -> None:
    """nanotron shares out by cost: here the head outweighs all layers."""
    small = dataclasses.replace(laid_out(1, 1, 2), model=dataclasses.replace(NAMED["1M"], layers=2))
    assert (0, 0, 0) in pipeline_stages(small.model, 2, vocabulary_size(small))
    with pytest.raises(HareError, match="rank 1 has no block to run"):
        simulate(small)
    assert all(layout.pipeline_parallel == 1 for layout in estimate(small).layouts)


def test_faults_of_a_layout_are_named() -> None:
    ranks = simulate(laid_out(2, 2, 1))
    lost = dataclasses.replace(ranks[1], parameters={
        name: block for name, block in ranks[1].parameters.items() if "qkv" not in name
    })
    whole = laid_out(2, 2, 1)
    expected = parameters(whole.model, vocabulary_size(whole))
    mistakes = simulation._slice_mistakes([ranks[0], lost, *ranks[2:]], expected)
    assert len(mistakes) == 8 and all("qkv_proj.weight of replica 0 is not held once" in one for one in mistakes)
    moved = [dataclasses.replace(rank, groups=rank.groups | {"tp": (rank.number,)}) for rank in ranks[:2]]
    assert simulation._group_mistakes([*moved, *ranks[2:]]) == []
    strangers = dataclasses.replace(ranks[0], groups=ranks[0].groups | {"tp": (2, 3)})
    misgrouped = simulation._group_mistakes([strangers, *ranks[1:]])
    assert any("rank 0 is not in its own tp group" in one for one in misgrouped)


def test_the_command_line_prints_a_dry_run(roots: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--profile", "cluster", "--dry-run"]) == 0
    output = capsys.readouterr().out
    folder = Path(output.rstrip().rstrip(".").rsplit(" ", 1)[1])
    assert {path.name for path in folder.iterdir()} == {YAML, TORCHRUN, SLURM}


def test_training_without_token_files_says_how_to_make_them(roots: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--profile", "smoke"]) == CANNOT
    assert "04_mix_tokens has not run to its end" in capsys.readouterr().err
    assert main(["train", "--profile", "smoke", "--plan"]) == CANNOT

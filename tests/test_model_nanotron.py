"""nanotron's workarounds: the patches offered upstream apply to the published files and do what ours do around them."""

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

import hare.model.nanotron
from hare.model.nanotron.defects import restore_learning_rate, with_plain_shape
from hare.model.nanotron.reduction import all_reduce_each
from hare.training.processes import started

PATCHES = sorted((Path(hare.model.nanotron.__file__).parent / "upstream").glob("*.patch"))


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nanotron as published on the package index, with all patches applied in turn."""
    folder = tmp_path_factory.mktemp("patched")
    distribution = importlib.metadata.distribution("nanotron")
    assert distribution.version == "0.4"
    for file in distribution.files or ():
        if file.parts[0] == "nanotron" and file.suffix == ".py":
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(str(file.locate()), folder / file)
    for patch in PATCHES:
        command = ["git", "apply", "--check", "--verbose", str(patch)]
        checked = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
        subprocess.run(["git", "apply", str(patch)], cwd=folder, check=True)
    return folder


def _ran(patched: Path, code: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=patched, capture_output=True, text=True, check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_each_patch_applies_to_the_published_files(patched: Path) -> None:
    assert len(PATCHES) == 3
    assert "TYPE_CHECKING" in (patched / "nanotron" / "logging.py").read_text()


@pytest.mark.parametrize("first", ["logging", "config", "utils", "distributed", "parallel"])
def test_patched_nanotron_imports_in_any_order(patched: Path, first: str) -> None:
    printed = _ran(patched, f"import nanotron.{first} as module; print(module.__file__)")
    assert printed.startswith(str(patched))


def test_a_whole_shape_is_made_of_plain_numbers() -> None:
    sharded = SimpleNamespace(unsharded_shape=(np.int64(8), 4))
    with_plain_shape(SimpleNamespace(get_sharded_info=lambda: sharded))
    assert str(sharded.unsharded_shape) == "(8, 4)"


def test_the_rate_after_a_resume_is_the_schedulers(patched: Path, tmp_path: Path) -> None:
    """Built after loading, a scheduler leaves the rate of step 0; ours and the patched function give the step's."""

    def built() -> tuple[torch.optim.Optimizer, LambdaLR]:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.5)
        return optimizer, LambdaLR(optimizer, lambda step: step / 10)

    optimizer, scheduler = built()
    for _ in range(4):
        optimizer.step()
        scheduler.step()
    resumed, fresh = built()
    fresh.load_state_dict(scheduler.state_dict())
    assert resumed.param_groups[0]["lr"] == 0
    restore_learning_rate(resumed, fresh)
    assert resumed.param_groups[0]["lr"] == pytest.approx(0.2)

    (tmp_path / "lr_scheduler").mkdir()
    torch.save(scheduler.state_dict(), tmp_path / "lr_scheduler" / "lr_scheduler.pt")
    code = (
        "import nanotron.config, torch; from pathlib import Path\n"
        "from nanotron.serialize.optimizer import load_lr_scheduler as load\n"
        "optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.5)\n"
        "scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step / 10)\n"
        f"load(scheduler, Path({str(tmp_path)!r})); print(optimizer.param_groups[0]['lr'])"
    )
    assert float(_ran(patched, code)) == pytest.approx(0.2)


_TWICE = """
import os, sys, torch
from pathlib import Path
from hare.model.nanotron.reduction import average_by_tensor
from hare.training.processes import meet
meet()
rank = int(os.environ["RANK"])
torch.manual_seed(0)
layers = torch.nn.ModuleList(torch.nn.Linear(37, 37) for _ in range(6))
class Shuffled(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = layers
    def forward(self, x):
        for number in (3, 0, 5, 1, 4, 2):
            x = torch.tanh(self.layers[number](x))
        return x.sum()
inputs = torch.randn(5, 37, generator=torch.Generator().manual_seed(rank))
for how in ("bucket", "tensor"):
    model = torch.nn.parallel.DistributedDataParallel(Shuffled())
    if how == "tensor":
        average_by_tensor(model, torch.distributed.group.WORLD)
    for step in range(2):  # DDP packs its buckets anew after the first
        model.zero_grad()
        model(inputs).backward()
        if rank == 0:
            torch.save([parameter.grad for parameter in model.parameters()], Path(sys.argv[1]) / f"{how}-{step}.pt")
torch.distributed.destroy_process_group()
"""


def test_gradients_of_four_replicas_do_not_depend_on_how_ddp_packs_them(tmp_path: Path) -> None:
    """The first step after a resume must round as in an uninterrupted run; DDP's own buckets do not."""
    with started(["-c", _TWICE, str(tmp_path)], 4, {"OMP_NUM_THREADS": "1"}) as ranks:
        printed = ranks.output.read()
        assert ranks.wait() == 0, printed
    equal = {}
    for how in ("bucket", "tensor"):
        first, second = (torch.load(tmp_path / f"{how}-{step}.pt") for step in range(2))
        assert all(torch.allclose(one, other) for one, other in zip(first, second, strict=True))
        equal[how] = all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert equal == {"bucket": False, "tensor": True}


def test_nanotrons_own_reduction_waits_for_every_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    reduced = []
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor, op, group: reduced.append(tensor))
    tensors = [torch.zeros(1), torch.ones(2)]
    all_reduce_each(tensors, op=None, group=None, async_op=True).wait()
    assert reduced == tensors

"""A profile's pretraining on several machines, as files to look at before anything is paid for.

nanotron's own configuration, a `torchrun` command for each machine, and a Slurm job that goes on where it stopped.
`plan` checks them against each other; nothing here starts anything.
"""

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from hare.core.errors import HareError
from hare.core.profile import Profile
from hare.tokens.mixture import MixtureSpec, MixtureStage
from hare.tokens.tokenizer import Vocabulary
from hare.training.cluster.estimate import GPUS_A_NODE, Estimate, estimate
from hare.training.launch import worker_environment
from hare.training.run import TrainingRun
from hare.training.settings import nanotron_settings

PORT = 29500
YAML, TORCHRUN, SLURM = "nanotron.yaml", "torchrun.sh", "slurm.sbatch"

_TORCHRUN = """#!/usr/bin/env bash
# Trains profile {profile} on {nodes} machines of {gpus} GPUs. Run it on each of them:
#   HEAD=<name of the first machine> NODE_RANK=<0 on the first, counting up> RUNS=<list> bash {file}
# RUNS is the file that `hare train --profile {profile} --plan` names; all machines must see it and the run folders.
set -euo pipefail
: "${{HEAD:?the first machine}}" "${{NODE_RANK:?the number of this machine}}" "${{RUNS:?the list of run folders}}"
export {environment}
exec torchrun --nnodes={nodes} --nproc-per-node={gpus} --node-rank="$NODE_RANK" \\
  --master-addr="$HEAD" --master-port="${{PORT:-{port}}}" -m hare.training.worker "$RUNS"
"""

_SLURM = """#!/usr/bin/env bash
#SBATCH --job-name=hare-{profile}
#SBATCH --nodes={nodes}
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node={gpus}
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --open-mode=append
#SBATCH --output=hare-{profile}-%j.log
# Goes on from the last good checkpoint; five minutes before its time is up it puts itself back into the queue.
set -euo pipefail
trap 'scontrol requeue "$SLURM_JOB_ID"' USR1
export HEAD PORT RUNS
HEAD=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
PORT=$(({port} + SLURM_JOB_ID % 1000))
RUNS=$(hare train --profile {profile} --plan --port "$PORT" | tail -n 1)
srun --kill-on-bad-exit=1 bash -c 'NODE_RANK=$SLURM_NODEID bash {torchrun}' &
wait $!
hare train --profile {profile}  # exports the runs that have come to their end
"""


@dataclass(frozen=True)
class ScaleOut:
    """The files by name, the estimate they rest on, and what was checked."""

    files: dict[str, str]
    estimate: Estimate
    checked: tuple[str, ...]

    def __str__(self) -> str:
        shown = [f"----- {name}\n{text.rstrip()}" for name, text in self.files.items()]
        checked = [f"  checked: {line}" for line in self.checked]
        return "\n\n".join([*shown, str(self.estimate), "\n".join(checked)])


def machines(processes: int) -> tuple[int, int]:
    """Number of machines and of GPUs on each, for one process a GPU.

    Raises:
        HareError: the processes fill no whole number of machines.
    """
    if processes <= GPUS_A_NODE:
        return 1, processes
    if processes % GPUS_A_NODE:
        raise HareError(
            f"{processes} processes do not fill machines of {GPUS_A_NODE} GPUs.",
            "choose data_parallel x tensor_parallel x pipeline_parallel as a multiple of it",
        )
    return processes // GPUS_A_NODE, GPUS_A_NODE


def plan(profile: Profile, folder: Path) -> ScaleOut:
    """The files for the profile's layout, checked; ``folder`` is where they will lie.

    Raises:
        HareError: a check fails, with what was expected.
    """
    run = planned_run(profile)
    nodes, gpus = machines(run.processes)
    environment = " ".join(f"{name}={value}" for name, value in worker_environment(run.training).items())
    words = {
        "profile": profile.name, "nodes": nodes, "gpus": gpus, "port": PORT, "environment": environment,
        "file": TORCHRUN, "torchrun": folder / TORCHRUN,
    }
    settings = nanotron_settings(run, run.folder / "checkpoints", None, Vocabulary.named(profile.tokens.vocabulary))
    files = {
        YAML: yaml.safe_dump(settings, sort_keys=False), TORCHRUN: _TORCHRUN.format(**words),
        SLURM: _SLURM.format(**words),
    }
    found = estimate(profile)
    return ScaleOut(files, found, _checked(profile, run, files, found))


def planned_run(profile: Profile) -> TrainingRun:
    """The first arm's run as far as it is known before there are tokens."""
    training = profile.training
    batch = training.global_batch
    stages = (MixtureStage(batch * training.train_steps, {"d1": 1.0}),)
    mixture = MixtureSpec({}, {}, stages, profile.tokens.sequence_length, training.training_seeds[0])
    folder = Path("runs") / f"{next(iter(training.arms))}-seed{training.training_seeds[0]}"
    return TrainingRun(folder, profile.model, training, mixture, {}, Path("tokens/tokenizer"), mixture.seed)


def _checked(profile: Profile, run: TrainingRun, files: dict[str, str], found: Estimate) -> tuple[str, ...]:
    said = [_check_yaml(profile, run, files[YAML])]
    said += [_check_shell(name, files[name]) for name in (TORCHRUN, SLURM)]
    nodes, gpus = machines(run.processes)
    said.append(f"{nodes} x {gpus} GPUs = data {run.training.data_parallel} x tensor {run.training.tensor_parallel} x "
                f"pipeline {run.training.pipeline_parallel}")
    if run.training.precision == "float32":
        said.append("precision is float32: the speed above is for 16 bits and will not be reached")
    if not found.chosen.fits:
        raise HareError(
            f"Profile {profile.name} needs {found.chosen.total_gb:.1f} GB on its fullest GPU, by formula: too much.",
            "lower micro_batch, turn on recompute_activations, or take the layout recommended:\n" + str(found),
        )
    said.append(f"{found.chosen.total_gb:.1f} GB on the fullest GPU fit")
    return tuple(said)


def _check_yaml(profile: Profile, run: TrainingRun, text: str) -> str:
    """nanotron's own reader must read back what was meant."""
    import hare.model.nanotron.shim  # noqa: F401
    from hare.model.config import HareConfig
    from hare.training.settings import refuse_unsupported

    # isort: split
    from nanotron.config import get_config_from_file

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / YAML
        path.write_text(text, encoding="utf-8")
        read = get_config_from_file(path, model_config_class=HareConfig)
    refuse_unsupported(read)
    layout, batch = read.parallelism, read.tokens
    config = HareConfig.of(run.model, Vocabulary.named(profile.tokens.vocabulary), run.training)
    meant = config, run.processes, run.global_batch
    if (read.model.model_config, layout.dp * layout.tp * layout.pp,
            batch.micro_batch_size * batch.batch_accumulation_per_replica * layout.dp) != meant:
        raise HareError(f"nanotron reads {YAML} otherwise than it was meant.", "report this with the profile")
    return f"nanotron reads {YAML} back: same model, {run.processes} processes, {run.global_batch} sequences a step"


def _check_shell(name: str, text: str) -> str:
    shell = shutil.which("bash")
    if shell is None:
        return f"{name} was not checked: this machine has no bash"
    found = subprocess.run([shell, "-n"], input=text, capture_output=True, text=True, check=False)
    if found.returncode:
        raise HareError(f"bash cannot read {name}: {found.stderr.strip()}", "report this with the profile")
    return f"bash can read {name}"

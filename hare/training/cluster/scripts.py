"""The shell scripts of a run on several machines: torchrun on each of them, and a Slurm job that does that for you.

They run from a clean login shell: every path is absolute and quoted, and ``cluster.prologue`` in the profile is the
place for modules and containers. Options of sbatch stand in the script, so the variables that sbatch reads itself
(SBATCH_TIMELIMIT, SBATCH_PARTITION, …) win over them.
"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from hare.core import slurm
from hare.core.errors import HareError
from hare.core.paths import REPOSITORY, Workspace, cache_folder
from hare.core.profile import Profile
from hare.training.launch import worker_environment
from hare.training.run import TrainingRun

PORT = 29500
TORCHRUN, SLURM = "torchrun.sh", "slurm.sbatch"
SECONDS_BEFORE_THE_END = 300

_TORCHRUN = """#!/usr/bin/env bash
# Trains profile {name} on {nodes} machines of {gpus} GPUs. Run it on each of them:
#   HEAD=<name of the first machine> NODE_RANK=<0 on the first, counting up> RUNS=<list> bash {file}
# RUNS is the file that `hare train --profile {profile} --plan` names.
# All machines must see the clone, $HARE_WORK (run folders, token files) and $HARE_CACHE under the same paths.
# In a container: PYTHON=(apptainer exec --nv image.sif python) as a line of cluster.prologue.
PYTHON=({python})
{prologue}
set -euo pipefail
: "${{HEAD:?the first machine}}" "${{RUNS:?the list of run folders}}"
export {environment}
cd {repository}
exec "${{PYTHON[@]}}" -m torch.distributed.run --nnodes={nodes} --nproc-per-node={gpus} \\
  --node-rank="${{NODE_RANK:-${{SLURM_NODEID:?set NODE_RANK: the number of this machine}}}}" \\
  --master-addr="$HEAD" --master-port="${{PORT:-{port}}}" -m hare.training.worker "$RUNS"
"""

_SLURM = """#!/usr/bin/env bash
#SBATCH --job-name="{job_name}"
#SBATCH --nodes={nodes}
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node={gpus}
#SBATCH --exclusive
#SBATCH --mem=0
#SBATCH --requeue
#SBATCH --signal=B:USR1@{seconds}
#SBATCH --open-mode=append
#SBATCH --output="{folder}/slurm-%j.log"
{options}# Submit it: sbatch {script}
# It continues from the last checkpoint; {seconds} seconds before its time is up it saves one and is queued again.
# Time limit, partition, account: cluster.sbatch in the profile, or SBATCH_TIMELIMIT, SBATCH_PARTITION, SBATCH_ACCOUNT.
# All nodes must see the clone, $HARE_WORK and $HARE_CACHE under the same paths.
PYTHON=({python})
{prologue}
export {folders}
cd {repository}
exec "${{PYTHON[@]}}" -m hare.training.cluster.job {profile} {quoted_folder}
"""
_NOTHING_TO_LOAD = "# module load …  (cluster.prologue in the profile stands here)"


def scripts(profile: Profile, run: TrainingRun, folder: Path, shape: tuple[int, int]) -> dict[str, str]:
    """Both scripts by file name, for ``shape`` = machines, GPUs on each; ``folder`` is where they will lie.

    Raises:
        HareError: ``cluster.sbatch`` holds anything but options of sbatch, or bash cannot read a script.
    """
    options = slurm.options(profile.cluster.sbatch, "cluster.sbatch")
    folders = {
        "HARE_WORK": Workspace(profile.name).work.parent, "HARE_RESULTS": Workspace(profile.name).results.parent,
        "HARE_CACHE": cache_folder(),
    }
    words = {
        "name": profile.name, "profile": shlex.quote(profile.source), "nodes": shape[0], "gpus": shape[1], "port": PORT,
        "python": shlex.quote(sys.executable), "repository": shlex.quote(str(REPOSITORY)),
        "prologue": profile.cluster.prologue.strip() or _NOTHING_TO_LOAD, "file": TORCHRUN,
        "script": shlex.quote(str(folder / SLURM)), "folder": folder, "quoted_folder": shlex.quote(str(folder)),
        "environment": _assignments(worker_environment(run.training)), "job_name": slurm.training_job(profile.name),
        "folders": _assignments({name: str(path) for name, path in folders.items()}),
        "options": "".join(f"#SBATCH --{name}{'=' if value else ''}{value}\n" for name, value in options.items()),
        "seconds": SECONDS_BEFORE_THE_END,
    }
    return {TORCHRUN: _TORCHRUN.format(**words), SLURM: _SLURM.format(**words)}


def _assignments(values: dict[str, str]) -> str:
    return " ".join(f"{name}={shlex.quote(value)}" for name, value in values.items())


def check_shell(name: str, text: str) -> str:
    """Have bash read a script; what was found, in words.

    Raises:
        HareError: bash cannot read it, or a file that it names by an absolute path is not there.
    """
    shell = shutil.which("bash")
    if shell is None:
        return f"{name} was not checked: this machine has no bash"
    answer = subprocess.run([shell, "-n"], input=text, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise HareError(
            f"bash cannot read {name}: {answer.stderr.strip()}", "correct cluster.prologue in the profile"
        )
    for path in (sys.executable, str(REPOSITORY)):
        if not os.path.exists(path) or shlex.quote(path) not in text:  # noqa: PTH110 - a plain question
            raise HareError(f"{name} names {path}, which is not there.", "run this from the environment of the clone")
    return f"bash can read {name}, and what it starts is there"

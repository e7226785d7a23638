"""A profile's pretraining on several machines, as files to look at before anything is paid for.

nanotron's own configuration, a `torchrun` command for each machine, and a Slurm job that goes on where it stopped.
`plan` checks them against each other; nothing here starts anything.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from hare.core.errors import HareError
from hare.core.profile import Profile
from hare.tokens.mixture import MixtureSpec, MixtureStage
from hare.tokens.tokenizer import Vocabulary
from hare.training.cluster.estimate import Estimate, estimate
from hare.training.cluster.scripts import SLURM, TORCHRUN, check_shell, scripts
from hare.training.run import TrainingRun
from hare.training.settings import nanotron_settings

YAML = "nanotron.yaml"


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


def machines(processes: int, gpus_per_node: int) -> tuple[int, int]:
    """Number of machines and of GPUs on each, for one process per GPU.

    Raises:
        HareError: the processes fill no whole number of machines.
    """
    if processes <= gpus_per_node:
        return 1, processes
    if processes % gpus_per_node:
        raise HareError(
            f"{processes} processes do not fill machines of {gpus_per_node} GPUs.",
            "choose data_parallel x tensor_parallel x pipeline_parallel as a multiple of cluster.gpus_per_node",
        )
    return processes // gpus_per_node, gpus_per_node


def plan(profile: Profile, folder: Path) -> ScaleOut:
    """The files for the profile's layout, checked; ``folder`` is where they will lie.

    Raises:
        HareError: a check fails, with what was expected.
    """
    run = planned_run(profile)
    shape = machines(run.processes, profile.cluster.gpus_per_node)
    settings = nanotron_settings(run, run.folder / "checkpoints", None, Vocabulary.named(profile.tokens.vocabulary))
    files = {YAML: yaml.safe_dump(settings, sort_keys=False), **scripts(profile, run, folder, shape)}
    estimated = estimate(profile)
    return ScaleOut(files, estimated, _checked(profile, run, files, estimated))


def planned_run(profile: Profile) -> TrainingRun:
    """The first arm's run as far as it is known before there are tokens."""
    training = profile.training
    batch = training.global_batch
    stages = (MixtureStage(batch * training.train_steps, {"d1": 1.0}),)
    mixture = MixtureSpec({}, {}, stages, profile.tokens.sequence_length, training.training_seeds[0])
    folder = Path("runs") / f"{next(iter(training.arms))}-seed{training.training_seeds[0]}"
    return TrainingRun(folder, profile.model, training, mixture, {}, Path("tokens/tokenizer"), mixture.seed)


def _checked(profile: Profile, run: TrainingRun, files: dict[str, str], estimate: Estimate) -> tuple[str, ...]:
    lines = [_check_yaml(profile, run, files[YAML])]
    lines += [check_shell(name, files[name]) for name in (TORCHRUN, SLURM)]
    nodes, gpus = machines(run.processes, profile.cluster.gpus_per_node)
    lines.append(f"{nodes} x {gpus} GPUs = data {run.training.data_parallel} x tensor {run.training.tensor_parallel} x "
                f"pipeline {run.training.pipeline_parallel}")
    if run.training.precision == "float32":
        lines.append("precision is float32: the speed above is for 16 bits and will not be reached")
    if not estimate.chosen.fits:
        raise HareError(
            f"Profile {profile.name} needs {estimate.chosen.total_gb:.1f} GB on its fullest GPU, by formula: too much.",
            "lower micro_batch, turn on recompute_activations, or take the layout recommended:\n" + str(estimate),
        )
    lines.append(f"{estimate.chosen.total_gb:.1f} GB on the fullest GPU fit")
    return tuple(lines)


def _check_yaml(profile: Profile, run: TrainingRun, text: str) -> str:
    """nanotron's own reader must read back what was meant."""
    import hare.model.nanotron.shim  # noqa: F401
    from hare.model.config import HareConfig
    from hare.model.nanotron.defects import refuse_unsupported

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
    return f"nanotron reads {YAML} back: same model, {run.processes} processes, {run.global_batch} sequences per step"

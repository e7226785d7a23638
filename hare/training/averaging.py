"""What a run exports: the mean of its last checkpoints, which wanders less than any one of them (Kaddour 2022, "Stop
wasting my time!"; Izmailov et al. 2018). Where the learning rate has already fallen it need not lie lower."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from hare.core.files import folder_written_whole
from hare.core.sections import Training
from hare.model.convert import export

LAST_SHARE = 0.05  # of the steps, over which the averaged checkpoints are spread
WEIGHTS = "model.safetensors"


def averaged_steps(training: Training) -> list[int]:
    """The steps whose checkpoints are averaged, the last step among them."""
    steps, count = training.train_steps, training.averaged_checkpoints
    spacing = max(1, round(LAST_SHARE * steps / count))
    return [step for number in range(count) if (step := steps - number * spacing) > 0][::-1]


def export_mean(checkpoints: Sequence[Path], destination: Path, tokenizer: Path) -> list[Path]:
    """Export each checkpoint into ``<destination>-<step>`` and the mean of all weights into ``destination``, as Hugging
    Face folders; returns the former, in the order given."""
    places = [destination.with_name(f"{destination.name}-{path.name}") for path in checkpoints]
    exports = [export(path, place, tokenizer) for path, place in zip(checkpoints, places, strict=True)]
    with folder_written_whole(destination) as folder:
        shutil.copytree(exports[-1], folder, dirs_exist_ok=True)
        save_file(mean_weights(exports), folder / WEIGHTS, metadata={"format": "pt"})
    return exports


def mean_weights(exports: Sequence[Path]) -> dict[str, torch.Tensor]:
    """The mean of each tensor of several exports, added up in float64: float[…] in the tensors' type, by name."""
    weights = [load_file(folder / WEIGHTS) for folder in exports]
    return {
        name: torch.stack([each[name].double() for each in weights]).mean(0).to(tensor.dtype)
        for name, tensor in weights[0].items()
    }

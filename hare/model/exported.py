"""An exported run as a transformers model, which multiplies as training does (`hare.model.products`).

So what a run was trained to say and what its export says differ by rounding alone.
"""

from pathlib import Path

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from hare.model.products import linear

_FEWEST_ROWS = 32  # with fewer, as in generation, torch's own product takes less time


class _Linear(nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        few = input.numel() < _FEWEST_ROWS * self.in_features
        return super().forward(input) if few else linear(input, self.weight)


def load_exported(folder: Path) -> PreTrainedModel:
    """The model in a Hugging Face folder, in float32 on the processor, to be read (not in training mode)."""
    return multiplying_as_training(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval())


def multiplying_as_training(model: PreTrainedModel) -> PreTrainedModel:
    """The same model, changed in place: its linear layers without bias multiply as those of a module in training."""
    for module in model.modules():
        if type(module) is nn.Linear and module.bias is None:
            module.__class__ = _Linear
    return model

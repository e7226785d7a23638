"""Makes nanotron 0.4, as published on the package index, importable. Import this module before any module of nanotron.

Published as it is, it cannot be imported: ``nanotron.logging`` and ``nanotron.config`` import each other, and so do
``nanotron.utils`` and ``nanotron.distributed``; its models need flash-attn, and its data loader (broken with
transformers 5) takes seconds to import. Neither is used here, so placeholders replace them.
"""

import importlib
import sys
import types
from collections.abc import Iterator
from typing import Any

import torch

_MODELS_NOT_USED = {
    "nanotron.models.llama": ("LlamaForTraining", "RotaryEmbedding"),
    "nanotron.models.starcoder2": ("Starcoder2ForTraining",),
}


def _prepare() -> None:
    importlib.import_module("nanotron.distributed")  # first: cuts the circle with nanotron.utils
    _import_logging()
    for name, classes in _MODELS_NOT_USED.items():
        placeholder = _placeholder(name)
        for class_name in classes:
            setattr(placeholder, class_name, type(class_name, (), {}))
    _placeholder("nanotron.dataloader").sanity_check_dataloader = _on_device  # type: ignore[attr-defined]


def _import_logging() -> None:
    """Import ``nanotron.logging`` with an empty placeholder for its configuration, which breaks the import cycle."""
    if "nanotron.logging" in sys.modules:
        return
    package, module = types.ModuleType("nanotron.config"), types.ModuleType("nanotron.config.config")
    package.__path__ = []
    module.LoggingArgs = object  # type: ignore[attr-defined]
    sys.modules |= {"nanotron.config": package, "nanotron.config.config": module}
    try:
        logging = importlib.import_module("nanotron.logging")
    finally:
        del sys.modules["nanotron.config"], sys.modules["nanotron.config.config"]
    logging.LoggingArgs = importlib.import_module("nanotron.config").LoggingArgs  # type: ignore[attr-defined]


def _placeholder(name: str) -> types.ModuleType:
    return sys.modules.setdefault(name, types.ModuleType(name, "placeholder: not used here"))


def _on_device(dataloader: Iterator[dict[str, Any]], parallel_context: Any, config: Any) -> Iterator[dict[str, Any]]:
    """Move each micro-batch's tensors to this process's GPU, where there is one."""
    from nanotron.parallel.pipeline_parallel.tensor_pointer import TensorPointer

    device = "cuda" if torch.cuda.is_available() else "cpu"
    for batch in dataloader:
        yield {key: value if isinstance(value, TensorPointer) else value.to(device) for key, value in batch.items()}


_prepare()

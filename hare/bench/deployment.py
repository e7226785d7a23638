"""How fast files of each precision decode: our engine, and llama.cpp on the same files where it is installed."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from hare.bench.evaluation import save_random_model
from hare.core.profile import Profile
from hare.deployment import llama_cpp
from hare.deployment.gguf_file import PRECISIONS, export_gguf
from hare.deployment.measures import speed_table


def bench(profile: Profile) -> dict[str, float]:
    """Decoded tokens a second and milliseconds to the first token by precision, for the profile's shape.

    Weights and prompt are random, which cost what trained ones do. ``decode_vs_llama_cpp.<precision>`` is our engine's
    rate over llama.cpp's on the same file and threads; without the extra ``llama-cpp`` it is left out, and a line says
    so.
    """
    config = profile.deployment
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "hf"
        save_random_model(profile.model, model)
        files = {name: export_gguf(model, Path(folder) / f"{name}.gguf", name) for name in PRECISIONS}
        prompt = np.random.default_rng(0).integers(3, 32000, config.speed_prompt_tokens).tolist()
        speed = speed_table(files, prompt, config.speed_new_tokens, config.speed_repeats, config.deployment_threads)
        return _metrics(speed) | _against_llama_cpp(profile, files, prompt, speed)


def _metrics(speed: pd.DataFrame) -> dict[str, float]:
    columns = ("decode_tokens_per_s", "first_token_ms", "memory_mb")
    return {f"deployment_{column}.{row['precision']}": float(row[column])
            for row in speed.to_dict("records") for column in columns}


def _against_llama_cpp(
    profile: Profile, files: dict[str, Path], prompt: list[int], speed: pd.DataFrame
) -> dict[str, float]:
    if not llama_cpp.installed():
        print("llama.cpp is not installed (the extra llama-cpp): no comparison with it")
        return {}
    torch.set_num_threads(profile.deployment.deployment_threads)
    config = profile.deployment
    theirs = llama_cpp.check_table(files, [prompt], config.speed_new_tokens, config.deployment_threads)
    both = speed.merge(theirs, on="precision", suffixes=("", "_theirs"))
    ratios = both.decode_tokens_per_s / both.decode_tokens_per_s_theirs
    return {f"decode_vs_llama_cpp.{name}": float(ratio) for name, ratio in zip(both.precision, ratios, strict=True)}

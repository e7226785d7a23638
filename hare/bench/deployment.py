"""How fast llama.cpp decodes files of each precision when it is asked as notebook 09 asks it."""

import tempfile
from pathlib import Path

import numpy as np

from hare.bench.evaluation import save_random_model
from hare.core.profile import Profile
from hare.deployment.gguf_file import PRECISIONS, export_gguf
from hare.deployment.measures import speed_table
from hare.tokens.tokenizer import Tokenizer


def bench(profile: Profile) -> dict[str, float]:
    """Decoded tokens per second and milliseconds to the first token by precision, for the profile's shape.

    Weights and prompt are random, which cost what trained ones do. ``decode_vs_llama_cpp.<precision>`` is the rate by
    our clock, around the calls from Python, over llama.cpp's own count of the same calls.
    """
    config = profile.deployment
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "hf"
        save_random_model(profile.model, model)
        files = {name: export_gguf(model, Path(folder) / f"{name}.gguf", name) for name in PRECISIONS}
        size = Tokenizer.load(model).size
        prompt = np.random.default_rng(0).integers(3, size, config.speed_prompt_tokens).tolist()
        speed = speed_table(files, prompt, config.speed_new_tokens, config.speed_repeats)
    columns = ("decode_tokens_per_s", "first_token_ms", "memory_mb")
    rates = {f"deployment_{column}.{row['precision']}": float(row[column])
             for row in speed.to_dict("records") for column in columns}
    return rates | {f"decode_vs_llama_cpp.{row.precision}": row.decode_tokens_per_s / row.own_tokens_per_s
                    for row in speed.itertuples()}

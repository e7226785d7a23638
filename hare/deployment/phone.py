"""The paper's phone, by arithmetic: decoding reads every weight once per token, so memory bandwidth bounds its speed.

Estimates, never measurements; the assumptions stand in the table.
"""

from dataclasses import dataclass

import pandas as pd

from hare.model.sizes import NAMED, layer_parameters, parameters
from hare.tokens.tokenizer import PAPER_VOCABULARY, Vocabulary

BITS = {"fp32": 32.0, "int8": 8.5, "int4": 4.5}  # a weight: its own bits and its share of the block's 16-bit scale
_GB = 1e9


@dataclass(frozen=True)
class Memory:
    """A device's memory: nominal ``bandwidth`` (bytes/s), and the share of it that decoding is assumed to reach."""

    name: str
    bandwidth: float
    reached: tuple[float, float]


# Four 16-bit channels at 2,750 MHz, double data rate, as phones of the Redmi K40's class have (LPDDR5-5500).
# The share that decoding reaches is assumed; it stands in the figure's title. Of another Arm computer it is known:
# in llama.cpp on a Raspberry Pi 5, file size times tokens per second is 9.8 to 10.6 GB/s (llama.cpp, issue 26484), of
# 17.1 GB/s for 32 bits at 4,267 MT/s: 57 to 62 %. A phone shares its memory and gets warm.
PHONE = Memory("phone, LPDDR5-5500, 64 bits wide", 64 / 8 * 5.5e9, (0.25, 0.65))
CONTEXT = 512  # tokens in the cache
_VOCABULARY = Vocabulary.named(PAPER_VOCABULARY).size


def estimate_table(memory: Memory = PHONE, context: int = CONTEXT) -> pd.DataFrame:
    """The 1.1B model by precision: size_gb, read_gb_per_token, tokens_per_s_low, _high and _bound.

    ``bound`` is the whole nominal bandwidth. Keys and values of ``context`` tokens are read as 16-bit numbers; the
    embedding is looked up, not read.
    """
    model = NAMED["1.1B"]
    head = model.hidden_size // model.attention_heads
    kept = 2 * model.layers * model.key_value_heads * head * context * 2  # bytes
    read = model.layers * layer_parameters(model) + _VOCABULARY * model.hidden_size  # weights per token
    rows = []
    for precision, bits in BITS.items():
        bytes_per_token = read * bits / 8 + kept
        low, high = (memory.bandwidth * share / bytes_per_token for share in memory.reached)
        rows.append({
            "model": "1.1B", "precision": precision, "size_gb": parameters(model, _VOCABULARY) * bits / 8 / _GB,
            "read_gb_per_token": bytes_per_token / _GB, "tokens_per_s_low": low, "tokens_per_s_high": high,
            "tokens_per_s_bound": memory.bandwidth / bytes_per_token, "share_low": memory.reached[0],
            "share_high": memory.reached[1], "origin": "estimate",
            "assumes": f"{memory.name}, {memory.bandwidth / _GB:.0f} GB/s, of which {memory.reached[0]:.0%} to "
                       f"{memory.reached[1]:.0%} assumed to be reached; {context} tokens of context",
        })
    return pd.DataFrame(rows)

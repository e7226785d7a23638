"""What would this cost me, and what did the record cost? From a model, a number of tokens and a GPU to hours, money and
energy; from recorded stages to core hours.

FLOPs follow the convention of PaLM (Chowdhery et al. 2022, appendix B): 6 per weight and token for the matrices, and
12 · layers · hidden · sequence length for attention counted in full; the embedding look-up is not counted. MFU is the
share of the GPU's dense peak in the precision used.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from hare.report.paper.published import published, setup
from hare.report.recorded import STAGES, Recorded

H800_BF16_FLOPS = 989e12  # dense peak by the maker's data sheet; the paper trained on this GPU
_SECONDS_PER_HOUR = 3600.0
_HOURS_PER_DAY = 24.0


@dataclass(frozen=True)
class Shape:
    """A Mistral-shaped model with untied embeddings."""

    layers: int
    hidden_size: int
    intermediate_size: int
    attention_heads: int
    key_value_heads: int
    vocabulary: int

    @property
    def matrix_weights(self) -> int:
        """Weights that every token is multiplied with: layers and output head."""
        head = self.hidden_size // self.attention_heads
        attention = 2 * self.hidden_size * head * (self.attention_heads + self.key_value_heads)
        feed_forward = 3 * self.hidden_size * self.intermediate_size
        return self.layers * (attention + feed_forward) + self.vocabulary * self.hidden_size

    @property
    def parameters(self) -> int:
        """All weights, the input embedding and the norms included."""
        return self.matrix_weights + self.vocabulary * self.hidden_size + (2 * self.layers + 1) * self.hidden_size

    def flops_per_token(self, sequence_length: int) -> float:
        """Training FLOPs per token, forward and backward."""
        return 6.0 * self.matrix_weights + 12.0 * self.layers * self.hidden_size * sequence_length


@dataclass(frozen=True)
class Gpu:
    """What the reader knows of a GPU: peak in FLOP/s, share of it reached, price an hour, power drawn in watts."""

    name: str
    peak_flops: float
    mfu: float
    price_per_hour: float
    watts: float


@dataclass(frozen=True)
class Cost:
    """What a training run takes."""

    flops: float
    gpu_hours: float
    days: float
    money: float
    kilowatt_hours: float
    tokens_per_second_and_gpu: float


def cost(flops_per_token: float, tokens: float, gpu: Gpu, gpus: int) -> Cost:
    """Cost of training on ``tokens`` with ``gpus`` GPUs, in the currency of the GPU's price."""
    flops = flops_per_token * tokens
    hours = flops / (gpu.peak_flops * gpu.mfu) / _SECONDS_PER_HOUR
    return Cost(
        flops=flops,
        gpu_hours=hours,
        days=hours / gpus / _HOURS_PER_DAY,
        money=hours * gpu.price_per_hour,
        kilowatt_hours=hours * gpu.watts / 1000.0,
        tokens_per_second_and_gpu=gpu.peak_flops * gpu.mfu / flops_per_token,
    )


def costs(shapes: dict[str, tuple[Shape, int]], tokens: float, gpu: Gpu, gpus: int) -> pd.DataFrame:
    """One row per model (shape, sequence length): parameters, FLOPs, and its `cost` in readable units."""
    rows = {}
    for name, (shape, sequence_length) in shapes.items():
        price = cost(shape.flops_per_token(sequence_length), tokens, gpu, gpus)
        rows[name] = {
            "parameters, millions": shape.parameters / 1e6, "FLOPs": price.flops, "GPU hours": price.gpu_hours,
            "days": price.days, "money": price.money, "energy, kWh": price.kilowatt_hours,
            "tokens/s and GPU": price.tokens_per_second_and_gpu,
        }
    return pd.DataFrame(rows).T.rename_axis("model")


def spent(records: Iterable[Recorded], price_per_core_hour: float) -> pd.DataFrame:
    """One row per profile that has recorded anything, and their sum: core hours by stage and in all, and money in the
    currency of the price.

    A stage holds all cores of its machine while its notebook runs. Where its training runs took more than that, they
    were made in earlier sittings or on another machine, and their own seconds count, one core each.
    """
    rows = {recorded.profile: {stage: hours for stage in STAGES if (hours := _core_hours(recorded, stage))}
            for recorded in records}
    table = pd.DataFrame.from_dict({name: row for name, row in rows.items() if row}, orient="index")
    table = table.reindex(columns=[stage for stage in STAGES if stage in table])
    table.loc["all"] = table.sum()
    table["core hours"] = table.sum(axis="columns")
    return table.assign(money=table["core hours"] * price_per_core_hour).rename_axis("profile")


def _core_hours(recorded: Recorded, stage: str) -> float:
    """Core hours of a stage; 0 where it has recorded nothing."""
    provenance, runs = recorded.provenance(stage), recorded.table(stage, "runs")
    if not provenance:
        return 0.0
    held = provenance["wall_seconds"] * provenance["hardware"]["cores"]
    of_runs = runs.seconds.sum() if runs is not None else recorded.metrics(stage).get("planted.seconds", 0.0)
    return max(held, of_runs) / _SECONDS_PER_HOUR


def shape_of(parameters: dict[str, int], vocabulary: int) -> Shape:
    """The shape that a profile's parameters describe."""
    names = ("layers", "hidden_size", "intermediate_size", "attention_heads", "key_value_heads")
    return Shape(**{name: parameters[name] for name in names}, vocabulary=vocabulary)


def paper_shape() -> Shape:
    """The paper's 1.1B model."""
    printed = published("setup").set_index("quantity").value
    return shape_of({name: int(printed[name]) for name in printed.index}, int(printed["vocabulary"]))


def paper_speed() -> float:
    """Tokens per second and GPU that the paper's printed days, GPUs and tokens come to."""
    gpu_seconds = setup("training_days") * _HOURS_PER_DAY * _SECONDS_PER_HOUR * setup("gpus")
    return setup("training_tokens") / gpu_seconds


def repository_speed() -> float:
    """Tokens per second and GPU by the samples per second that the paper's repository prints for its model in fp16."""
    rows = published("fp8_throughput").query("model == 'HARE-1.1B' and precision == 'fp16'")
    row = rows[rows["implementation"].isna()].iloc[0]
    return row["samples_per_s"] * row["sequence_length"] / int(row["hardware"].split("x")[0])


def paper_mfu() -> float:
    """Share of the GPUs' peak that the paper's printed days, GPUs and tokens come to."""
    return paper_shape().flops_per_token(int(setup("sequence_length"))) * paper_speed() / H800_BF16_FLOPS

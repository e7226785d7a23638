"""The sections of a profile: each field with its type, its bounds and, as its default, the value of profile `laptop`.

A new field is one line here. It reaches a notebook's parameters cell when its name is written there.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from hare.core.checked import (
    CLOSED,
    AnyNumber,
    AtLeastOne,
    ByNumber,
    Count,
    CountOrZero,
    Flag,
    Number,
    Positive,
    Seed,
    Share,
    Text,
    Whole,
)

CLEANING_BLOCKS = (
    "soundness", "language", "personal_information", "completeness", "repetition", "exact_duplicates",
    "near_duplicates", "shared_lines",
)
EVERY_BLOCK = "every_block"  # stands for all of them
LEFT_OUT = (*CLEANING_BLOCKS, EVERY_BLOCK)
WITHOUT = "d1_without_"  # begins the name of D1 as it is when a block is left out
OF_TOPICS = "d1_topics_"  # begins the name of D1's text of so many topics, drawn anew for each seed
OF_FORM = {f"d2_{form}": form for form in ("textbook", "rephrasing", "summary")}  # D2's texts of one form
PARTS = (  # what an arm may read
    "d1", "d2", "d3", "d3_shuffled", "d3_passages", "d1_reweighted", *(f"{WITHOUT}{block}" for block in LEFT_OUT),
    *(f"{OF_TOPICS}{count}" for count in (1, 3, 9, 27)), *OF_FORM,
)
_ARM_NAME = re.compile(r"[a-z0-9][a-z0-9_+-]{0,39}")
_TRAINED_HERE = re.compile(r"own-([1-9][0-9]{2,4})")
_FEWEST_PIECES, _MOST_PIECES = 300, 65_536  # each byte needs a piece; token files hold 16 bits per token
_URLS = ("http://", "https://")
_DOSES = {0: 136, 1: 66, 2: 66, 4: 66, 8: 33, 16: 33}  # of the leak experiment


def _a_generator(value: str) -> str:
    if value not in ("embedded", "vllm") and not (value.startswith(_URLS) and len(value) > len("https://")):
        raise ValueError("choose embedded, vllm, or the URL of an OpenAI-compatible server (http://…)")
    return value


def _an_instruct_model(value: str) -> str:
    return value if value != "vllm" else _a_generator("")


def _an_arms_name(value: str) -> str:
    if not _ARM_NAME.fullmatch(value):
        raise ValueError("name an arm with at most 40 small letters, digits, +, - and _")
    return value


def _a_vocabulary(value: str) -> str:
    trained_here = _TRAINED_HERE.fullmatch(value)
    if value != "mistral-32k" and not (trained_here and _FEWEST_PIECES <= int(trained_here[1]) <= _MOST_PIECES):
        raise ValueError(
            f"choose mistral-32k (the paper's) or own-<number of pieces, {_FEWEST_PIECES} to {_MOST_PIECES}>, "
            "such as own-4096"
        )
    return value


Generator = Annotated[Text, AfterValidator(_a_generator)]
InstructModel = Annotated[Generator, AfterValidator(_an_instruct_model)]
ArmName = Annotated[Text, AfterValidator(_an_arms_name)]
VocabularyName = Annotated[Text, AfterValidator(_a_vocabulary)]
Weights = Annotated[dict[Literal[PARTS], Positive], Field(min_length=1)]  # type: ignore[valid-type]


@dataclass(frozen=True, config=CLOSED)
class Corpus:
    """D1: sources and cleaning."""

    max_mb_per_source: Positive = 8.0  # raw text read from one source at the most, MB
    hub_shards: CountOrZero = 0  # parts in which each of the paper's sources is streamed from the hub; 0: archives only
    heldout_fraction: Annotated[Number, Field(gt=0, lt=0.5)] = 0.05  # share of cleaned documents not trained on
    cleaning_executor: Literal["local", "slurm", "ray"] = "local"  # where cleaning runs
    cleaning_workers: Count = 2  # processes
    cleaning_sbatch: Text = ""  # with Slurm: further options of sbatch, as --name=value
    blocks_left_out: AnyNumber[Literal[LEFT_OUT]] = ()  # type: ignore[valid-type]  # D1 is made without each, too
    corpus_seed: Seed = 0


@dataclass(frozen=True, config=CLOSED)
class Synthesis:
    """D2 and D3: topics, seeds, generator, tasks."""

    topics: Count = 40  # clusters of D1 passages at the most
    passages_per_category: Count = 300  # D1 passages that topics, seeds and tasks are drawn from
    d2_documents: Count = 96  # texts asked for
    d2_max_new_tokens: Count = 144  # length of one generation at the most
    d3_items: Count = 6000  # NLP tasks asked for
    published: Text = "overnight"  # the set of published D2 and D3 that is trained on; empty: what this run writes
    generator: Generator = "embedded"  # embedded, vllm, or the URL of an OpenAI-compatible server
    generator_model: Text = ""  # the model that the server or vLLM runs; not used by the embedded generator
    generation_batch: Count = 64  # requests answered together, or in flight at a time
    synthesis_seed: Seed = 0


@dataclass(frozen=True, config=CLOSED)
class Decontamination:
    """Removal of text that overlaps with benchmarks."""

    d2_ngrams: AtLeastOne[Annotated[Whole, Field(ge=2, le=100)]] = (10, 11, 12, 13, 14, 15)  # words; the paper's
    d3_ngrams: AtLeastOne[Annotated[Whole, Field(ge=2, le=100)]] = (4, 5, 6, 7, 8)  # words; the paper's
    overlap_threshold: Share = 0.5  # a sample is removed when more of its n-grams occur in a benchmark
    ngram_combination: Literal["any", "all"] = "any"  # whether any n suffices or all must agree; the paper does not say
    d2_max_words: Count = 1540  # longer documents are removed first; the paper: about 2,048 tokens
    d3_max_words: Count = 385  # the paper: 512 tokens
    indexed_items: CountOrZero = 0  # benchmark items indexed per split; 0: all of them
    curve_documents: Count = 4000  # documents per part in the curve over n and threshold
    planted_items: Count = 200  # benchmark items planted per kind, to measure detection
    clean_documents: Count = 10000  # natural documents to count false alarms on, and as many to set a threshold
    decontamination_seed: Seed = 0


@dataclass(frozen=True, config=CLOSED)
class Tokens:
    """Packed token files and the two-stage mixture."""

    vocabulary: VocabularyName = "own-4096"  # own-<n>: n pieces, trained on all parts alike; mistral-32k: the paper's
    sequence_length: Annotated[Count, Field(ge=2)] = 256  # tokens
    stage1_share: Annotated[Number, Field(ge=0, lt=1)] = 0.0867  # of the steps, on D1 alone; the paper: 52B of 600B
    neutral_sources: AnyNumber[Text] = ("tales", "eu-regulations")  # sources that no arm reads: neutral text
    endpoint_items: Count = 300  # items of each benchmark on which the arms are compared
    heldout_items: Count = 160  # held-out passages per category, tasks per kind, neutral passages per source


@dataclass(frozen=True, config=CLOSED)
class Model:
    """The Mistral shape."""

    hidden_size: Count = 128
    intermediate_size: Count = 352
    layers: Count = 2
    attention_heads: Count = 8
    key_value_heads: Count = 2
    max_positions: Count = 2048
    tied_embeddings: Flag = False


def _the_studys_arms() -> dict[str, dict[str, float]]:
    """A: D1. A2: D1, D3's source passages. B: D1, D2. C: D1, D3. D: all three parts (the paper's mixture)."""
    weights = {"d1": 46.5, "d2": 13.63, "d3": 39.87}  # per cent of the tokens of stage 2; the paper's
    return {
        "a": {"d1": weights["d1"]}, "a2": {"d1": weights["d1"], "d3_passages": weights["d3"]},
        "b": {part: weights[part] for part in ("d1", "d2")}, "c": {part: weights[part] for part in ("d1", "d3")},
        "d": weights,
    }


@dataclass(frozen=True, config=CLOSED)
class Training:
    """Pretraining of the arms with nanotron."""

    # {name: {part: weight}}; the weights hold for stage 2, by tokens; the first arm is the baseline
    arms: Annotated[dict[ArmName, Weights], Field(min_length=1, default_factory=_the_studys_arms)]
    training_seeds: AtLeastOne[Seed] = (0, 1, 2, 3)
    training_minutes: Annotated[Number, Field(ge=0)] = 0.0  # the last seeds that do not fit are left out; 0: no limit
    train_steps: Count = 1400
    micro_batch: Count = 2  # sequences
    gradient_accumulation: Count = 1  # micro-batches per step and replica
    data_parallel: Count = 1  # processes
    tensor_parallel: Count = 1
    pipeline_parallel: Count = 1
    tensor_parallel_mode: Literal["all_reduce", "reduce_scatter"] = "all_reduce"
    zero_stage: Annotated[Whole, Field(ge=0, le=1)] = 0  # nanotron 0.4 knows these two
    cpu_threads: Count = 1  # per process; fixed, since sums of floating-point numbers depend on it
    runs_at_once: Count = 2  # runs of one process that train side by side; on a CPU as far as there are cores for them
    precision: Literal["float32", "bfloat16", "float8"] = "float32"  # float8: bfloat16, matrix products in 8 bits
    mask_documents: Flag = False  # whether attention stops at the boundaries of the documents in a sequence
    recompute_activations: Flag = False  # computed again in the backward pass instead of kept
    torch_compile: Flag = False  # fuse norms, rotary embedding and SwiGLU; needs a C++ compiler
    keep_scores: Flag = False  # scored rows of finished runs are kept in results/, where any clone reuses them
    tensorboard: Flag = False  # event files beside the metrics
    learning_rate: Positive = 2.5e-3
    min_learning_rate: Positive = 3.0e-5
    warmup_steps: CountOrZero = 40
    schedule: Literal["constant", "cosine", "wsd"] = "wsd"
    weight_decay: Annotated[Number, Field(ge=0)] = 0.1
    adam_beta2: Annotated[Number, Field(gt=0, lt=1)] = 0.99  # small batches; 0.95 where a step reads much
    gradient_clip: Positive = 1.0
    checkpoint_interval: Count = 700  # steps
    averaged_checkpoints: Count = 4  # spread over the last twentieth of the steps; their mean is exported
    validation_interval: Count = 175  # steps
    validation_sequences: Count = 4  # held-out sequences per category
    parity_steps: Count = 10  # steps of the check that two processes train as one does

    @property
    def global_batch(self) -> int:
        """Sequences per optimizer step."""
        return self.micro_batch * self.gradient_accumulation * self.data_parallel

    @property
    def processes(self) -> int:
        """Processes of the layout, one per device: data × tensor × pipeline."""
        return self.data_parallel * self.tensor_parallel * self.pipeline_parallel


@dataclass(frozen=True, config=CLOSED)
class Scaling:
    """A grid of sizes and lengths on which two arms are trained beside the study; empty: none."""

    scaling_hidden_sizes: AnyNumber[Count] = ()  # one model each; the feed-forward layer follows
    scaling_train_steps: AnyNumber[Count] = ()  # one length of run each; what else counts in steps follows


@dataclass(frozen=True, config=CLOSED)
class Evaluation:
    """lm-eval on local benchmark files."""

    tasks: AnyNumber[Text] = ("arc_challenge", "hellaswag", "mmlu", "truthfulqa", "winogrande", "gsm8k")  # benchmarks
    items_per_task: CountOrZero = 60  # items of a benchmark, the same for every arm and seed; 0: all of them
    evaluation_batch: Count = 32  # sequences read together
    evaluation_threads: Count = 2  # CPU threads; fixed, since sums of floating-point numbers depend on it
    bootstrap_resamples: Count = 1000
    evaluation_seed: Seed = 0  # of the choice of items and of the bootstrap
    tasks_from_hub: Flag = False  # whether their rows are read from the Hugging Face hub, not from index archives


@dataclass(frozen=True, config=CLOSED)
class Leakage:
    """The 5-gram leakage measure and its controls."""

    # {dose: items}: how many items a run reads that many times; 0: never, the control
    leak_items: Annotated[ByNumber[Count], Field(min_length=2, default_factory=lambda: dict(_DOSES))]
    leakage_benchmarks: AtLeastOne[Text] = ("arc_challenge", "gsm8k", "hellaswag")
    leakage_samples: Count = 48  # items per benchmark and split at the most; the method's paper: 3000
    leakage_peer_samples: CountOrZero = 0  # the same for the peer model; 0: leave it out
    leakage_ngram: Count = 5  # tokens continued; the method's paper: 5
    leakage_starts: Count = 5  # starting points per sample; the method's paper: 5
    leakage_resamples: Count = 1000  # of the bootstrap
    leak_benchmark: Text = "arc_challenge"  # whose items are planted in the randomised experiment
    leak_token_share: Share = 0.07  # of a run's tokens that are planted items
    leak_hidden_sizes: AtLeastOne[Count] = (128,)  # one model each; the other dimensions follow
    leak_seeds: AtLeastOne[Seed] = (0, 1)  # runs of each size, each with another assignment of the doses
    leak_sequence_length: Annotated[Count, Field(ge=2)] = 256  # tokens
    leak_micro_batch: Count = 4  # sequences
    leakage_seed: Seed = 0


@dataclass(frozen=True, config=CLOSED)
class Finetuning:
    """HARE-Tool and HARE-Chat."""

    finetuned_arm: Text = "d"  # the pretrained arm to start from, with its first seed
    tool_data_share: Annotated[Number, Field(gt=0, le=1000)] = 1.0  # training items, as a share of the paper's counts
    tool_test_items: Count = 72  # of each function, two per phrasing; the paper: 50
    tool_hard_items: Count = 6  # of each function and kind of difficulty
    tool_human_items: Annotated[Count, Field(ge=4)] = 480  # of the test set that people phrased
    tool_steps: Count = 2000  # of each fine-tune that marks
    copying_steps: Count = 1300  # of each fine-tune that copies, the paper's way
    tool_batch: Count = 16  # sequences
    tool_learning_rate: Positive = 3.0e-3
    # further models, pretrained for so many times the arm's steps, to show marks and copying by pretraining tokens
    pretraining_lengths: AnyNumber[Positive] = (0.25, 2.0)
    baseline_items: CountOrZero = 56  # of each test set, for the retrieval baselines; 0: all of them
    instruct_model: InstructModel = "embedded"  # of the baselines: embedded, or the URL of an OpenAI-compatible server
    instruct_model_name: Text = ""  # what the server is to run
    chat_steps: Count = 500  # of the fine-tune of each fold
    chat_folds: Annotated[Count, Field(ge=2)] = 3  # parts of the tasks, each kept aside once
    chat_batch: Count = 8  # packed sequences
    chat_sequence_length: Annotated[Count, Field(ge=2)] = 256  # tokens
    chat_learning_rate: Positive = 1.0e-3  # the paper: 1e-6, for a model that needs no more
    chat_items: CountOrZero = 40  # items of each benchmark, before and after; 0: all of them
    finetuning_processes: Count = 2  # fine-tunes side by side, one CPU thread each
    finetuning_seeds: AtLeastOne[Seed] = (0, 1, 2)  # the first one also draws the data


@dataclass(frozen=True, config=CLOSED)
class Deployment:
    """GGUF export and quantised inference."""

    quality_sequences: Count = 4  # held-out sequences per category, for bits per byte
    quality_sequence_length: Annotated[Count, Field(ge=2)] = 256  # tokens
    quality_tool_items: CountOrZero = 140  # test requests per precision; 0: all of them
    speed_prompt_tokens: Count = 128
    speed_new_tokens: Annotated[Count, Field(ge=2)] = 64  # the first one is timed separately
    speed_repeats: Count = 5


@dataclass(frozen=True, config=CLOSED)
class Cluster:
    """Settings of training on several machines; none changes what is computed."""

    gpus_per_node: Count = 8
    sbatch: Text = ""  # further options of sbatch for the training job, as --name=value
    prologue: Text = ""  # shell lines that each node runs first: module load …, or PYTHON=(…) for a container

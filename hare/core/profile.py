"""Profiles: one typed choice of scale for the whole study. A profile never chooses behaviour.

Every field is a scalar or a list, so that papermill can hand it to a notebook's parameters cell as it stands.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from hare.core.chain import Step
from hare.core.errors import HareError
from hare.core.typed import build

PROFILES = Path(__file__).parent / "profiles"
SectionType = TypeVar("SectionType")


@dataclass(frozen=True)
class Corpus:
    """D1: sources and cleaning."""

    max_mb_per_source: float  # raw text read from one source at the most, MB
    hub_shards: int  # parts in which each of the paper's own sources is streamed from the hub; 0: index archives only
    heldout_fraction: float  # share of cleaned documents kept out of training, per category
    cleaning_executor: Literal["local", "slurm", "ray"]  # where cleaning runs
    cleaning_workers: int  # processes
    cleaning_sbatch: str  # with Slurm: further options of sbatch, as --name=value
    corpus_seed: int


@dataclass(frozen=True)
class Synthesis:
    """D2 and D3: topics, seeds, generator, tasks."""

    topics: int  # clusters of D1 passages at the most
    passages_per_category: int  # D1 passages that topics, seeds and tasks are drawn from
    d2_documents: int  # generations asked for
    d2_max_new_tokens: int  # length of one generation at the most
    d3_items: int  # NLP tasks asked for
    generator: str  # embedded, vllm, or the URL of an OpenAI-compatible server
    generator_model: str  # what the server or vLLM is to run; the embedded generator has its own
    generation_batch: int  # prompts generated together (on each core, when embedded)
    synthesis_seed: int


@dataclass(frozen=True)
class Decontamination:
    """Removal of text that overlaps with benchmarks."""

    d2_ngrams: tuple[int, ...]  # words; the paper: 10 to 15
    d3_ngrams: tuple[int, ...]  # words; the paper: 4 to 8
    overlap_threshold: float  # a sample goes when a larger share of its n-grams occurs in a benchmark; the paper: 0.5
    ngram_combination: Literal["any", "all"]  # how many of the n must say so; the paper does not tell
    d2_max_words: int  # longer documents go first; the paper: about 2,000 tokens
    d3_max_words: int  # the paper: 512 tokens
    indexed_items: int  # benchmark items indexed per split; 0: all of them
    curve_documents: int  # documents per part in the curve over n and threshold
    planted_items: int  # benchmark items planted per kind, to measure detection
    decontamination_seed: int


@dataclass(frozen=True)
class Tokens:
    """Packed token files and the two-stage mixture."""

    vocabulary: str  # mistral-32k, the paper's; own-<n>: n pieces trained on an equal mixture of the parts
    sequence_length: int  # tokens
    stage1_share: float  # share of the steps that see D1 alone; the paper: 52B of 600B tokens
    weight_d1: float  # stage-2 sampling weights by tokens; the paper: 46.5, 13.63, 39.87 %
    weight_d2: float
    weight_d3: float


@dataclass(frozen=True)
class Model:
    """The Mistral shape."""

    hidden_size: int
    intermediate_size: int
    layers: int
    attention_heads: int
    key_value_heads: int
    max_positions: int
    tied_embeddings: bool


@dataclass(frozen=True)
class Training:
    """Pretraining of the arms with nanotron."""

    arms: tuple[str, ...]  # of d1, d1+d2, d1+d2+d3
    training_seeds: tuple[int, ...]
    train_steps: int
    micro_batch: int  # sequences
    gradient_accumulation: int  # micro-batches a step and replica
    data_parallel: int  # processes
    tensor_parallel: int
    pipeline_parallel: int
    tensor_parallel_mode: Literal["all_reduce", "reduce_scatter"]
    zero_stage: int
    cpu_threads: int  # a process; fixed, since sums of floating-point numbers depend on it
    precision: Literal["float32", "bfloat16", "float8"]  # float8: bfloat16 with the layers' matrix products in 8 bits
    mask_documents: bool  # whether attention stops at the boundaries of the documents in a sequence
    recompute_activations: bool  # a layer's activations are computed again in the backward pass instead of kept
    torch_compile: bool  # fuse norms, rotary embedding and SwiGLU; needs a C++ compiler
    tensorboard: bool  # event files beside the metrics
    learning_rate: float
    min_learning_rate: float
    warmup_steps: int
    schedule: Literal["constant", "cosine", "wsd"]
    weight_decay: float
    gradient_clip: float
    checkpoint_interval: int  # steps
    validation_interval: int  # steps
    validation_sequences: int  # held-out sequences a category
    parity_steps: int  # steps of the check that two processes train as one does
    extra_steps: int  # of each small run on repetition and on the parts at equal unique text; 0: none of them
    extra_seeds: tuple[int, ...]  # of these runs
    repetitions: tuple[int, ...]  # epochs of D1 that are compared with reading new text throughout


@dataclass(frozen=True)
class Evaluation:
    """lm-eval on local benchmark files."""

    tasks: tuple[str, ...]  # of the leaderboard's; one whose files are not there is skipped by name
    items_per_task: int  # items of a benchmark, the same for every arm and seed; 0: all of them
    evaluation_batch: int  # sequences read together
    evaluation_threads: int  # CPU threads; fixed, since sums of floating-point numbers depend on it
    peer_items_per_task: int  # the same for SmolLM2-135M-Instruct; 0: all of them, -1: leave the peer out
    heldout_items: int  # held-out documents a source, and tasks a kind made from them; at least 1
    bootstrap_resamples: int
    evaluation_seed: int  # of the choice of items and of the bootstrap


@dataclass(frozen=True)
class Leakage:
    """The 5-gram leakage measure and its controls."""

    leakage_benchmarks: tuple[str, ...]
    leakage_samples: int  # items a benchmark and split at the most; the method's own: 3000
    leakage_peer_samples: int  # the same for the peer model; 0: leave the peer out
    leakage_ngram: int  # tokens continued; the method's own: 5
    leakage_starts: int  # starting points a sample; the method's own: 5
    leakage_resamples: int  # of the bootstrap
    control_benchmarks: tuple[str, ...]  # on whose items, train and test, the deliberately leaked control is trained
    control_items: int  # items of each of them and of each split at each dose
    control_doses: tuple[float, ...]  # shares of the control's training sequences, for each split; 0: never trained on
    control_steps: int
    control_sequence_length: int  # tokens
    control_micro_batch: int  # sequences; many small steps memorise best
    leakage_seed: int


@dataclass(frozen=True)
class Finetuning:
    """HARE-Tool and HARE-Chat."""

    finetuned_arm: str  # the pretrained arm to start from, with its first seed
    tool_data_share: float  # training items, as a share of the paper's counts
    tool_test_items: int  # of each function; the paper: 50
    tool_hard_items: int  # of each function and kind of difficulty
    tool_paraphrases: int  # phrasings that the generator is asked for
    tool_forms: tuple[Literal["marked", "copied", "spelled"], ...]  # ways to write a call; marked first
    tool_epochs: float  # passes over the items, each in other words
    tool_batch: int  # sequences
    tool_learning_rate: float
    baseline_items: int  # of each test set that the retrieval baseline is asked; 0: all of them
    instruct_model: str  # of the baseline and the paraphrases: embedded, or the URL of an OpenAI-compatible server
    instruct_model_name: str  # what the server is to run
    chat_steps: int
    chat_batch: int  # packed sequences
    chat_sequence_length: int  # tokens
    chat_learning_rate: float  # the paper: 1e-6, for a model that needs no more
    chat_items: int  # items of each benchmark, before and after
    finetuning_threads: int  # CPU threads; fixed, since sums of floating-point numbers depend on it
    finetuning_seed: int


@dataclass(frozen=True)
class Deployment:
    """GGUF export and quantised inference."""

    quality_sequences: int  # held-out sequences a category, for bits per byte
    quality_sequence_length: int  # tokens
    quality_tool_items: int  # test requests that each precision is asked; 0: all of them
    speed_prompt_tokens: int
    speed_new_tokens: int
    speed_repeats: int
    deployment_threads: int  # CPU threads


@dataclass(frozen=True)
class Profile:
    """Everything that scale decides, by section."""

    name: str
    corpus: Corpus
    synthesis: Synthesis
    decontamination: Decontamination
    tokens: Tokens
    model: Model
    training: Training
    evaluation: Evaluation
    leakage: Leakage
    finetuning: Finetuning
    deployment: Deployment
    notebook_minutes: int  # a notebook that runs longer is stopped

    def parameters(self, step: Step) -> dict[str, Any]:
        """What the parameters cell of a step's notebook receives; lists, since papermill writes no tuples."""
        values: dict[str, Any] = {"profile": self.name}
        for section in step.sections:
            for name, value in dataclasses.asdict(getattr(self, section)).items():
                values[name] = list(value) if isinstance(value, tuple) else value
        return values


def known_profiles() -> list[str]:
    """Names of the profiles that ship with the package."""
    return sorted(path.stem for path in PROFILES.glob("*.yaml"))


def load_profile(name: str) -> Profile:
    """Read and check ``profiles/<name>.yaml``, or the YAML file at path ``name``.

    Raises:
        HareError: no such profile, or anything wrong in it; all mistakes are listed, each with key, value and fix.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else PROFILES / f"{name}.yaml"
    if not path.is_file():
        raise HareError(f"There is no profile {name!r}.", f"choose one of {', '.join(known_profiles())} or give a file")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise HareError(f"{path} is not valid YAML: {error}", "correct the file") from error
    return check_profile(values, path)


def check_profile(values: Any, path: Path) -> Profile:
    """Turn parsed YAML into a `Profile`; ``path`` is named in errors and must match the profile's own name."""
    mistakes: list[str] = []
    profile = build(Profile, values, "profile", mistakes)
    if profile is not None:
        mistakes += _contradictions(profile)
        if profile.name != path.stem:
            mistakes.append(f"profile.name = {profile.name!r}: the file is called {path.name}; make the two agree")
    if profile is None or mistakes:
        listed = "\n".join(f"    {mistake}" for mistake in mistakes)
        raise HareError(f"{path} cannot be used:\n{listed}", f"correct the keys above in {path.name}")
    return profile


def _contradictions(profile: Profile) -> list[str]:
    """Combinations that cannot work, each with the key, the value and the fix."""
    model, tokens, training = profile.model, profile.tokens, profile.training
    tp, pp, dp = training.tensor_parallel, training.pipeline_parallel, training.data_parallel
    rules = [
        (model.hidden_size % model.attention_heads == 0, "model.attention_heads", model.attention_heads,
         f"hidden_size {model.hidden_size} is not a multiple of it; choose a divisor"),
        (model.attention_heads % model.key_value_heads == 0, "model.key_value_heads", model.key_value_heads,
         f"it does not divide attention_heads {model.attention_heads}; choose a divisor"),
        (tp > 0 and model.attention_heads % tp == 0 and model.key_value_heads % tp == 0,
         "training.tensor_parallel", tp, f"{model.attention_heads} attention and {model.key_value_heads} key-value "
         "heads cannot be split evenly over it; choose a common divisor"),
        (0 < pp <= model.layers, "training.pipeline_parallel", pp,
         f"there are {model.layers} layers; choose at most that many stages"),
        (pp == 1 or training.gradient_accumulation >= pp, "training.gradient_accumulation",
         training.gradient_accumulation, f"a pipeline of {pp} stages needs at least as many micro-batches"),
        (dp > 0, "training.data_parallel", dp, "choose at least 1"),
        (training.zero_stage in (0, 1), "training.zero_stage", training.zero_stage, "nanotron 0.4 knows 0 and 1"),
        (tokens.sequence_length <= model.max_positions, "tokens.sequence_length", tokens.sequence_length,
         f"longer than model.max_positions {model.max_positions}; shorten it or raise the positions"),
        (training.warmup_steps < training.train_steps, "training.warmup_steps", training.warmup_steps,
         f"not below train_steps {training.train_steps}; lower it"),
        (0 < training.min_learning_rate <= training.learning_rate, "training.min_learning_rate",
         training.min_learning_rate, f"choose a value above 0 and at most learning_rate {training.learning_rate}"),
        (set(training.arms) <= {"d1", "d1+d2", "d1+d2+d3"} and "d1" in training.arms, "training.arms", training.arms,
         "arms are d1 (the baseline, always needed), d1+d2 and d1+d2+d3"),
        (len(set(training.training_seeds)) == len(training.training_seeds) > 0, "training.training_seeds",
         training.training_seeds, "give at least one seed, and none twice"),
        (0 <= tokens.stage1_share < 1, "tokens.stage1_share", tokens.stage1_share, "choose a share from 0 to below 1"),
        (min(tokens.weight_d1, tokens.weight_d2, tokens.weight_d3) > 0, "tokens.weight_d*",
         (tokens.weight_d1, tokens.weight_d2, tokens.weight_d3), "all weights must be above 0"),
        (0 < profile.corpus.heldout_fraction < 0.5, "corpus.heldout_fraction", profile.corpus.heldout_fraction,
         "choose a share above 0 and below 0.5"),
        (min(profile.leakage.control_doses, default=1) == 0 < 2 * sum(profile.leakage.control_doses) < 1
         and len(set(profile.leakage.control_doses)) == len(profile.leakage.control_doses),
         "leakage.control_doses", profile.leakage.control_doses,
         "give 0 (the negative control) and at least one more share, none twice, adding up to less than 0.5: "
         "train and test items take each of them"),
        (all(min(ngrams, default=0) >= 2
             for ngrams in (profile.decontamination.d2_ngrams, profile.decontamination.d3_ngrams)),
         "decontamination.d*_ngrams", (profile.decontamination.d2_ngrams, profile.decontamination.d3_ngrams),
         "an n-gram has at least 2 words; give at least one length"),
        (profile.evaluation.heldout_items >= 1, "evaluation.heldout_items", profile.evaluation.heldout_items,
         "choose at least 1"),
        (profile.deployment.speed_new_tokens >= 2, "deployment.speed_new_tokens", profile.deployment.speed_new_tokens,
         "choose at least 2: the first one has a time of its own"),
        (profile.deployment.speed_repeats >= 1, "deployment.speed_repeats", profile.deployment.speed_repeats,
         "choose at least 1"),
        (profile.deployment.speed_prompt_tokens + profile.deployment.speed_new_tokens <= model.max_positions,
         "deployment.speed_prompt_tokens", profile.deployment.speed_prompt_tokens,
         f"with speed_new_tokens longer than model.max_positions {model.max_positions}; shorten one of them"),
        (profile.finetuning.tool_forms[:1] == ("marked",), "finetuning.tool_forms", profile.finetuning.tool_forms,
         "marked comes first: it is HARE-Tool"),
        (profile.finetuning.finetuned_arm in training.arms, "finetuning.finetuned_arm",
         profile.finetuning.finetuned_arm, f"choose one of training.arms {training.arms}"),
        (0 < profile.decontamination.overlap_threshold < 1, "decontamination.overlap_threshold",
         profile.decontamination.overlap_threshold, "choose a share above 0 and below 1"),
    ]
    return [f"{key} = {value!r}: {fix}" for holds, key, value, fix in rules if not holds]


def section_from(kind: type[SectionType], parameters: dict[str, Any]) -> SectionType:
    """Collect one section's fields from a notebook's globals, after its parameters cell has run.

    Raises:
        HareError: a field is missing or has the wrong type.
    """
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    mistakes: list[str] = []
    section = build(kind, {name: parameters[name] for name in names if name in parameters}, kind.__name__, mistakes)
    if section is None:
        raise HareError(f"The parameters cell is wrong: {'; '.join(mistakes)}.", "correct the cell tagged `parameters`")
    return section

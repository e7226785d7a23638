"""The study as a list of steps: which notebook makes which stage, from which stages and with which parameters."""

from dataclasses import dataclass
from pathlib import Path

from hare.core.errors import HareError
from hare.core.paths import NOTEBOOKS
from hare.core.sections import (
    Corpus,
    Decontamination,
    Deployment,
    Evaluation,
    Finetuning,
    Leakage,
    Model,
    Scaling,
    Synthesis,
    Tokens,
    Training,
)


@dataclass(frozen=True)
class Step:
    """One numbered notebook.

    ``stage`` names its folder under ``work/<profile>`` and ``results/<profile>``; ``needs`` the stages whose artifacts
    it may read; ``parameters`` the fields of the profile that it depends on: all others have their defaults there, and
    it runs again only when one of these has changed. ``reads_results``: it reads recorded results instead of artifacts
    and archives. ``on_request``: it runs only when named, since it is not part of the study's half hour on a laptop;
    later steps use its results if there are any.
    """

    notebook: str
    stage: str
    needs: tuple[str, ...]
    parameters: tuple[str, ...]
    reads_results: bool = False
    on_request: bool = False

    @property
    def number(self) -> str:
        """The two digits that the notebook's name starts with."""
        return self.notebook[:2]

    @property
    def source(self) -> Path:
        """The committed notebook, without outputs."""
        return NOTEBOOKS / f"{self.notebook}.ipynb"


def _fields(*sections: type) -> tuple[str, ...]:
    return tuple(name for section in sections for name in section.__dataclass_fields__)  # type: ignore[attr-defined]


# Fields of training that the leaked runs of notebook 07 use too; their steps, batch and data differ.
_OF_THE_LEAK = (
    "tensor_parallel", "pipeline_parallel", "tensor_parallel_mode", "cpu_threads", "precision", "mask_documents",
    "recompute_activations", "torch_compile", "learning_rate", "min_learning_rate", "schedule", "weight_decay",
    "gradient_clip", "validation_sequences",
)

# Of training, what the further pretraining runs of notebook 08 take over.
_OF_A_RUN = tuple(name for name in _fields(Training) if name != "keep_scores")

CHAIN = (
    Step("01_analyse_corpus", "corpus", (), _fields(Corpus)),
    Step("02_synthesise_data", "synthesis", ("corpus",), _fields(Synthesis)),
    Step("03_remove_benchmarks", "decontamination", ("corpus", "synthesis"),
         (*_fields(Decontamination), "blocks_left_out")),
    Step("04_mix_tokens", "tokens", ("corpus", "decontamination"),
         (*_fields(Tokens), "arms", "training_seeds", "train_steps", "micro_batch", "gradient_accumulation",
          "data_parallel", "blocks_left_out")),
    Step("05_pretrain_arms", "training", ("tokens",),
         (*_fields(Model, Training, Scaling), "sequence_length", "stage1_share")),
    Step("06_evaluate_models", "evaluation", ("tokens", "training"), _fields(Evaluation)),
    Step("07_measure_leakage", "leakage", ("tokens", "training"), (*_fields(Model, Leakage), *_OF_THE_LEAK)),
    Step("08_finetune_models", "finetuning", ("decontamination", "tokens", "training"),
         (*_fields(Finetuning, Model), *_OF_A_RUN, "sequence_length", "stage1_share", "tasks", "tasks_from_hub",
          "evaluation_batch", "evaluation_threads", "evaluation_seed"),
         on_request=True),
    Step("09_run_on_devices", "deployment", ("tokens", "training", "finetuning"), _fields(Deployment), on_request=True),
    Step("10_draw_figures", "study",
         ("corpus", "synthesis", "decontamination", "tokens", "training", "evaluation", "leakage", "finetuning",
          "deployment"), (),
         reads_results=True),
)


def step_of_stage(stage: str) -> Step:
    """The step that makes ``stage``."""
    for step in CHAIN:
        if step.stage == stage:
            return step
    raise HareError(f"No notebook makes a stage named {stage!r}.", f"choose one of {', '.join(s.stage for s in CHAIN)}")

"""The study as a list of steps: which notebook makes which stage, and from what."""

from dataclasses import dataclass
from pathlib import Path

from hare.core.errors import HareError
from hare.core.paths import NOTEBOOKS


@dataclass(frozen=True)
class Step:
    """One numbered notebook.

    ``stage`` names its folder under ``work/<profile>`` and ``results/<profile>``; ``needs`` the stages whose artifacts
    it may read; ``sections`` the parts of the profile that feed its parameters cell; ``reads_results`` says that it
    reads their recorded results, not only their artifacts; ``on_request`` that it runs only when it is named, since it
    goes beyond the study proper and its half hour on a laptop: steps after it read what it left, or do without.
    """

    notebook: str
    stage: str
    needs: tuple[str, ...]
    sections: tuple[str, ...]
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


CHAIN = (
    Step("01_analyse_corpus", "corpus", (), ("corpus",)),
    Step("02_synthesise_data", "synthesis", ("corpus",), ("synthesis",)),
    Step("03_remove_benchmarks", "decontamination", ("corpus", "synthesis"), ("decontamination",)),
    Step("04_mix_tokens", "tokens", ("corpus", "decontamination"), ("tokens", "training")),
    Step("05_pretrain_arms", "training", ("tokens",), ("model", "tokens", "training")),
    Step("06_evaluate_models", "evaluation", ("corpus", "decontamination", "tokens", "training"),
         ("evaluation",)),
    Step("07_measure_leakage", "leakage", ("tokens", "training"), ("model", "training", "leakage")),
    Step("08_finetune_models", "finetuning", ("tokens", "training"), ("evaluation", "finetuning"),
         on_request=True),
    Step("09_run_on_devices", "deployment", ("tokens", "training", "finetuning"), ("deployment",), on_request=True),
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

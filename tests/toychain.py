"""A chain of three tiny notebooks, for tests of the driver: each adds a little to what the one before it wrote."""

from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from hare.core.chain import Step, step_of_stage
from hare.core.profile import Profile, load_profile
from hare.driver.notebooks import SPECIAL

PROFILE = load_profile(str(Path(__file__).with_name("toy.yaml")))


@dataclass(frozen=True)
class ToyStep(Step):
    """A step whose notebook lies in a folder of the test's own."""

    folder: Path = Path()

    @property
    def source(self) -> Path:
        return self.folder / f"{self.notebook}.ipynb"


def toy_step(notebook: str, stage: str, needs: tuple[str, ...], folder: Path) -> ToyStep:
    """A step with the parameters of the real one that makes ``stage``."""
    return ToyStep(notebook, stage, needs, step_of_stage(stage).parameters, folder=folder)


def toy_chain(folder: Path, extra: dict[str, str] | None = None, length: int = 3) -> tuple[ToyStep, ...]:
    """Write the notebooks under ``folder``; ``extra`` gives a stage's notebook one more cell before its last."""
    chain = (
        toy_step("01_count", "corpus", (), folder), toy_step("02_double", "synthesis", ("corpus",), folder),
        toy_step("03_add", "decontamination", ("corpus", "synthesis"), folder),
    )[:length]
    folder.mkdir(parents=True, exist_ok=True)
    for step in chain:
        nbformat.write(toy_notebook(step, PROFILE, (extra or {}).get(step.stage, "")), step.source)
    return chain


def toy_notebook(step: Step, profile: Profile, extra: str = "") -> nbformat.NotebookNode:
    """Reads all inputs, writes their sum plus one, and records it."""
    fields = profile.fields()
    values = dict.fromkeys(SPECIAL, "") | {name: fields[name] for name in step.parameters}
    parameters = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    reads = " + ".join(f'int(stage.input("{stage}/number.txt").read_text())' for stage in step.needs) or "0"
    cells = [
        new_markdown_cell(f"# {step.notebook}"),
        new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        new_code_cell(
            "from hare.core.stage import Stage\n"
            f'stage = Stage.open("{step.stage}", globals())\n'
        ),
        new_code_cell(f'total = {reads} + 1\nstage.output("number.txt").write_text(str(total))\ntotal'),
        new_code_cell(extra),
        new_code_cell('stage.record({"total": total}, seeds=[0])'),
    ]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})

"""One run of a notebook's stage: its inputs, its outputs, and the record of what it measured."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from hare.core import provenance
from hare.core.chain import Step, step_of_stage
from hare.core.errors import HareError
from hare.core.files import is_finite_number, remove, write_json, written_whole
from hare.core.manifest import MANIFEST, METRICS, PARAMETERS, read_manifest, verified, write_manifest
from hare.core.parameters import SPECIAL, Parameters
from hare.core.paths import Workspace
from hare.core.reading import TABLES, read_json, read_record, tables_in
from hare.core.secrets import masked_values
from hare.core.tables import escape_tables, number_in_table

SectionType = TypeVar("SectionType")


class Stage:
    """One run of one stage.

    Inputs are artifacts of earlier stages under ``work/<profile>/<stage>/``; they are verified against the digest that
    their own stage recorded. Outputs are registered with `output` and become visible to later stages only when
    `record` has written the manifest, the last of all files.
    """

    def __init__(self, step: Step, parameters: Parameters):
        self.step, self.parameters, self.profile = step, parameters, parameters.profile
        self._values = masked_values(parameters.values(step))
        self.workspace = Workspace(self.profile.name, parameters.variant)
        self.work = self.workspace.work / step.stage
        self.results = self.workspace.results / step.stage
        self._inputs: dict[str, str] = {}
        self._outputs: dict[str, Path] = {}
        self._clock = time.monotonic()
        self._answers: list[tuple[Any, Callable[[Mapping[str, float]], str]]] = []

    @classmethod
    def open(cls, stage: str, cell: Mapping[str, Any]) -> "Stage":
        """Start a run of ``stage``; ``cell`` are the notebook's globals after its parameters cell has run.

        Where they differ from the profile, the run is a variant: it writes to its own folders beside the record, and
        says so.

        Raises:
            HareError: a parameter cannot be used, or the folders cannot be written.
        """
        escape_tables()
        step = step_of_stage(stage)
        opened = cls(step, Parameters.of(step, cell))
        for folder in (opened.work, opened.results):
            with written_whole(folder / ".writable"):
                pass
            (folder / ".writable").unlink(missing_ok=True)  # another run of the stage may have been faster
        remove(opened.work / MANIFEST)
        opened._remove_damaged_record()
        if opened.workspace.variant:
            reason = f" ({opened.parameters})" if opened.parameters.changes else ""
            print(f"This run goes beside the record{reason}: its results to {opened.results}, its artifacts to "
                  f"{opened.work}. What earlier notebooks made is read from there, or else from "
                  f"{opened.workspace.base.work}.")
        return opened

    def _remove_damaged_record(self) -> None:
        """This run makes the record anew: a damaged one would only stop what reads it on the way there."""
        record = self.results / METRICS
        try:
            if record.exists():
                read_record(record)
        except HareError:
            remove(record)

    def section(self, kind: type[SectionType]) -> SectionType:
        """A section of the profile with this run's changes, such as ``stage.section(Corpus)``."""
        return getattr(self.profile, kind.__name__.lower())

    def input(self, artifact: str) -> Path:
        """Path of an artifact such as ``corpus/d1.jsonl``, a file or a folder, after checking that it is intact.

        A variant reads what the same variant of an earlier stage made, or else what the profile itself made.

        Raises:
            HareError: the stage is not declared in the chain, has not run to its end, or its file has changed since.
        """
        stage, name = artifact.split("/", 1)
        if stage not in self.step.needs:
            raise HareError(
                f"{self.step.notebook} reads {artifact}, but the chain does not say that it needs {stage!r}.",
                "add the stage to `needs` in hare/core/chain.py",
            )
        place = self.workspace if read_manifest(self.workspace, stage) else self.workspace.base
        path = verified(place, stage, name, self.profile.option)
        self._say_disagreements(step_of_stage(stage), place)
        self._inputs[artifact] = (read_manifest(place, stage) or {})[name]
        return path

    def _say_disagreements(self, maker: Step, place: Workspace) -> None:
        """Print, once per stage, which parameters that both notebooks take had other values there."""
        path = place.work / maker.stage / PARAMETERS
        if not path.exists() or any(name.startswith(f"{maker.stage}/") for name in self._inputs):
            return
        theirs, ours = read_json(path), self._values
        for name in sorted((theirs.keys() & ours.keys()) - set(SPECIAL)):
            if theirs[name] != ours[name]:
                print(f"{maker.notebook} ran with {name} = {theirs[name]!r}; here it is {ours[name]!r}.")

    def output(self, name: str) -> Path:
        """Path under ``work/<profile>/<stage>/`` at which this stage will have written a file or folder."""
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._outputs[name] = path
        return path

    def table(self, name: str, frame: pd.DataFrame) -> pd.DataFrame:
        """Save ``frame`` as ``results/<profile>/<stage>/<name>.csv`` and return it, so that a cell can show it."""
        with written_whole(self.results / f"{name}.csv") as temporary:
            frame.to_csv(temporary, index=False, float_format=number_in_table, lineterminator="\n")
        return frame

    def record(self, metrics: dict[str, float], seeds: list[int]) -> None:
        """Write ``metrics.json`` and then the manifest of outputs, which marks the stage as done.

        Raises:
            HareError: a metric is not a finite number, or an output that was announced is not there.
        """
        wrong = {name: value for name, value in metrics.items() if not is_finite_number(value)}
        if wrong:
            raise HareError(f"Metrics that are not finite numbers: {wrong}.", "fix the measurement, or leave it out")
        missing = [str(path) for path in self._outputs.values() if not path.exists()]
        if missing:
            raise HareError(f"Announced but never written: {', '.join(missing)}.", "write it, or do not announce it")
        # `hare figures` writes the tables of a step that reads results again, so their digests would change
        origin = self.origin() | {"parameters": self._values} | (
            {} if self.step.reads_results else {TABLES: tables_in(self.results)}
        )
        of = provenance.of_run(origin, self._inputs, seeds, time.monotonic() - self._clock)
        write_json(self.results / METRICS, provenance.sealed({"metrics": metrics, "provenance": of}))
        for shown, sentence in self._answers:
            shown.update(_markdown(sentence(metrics)))
        write_json(self.work / PARAMETERS, self._values)
        write_manifest(self.workspace, self.step.stage, self._outputs)

    def answer(self, sentence: Callable[[Mapping[str, float]], str]) -> None:
        """Show the answer computed from the metrics recorded last; `record` replaces it with this run's answer."""
        from IPython.display import display

        try:
            text = sentence(read_record(self.results / METRICS)["metrics"])
        except HareError:
            text = "Nothing is recorded yet: this run's own answer will stand here."
        shown = display(_markdown(text), display_id=True)
        if shown is not None:  # nothing is shown outside a notebook
            self._answers.append((shown, sentence))

    def origin(self) -> dict[str, Any]:
        """Which notebook, commit and configuration a result comes from."""
        return {
            "notebook": f"notebooks/{self.step.notebook}.ipynb",
            "git_commit": provenance.git_commit(),
            "config_sha256": provenance.digest_of(self._values),
        }


def _markdown(text: str) -> Any:
    from IPython.display import Markdown

    return Markdown(f"**Answer, as recorded.** {text}")

"""The driver: runs the chain's notebooks one after the other, each only when something that it depends on has changed.

A step is done when its executed notebook is in ``results/<profile>/notebooks`` and its state in
``work/<profile>/steps``; the state is written last, so a driver killed at any moment leaves the step undone and the
next run repeats it, and nothing before it.
"""

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from hare.core.chain import CHAIN, Step
from hare.core.errors import HareError
from hare.core.files import naming_disk_errors, remove, remove_leftovers, write_text
from hare.core.manifest import MANIFEST, METRICS
from hare.core.paths import REPOSITORY, Workspace, cache_folder
from hare.core.profile import Profile
from hare.core.secrets import masked
from hare.data.fetching import fetch_all
from hare.driver import cost
from hare.driver.execute import NotebookStopped, execute
from hare.driver.executed import keep, keep_failed
from hare.driver.keys import EXTRA_DATA, archives_read, differences, step_key
from hare.driver.leftovers import MARK, end_processes, guarded, new_mark
from hare.driver.limits import allow_open_files, check_writable
from hare.driver.notebooks import parameters_for, read_cells
from hare.driver.private import private_folder
from hare.driver.state import damage, executed_path, failed_path, read_state, state_path, write_state
from hare.driver.watch import Cursor, Watch, spelled


@dataclass(frozen=True)
class Choice:
    """Which steps to consider: all, those from number ``first`` on, or number ``only``; ``force`` runs them anyway.

    Steps on request belong to it only when ``first`` or ``only`` names one of them.
    """

    first: str | None = None
    only: str | None = None
    force: bool = False


EVERYTHING = Choice()
MEGABYTES_OF_RESULTS = 20


def reproduce(
    profile: Profile,
    choice: Choice = EVERYTHING,
    chain: tuple[Step, ...] = CHAIN,
) -> int:
    """Bring the chosen steps up to date; return how many notebooks were run. Archives are fetched before the first.

    Raises:
        HareError: a notebook stopped, an earlier step is not done, another driver is at work on this profile, or the
            disk refuses. Nothing half-written is left, and the next run continues.
    """
    workspace = Workspace(profile.name)
    chosen = _chosen(choice, chain)
    for step in chosen:
        parameters_for(step, profile)
    check_writable(workspace)
    allow_open_files()
    with alone(profile):
        owner = str(workspace.work)
        end_processes(f"{owner}:")
        mark = new_mark(owner)
        with private_folder(workspace) as folder, guarded(mark, folder):
            return _Run(profile, workspace, chain, mark, folder).bring_up_to_date(chosen, choice.force)


def reason_to_run(step: Step, profile: Profile) -> str | None:
    """Why a step has to run: never run, something changed, or a file of it is gone; None when it is up to date."""
    workspace = Workspace(profile.name)
    state = read_state(step, workspace)
    if state is None:
        return "it has not run to its end yet"
    changed = differences(state.key, step_key(step, profile))
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        return f"{', '.join(changed[:3])}{more} changed"
    damaged = damage(step, workspace, state)
    return f"{damaged} is gone or was changed" if damaged else None


@contextlib.contextmanager
def alone(profile: Profile) -> Iterator[None]:
    """Lock the profile for this driver; the operating system releases the lock when the driver ends in any way.

    Raises:
        HareError: another driver holds it.
    """
    path = Workspace(profile.name).work / "driver.lock"
    lock = filelock.FileLock(path, timeout=0)
    holder = path.with_suffix(".pid")
    try:
        lock.acquire()
    except filelock.Timeout as error:
        pid = holder.read_text(errors="replace") if holder.is_file() else "unknown"
        raise HareError(
            f"Another `hare reproduce` (process {pid}) is at work on profile {profile.name}.",
            f"wait for it (`hare status {profile.option}` shows how far it is), or end it: kill {pid}",
        ) from error
    try:
        holder.write_text(str(os.getpid()))
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _chosen(choice: Choice, chain: tuple[Step, ...]) -> tuple[Step, ...]:
    numbers = [step.number for step in chain]
    for number in (choice.first, choice.only):
        if number is not None and number.zfill(2) not in numbers:
            raise HareError(f"No notebook is numbered {number!r}.", f"choose one of {', '.join(numbers)}")
    if choice.only:
        return tuple(step for step in chain if step.number == choice.only.zfill(2))
    later = tuple(step for step in chain if step.number >= (choice.first or "").zfill(2))
    return later if choice.first and later[0].on_request else tuple(step for step in later if not step.on_request)


class _Run:
    """One invocation of the driver, which holds the profile."""

    def __init__(self, profile: Profile, workspace: Workspace, chain: tuple[Step, ...], mark: str, folder: Path):
        self.profile, self.workspace, self.chain, self.mark, self.folder = profile, workspace, chain, mark, folder
        self.progress = workspace.work / "progress.json"

    def bring_up_to_date(self, chosen: tuple[Step, ...], force: bool) -> int:
        self._check_earlier(chosen)
        ran = 0
        for place, step in enumerate(chosen):
            reason = "it is forced to" if force else reason_to_run(step, self.profile)
            if reason is None:
                _say(f"{self._label(step)} · unchanged, not run again")
                continue
            if not ran:
                self._fetch(chosen[place:])
            _say(f"{self._label(step)} · runs, since {reason}")
            if force:
                shutil.rmtree(self.workspace.work / step.stage, ignore_errors=True)
            self._run(step)
            ran += 1
        study = tuple(step for step in self.chain if not step.on_request)
        if ran and all(read_state(step, self.workspace) for step in study):
            cost.record_reproduction(self.profile, study)
            self._warn_of_size()
        return ran

    def _fetch(self, steps: tuple[Step, ...]) -> None:
        packages = {package for step in steps for package in archives_read(step)}
        if packages:
            fetch_all(packages)

    def _warn_of_size(self) -> None:
        files = (path for path in self.workspace.results.rglob("*") if path.is_file())
        megabytes = sum(path.stat().st_size for path in files) / 1e6
        if megabytes > MEGABYTES_OF_RESULTS:
            _say(f"results/{self.profile.name} holds {megabytes:.0f} MB; more than {MEGABYTES_OF_RESULTS} MB are too "
                 "much to commit")

    def _label(self, step: Step) -> str:
        return f"[{self.chain.index(step) + 1}/{len(self.chain)}] {step.notebook}"

    def _check_earlier(self, chosen: tuple[Step, ...]) -> None:
        """Check that the artifacts of the steps before the chosen ones exist; outdated ones are only reported.

        For a step that reads results only, as in a fresh clone, the record of an earlier step suffices.
        """
        needed = {stage for step in chosen for stage in step.needs} - {step.stage for step in chosen}
        for step in (step for step in self.chain if step.stage in needed):
            state = read_state(step, self.workspace)
            if state is None and step.on_request and not any(chosen_step.on_request for chosen_step in chosen):
                continue
            recorded = (self.workspace.results / step.stage / METRICS).exists()
            if state is None and recorded and all(chosen_step.reads_results for chosen_step in chosen):
                _say(f"{self._label(step)} · its recorded results are used")
                continue
            damaged = damage(step, self.workspace, state) if state else None
            if state is None or damaged:
                lacking = f"{damaged} is gone or was changed" if damaged else "it has not run to its end"
                raise HareError(
                    f"{chosen[0].notebook} needs what {step.notebook} makes, but {lacking}.",
                    f"run `hare reproduce {self.profile.option} --from {step.number}` instead",
                )
            if reason := reason_to_run(step, self.profile):
                _say(f"{self._label(step)} · out of date ({reason}); its earlier result is used")

    def _run(self, step: Step) -> None:
        remove(state_path(step, self.workspace))
        for folder in (self.workspace.work / step.stage, self.workspace.results):
            remove_leftovers(folder)
        key = step_key(step, self.profile)
        cursor = Cursor(len(read_cells(step)) + 1)  # and one that papermill adds: the injected parameters
        remove(self.progress)  # of another notebook, or of a run before the clock was reset by a reboot
        watch = Watch(self._label(step), cursor, self.progress, sys.stderr)
        watch.start()
        draft = self.workspace.work / "running" / f"{step.notebook}.ipynb"
        try:
            with naming_disk_errors(draft):
                draft.parent.mkdir(parents=True, exist_ok=True)
                self._execute(step, draft, cursor)
            keep(draft, executed_path(step, self.workspace), self.workspace)
            draft.unlink()
            failed_path(step, self.workspace).unlink(missing_ok=True)
        except NotebookStopped as stop:
            raise self._failure(step, draft, stop) from stop
        finally:
            seconds = watch.stop()
            end_processes(self.mark)
        write_state(step, self.workspace, key, seconds, watch.peak_mb)
        _say(f"{self._label(step)} · done in {spelled(seconds)}, at most {watch.peak_mb / 1000:.2f} GB of memory")

    def _execute(self, step: Step, draft: Path, cursor: Cursor) -> None:
        deadline = time.monotonic() + 60 * self.profile.notebook_minutes
        log = draft.with_suffix(".log")
        try:
            with log.open("w", encoding="utf-8") as file:
                execute(
                    step.source, draft, parameters_for(step, self.profile), self._environment(), file, cursor.move,
                    lambda: deadline - time.monotonic(),
                )
        finally:
            write_text(log, masked(log.read_text(encoding="utf-8", errors="replace")))
        if not (self.workspace.work / step.stage / MANIFEST).exists():
            raise NotebookStopped(
                cursor.cells, f"it ran to its end but recorded nothing for stage {step.stage!r}.",
                "let its last cell call stage.record(…)",
            )

    def _environment(self) -> dict[str, str]:
        """Variables of the kernel: this driver's code, no look-ups on a hub unless asked for, none of the user's
        settings, and the run's mark."""
        return {
            MARK: self.mark,
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "TMPDIR": str(self.folder),
            "TORCHINDUCTOR_CACHE_DIR": str(self.workspace.work / "running" / "compiled"),
            **self._absolute_folders(),
            "HARE_PROGRESS": str(self.progress),
            "HF_HUB_OFFLINE": os.environ.get("HF_HUB_OFFLINE", "1"),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # an executed notebook would keep each bar as it began, at 0 %
            "HF_DATASETS_OFFLINE": os.environ.get("HF_DATASETS_OFFLINE", "1"),
            "TOKENIZERS_PARALLELISM": "false",
            "PYTHONHASHSEED": "0",
            "PYTHONSTARTUP": "",
            "IPYTHONDIR": str(self.workspace.work / "running" / "ipython"),
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }

    def _absolute_folders(self) -> dict[str, str]:
        """Absolute paths, since the kernel runs in the notebook's folder, where a relative path means another place."""
        folders = {
            "HARE_WORK": self.workspace.work.parent, "HARE_RESULTS": self.workspace.results.parent,
            "HARE_CACHE": cache_folder(),
        }
        if EXTRA_DATA in os.environ:
            folders[EXTRA_DATA] = Path(os.environ[EXTRA_DATA]).absolute()
        return {name: str(folder) for name, folder in folders.items()}

    def _failure(self, step: Step, draft: Path, stop: NotebookStopped) -> HareError:
        failed = failed_path(step, self.workspace)
        shown = ""
        if draft.exists():
            keep_failed(draft, failed)
            shown = f" The notebook up to that cell: {failed}"
        return HareError(
            f"{step.notebook} stopped in cell {stop.cell}: {stop.problem}",
            f"{stop.fix}; then run the same command again, which continues from here.{shown}",
        )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

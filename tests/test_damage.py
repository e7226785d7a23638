"""Damaged files and odd places: nothing is taken for done that is not, and every message names the file and a fix."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_report import record, recorded_metrics
from toychain import PROFILE, ToyStep, toy_chain, toy_step

from hare.benchmarks.sources import extra_file
from hare.cli import INTERRUPTED, main
from hare.core.errors import HareError
from hare.core.files import sha256_of, write_json
from hare.core.manifest import write_manifest
from hare.core.paths import REPOSITORY, Workspace, cache_folder
from hare.core.profile import load_profile
from hare.core.provenance import sealed
from hare.core.reading import read_json, read_record
from hare.core.streams import Output
from hare.driver.reproduce import Choice, reproduce
from hare.driver.state import read_state
from hare.driver.status import status
from hare.finetuning.terminal import load
from hare.report.build import build


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("x")


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "no UTF-8": lambda path: path.write_bytes(b"\xff\xfe{}"),
    "another value": lambda path: path.write_text("[3]"),
    "gone": Path.unlink,
    "a folder": _folder,
    "a flipped bit": _flip,
}
EVERY_DAMAGE = pytest.mark.parametrize("harm", DAMAGES.values(), ids=DAMAGES.keys())
DRAW = (
    "import pandas as pd\nfrom hare.report import figures\n"
    "stage.table('sums', pd.DataFrame({'a': [1]}))\n"
    "for kind in ('svg', 'pdf'):\n    (stage.results / f'sums.{kind}').write_text('<svg/>')\n"
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARE_WORK", str(root / "work"))
        patch.setenv("HARE_RESULTS", str(root / "results"))
        assert reproduce(PROFILE, chain=toy_chain(root / "notebooks", {"synthesis": DRAW}, length=2)) == 2
    yield root


@pytest.fixture
def copied(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ToyStep, ...]:
    root = tmp_path / "copy"
    shutil.copytree(finished, root)
    monkeypatch.setenv("HARE_WORK", str(root / "work"))
    monkeypatch.setenv("HARE_RESULTS", str(root / "results"))
    return (toy_step("01_count", "corpus", (), root / "notebooks"),
            toy_step("02_double", "synthesis", ("corpus",), root / "notebooks"))


def _place(name: str) -> Path:
    workspace = Workspace(PROFILE.name)
    root, rest = name.split("/", 1)
    return (workspace.work if root == "work" else workspace.results) / rest


@EVERY_DAMAGE
@pytest.mark.parametrize("name", [
    "work/steps/02.json", "work/synthesis/manifest.json", "work/synthesis/number.txt", "results/synthesis/metrics.json",
    "results/synthesis/sums.csv", "results/notebooks/02_double.ipynb",
])
def test_what_is_damaged_is_not_called_done(
    copied: tuple[ToyStep, ...], name: str, harm: Callable[[Path], None]
) -> None:
    harm(_place(name))
    lines = status(PROFILE, copied)
    assert "done" in lines[1] and "done" not in lines[2]


@EVERY_DAMAGE
def test_a_damaged_picture_is_named_with_the_command_that_draws_it(
    copied: tuple[ToyStep, ...], harm: Callable[[Path], None]
) -> None:
    harm(_place("results/synthesis/sums.svg"))
    line = status(PROFILE, copied)[2]
    assert f"results/synthesis/sums.svg is gone or was changed: hare figures {PROFILE.option}" in line
    assert "done" in line


@EVERY_DAMAGE
@pytest.mark.parametrize("name", ["work/steps/02.json", "work/synthesis/manifest.json", "work/synthesis/seals.json"])
def test_a_rerun_makes_it_good(copied: tuple[ToyStep, ...], name: str, harm: Callable[[Path], None]) -> None:
    harm(_place(name))
    reproduce(PROFILE, chain=copied)
    assert read_state(copied[1], Workspace(PROFILE.name)) is not None
    assert all("done" in line for line in status(PROFILE, copied)[1:])


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARE_RESULTS", str(tmp_path))
    return tmp_path / "smoke"


# a record that is gone is left out and said; a flipped digit still reads as JSON, and the driver sees it
@pytest.mark.parametrize("harm", [DAMAGES[name] for name in DAMAGES if name not in ("gone", "a flipped bit")])
@pytest.mark.parametrize("stage", ["training", "bench"])
def test_figures_name_a_damaged_record(results: Path, stage: str, harm: Callable[[Path], None]) -> None:
    record(results, recorded_metrics() | {"bench": {"reproduce_wall_seconds": 3.0}})
    harm(results / stage / "metrics.json")
    command = "hare bench --profile smoke" if stage == "bench" else "hare reproduce --profile smoke --from 05"
    with pytest.raises(HareError, match=rf"{stage}/metrics.json (?s:.)*{command}"):
        build(load_profile("smoke"))


@pytest.mark.parametrize("harm", [DAMAGES["empty"], DAMAGES["no UTF-8"], DAMAGES["a folder"]])
@pytest.mark.parametrize("kind", ["csv", "json"])
def test_figures_name_a_damaged_table(results: Path, kind: str, harm: Callable[[Path], None]) -> None:
    record(results, recorded_metrics())
    (results / "tokens").mkdir()
    (results / "tokens" / "epochs.csv").write_text("arm,file,tokens_read,tokens_in_file,epochs\nd1,d1,3,3,1\n")
    digest = sha256_of(results / "tokens" / "epochs.csv")
    write_json(results / "tokens" / "epochs.json", sealed({"data_sha256": digest}))
    harm(results / "tokens" / f"epochs.{kind}")
    with pytest.raises(HareError, match=rf"epochs\.{kind} (?s:.)*hare reproduce --profile smoke --from 04"):
        build(load_profile("smoke"))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"metrics": {}}', "[" * 100_000])
def test_a_record_is_two_maps(tmp_path: Path, text: str) -> None:
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(HareError, match=r"metrics\.json (?s:.)*Fix: restore it"):
        read_record(tmp_path / "metrics.json")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(HareError, match="a.json is damaged: .*No such file"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("sign", [*"#?*[]", "::", "\udcff"])
def test_folders_with_signs_of_patterns_are_refused(sign: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARE_CACHE", f"/tmp/a{sign}b")
    with pytest.raises(HareError, match="set HARE_CACHE to a folder"):
        cache_folder()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1:strict"])
def test_a_terminal_that_cannot_show_a_sign_is_no_fault(roots: Path, encoding: str) -> None:
    command = [sys.executable, "-m", "hare.cli", "status", "--profile", "smoke"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "HARE_WORK": str(roots / "日本\u2028")}
    (roots / "日本\u2028" / "smoke" / "failed").mkdir(parents=True)
    (roots / "日本\u2028" / "smoke" / "failed" / "01_analyse_corpus.ipynb").write_text("{}")
    ran = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert ran.returncode == 0 and b"Traceback" not in ran.stderr and rb"\u65e5" in ran.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_while_modules_load_is_one_message(tmp_path: Path, number: int) -> None:
    """A module that is slow to load stands in for a slow disk."""
    (tmp_path / "yaml.py").write_text("import os, time\nos.write(1, b'loading')\ntime.sleep(60)\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{REPOSITORY}"}
    command = [sys.executable, "-m", "hare.cli", "status"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # whoever runs the tests may have it ignored
    ) as process:
        assert process.stdout is not None and process.stdout.read(7) == b"loading"
        process.send_signal(number)
        _, error = process.communicate()
    assert process.returncode == INTERRUPTED
    assert error.decode() == "hare: interrupted; the same command continues where it stopped\n"


def test_an_ignored_interruption_stays_ignored(roots: Path) -> None:
    command = f"trap '' INT; {sys.executable} -m hare.cli status --profile smoke & sleep 0.2; kill -INT $!; wait $!"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert ran.returncode == 0 and ran.stdout.startswith("profile smoke")


@pytest.mark.parametrize("command", [["status"], ["reproduce"], ["figures"], ["doctor"], ["train", "--plan"]])
@pytest.mark.parametrize("variable", ["HARE_WORK", "HARE_RESULTS"])
def test_a_file_where_a_folder_is_wanted_is_named(
    command: list[str], variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HARE_WORK", str(tmp_path / "work"))
    monkeypatch.setenv("HARE_RESULTS", str(tmp_path / "results"))
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        monkeypatch.setenv(variable, str(place))
        code = main([command[0], "--profile", "smoke", *command[1:]])
        error = capsys.readouterr().err
        assert code in (0, 1) or (code == 2 and error.startswith("hare: ") and "Fix: " in error)


@pytest.mark.parametrize("arguments", [["--port", "99999", "--plan"], ["--port", "0", "--plan"], ["--port", "-1"]])
def test_a_port_that_is_none_is_refused(arguments: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["train", *arguments])
    assert stopped.value.code == 2 and "from 1 to 65535" in capsys.readouterr().err


def test_a_port_without_a_plan_is_refused(capsys: pytest.CaptureFixture) -> None:
    assert main(["train", "--port", "29500"]) == 2 and "--plan" in capsys.readouterr().err


def test_a_closed_pipe_ends_a_command_quietly(roots: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    ran = subprocess.run([sys.executable, "-m", "hare.cli", "status", "--profile", "smoke"], stdout=write,
                         stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_work_goes_on_when_nobody_reads_its_messages() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream:
        output = Output(stream)
        for _ in range(2):
            print("a message", file=output, flush=True)
        assert output.encoding == stream.encoding


def test_a_full_device_is_named(roots: Path) -> None:
    command = f"{sys.executable} -m hare.cli status --profile smoke >/dev/full"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert ran.returncode == 2 and "No space left" in ran.stderr and "Fix: " in ran.stderr
    assert "ignored" not in ran.stderr


def test_chat_refuses_weights_that_are_not_what_the_notebook_wrote(roots: Path) -> None:
    profile = load_profile("smoke")
    workspace = Workspace(profile.name)
    weights = workspace.work / "finetuning" / "chat" / "model.safetensors"
    with pytest.raises(HareError, match="chat is missing(?s:.)*hare reproduce --profile smoke --only 08"):
        load(profile, "chat")
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    write_manifest(workspace, "finetuning", {"chat": weights.parent})
    _flip(weights)
    with pytest.raises(HareError, match="chat differs from what 08_finetune_models wrote"):
        load(profile, "chat")


def test_the_advice_for_a_profile_given_by_path_names_its_path(tmp_path: Path) -> None:
    source = tmp_path / "my own.yaml"
    source.write_text("{}")
    results = tmp_path / "my own" / "tokens"
    results.mkdir(parents=True)
    (results / "metrics.json").write_text("{")
    (results.parent / "profile.json").write_text(json.dumps({"source": str(source)}))
    with pytest.raises(HareError, match=f"--profile '{source}' --from 04"):
        read_record(results / "metrics.json")
    source.unlink()
    with pytest.raises(HareError, match="--profile '…/my own.yaml' --from 04"):
        read_record(results / "metrics.json")


@pytest.mark.parametrize(("closed", "code"), [(">&-", 0), ("2>&-", 0), ("<&-", 0)])
def test_a_closed_stream_is_no_fault(closed: str, code: int) -> None:
    command = f"{sys.executable} -m hare.cli --help {closed}"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert ran.returncode == code and "Traceback" not in ran.stderr


@pytest.mark.parametrize("number", ["", "-1", "x", "٣", "010"])
def test_a_notebook_that_is_none_is_refused(roots: Path, number: str) -> None:
    with pytest.raises(HareError, match="No notebook is numbered(?s:.)*01, 02"):
        reproduce(PROFILE, Choice(only=number), toy_chain(roots / "notebooks", length=2))


@pytest.mark.parametrize("variable", ["HARE_WORK", "HARE_RESULTS"])
def test_a_folder_that_can_be_none_is_named_with_a_fix_that_works(
    roots: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    (roots / "loop").symlink_to(roots / "loop")
    chain = toy_chain(roots / "notebooks", length=1)
    for place, fix in (("/dev/null", "not a folder"), (str(roots / "loop"), "link|File exists"),
                       (str(roots / ("x" * 300)), "too long")):
        with monkeypatch.context() as patch:
            patch.setenv(variable, place)
            with pytest.raises((HareError, OSError)) as caught:
                reproduce(PROFILE, Choice(only="01"), chain)
            assert caught.match(fix)
    monkeypatch.setenv(variable, str(roots / "another"))
    assert reproduce(PROFILE, Choice(only="01"), chain) == 1


def test_a_run_in_a_folder_of_an_odd_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "a b'ü語\"\n$HOME;`x`%s{0}&-"
    for variable in ("HARE_WORK", "HARE_RESULTS"):
        monkeypatch.setenv(variable, str(root / variable))
    chain = toy_chain(root / "notebooks", {"synthesis": DRAW}, length=2)
    assert reproduce(PROFILE, chain=chain) == 2 and reproduce(PROFILE, chain=chain) == 0
    assert all("done" in line for line in status(PROFILE, chain)[1:3])


@pytest.mark.parametrize(("variable", "place"), [
    ("HARE_WORK", "results"), ("HARE_WORK", "results/toy"), ("HARE_RESULTS", "work/toy"),
    ("HARE_CACHE", "work/toy/corpus"), ("HARE_CACHE", "link/corpus"),
])
def test_a_folder_in_another_is_refused(
    roots: Path, monkeypatch: pytest.MonkeyPatch, variable: str, place: str
) -> None:
    (roots / "link").symlink_to(roots / "work" / "toy")
    chain = toy_chain(roots / "notebooks", length=1)
    monkeypatch.setenv(variable, str(roots / place))
    with pytest.raises(HareError, match=rf"lies in(?s:.)*set {variable} to a folder of its own"):
        reproduce(PROFILE, chain=chain)
    monkeypatch.setenv(variable, str(roots / "of its own"))
    assert reproduce(PROFILE, chain=chain) == 1


def test_too_few_open_files_are_named_at_once(roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda which: (64, 64))
    with pytest.raises(HareError, match="64 open files(?s:.)*ulimit -n 1024"):
        reproduce(PROFILE, chain=toy_chain(roots / "notebooks", length=1))


def test_a_folder_of_own_data_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARE_EXTRA_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(HareError, match="nowhere is not a folder(?s:.)*HARE_EXTRA_DATA"):
        extra_file("rows.jsonl")

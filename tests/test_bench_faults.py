"""A sample of the fault campaign, on a chain of toy notebooks; the whole of it is `hare bench faults`."""

import json
import shutil
from pathlib import Path

import pytest
from toychain import PROFILE, toy_chain

from hare.bench.fault.checking import cost_of_checking
from hare.bench.fault.files import DAMAGES, damaged, files_under, noticed, of_the_cache, rerun, single, together
from hare.bench.fault.ground import Fault, Ground
from hare.bench.fault.kills import killed
from hare.bench.fault.readers import of_no_step, pictures
from hare.bench.fault.values import outcome_of, wrong_values
from hare.bench.faults import OUTCOMES, counts
from hare.core.paths import Workspace
from hare.core.profile import load_profile
from hare.core.reading import read_record
from hare.core.seals import kept_file
from hare.data.append_log import AppendLog
from hare.driver.reproduce import reproduce

BAD = OUTCOMES[2:]
USES_A_FILE = """
kept = stage.work / "kept.txt"
if not kept.exists():
    kept.write_text("1")
total += int(kept.read_text() or 5) - 1
"""


def _ground(roots: Path, extra: dict[str, str], length: int) -> Ground:
    chain = toy_chain(roots / "notebooks", extra, length)
    reproduce(PROFILE, chain=chain)
    workspace = Workspace(PROFILE.name)
    for name, folder in (("work", workspace.work), ("results", workspace.results)):
        shutil.copytree(folder, roots / "pristine" / name)
    return Ground(PROFILE, chain, roots / "pristine", AppendLog(roots / "faults.jsonl"))


def test_every_file_of_a_run_is_noticed_or_made_again(roots: Path) -> None:
    ground = _ground(roots, {}, 2)
    faults = noticed(ground)
    assert len(faults) > 30 and not [fault for fault in faults if fault.outcome in BAD]
    (ground.workspace.work / "corpus" / "note.txt").write_text("read by nobody")
    shutil.copy(ground.workspace.work / "corpus" / "note.txt", ground.pristine / "work" / "corpus")
    faults = together(ground, ground.chain[0])
    assert {fault.outcome for fault in faults} == {"survived"}
    messages = {fault.name.rsplit("/", 1)[-1]: fault.message for fault in faults}
    assert messages["note.txt"] == "nothing reads it" and messages["number.txt"] == "made again, byte for byte"
    assert {fault.outcome for fault in single(ground, ground.chain[0], 0)} == {"survived"}


DRAWS = """
for kind in ("svg", "pdf"):
    (stage.results / f"sums.{kind}").write_text("a picture")
"""


def test_pictures_are_drawn_again_and_what_no_step_owns_is_named_or_read_by_nothing(roots: Path) -> None:
    ground = _ground(roots, {"corpus": DRAWS}, 1)
    costs = ground.workspace.results / "bench" / "metrics.json"
    folder = ground.workspace.results / "corpus"

    def draw() -> None:
        for kind in ("svg", "pdf"):
            (folder / f"sums.{kind}").write_text("a picture")

    assert [fault.outcome for fault in pictures(ground, draw)] == ["named"] * 6
    assert {fault.outcome for fault in pictures(ground, lambda: None)} == {"dead_end"}
    faults = of_no_step(ground, lambda: read_record(costs))
    outcomes = {fault.name.rsplit("/", 1)[-1]: (fault.outcome, fault.message) for fault in faults}
    assert outcomes["metrics.json"][0] == "named" and "hare bench" in outcomes["metrics.json"][1]
    assert outcomes["stages.csv"] == ("survived", "nothing reads it")
    assert "traceback" in {fault.outcome for fault in of_no_step(ground, lambda: json.loads(costs.read_text()))}


def test_the_campaign_would_see_a_silent_fault_and_a_traceback(roots: Path) -> None:
    ground = _ground(roots, {"corpus": USES_A_FILE}, 1)
    file = ground.workspace.work / "corpus" / "kept.txt"
    assert rerun(ground, ground.chain[0], {file: "empty"})[0].outcome == "silent"
    assert file.read_text() == "1", "all is restored"
    file.write_text("one")
    assert rerun(ground, ground.chain[0], {file: "flip"})[0].outcome == "traceback"


def test_a_kill_is_survived_and_counted_once(roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ground = _ground(roots, {}, 1)
    driver = "import sys; sys.path.insert(0, {!r}); from toychain import *; from hare.driver.reproduce import *; "
    driver += "reproduce(PROFILE, Choice(force=True), toy_chain(Path({!r}), length=1))"
    program = driver.format(str(Path(__file__).parent), str(roots / "notebooks"))
    monkeypatch.setattr("hare.bench.fault.kills._command", lambda ground, step: ["-c", program])
    fault = killed(ground, 3)
    assert fault.outcome == "survived" and "01_count" in fault.message
    assert ground.once("kill 3", lambda: [fault]) == [fault]
    ground.log.close()
    again = Ground(PROFILE, ground.chain, ground.pristine, AppendLog(roots / "faults.jsonl"))
    assert again.once("kill 3", lambda: pytest.fail("it is in the log")) == [fault]


def test_checking_costs_little_of_a_run(roots: Path) -> None:
    chain = toy_chain(roots / "notebooks", length=1)
    assert cost_of_checking(PROFILE, chain) == {}


def test_what_lies_in_the_cache_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARE_CACHE", str(tmp_path / "cache"))
    kept_file(tmp_path / "cache" / "members" / "a.txt", lambda path: path.write_text("some content") and None)
    with AppendLog(tmp_path / "cache" / "generations" / "b.jsonl") as log:
        log.append({"key": "a"}, {"key": "b"})
    rows = kept_file(tmp_path / "cache" / "benchmarks" / "c.jsonl", lambda path: path.write_text('{"a": 1}\n') and None)
    faults = of_the_cache()
    assert rows.read_text() == '{"a": 1}\n', "rows that are no log stay as they are"
    assert len(faults) == 15 and {fault.outcome for fault in faults} == {"survived"}
    (tmp_path / "cache" / "unsealed").write_text("x")
    assert [fault.outcome for fault in of_the_cache()].count("silent") == 3


def test_a_sample_of_values_beyond_every_bound_is_refused() -> None:
    profile = load_profile("smoke")
    faults = list(wrong_values(profile))
    assert len(faults) > 700 and {section for section, _, _ in faults} >= {"corpus", "training", "deployment"}
    for section, field, value in faults[::29]:
        assert outcome_of(profile, section, field, value) == "named", (section, field, value)
    assert outcome_of(profile, "training", "train_steps", 7) == "silent", "a value that is right is no fault"


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_undone(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    with damaged(path, damage):
        assert path.read_bytes() != b"content"
        path.unlink()
    assert path.read_bytes() == b"content" and files_under(tmp_path) == [path]


def test_faults_are_counted_by_outcome() -> None:
    faults = [Fault("a", "survived"), Fault("b", "silent"), Fault("c", "survived", "x\ny")]
    assert counts(faults) == {
        "faults.total": 3, "faults.survived": 2, "faults.named": 0, "faults.silent": 1, "faults.traceback": 0,
        "faults.dead_end": 0, "faults.lost": 0,
    }
    assert faults[2].row()["message"] == "x y"

"""A sample of the fault campaign, on a chain of toy notebooks; the whole of it is `hare bench faults`."""

import shutil
from pathlib import Path

import pytest
from toychain import PROFILE, toy_chain

from hare.bench import fault_files
from hare.bench.fault_files import DAMAGES, Fault, by_rerun, damaged, files_under, of_the_cache, seen_at_once
from hare.bench.fault_values import outcome_of, wrong_values
from hare.bench.faults import OUTCOMES, counts
from hare.core.paths import Workspace
from hare.core.profile import load_profile
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


def test_every_file_of_a_run_is_noticed_or_not_needed(roots: Path) -> None:
    chain = toy_chain(roots / "notebooks", length=2)
    reproduce(PROFILE, chain=chain)
    record = Path(shutil.copytree(Workspace(PROFILE.name).results, roots / "record"))
    faults, unseen = seen_at_once(PROFILE, chain)
    assert len(faults) > 30 and not [fault for fault in faults if fault.outcome in BAD]
    assert not [path for paths in unseen.values() for path in paths if path.is_relative_to(record.parent / "results")]
    some = dict(list(unseen.items())[:1])
    assert not [fault for fault in by_rerun(PROFILE, chain, some, record) if fault.outcome in BAD]


def test_the_campaign_would_see_a_silent_fault_and_a_traceback(roots: Path) -> None:
    chain = toy_chain(roots / "notebooks", {"corpus": USES_A_FILE}, length=1)
    reproduce(PROFILE, chain=chain)
    workspace = Workspace(PROFILE.name)
    record = Path(shutil.copytree(workspace.results, roots / "record"))
    kept = workspace.work / "corpus" / "kept.txt"
    for damage in ("flip", "empty"):
        assert by_rerun(PROFILE, chain, {("corpus", damage): [kept]}, record)[0].outcome == "silent"
    kept.write_text("one")
    assert by_rerun(PROFILE, chain, {("corpus", "flip"): [kept]}, record)[0].outcome == "traceback"


def test_what_lies_in_the_cache_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARE_CACHE", str(tmp_path / "cache"))
    kept_file(tmp_path / "cache" / "members" / "a.txt", lambda path: path.write_text("some content") and None)
    with AppendLog(tmp_path / "cache" / "generations" / "b.jsonl") as log:
        log.append({"key": "a"}, {"key": "b"})
    faults = of_the_cache()
    assert len(faults) == 9 and {fault.outcome for fault in faults} == {"survived"}
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
    assert fault_files.as_row(faults[2])["said"] == "x y"

"""The driver's watch: the peak of a process tree's memory, found without spending on it what the tree needs."""

import io
import subprocess
import sys
import types

import pytest

from hare.driver import watch as module
from hare.driver.watch import Cursor, Watch

_MB = 1_000_000


def _watch(tmp_path):
    return Watch("[1/1] notebook", Cursor(1), tmp_path / "progress.json", io.StringIO())


class _Process:
    """A process of a given memory that counts how often it was looked at exactly."""

    def __init__(self, resident_mb, share_mb):
        self.resident_mb, self.share_mb, self.looks = resident_mb, share_mb, 0

    def memory_info(self):
        return types.SimpleNamespace(rss=self.resident_mb * _MB)

    def memory_full_info(self):
        self.looks += 1
        return types.SimpleNamespace(rss=self.resident_mb * _MB, pss=self.share_mb * _MB)


@pytest.fixture
def clock(monkeypatch):
    clock = types.SimpleNamespace(now=100.0)
    monkeypatch.setattr(module, "time", types.SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_the_exact_look_follows_growth_and_else_every_15_seconds(tmp_path, monkeypatch, clock):
    first, second = _Process(1000, 800), _Process(500, 300)
    monkeypatch.setattr(module, "_tree", lambda: [first, second])
    watch = _watch(tmp_path)
    watch.sample()
    assert (watch.peak_mb, first.looks) == (1100, 1)
    for _ in range(14):
        clock.now += 1
        watch.sample()
    assert first.looks == second.looks == 1
    second.resident_mb, second.share_mb = 520, 330  # more than 1 % of 1,500 MB
    watch.sample()
    assert (watch.peak_mb, second.looks) == (1130, 2)
    second.share_mb = 400  # a shared page is written to: nothing grows, and the look by the clock sees it
    clock.now += 14
    watch.sample()
    assert (watch.peak_mb, second.looks) == (1130, 2)
    clock.now += 1
    watch.sample()
    assert (watch.peak_mb, second.looks) == (1200, 3)


def test_a_smaller_tree_that_grows_again_makes_no_new_peak(tmp_path, monkeypatch, clock):
    process = _Process(1000, 1000)
    monkeypatch.setattr(module, "_tree", lambda: [process])
    watch = _watch(tmp_path)
    for size in (1000, 200, 600, 990):
        process.resident_mb = process.share_mb = size
        watch.sample()
    assert (watch.peak_mb, process.looks) == (1000, 1)


# What follows measures a whole process tree, so it needs one of its own: in the tests' process, memory that an earlier
# test has freed is taken again without growth, and what an earlier test has started may end between two looks.
_BEGIN = """
import io, multiprocessing, pathlib
from hare.driver.watch import Cursor, Watch
def new():
    watch = Watch("[1/1] notebook", Cursor(1), pathlib.Path("progress.json"), io.StringIO())
    watch.sample()
    return watch
"""
_TAKE = """
watch = new()
peaks = [watch.peak_mb]
block = b"1" * 300_000_000
watch.sample()
peaks.append(watch.peak_mb)
del block
watch.sample()
print(*peaks, watch.peak_mb)
"""
_SHARE = """
block = b"1" * 300_000_000
alone = new()
fork = multiprocessing.get_context("fork")
begun, done = fork.Event(), fork.Event()
child = fork.Process(target=lambda: (begun.set(), done.wait(60), len(block)))
child.start()
assert begun.wait(60)
both = new()
done.set()
child.join(60)
print(both.peak_mb - alone.peak_mb, both._resident_mb - alone._resident_mb)
"""


def _numbers(script, folder):
    """What a script prints in an interpreter of its own."""
    done = subprocess.run([sys.executable, "-c", _BEGIN + script], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [float(word) for word in done.stdout.split()]


def test_memory_that_is_really_taken_is_seen_at_the_next_sample(tmp_path):
    before, taken, returned = _numbers(_TAKE, tmp_path)
    assert 295 < taken - before < 330
    assert returned == taken


@pytest.mark.skipif(sys.platform != "linux", reason="shared pages are told apart on Linux only")
def test_what_a_forked_process_shares_is_counted_once(tmp_path):
    peak_grew, resident_grew = _numbers(_SHARE, tmp_path)
    assert peak_grew < 100
    assert resident_grew > 300

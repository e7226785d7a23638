"""The driver's watch: the peak of a process tree's memory, found without spending on it what the tree needs."""

import io
import multiprocessing
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


def test_memory_that_is_really_taken_is_seen_at_the_next_sample(tmp_path):
    watch = _watch(tmp_path)
    watch.sample()
    before = watch.peak_mb
    block = b"\1" * (300 * _MB)
    watch.sample()
    assert 295 < watch.peak_mb - before < 330, len(block)
    peak = watch.peak_mb
    del block
    watch.sample()
    assert watch.peak_mb == peak


def _wait(begun, done, block):
    begun.set()
    done.wait(60)
    return len(block)


@pytest.mark.skipif(sys.platform != "linux", reason="shared pages are told apart on Linux only")
def test_what_a_forked_process_shares_is_counted_once(tmp_path):
    fork = multiprocessing.get_context("fork")
    block = b"\1" * (300 * _MB)
    alone = _watch(tmp_path)
    alone.sample()
    begun, done = fork.Event(), fork.Event()
    child = fork.Process(target=_wait, args=(begun, done, block))
    child.start()
    try:
        assert begun.wait(60)
        both = _watch(tmp_path)
        both.sample()
    finally:
        done.set()
        child.join(60)
    assert both.peak_mb - alone.peak_mb < 100
    assert both._resident_mb - alone._resident_mb > 300

"""Every notebook, run by papermill at the scale `smoke`, and then not run again."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hare.core.chain import CHAIN

# Names that anyone may compare runs by; a trailing dot means "at least one that starts so".
METRICS = {
    "corpus": ["raw_mb", "kept_mb", "sources", "categories", "documents_in", "documents_out", "documents_removed"],
    "synthesis": ["d2.accepted_tokens", "d2.yield", "d3.items", "d3.item_kinds"],
    "decontamination": ["planted.", "clean.false_positive_rate", "removed."],
    "training": ["arms", "seeds_per_arm", "tokens_per_run", "transfer.p.a", "transfer.h3.c.low",
                 "contrast.c-a2.p", "contrast.d-a.p.high", "mde.p", "baseline_bpb.bigram"],
    "evaluation": ["arc_challenge.a.acc", "arc_challenge.a.bpb", "arc_challenge.a.items"],
    "leakage": ["delta.", "auc.", "power.", "gain.bpb.", "planted.items"],
    "finetuning": ["tool.test.hare-tool.accuracy", "tool.test.retrieval.accuracy",
                   "tool.test.retrieval-examples.accuracy", "chat.arc_challenge.after"],
    "deployment": ["fp32.heldout_bpb", "int8.decode_tokens_per_s", "int4.size_mb", "int4.tool_accuracy"],
    "bench": ["reproduce_wall_seconds", "reproduce_peak_rss_mb"],
}
SECONDS_TO_DO_NOTHING = 30


def _reproduce(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HARE_WORK": str(root / "work"), "HARE_RESULTS": str(root / "results")}
    environment.pop("HARE_EXTRA_DATA", None)
    command = [sys.executable, "-m", "hare.cli", "reproduce", "--profile", "smoke", *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.timeout(1200)
def test_the_whole_study_runs_at_smoke_scale_and_then_does_nothing(tmp_path: Path) -> None:
    first = _reproduce(tmp_path)
    assert first.returncode == 0, first.stderr[-3000:]
    study = [step for step in CHAIN if not step.on_request]
    assert first.stderr.count(" · done in ") == len(study)
    beyond = _reproduce(tmp_path, "--from", next(step.number for step in CHAIN if step.on_request))
    assert beyond.returncode == 0, beyond.stderr[-3000:]
    results = tmp_path / "results" / "smoke"
    for stage, names in METRICS.items():
        metrics = json.loads((results / stage / "metrics.json").read_text())["metrics"]
        for name in names:
            present = any(known.startswith(name) for known in metrics) if name.endswith((".", "_")) else name in metrics
            assert present, f"{stage} lacks the metric {name}; it has {sorted(metrics)}"
    for step in CHAIN:
        page = (results / "notebooks" / f"{step.notebook}.ipynb").read_text()
        assert str(tmp_path) not in page and f"{Path.home()}/" not in page

    started = time.monotonic()
    second = _reproduce(tmp_path)
    assert second.returncode == 0 and "Nothing to do" in second.stdout
    assert second.stderr.count("unchanged, not run again") == len(study)
    assert time.monotonic() - started < SECONDS_TO_DO_NOTHING

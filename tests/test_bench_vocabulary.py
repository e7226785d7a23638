"""The figure and the numbers of what a vocabulary costs, on made-up measures."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from hare.bench import vocabulary
from hare.core.errors import HareError
from hare.core.files import write_json, write_jsonl
from hare.core.profile import load_profile
from hare.report.bench_figures import draw_vocabulary

PIECES = {f"own-{size}": size for size in (512, 2048, 4096, 8192, 16384)} | {"mistral-32k": 32000}


def measured(profile: object, documents: Path, name: str, seconds: float = 1.0) -> dict[str, float | str]:
    pieces = PIECES[name]
    return {"vocabulary": name, "pieces": pieces, "steps": 10, "tokens_per_s": 1e7 / pieces, "bytes_per_token": 3.0,
            "bytes_per_s": 3e7 / pieces, "bpb": 2 + pieces / 32000}


def test_every_vocabulary_is_measured_and_set_against_the_papers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARE_WORK", str(tmp_path / "work"))
    monkeypatch.setenv("HARE_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr(vocabulary, "_measured", measured)
    monkeypatch.setattr(vocabulary, "_seconds_per_step", lambda profile, names: dict.fromkeys(names, 1.0))
    with pytest.raises(HareError, match="holds no text"):
        vocabulary.bench(load_profile("smoke"))
    write_json(tmp_path / "work" / "smoke" / "decontamination" / "manifest.json", {})
    metrics = vocabulary.bench(load_profile("smoke"))
    assert metrics["bytes_per_s_vs_32k"] == pytest.approx(32000 / 512)
    assert metrics["vocabulary.own-4096.bpb"] == pytest.approx(2.128)
    assert (tmp_path / "results" / "smoke" / "bench" / "vocabulary.svg").exists()


def test_a_sample_of_the_text_is_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"id": f"one/{number}", "text": "a few words " * 10, "metadata": {}} for number in range(400)]
    write_jsonl(tmp_path / "0.jsonl", rows)
    monkeypatch.setattr(vocabulary, "_CHARACTERS", 12_000)
    sample = [row for row in rows if vocabulary._some(tmp_path)(row)]
    assert 60 < len(sample) < 140


def test_the_figure_says_what_the_papers_vocabulary_costs() -> None:
    frame = pd.DataFrame([measured(None, Path(), name) for name in vocabulary.VOCABULARIES])
    assert "2,048 pieces end 0.94 bits per byte below 32,000" in draw_vocabulary(frame).get_suptitle()
    plt.close("all")

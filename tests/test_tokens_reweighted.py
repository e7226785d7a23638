"""D1 with the mix of categories of another part."""

from pathlib import Path

import pytest

from hare.core.errors import HareError
from hare.core.files import write_jsonl
from hare.tokens.packing import everything
from hare.tokens.reweighted import Reweighted


def folder(path: Path, counts: dict[str, int]) -> Path:
    rows = [{"text": "x" * 100, "id": f"{category}/{n}", "metadata": {"category": category}}
            for category, count in counts.items() for n in range(count)]
    write_jsonl(path / "00000.jsonl", rows)
    return path


def test_what_is_left_has_the_wanted_mix(tmp_path: Path) -> None:
    documents = folder(tmp_path / "d1", {"law": 1000, "web": 3000, "code": 2000, "forum": 500})
    like = folder(tmp_path / "d3", {"law": 60, "web": 30, "code": 10, "poetry": 7})
    reweighted = Reweighted.to(documents, like, everything)
    counts = {
        category: sum(reweighted.keeps({"id": f"{category}/{n}", "metadata": {"category": category}})
                      for n in range(count))
        for category, count in {"law": 1000, "web": 3000, "code": 2000}.items()
    }
    assert counts["law"] == 1000, "the scarcest is kept whole"
    total = sum(counts.values())
    for category, share in {"law": 0.6, "web": 0.3, "code": 0.1}.items():
        assert counts[category] / total == pytest.approx(share, abs=0.03)
    assert not reweighted.keeps({"id": "forum/1", "metadata": {"category": "forum"}})


def test_documents_that_are_not_read_do_not_count(tmp_path: Path) -> None:
    documents, like = folder(tmp_path / "d1", {"law": 10, "web": 10}), folder(tmp_path / "d3", {"law": 10, "web": 10})
    only_law = Reweighted.to(documents, like, lambda row: row["metadata"]["category"] == "law")
    assert set(only_law.rates) == {"law"}
    with pytest.raises(HareError, match="no category in common"):
        Reweighted.to(documents, folder(tmp_path / "other", {"poetry": 3}), everything)

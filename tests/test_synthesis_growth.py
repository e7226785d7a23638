"""`hare publish`: a set begins, grows from what is published, survives kills and damage, and is pinned."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from hare.core.errors import HareError
from hare.core.paths import Workspace, cache_folder
from hare.core.profile import load_profile
from hare.data.shards import write_documents
from hare.driver.state import publishing_path
from hare.driver.status import status
from hare.synthesis import growth, published, publishing, rounds, topics
from hare.synthesis.engines import embedded
from hare.synthesis.engines.generator import Generation

_NOUNS = [
    "harbour", "lantern", "orchard", "meadow", "windmill", "chapel", "quarry", "cellar", "market", "garden", "bridge",
    "furnace", "stable", "tavern", "granary", "beacon", "tannery", "foundry", "mansion", "library", "fountain",
    "cottage", "vineyard", "pasture", "canal", "brewery", "castle", "monastery", "lighthouse", "bakery",
]
_VERBS = ["carried", "gathered", "repaired", "painted", "measured", "visited", "planted", "guarded", "lifted", "traded"]
_ADJECTIVES = ["narrow", "ancient", "wooden", "quiet", "crowded", "golden", "distant", "muddy", "famous", "frozen"]
_FILLERS = ["there", "here", "thus", "indeed", "then", "so"]
_TOY = {"synthesis": {"published": "", "topics": 3, "passages_per_category": 40, "d3_items": 12,
                      "generation_batch": 4, "d2_max_new_tokens": 100}}
_SCRIPT = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_synthesis_growth import at_toy_size, grown, scripted
from hare.synthesis.engines import embedded
at_toy_size(Path(sys.argv[2]), setattr)
def slowly(requests, decoding, progress=None):
    time.sleep(0.2)
    return scripted(requests, decoding, progress)
embedded.answer_together = slowly
grown(Path(sys.argv[2]), int(sys.argv[3]))
"""


def sentence(draw: random.Random) -> str:
    one, two, three, four = draw.sample(_NOUNS, 4)
    first, second = draw.sample(_VERBS, 2)
    adjective, other = draw.sample(_ADJECTIVES, 2)
    return (f"The {adjective} {one} near the {two} was {first} by the people who {second} the {other} {three} "
            f"beside the {four}.")


def document(source: str, category: str, number: int) -> dict:
    draw = random.Random(f"{source}/{number}")
    text = " ".join(sentence(draw) for _ in range(4))
    return {"text": text, "id": f"{source}/{number}", "metadata": {"source": source, "category": category}}


def scripted(requests, decoding, progress=None):
    """Two or three sentences of the request with words put in: near enough to its passage for a gate, and no copy."""
    answers = []
    for request in requests:
        draw = random.Random(request.seed)
        parts = re.findall(r"The [^.]*\.", request.messages[-1]["content"])[: draw.choice((2, 3))]
        words = [f"{word} {draw.choice(_FILLERS)}" if draw.random() < 0.4 else word for word in " ".join(parts).split()]
        answers.append(Generation(re.sub(r"\. \w+(?= The|$)", ".", " ".join(words)), 30, "stop"))
    return answers


def at_toy_size(folder, put) -> None:
    """Published sets go to ``folder``; a round takes a dozen passages, and topics are those of plain word counts."""
    put(topics, "embed", lambda texts: np.array([[t.count(noun) for noun in _NOUNS] for t in texts], np.float32))
    put(published, "PINS", folder / "published.yaml")
    put(published, "folder_of", lambda name: folder / "results" / name / "synthesis")
    put(rounds, "STRETCH", 12)
    os.environ |= {"HARE_WORK": str(folder / "work"), "HARE_CACHE": str(folder / "cache")}


def grown(folder, wanted: int) -> str:
    return growth.grow(load_profile(str(folder / "toy.yaml")), wanted)


def prepared(folder):
    cache = cache_folder()
    (folder / "cache").mkdir(parents=True)
    for shared in ("archives", "members"):
        (folder / "cache" / shared).symlink_to(cache / shared)
    (folder / "toy.yaml").write_text(yaml.safe_dump(_TOY))
    (folder / "published.yaml").write_text("")
    documents = [document(source, category, number) for number in range(11) for source, category in (
        ("wikipedia-articles", "wikipedia"), ("tales", "books"), ("newsgroups", "forum"))]
    write_documents(folder / "work" / "toy" / "corpus" / "d1", documents)
    return folder


@pytest.fixture()
def toy(tmp_path, monkeypatch):
    folder = prepared(tmp_path / "one")
    for variable in ("HARE_WORK", "HARE_CACHE"):
        monkeypatch.setenv(variable, "")  # put back afterwards
    at_toy_size(folder, monkeypatch.setattr)
    monkeypatch.setattr(embedded, "answer_together", scripted)
    return folder


def texts(folder) -> pd.DataFrame:
    return pd.read_parquet(folder / "results" / "toy" / "synthesis" / "d2.parquet")


def everything(folder) -> str:
    with pytest.raises(HareError, match="D1 offers no more texts") as stopped:
        grown(folder, 10**9)
    return str(stopped.value)


def test_a_set_begins_is_pinned_and_grows_without_losing_a_text(toy, capsys):
    assert grown(toy, 1).startswith("D2 of toy: ")
    first = texts(toy)
    known = published.read("toy")
    assert len(known.d3) and len(known.requests) and set(first["round"]) == {1}
    files = {name: (toy / "results/toy/synthesis" / name).read_bytes() for name in published.FILES[1:]}
    everything(toy)
    known, after = published.read("toy"), texts(toy)
    assert after["id"].is_unique and after.iloc[: len(first)].equals(first) and len(after) > len(first)
    assert {name: (toy / "results/toy/synthesis" / name).read_bytes() for name in files} == files
    assert set(after["round"]) > {1, 2} and set(after["kind"]) == {"rephrasing", "summary", "textbook"}
    output = capsys.readouterr().out
    assert "33 passages: 11 may not be passed on" in output and "tokens/s" in output
    assert not after["origin"].eq("newsgroups").any() and after["licence"].ne("").all()
    at = json.loads(publishing_path(Workspace("toy")).read_text())
    assert at["tokens"] == after["tokens"].sum()
    line = [line for line in status(load_profile(str(toy / "toy.yaml"))) if "published D2" in line]
    assert "hare publish" in line[0]
    publishing_path(Workspace("toy")).write_text("{")
    assert not any("published D2" in line for line in status(load_profile(str(toy / "toy.yaml"))))


def test_texts_published_without_rounds_stay_and_are_neither_written_again_nor_repeated(toy):
    everything(toy)
    whole, known = texts(toy), published.read("toy")
    before = known.d2[known.d2["round"] == 1].drop(columns="round")
    publishing.publish("toy", published.Published(before, known.d3, known.requests), published.FILES, toy / "staged")
    everything(toy)
    again = texts(toy)
    assert again.iloc[: len(before)].drop(columns="round").equals(before.reset_index(drop=True))
    assert again["id"].is_unique and not set(again["round"][: len(before)]) - {0}
    assert set(again["id"]) == set(whole["id"])


def test_nothing_is_written_when_there_are_tokens_enough(toy, monkeypatch):
    grown(toy, 1)
    monkeypatch.setattr(embedded, "answer_together", None)
    before = texts(toy)
    grown(toy, 1)
    assert texts(toy).equals(before)


def test_a_kill_while_files_are_installed_is_put_right_by_the_next_run(toy, monkeypatch):
    grown(toy, 1)
    pinned = published.PINS.read_text()

    def killed_at_the_pins(path, text):
        if path == published.PINS:
            raise KeyboardInterrupt
        path.write_text(text)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(publishing, "write_text", killed_at_the_pins)
        grown(toy, 10**9)
    assert published.PINS.read_text() == pinned
    with pytest.raises(HareError, match="was published"):
        published.read("toy")
    leftover = toy / "results/toy/synthesis/.d2.parquet.abcdefgh"
    leftover.write_bytes(b"as a kill leaves it")
    everything(toy)
    assert published.read("toy").d2["id"].is_unique and not leftover.exists()


def test_what_was_staged_and_then_damaged_is_refused_by_name(toy):
    staged = toy / "work" / "toy" / "publishing"
    staged.mkdir()
    (staged / "pins.yaml").write_text(yaml.safe_dump({"d2.parquet": "0" * 64}))
    (staged / "d2.parquet").write_bytes(b"x")
    with pytest.raises(HareError, match="delete this folder"):
        grown(toy, 1)


def test_a_changed_published_file_stops_the_growth_and_stays_as_it_is(toy):
    grown(toy, 1)
    path = toy / "results/toy/synthesis/d2.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    damaged = path.read_bytes()
    with pytest.raises(HareError, match="d2.parquet has sha256"):
        grown(toy, 10**9)
    assert path.read_bytes() == damaged


def test_without_a_corpus_or_beside_another_run_it_says_what_to_do(toy):
    with growth.filelock.FileLock(toy / "work" / "toy" / "publishing.lock"), \
            pytest.raises(HareError, match="Another process publishes"):
        grown(toy, 1)
    (toy / "work" / "toy" / "corpus").rename(toy / "away")
    with pytest.raises(HareError, match="--only 01"):
        grown(toy, 1)


def test_a_run_killed_between_chunks_with_a_damaged_journal_ends_as_one_that_was_not(toy, tmp_path):
    everything(toy)
    broken = prepared(tmp_path / "two")
    command = [sys.executable, "-c", _SCRIPT, str(Path(__file__).parent), str(broken), "1000000000"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 300
    while len(journals := list((broken / "cache").glob("generations/*.jsonl"))) < 4:
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    for journal in journals:
        journal.write_bytes(journal.read_bytes()[:-20])
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert "D1 offers no more texts" in done.stderr, done.stderr
    for name in published.FILES:
        one, two = (folder / "results" / "toy" / "synthesis" / name for folder in (toy, broken))
        assert one.read_bytes() == two.read_bytes(), name


def test_rounds_take_the_categories_in_turn_each_passage_once_in_each_form_and_then_end(toy):
    config = load_profile(str(toy / "toy.yaml")).synthesis
    passages = rounds.seed_passages(toy / "work" / "toy" / "corpus" / "d1", 0)
    assert [passage.category for passage in passages[:4]] == ["books", "wikipedia", "books", "wikipedia"]
    assert {passage.source for passage in passages} == {"tales", "wikipedia-articles"}
    stretches = round(len(passages) / rounds.STRETCH)
    planned = [rounds.planned(passages, number, (), config) for number in range(1, 3 * stretches + 1)]
    pairs = [(seed.passage.id, form) for one in planned for seed, form in one.pairs]
    assert len(set(pairs)) == len(pairs) == 3 * len(passages) and rounds.planned(passages, 99, (), config) is None
    again = rounds.planned(passages, 1, {f"d2/{'/'.join(pairs[0])}"}, config)
    assert [(seed.passage.id, form) for seed, form in again.pairs] == pairs[1 : len(planned[0].pairs)]


def test_nothing_staged_installs_nothing(toy):
    publishing.install("toy", toy / "nowhere")
    assert published.PINS.read_text() == ""

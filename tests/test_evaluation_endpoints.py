"""Endpoint items as ids and losses, against one text at a time; n-gram tables against counts made by hand."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from test_tokens_tokenizer import sentences
from transformers import MistralConfig, MistralForCausalLM

from hare.evaluation import endpoints, ngram_tables
from hare.evaluation.endpoints import EndpointItem, encode
from hare.tokens.kept_out import KeptOut
from hare.tokens.tokenizer import Tokenizer
from hare.tokens.vocabulary import make

LENGTH = 24
ITEMS = [
    EndpointItem("p", "one", "Question: Where do hares sleep?\nAnswer:", " in a form"),
    EndpointItem("p", "one", "Question: " + "Why? " * 60 + "\nAnswer:", " because"),
    EndpointItem("h1", "books", "", "A hare met a hound. " * 20),
    EndpointItem("h3", "cloze", "Fill in.", "\n\nMissing word: stoats"),
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return make("own-400", {"d1": sentences(60)}, tmp_path_factory.mktemp("endpoints") / "tokenizer")


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> MistralForCausalLM:
    torch.manual_seed(0)
    return MistralForCausalLM(MistralConfig(
        vocab_size=tokenizer.size, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, initializer_range=0.3,
    )).eval()


def test_items_fit_and_count_the_bytes_that_are_scored(tokenizer: Tokenizer) -> None:
    short, long, text, task = encode(ITEMS, tokenizer, LENGTH)
    assert all(len(item.ids) <= LENGTH + 1 and item.ids[0] == tokenizer.begin for item in (short, long, text, task))
    assert short.bytes == len(" in a form") and long.bytes == len(" because") and long.scored == short.scored * 0 + len(
        tokenizer.encode(ITEMS[1].context + " because")) - len(tokenizer.encode(ITEMS[1].context))
    assert text.scored == LENGTH and text.bytes == len(tokenizer.decode(text.ids).encode())
    assert task.bytes == len(ITEMS[3].text)


def test_losses_together_are_those_of_each_alone(tokenizer: Tokenizer, model: MistralForCausalLM) -> None:
    encoded = encode(ITEMS, tokenizer, LENGTH)
    together = endpoints.nats(model, encoded, lambda count: None)
    for item, loss in zip(encoded, together, strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([item.ids])).logits[0].double().log_softmax(-1)
        alone = -sum(float(logits[place - 1, item.ids[place]]) for place in range(len(item.ids))[-item.scored :])
        assert loss == pytest.approx(alone, rel=1e-4)


def test_sets_have_digests_that_follow_their_texts(tmp_path: Path) -> None:
    endpoints.save(ITEMS, tmp_path / "items.jsonl")
    assert endpoints.load(tmp_path / "items.jsonl") == ITEMS
    known = endpoints.digests(ITEMS)
    assert set(known) == {"p", "h1", "h3"} and known == endpoints.digests(list(ITEMS))
    changed = [*ITEMS[:2], EndpointItem("h1", "books", "", "other"), ITEMS[3]]
    assert {name for name in known if known[name] != endpoints.digests(changed)[name]} == {"h1"}
    assert endpoints.set_table(ITEMS)["items"].tolist() == [2, 1, 1]


def _document(name: str, source: str, seed: str = "") -> dict:
    return {"id": name, "text": "x", "metadata": {"source": source, **({"seed_passage": seed} if seed else {})}}


def test_what_is_kept_out_stays_out_with_all_that_was_made_from_it() -> None:
    kept_out = KeptOut(("tales",), frozenset({"d2/web/7#1"}))
    assert kept_out.reads(_document("web/1", "web"))
    assert kept_out.reads(_document("d3/1", "d1", "web/talesman#2"))
    for row in (
        _document("tales/1", "tales"), _document("d3/1", "d1", "tales/grimm#2"), _document("d2/web/7#1", "synthetic"),
        _document("d3/2", "d2", "d2/web/7#1"), _document("d3/3", "d2", "d2/tales/grimm#2"),
    ):
        assert not kept_out.reads(row)


def test_tables_are_those_counted_by_hand() -> None:
    windows = np.array([[1, 5, 6, 5, 6, 7, 5, 6]])
    item = endpoints.Encoded([1, 5, 6, 7], 3, 3)
    losses = ngram_tables.table_losses(windows, [item], vocabulary=10)
    counts = Counter(windows[0, 1:].tolist())
    unigram = {number: (counts[number] + 1) / 17 for number in range(10)}
    assert losses["unigram"][0] == pytest.approx(-sum(np.log(unigram[number]) for number in (5, 6, 7)))
    bigram = [(1 + 1 * unigram[5]) / 2, (3 + 1 * unigram[6]) / 4, (1 + 2 * unigram[7]) / 4]
    assert losses["bigram"][0] == pytest.approx(-np.log(bigram).sum())


@pytest.mark.parametrize("name", ["unigram", "bigram", "fivegram"])
def test_probabilities_of_a_table_add_up_to_one(name: str) -> None:
    random = np.random.default_rng(0)
    windows = random.integers(1, 12, (40, 17))
    for context in ([1], [1, 5], windows[3, :6].tolist(), [1, 11, 11, 11, 11, 11]):
        items = [endpoints.Encoded([*context, number], 1, 1) for number in range(12)]
        assert np.exp(-ngram_tables.table_losses(windows, items, 12)[name]).sum() == pytest.approx(1.0)


def test_a_longer_context_helps_where_text_repeats() -> None:
    random = np.random.default_rng(0)
    phrases = random.integers(1, 60, (40, 8))  # a text of phrases, whose ids mean little one by one
    windows = np.stack([np.concatenate(phrases[random.integers(0, 40, 5)]) for _ in range(60)])
    encoded = [endpoints.Encoded(row.tolist(), 39, 39) for row in windows[50:]]
    losses = ngram_tables.table_losses(windows[:50], encoded, 60)
    assert losses["fivegram"].sum() < losses["bigram"].sum() < losses["unigram"].sum()

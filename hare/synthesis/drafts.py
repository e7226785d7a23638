"""D2: seeds and prompts become requests, a generator answers, gates and deduplication select the texts to keep."""

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hare.core.errors import HareError
from hare.data.text import rank
from hare.synthesis.checks.gates import CONTROL_GATE, GATES, Candidate, first_objection, tidied
from hare.synthesis.checks.overlap import share_in_corpus
from hare.synthesis.duplicates import NearDuplicates, signatures
from hare.synthesis.engines.generator import FAILED, Decoding, Generation, Generator, Request
from hare.synthesis.forms import FORMS, UNSUPPORTED
from hare.synthesis.prompts import Prompt, PromptFamily, fill, forms_for
from hare.synthesis.seeds import Seed
from hare.synthesis.topics import TopicModel

REPEATS_D1 = "repeats D1"
REPEATS_D2 = "near-duplicate within D2"
SERVER_FAILED = "request failed"
_FEWEST_TOKENS = 72  # a page of fewer would fail the gate for too little content
OBJECTIONS = (SERVER_FAILED, UNSUPPORTED, *GATES, REPEATS_D1, REPEATS_D2)


@dataclass(frozen=True)
class Draft:
    """One seed, its prompt, the raw answer, the text kept of it, and why it was rejected ('' when it was not).

    ``in_d1`` is the share of the kept text's word 5-grams that occur in D1.
    """

    seed: Seed
    prompt: Prompt
    answer: Generation
    text: str
    in_d1: float
    objection: str

    @property
    def id(self) -> str:
        """Names the seed passage and the form."""
        return draft_id(self.seed, self.prompt.form)

    @property
    def tokens(self) -> int:
        """Tokens of the kept text: those of the answer, by the share of its characters that is kept."""
        return round(self.answer.tokens * len(self.text) / max(1, len(self.answer.text)))


def draft_id(s: Seed, form: str) -> str:
    """The name of the text that is made from a seed in a form."""
    return f"d2/{s.passage.id}/{form}"


def assign_forms(
    seeds: Sequence[Seed], families: Sequence[PromptFamily], weights: Mapping[str, float], count: int, seed: int
) -> list[tuple[Seed, str]]:
    """``count`` pairs of a seed and a form: each seed once, then each once more in another form, and so on.

    A seed's order of forms is drawn by their ``weights`` (Efraimidis and Spirakis 2006), by the passage's id alone.

    Raises:
        HareError: seeds and forms do not give as many pairs.
    """
    orders = [(s, form_order(s, forms_for(s.passage.category, families), weights, seed)) for s in seeds]
    rounds = max((len(order) for _, order in orders), default=0)
    pairs = [(s, order[turn]) for turn in range(rounds) for s, order in orders if turn < len(order)]
    if len(pairs) < count:
        raise HareError(
            f"D1 offers {len(seeds)} distinct seed passages and {len(pairs)} texts to write from them, but {count} are "
            "asked for.",
            "lower synthesis.d2_documents, or raise synthesis.passages_per_category or corpus.max_mb_per_source",
        )
    return pairs[:count]


def form_order(s: Seed, forms: Sequence[str], weights: Mapping[str, float], seed: int) -> list[str]:
    """The forms that a seed is written in, in an order drawn by their ``weights``; those of weight 0 are left out."""
    def place(form: str) -> float:
        drawn = (rank(seed, f"{s.passage.id}/{form}/order") + 1) / 2**64
        return -math.log(drawn) / weights[form]

    return sorted((form for form in forms if weights.get(form, 0) > 0), key=place)


def write_prompts(
    pairs: Sequence[tuple[Seed, str]], families: Sequence[PromptFamily], seed: int
) -> list[Prompt]:
    """One prompt per pair of seed and form; the draw depends on these two only."""
    return [
        fill(s, form, families, random.Random(f"{seed}/{s.passage.id}/{form}"))
        for s, form in pairs
    ]


def decoding_of(form: str, max_new_tokens: int) -> Decoding:
    """Decoding parameters of a form; a page has a minimum length, below which it could not pass the gates."""
    if FORMS[form].rewrites:
        return Decoding(max_new_tokens, temperature=FORMS[form].temperature, frequency_penalty=0.2)
    return Decoding(
        max_new_tokens, min(_FEWEST_TOKENS, max_new_tokens // 2), FORMS[form].temperature,
        presence_penalty=1.0, frequency_penalty=0.5,
    )


def generate_drafts(
    pairs: Sequence[tuple[Seed, str]], prompts: Sequence[Prompt], generator: Generator, max_new_tokens: int, d1: Path,
    seed: int,
) -> list[Draft]:
    """Answer every prompt, form by form, then judge every answer; no draft may repeat the documents in folder ``d1``.

    Raises:
        HareError: not one answer is good enough.
    """
    answers: dict[int, Generation] = {}
    for form in dict.fromkeys(form for _, form in pairs):
        places = [place for place, pair in enumerate(pairs) if pair[1] == form]
        # Blocks are cut in the order of the pairs, so that a larger D2 begins with the texts of a smaller one.
        for start in range(0, len(places), generator.block):
            block = places[start : start + generator.block]
            requests = [request_for(pairs[place][0], prompts[place], seed) for place in block]
            answers |= dict(zip(block, generator.generate(requests, decoding_of(form, max_new_tokens)), strict=True))
    drafts = judged([s for s, _ in pairs], prompts, [answers[place] for place in range(len(pairs))], d1)
    if all(draft.objection for draft in drafts):
        commonest = Counter(draft.objection for draft in drafts).most_common(1)[0][0]
        raise HareError(
            f"None of {len(drafts)} texts by {generator.name} passed the gates; the commonest objection: {commonest}.",
            "raise synthesis.d2_max_new_tokens or synthesis.d2_documents, or choose another generator",
        )
    return drafts


def request_for(s: Seed, prompt: Prompt, seed: int) -> Request:
    """The request of one prompt; its random numbers are drawn by seed passage and form alone.

    The request's seed is cut to 31 bits, which every server takes.
    """
    return Request(prompt.messages, rank(seed, f"{s.passage.id}/{prompt.form}") % 2**31)


def judged(
    seeds: Sequence[Seed], prompts: Sequence[Prompt], answers: Sequence[Generation], d1: Path,
    known: Sequence[str] = (),
) -> list[Draft]:
    """Drafts with the first objection to each, in the order of `OBJECTIONS`; none may repeat a ``known`` text."""
    cleaned = [_cleaned(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]
    texts = [
        FORMS[prompt.form].kept(text, s.passage.text) for s, prompt, text in zip(seeds, prompts, cleaned, strict=True)
    ]
    earlier, drafts = NearDuplicates(), []
    for number, signature in enumerate(signatures(known)):
        earlier.add(str(number), signature)
    rows = zip(seeds, prompts, answers, cleaned, texts, share_in_corpus(texts, d1), signatures(texts), strict=True)
    for s, prompt, answer, clean, text, in_d1, signature in rows:
        objection = _objection(s, prompt, answer, text, clean)
        if objection is None and in_d1 > FORMS[prompt.form].most_in_d1:
            objection = REPEATS_D1
        if objection is None and earlier.first_like(signature) is not None:
            objection = REPEATS_D2
        if objection is None:
            earlier.add(s.passage.id, signature)
        shown = text if objection in (None, REPEATS_D1, REPEATS_D2) else text or clean
        drafts.append(Draft(s, prompt, answer, shown, float(in_d1), objection or ""))
    return drafts


def _cleaned(prompt: Prompt, answer: Generation) -> str:
    """The answer without chat and, for a page, without an unfinished end; a rewrite keeps only whole parts later."""
    return tidied(answer.text, "stop" if FORMS[prompt.form].rewrites else answer.finish_reason)


def _objection(s: Seed, prompt: Prompt, answer: Generation, text: str, clean: str) -> str | None:
    form = FORMS[prompt.form]
    if answer.finish_reason == FAILED:
        return SERVER_FAILED
    if GATES[CONTROL_GATE](Candidate(answer.text)):  # before anything is cut away
        return CONTROL_GATE
    if clean and not text:
        return UNSUPPORTED
    return first_objection(Candidate(text, prompt.text, s.passage.text, form.fewest_words, form.most_echoed))


def yield_by_gate(drafts: Sequence[Draft]) -> pd.DataFrame:
    """How many drafts each gate rejected and how many were left: ``gate``, ``asked``, ``rejected``, ``left``."""
    counts = Counter(draft.objection for draft in drafts)
    rows, left = [], len(drafts)
    for gate in OBJECTIONS:
        rows.append({"gate": gate, "asked": left, "rejected": counts[gate], "left": left - counts[gate]})
        left -= counts[gate]
    return pd.DataFrame(rows)


def documents(drafts: Sequence[Draft], generator: Generator, topics: TopicModel) -> list[dict[str, Any]]:
    """The accepted drafts as rows of D2."""
    return [
        {
            "text": draft.text,
            "id": draft.id,
            "metadata": {
                "source": "synthetic", "category": draft.seed.passage.category, "kind": draft.prompt.form,
                "method": "generated", "generator": generator.name, "prompt": draft.prompt.family,
                "prompt_sha256": draft.prompt.family_sha256, "wording": draft.prompt.wording,
                "prompt_text": draft.prompt.text, "audience": draft.prompt.audience,
                "seed_document": draft.seed.passage.document, "seed_passage": draft.seed.passage.id,
                "topic": topics.labels[draft.seed.topic], "tokens": draft.tokens,
                "share_in_d1": round(draft.in_d1, 4),
            },
        }
        for draft in drafts
        if not draft.objection
    ]


def rejected_examples(drafts: Sequence[Draft]) -> list[Draft]:
    """One rejected draft for each gate that rejected any, the shortest, in the order of the gates."""
    examples = []
    for gate in OBJECTIONS:
        rejected = [draft for draft in drafts if draft.objection == gate]
        examples += sorted(rejected, key=lambda draft: (len(draft.answer.text), draft.id))[:1]
    return examples


def shown(draft: Draft) -> str:
    """A draft as text for readers: seed, request and text; for a rejected one the reason and the raw answer."""
    verdict, text = (f"rejected: {draft.objection}", draft.answer.text) if draft.objection else ("kept", draft.text)
    asked = draft.prompt.text.replace(draft.seed.passage.text, "(the seed)")
    return f"SEED      {draft.seed.passage.text}\n\nREQUEST   {asked}\n\n{verdict.upper()}\n{text}"

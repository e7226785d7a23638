"""D2: textbook-like text. Seeds and prompts become requests, a generator answers, gates and deduplication select."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hare.core.errors import HareError
from hare.data.text import rank
from hare.synthesis.duplicates import NearDuplicates, signatures
from hare.synthesis.gates import GATES, Candidate, first_objection, tidied
from hare.synthesis.generator import FAILED, Decoding, Generation, Generator, Request
from hare.synthesis.overlap import MOST_SHARED, share_in_corpus
from hare.synthesis.prompts import SYSTEM, Prompt, PromptFamily, fill
from hare.synthesis.seeds import Seed
from hare.synthesis.topics import TopicModel

REPEATS_D1 = "repeats D1"
REPEATS_D2 = "near-duplicate within D2"
SERVER_FAILED = "request failed"
_FEWEST_TOKENS = 72  # a page of fewer would fail the gate for too little content
OBJECTIONS = (SERVER_FAILED, *GATES, REPEATS_D1, REPEATS_D2)


@dataclass(frozen=True)
class Draft:
    """One seed, its prompt, the answer as it came, the tidied text and why it was rejected ('' when it was not).

    ``in_d1`` is the share of the text's word 5-grams that stand in D1.
    """

    seed: Seed
    prompt: Prompt
    answer: Generation
    text: str
    in_d1: float
    objection: str


def write_prompts(
    seeds: Sequence[Seed], families: Sequence[PromptFamily], topics: TopicModel, seed: int
) -> list[Prompt]:
    """One prompt for each seed; which, is drawn by the seed passage's id alone."""
    return [fill(s, topics.terms[s.topic], families, random.Random(f"{seed}/{s.passage.id}")) for s in seeds]


def d2_decoding(max_new_tokens: int) -> Decoding:
    """How pages of D2 are drawn: the end is barred until there can be enough on the page."""
    return Decoding(max_new_tokens, min_new_tokens=min(_FEWEST_TOKENS, max_new_tokens // 2))


def generate_drafts(
    seeds: Sequence[Seed], prompts: Sequence[Prompt], generator: Generator, decoding: Decoding, d1: Path, seed: int
) -> list[Draft]:
    """Answer every prompt, then judge every answer; ``d1`` is the folder of documents that no draft may repeat.

    Raises:
        HareError: not one answer is good enough.
    """
    answers = generator.generate(requests_for(seeds, prompts, seed), decoding)
    drafts = judged(seeds, prompts, answers, d1)
    if all(draft.objection for draft in drafts):
        commonest = Counter(draft.objection for draft in drafts).most_common(1)[0][0]
        raise HareError(
            f"None of {len(drafts)} texts by {generator.name} passed the gates; the commonest objection: {commonest}.",
            "raise synthesis.d2_max_new_tokens or synthesis.d2_documents, or choose another generator",
        )
    return drafts


def requests_for(seeds: Sequence[Seed], prompts: Sequence[Prompt], seed: int) -> list[Request]:
    """One request a prompt; its random numbers are drawn by the seed passage's id alone."""
    return [conversation(prompt.text, rank(seed, s.passage.id)) for s, prompt in zip(seeds, prompts, strict=True)]


def conversation(prompt: str, seed: int) -> Request:
    """A request of one system and one user message; its seed is cut to 31 bits, which every server takes."""
    messages = ({"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt})
    return Request(messages, seed % 2**31)


def judged(
    seeds: Sequence[Seed], prompts: Sequence[Prompt], answers: Sequence[Generation], d1: Path
) -> list[Draft]:
    """Drafts with the first objection to each, in the order of `OBJECTIONS`."""
    texts = [tidied(answer.text, answer.finish_reason) for answer in answers]
    earlier, drafts = NearDuplicates(), []
    rows = zip(seeds, prompts, answers, texts, share_in_corpus(texts, d1), signatures(texts), strict=True)
    for s, prompt, answer, text, in_d1, signature in rows:
        objection = SERVER_FAILED if answer.finish_reason == FAILED else first_objection(Candidate(text, prompt.text))
        if objection is None and in_d1 > MOST_SHARED:
            objection = REPEATS_D1
        if objection is None and earlier.first_like(signature) is not None:
            objection = REPEATS_D2
        if objection is None:
            earlier.add(s.passage.id, signature)
        drafts.append(Draft(s, prompt, answer, text, float(in_d1), objection or ""))
    return drafts


def yield_by_gate(drafts: Sequence[Draft]) -> pd.DataFrame:
    """How many drafts each gate rejected and how many were left: ``gate``, ``asked``, ``rejected``, ``left``."""
    counts = Counter(draft.objection for draft in drafts)
    rows, left = [], len(drafts)
    for gate in OBJECTIONS:
        rows.append({"gate": gate, "asked": left, "rejected": counts[gate], "left": left - counts[gate]})
        left -= counts[gate]
    return pd.DataFrame(rows)


def yield_by_family(drafts: Sequence[Draft]) -> pd.DataFrame:
    """Yield of each prompt family: ``family``, ``drafts``, ``accepted``, ``share``, ``accepted_tokens``."""
    rows = []
    for family in sorted({draft.prompt.family for draft in drafts}):
        own = [draft for draft in drafts if draft.prompt.family == family]
        accepted = [draft for draft in own if not draft.objection]
        rows.append({
            "family": family, "drafts": len(own), "accepted": len(accepted), "share": len(accepted) / len(own),
            "accepted_tokens": sum(draft.answer.tokens for draft in accepted),
        })
    return pd.DataFrame(rows)


def documents(drafts: Sequence[Draft], generator: Generator, topics: TopicModel) -> list[dict[str, Any]]:
    """The accepted drafts as rows of D2."""
    return [
        {
            "text": draft.text,
            "id": f"d2/{draft.seed.passage.id}",
            "metadata": {
                "source": "synthetic", "category": draft.seed.passage.category, "kind": "textbook",
                "method": "generated", "generator": generator.name, "prompt": draft.prompt.family,
                "prompt_sha256": draft.prompt.family_sha256, "wording": draft.prompt.wording,
                "audience": draft.prompt.audience, "style": draft.prompt.style,
                "seed_document": draft.seed.passage.document, "seed_passage": draft.seed.passage.id,
                "topic": topics.labels[draft.seed.topic], "tokens": draft.answer.tokens,
                "share_in_d1": round(draft.in_d1, 4),
            },
        }
        for draft in drafts
        if not draft.objection
    ]


def shown(drafts: Sequence[Draft], count: int) -> str:
    """The first few drafts as text to be read, each under its prompt family and, if rejected, the reason."""
    pages = []
    for draft in drafts[:count]:
        verdict = f"rejected: {draft.objection}" if draft.objection else "accepted"
        pages.append(f"[{draft.prompt.family}, for {draft.prompt.audience}, {verdict}]\n\n{draft.answer.text}")
    return "\n\n----\n\n".join(pages) or "none"

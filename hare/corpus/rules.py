"""What counts as good text, by category. One table, so that a threshold can be found, questioned and changed.

The measures are those of Gopher (Rae et al. 2021, appendix A1) and C4 (Raffel et al. 2020). Their thresholds are made
for web pages: at stock settings they drop most docstrings, verse and tabular entries. So each category has its own,
chosen by looking at what the stock ones removed.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Rules:
    """Thresholds of one category. A document is removed when a measure lies outside its bounds."""

    natural_language: bool = True  # English is asked for
    sentences: bool = True  # a document has to end where a sentence ends
    parses: bool = False  # a document has to be valid Python
    least_words: int = 20
    mean_word_length: tuple[float, float] = (3.0, 10.0)  # bytes; Gopher: 3 to 10
    least_alphabetic_share: float = 0.8  # words with a letter; Gopher: 0.8
    most_symbol_share: float = 0.1  # '#', '{', '}' and '…' per word; Gopher: 0.1
    most_repeated_lines: float = 0.3  # share of bytes in lines seen before; Gopher: 0.2
    most_repeated_bigram: float = 0.2  # share of words in the most frequent pair; Gopher: 0.2
    most_repeated_spans: float = 0.2  # share of 8-word spans seen before; Gopher: 0.12 of characters
    most_boilerplate_lines: float = 0.3  # share of lines that are menus, notices, placeholders
    shares_no_lines: bool = False  # a line that stands in several documents stays in the first alone


_PROSE = Rules()

RULES: dict[str, Rules] = {
    "wikipedia": _PROSE,
    "web": replace(_PROSE, shares_no_lines=True),
    "forum": replace(_PROSE, most_repeated_spans=0.3, shares_no_lines=True),
    "news": replace(_PROSE, shares_no_lines=True),
    "books": replace(_PROSE, least_words=50),
    "politics": _PROSE,
    "academic": _PROSE,
    "philosophy": _PROSE,
    "questions": replace(_PROSE, least_alphabetic_share=0.6, most_symbol_share=0.3),
    "law": replace(_PROSE, sentences=False, most_repeated_spans=0.3, most_boilerplate_lines=0.5),
    "encyclopaedia": replace(
        _PROSE, sentences=False, least_alphabetic_share=0.5, most_repeated_lines=0.5, most_repeated_spans=0.5,
        shares_no_lines=True,
    ),
    "math": replace(
        _PROSE, natural_language=False, sentences=False, mean_word_length=(1.0, 10.0), least_alphabetic_share=0.2,
        most_symbol_share=0.3, most_repeated_lines=0.5, most_repeated_bigram=0.35, most_repeated_spans=0.4,
    ),
    "code": replace(
        _PROSE, natural_language=False, sentences=False, parses=True, mean_word_length=(2.0, 15.0),
        least_alphabetic_share=0.5, most_symbol_share=0.4, most_repeated_lines=0.5, most_repeated_bigram=0.25,
        most_repeated_spans=0.4,
    ),
}

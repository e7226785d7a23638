"""Markup, line breaks, starts of sentences and languages: what stays as it was, and what goes."""

import re
from pathlib import Path

import pytest
from datatrove.data import Document
from hypothesis import given
from hypothesis import strategies as st

from hare.corpus.block import Removal
from hare.corpus.blocks import Completeness, Language, Soundness
from hare.corpus.completeness import starts_inside
from hare.corpus.language import identify, reads_as_english
from hare.corpus.shared_lines import line_hash
from hare.corpus.sources.markup import html_to_text, wikitext_to_text
from hare.corpus.sources.readers import lacks_its_stop

ENGLISH = "The quick brown fox jumped over the lazy dog while the old farmer watched from his porch. "
FOREIGN = {
    "de": "Der Bundestag hat heute mit großer Mehrheit beschlossen, die Beratungen über das Gesetz zu vertagen. ",
    "fr": "Le gouvernement a annoncé hier que la nouvelle loi sera présentée au parlement avant la fin du mois. ",
    "hi": "Mujhe nahi pata ki wo kab aayega, lekin maine usko bola tha ki hum kal subah milenge aur saath chalenge. ",
}


@pytest.mark.parametrize(("source", "text"), [
    ('A.<ref name="x/1" /> B.<ref>t</ref> C.', "A. B. C."), ("A.<ref name=x/1/> B.<ref>t</ref> C.", "A. B. C."),
    ('A.<ref group="n">t <i>x</i></ref> B.<references group="n"/>', "A. B."), ("A.<ref> B.<ref>t</ref> C.", "A. B. C."),
    ("Values with p < 0.05 were kept; groups of n > 30 were split.",) * 2, ("if a<b and c>d then",) * 2,
    ("p<0.05 and n>30",) * 2, ("List<String> of x",) * 2, ("line<br>two<br />three", "line\ntwo\nthree"),
    ("1914{{ndash}}1918 and [[apple]]s", "1914 1918 and apples"), ("m<sup>2</sup> <math>x<y</math> z", "m2 z"),
])
def test_wikitext_keeps_what_is_text(source: str, text: str) -> None:
    assert wikitext_to_text(source) == text


@pytest.mark.parametrize(("source", "text"), [
    ("Values with p < 0.05 were kept; groups of n > 30 were split.",) * 2, ("<td>a</td><td>b</td>", "a b"),
    ("if (i<n && n>0)",) * 2, ("a <b and c> d",) * 2, ("<tr><th scope=row>a<td>b</tr>", "a b"),
    ('a<script>var x = "<b>";</script>b', "a b"), ("a<STYLE type='text/css'>p{}</style >b<!-- c --> d", "a b d"),
    ('<script src="x">alert(1)', ""), ("one<br>two<br/>three", "one\ntwo\nthree"), ("<i>a</i>b &lt;c&gt;", "ab <c>"),
    ('<a href="x>y">z</a>', "z"), ("<!DOCTYPE html><title>T</title><h1>x</h1>", "T\n\nx"),
    ("<ul><li>a</li><li>b</li></ul>", "a\n\nb"), ("<option selected>a</option>", "a"),
])
def test_html_keeps_what_is_text_and_nothing_else(source: str, text: str) -> None:
    assert html_to_text(source) == text


@given(st.lists(st.sampled_from(["p < 0.05", "n > 30", "a<3", "x <= y", "5>4", "->", "<-", "<<", ">>"]), max_size=6))
def test_comparisons_are_no_tags(pieces: list[str]) -> None:
    text = " ".join(pieces)
    assert html_to_text(text) == wikitext_to_text(text) == text


@given(
    st.sampled_from(["p", "br", "td", "li", "div", "h2", "tr"]), st.sampled_from(["", ' class="a"', " hidden", " id=x"])
)
def test_blocks_and_cells_stand_apart(name: str, attributes: str) -> None:
    for convert in (html_to_text, wikitext_to_text):
        assert convert(f"one<{name}{attributes}>two</{name}>three").split() == ["one", "two", "three"]


def _sound(text: str, category: str = "wikipedia") -> str:
    block = Soundness(Path())
    block.start(0)
    document = Document(text=text, id="a", metadata={"source": "a", "category": category})
    assert not isinstance(block.judge(document), Removal)
    return document.text


@pytest.mark.parametrize("separator", [
    "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\r", "\r\n", "\x1c", "\x1d", "\x1e", "\u200b",
])
def test_breaks_of_all_kinds_keep_words_apart(separator: str) -> None:
    filler = "A long enough text. " * 100
    assert _sound(f"{filler}ends here{separator}the second") .split() == f"{filler}ends here the second".split()
    code = f"x = 'a{separator}b'\n" if separator not in "\r\r\n" else "x = 1\ny = 2\n"
    assert re.fullmatch(r"x = '(?:a b)'|x = 1\ny = 2", _sound(code + "# long\n" * 300, "code").split("\n#")[0])


def test_a_page_break_of_code_and_hidden_characters_go_without_a_trace() -> None:
    assert _sound("import x\n\x0c\ndef f():\n    pass\n\x0cclass A:\n    pass", "code") == (
        "import x\n\ndef f():\n    pass\nclass A:\n    pass"
    )
    assert _sound("soft\u00adware, a\ufeff b; it\x92s \x93so\x94") == "software, a b; it’s “so”"


@pytest.mark.parametrize("text", [
    "iPhone sales rose again", "eBay said", "pH is a measure", "mRNA is copied", "vom Rath was shot",
    "von Neumann wrote",
    "de Gaulle came", "al-Qaeda is", "d'Artagnan rode", "k.d. lang sang", "ggplot2 draws", "npm is a tool",
    "x is a number",
    "e-mail is old", "a) first", "ii. second", "sin(x) is odd", "iOS 9 came", "tRNA is", "x86 is", "µTorrent is",
    "eBay's shop",
])
def test_names_in_lower_case_begin_a_sentence(text: str) -> None:
    assert not starts_inside(text)


@pytest.mark.parametrize("text", [
    "and then he went", "the man", "went home.It was", "of the 1990s", "mid-1990s music", "well-known", "don't go",
    "s house", "de facto rule", "anti-American protests", "which, in", "über alles",
])
def test_a_start_inside_a_sentence_is_seen(text: str) -> None:
    assert starts_inside(text)


def test_an_article_on_a_lower_case_name_stays(tmp_path: Path) -> None:
    block, text = Completeness(tmp_path), f"iPhone sales rose again. {ENGLISH * 4}"
    assert block.judge(Document(text=text, id="a", metadata={"category": "wikipedia"})) == []


def _is_english(text: str) -> bool:
    block = Language(Path())
    return block.judge(Document(text=text, id="a", metadata={"source": "a", "category": "web"})) == []


@pytest.mark.parametrize("text", [
    FOREIGN["hi"],
    "Main ne us se kaha ke woh apna kaam jaldi khatam kar le warna hum der se pohanchenge aur sab naraz ho jayenge.",
    "Ami jani na se kokhon ashbe, kintu ami take bolechilam je amra kal sokale dekha korbo ar ekshathe jabo.",
    "Avan eppo varuvan nu enakku theriyathu, aana naan avan kitta naalaikku kaalaila paakalam nu sonnen.",
    "Ya ne znayu kogda on pridet, no ya skazal emu chto my vstretimsya zavtra utrom i poidem vmeste.",
    "Den ksero pote tha erthei alla tou eipa oti tha sinantithoume avrio to proi kai tha pame mazi.",
    "Kya haal hai bhai? Sab theek hai na? Kal milte hain.",
    "Neenga eppadi irukeenga? Naan nalla iruken, romba nandri, naalai paarkalaam.",
    "Boolean (Pode ser True, False ou None) Pequeno número inteiro positivo Identificador único universal",
])
def test_languages_in_latin_letters_are_no_english(text: str) -> None:
    assert not _is_english(text)


@pytest.mark.parametrize("language", sorted(FOREIGN))
@pytest.mark.parametrize(("ends", "middle"), [(1, 1), (1, 2), (2, 2), (3, 3), (4, 4), (6, 5), (10, 8), (30, 20)])
def test_a_foreign_middle_between_english_ends_is_seen(language: str, ends: int, middle: int) -> None:
    assert not _is_english(ENGLISH * ends + FOREIGN[language] * (middle + 1) + ENGLISH * ends)


@pytest.mark.parametrize("text", [
    "Anna Schmidt, Pedro Gomez, Rajesh Kumar, Fatima Ahmed, Li Wei, Yuki Tanaka, Olga Ivanova, Giovanni Rossi",
    "BREAKING NEWS: MARKETS CLOSE HIGHER AS OIL PRICES FALL SHARPLY IN LATE TRADING", "Order! Order!",
    "Pizza Margherita",
    "gdp 1990 120.3\ngdp 1991 130.2\nimports 1990 20.1\nexports 1990 22.8\npopulation 1990 5600000", "Hear, hear.",
    ENGLISH * 10 + FOREIGN["de"] + ENGLISH * 10, "José Saramago, Nobel laureate", "OK.",
    "Hercule Poirot, Jane Marple, Tommy Beresford", "375336N 1223958W / 37.89333N 122.66611W / 37.89333; -122.66611",
    "quercus robur, acer campestre, fagus sylvatica, betula pendula, pinus sylvestris, salix alba, populus nigra",
])
def test_names_capitals_tables_short_english_and_a_quotation_stay(text: str) -> None:
    assert _is_english(text)


def test_a_verdict_says_where_to_look() -> None:
    text = ENGLISH * 4 + FOREIGN["de"] * 8
    verdict = identify(text)
    assert not reads_as_english(text) and verdict.language == "de" and verdict.at >= len(ENGLISH) * 3


@pytest.mark.parametrize(("text", "lacks"), [
    ("One line.\n\nPeat should help bring that number down", True), ("It was annexed in March of 2014", True),
    ("The documents were leaked by Edward Snowden", True), ("It is worth a further 1", False), ("It ended.", False),
    ("Several Democrats were in opposition to Sen", False), ("It was on my mind when I read it", True),
    ("Too short", False), ("", False), ("This is symmetric multi processing (e.g", False),
])
def test_a_dropped_full_stop_is_told_from_a_cut_sentence(text: str, lacks: bool) -> None:
    assert lacks_its_stop(text) is lacks


def test_a_value_that_several_entries_share_is_no_shared_line() -> None:
    assert line_hash("Land use, agricultural land: permanent crops: 0.1% (2023 est.)") is None
    assert line_hash("Comments on this article are closed; write to the editors to have your say.") is not None
    assert line_hash("Major infectious diseases, note: " + "on 21 March the centre issued an alert for travellers " * 3)

"""What is shown of addresses, handles and numbers: the shape alone, wherever an excerpt's end cuts them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hare.corpus.masking import masked, shape

NAMED = re.compile(r"jane|doe|miller|bob|555|0199|020|7946|4455", re.IGNORECASE)
PRIVATE = (
    "jane.doe@example.com", "Jane Doe <jane.doe@example.com>", '"Doe, Jane" <jane@example.org>',
    "jane_doe [at] doe.org",
    "jane.doe (at) example.com", "jane at doe dot com", "@jane_doe", "jane@doe", "twitter.com/jane.doe", "t.me/janedoe",
    "+1 555 0199", "(020) 7946 4455", "+44 20 7946 4455", "Tel: 020 7946", "call 555-0199", "555-0199-4455",
)


@pytest.mark.parametrize("private", PRIVATE)
def test_nothing_private_is_readable_within_a_sentence(private: str) -> None:
    assert not NAMED.search(masked(f"Write to them: {private} (as was said) and wait for an answer.")), private


@pytest.mark.parametrize("text", [
    "Re: a piece\n\nbob:miller@example.com To: bob.miller@example.com, jane.d", "bob@example.com; Jane Do",
    "From: bob@example.com, Jane", "please write to jane.d", "please write to jane_doe", "ask jane@", "ask jane (at",
    "ask jane [at] exam", "at] doe.com is where", "ne.doe@example.com is hers", "@doe.com is where", "ring +44 20 79",
    "ring (020) 7946", "ring 020 7946", "7946 4455 is the number", "…7946 4455 is the number", "ring 555-01…",
    "cc <bob@example.com>, <jane.doe", "bob@example.com <jane",
])
def test_halves_at_an_excerpts_ends_are_masked(text: str) -> None:
    assert not NAMED.search(masked(text)), masked(text)


@given(st.sampled_from(["jane.doe@example.com", "+44 20 7946 4455", "jane_doe@doe.org"]), st.data())
def test_however_an_address_or_number_is_cut_what_is_left_does_not_tell_it(private: str, data: st.DataObject) -> None:
    text = f"We wrote to bob@example.com, {private}"
    cut = data.draw(st.integers(len(text) - len(private) + 1, len(text)))
    assert not re.search("jan|doe|example|79|46|44|bob", masked(text[:cut]))
    text = f"{private}, as we said"
    assert not re.search("jane|doe@|7946 4", masked(text[data.draw(st.integers(0, 7)) :]))


@pytest.mark.parametrize("text", [
    "It rose by 3.5 percent in 1914, and by 20 in 1918.", "The sum is 3 + 4 = 7, said the teacher.",
    "class A:\n    @property\n    def size(self):\n        return self.width.value\n",
    "@pytest.mark.parametrize(\"a\", [1])\ndef test(a): pass", "See sections 1.2 and 3, e.g. the third.",
    "It was printed at 20 places at once.", "They met in New York in 1914",
])
def test_what_names_nobody_stays_readable(text: str) -> None:
    assert masked(text) == text


@given(st.text(alphabet="ab.@ _<>,;+(0123)\n…▸", max_size=60))
def test_masking_twice_is_masking_once_and_moves_nothing(text: str) -> None:
    once = masked(text)
    assert masked(once) == once and len(once) == len(text) == len(shape(text))

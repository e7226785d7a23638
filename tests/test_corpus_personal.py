"""Personal information and links: what goes, in all its forms, and the look-alikes that stay."""

import ast
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hare.corpus.links import closed_up
from hare.corpus.numbers import _LENGTHS, is_iban
from hare.corpus.personal import without_personal_information


def _left(text: str, code: bool = False) -> str:
    return without_personal_information(text, code)[0]


@pytest.mark.parametrize(("text", "redacted"), [
    ("Pay to BE68 5390 0754 7034 BIC ABCDBEBB.", "Pay to <iban> BIC ABCDBEBB."),
    ("IBAN: DE89-3704-0044-0532-0130-00", "IBAN: <iban>"),
    ("Account be68539007547034 is closed.", "Account <iban> is closed."),
    ("NO93 8601 1117 947, then FR14\u00a02004\u00a01010\u00a00505\u00a00001\u00a03M02\u00a0606.",
    "<iban>, then <iban>."),
    ("MT84 MALT 0110 0001 2345 MTLC AST0 01S is in Malta.", "<iban> is in Malta."),
    ("Write to info@bücher.example soon.", "Write to <email> soon."),
    ("Write to info@xn--bcher-kva.example, ivan@почта.рф or 用户@例子.广告.", "Write to <email>, <email> or <email>."),
    ("Write to 'o'brien@example.com' today.", "Write to '<email>' today."),
    ("Mail jane at example dot com.", "Mail <email>."),
    ("Call 020 7946 0958 or phone us on 555-0143 today.", "Call <phone> or phone us on <phone> today."),
    ("Tel.: 030/901820, fax (030) 901821.", "Tel.: <phone>, fax <phone>."),
    ("+91 98765 43210, +33 6 12 34 56 78, +1.202.555.0143", "<phone>, <phone>, <phone>"),
    ("+4915112345678 and +55 (11) 91234-5678 and 1-202-555-0143", "<phone> and <phone> and <phone>"),
    ("It connected from 93.184.216.34:8080.", "It connected from <ip>:8080."),
    ("The DNS servers 8.8.8.8, 8.8.4.4 and 1.1.1.1 answer.", "The DNS servers <ip>, <ip> and <ip> answer."),
    ("It came from 2001:4860:4860::8888. It left.", "It came from <ip>. It left."),
    ("See [the guide (new)](https://example.com/a_(b) \"title\") now.", "See the guide (new) now."),
    ("Visit example.it or example.com/x.", "Visit or."),
    ("See t.me/foo, bit.ly/3a and http://[2606:4700::1]/x.", "See, and."),
    ("Mail JSMITH@OXFORD.AC.UK, INFO@COMPANY.DE or a@b.Co now.", "Mail <email>, <email> or <email> now."),
    ("Write to bob@tf.uni-kiel.de or mean@np.example.org.", "Write to <email> or <email>."),
    ("See bob@example.com[1], bob@example.com(home), _bob@example.com_ and bob@example.com-- he said",
     "See <email>[1], <email>(home), <email>_ and <email>-- he said"),
    ("185.220.101.34 was blocked by us.", "<ip> was blocked by us."),
    ("185.220.101.34 - - [x]\n\nline\n185.220.101.99 - - [y]", "<ip> - - [x]\n\nline\n<ip> - - [y]"),
    ("The IP range 185.220.101.34-185.220.101.99 is theirs.", "The IP range <ip>-<ip> is theirs."),
    ("Office (020) 79460958 is open.", "Office <phone> is open."),
    ("+44\u00a020\u00a07946\u00a00958, +44\u201320\u20137946\u20130958, +44\u201120\u20117946\u20110958",
     "<phone>, <phone>, <phone>"),
    ("Ph:+91 98765 43210 M:+44 7700 900123", "Ph:<phone> M:<phone>"),
    ("telephone: (+598) 1770-2000, FAX: (011) 52-55-5080-2005", "telephone: <phone>, FAX: <phone>"),
    ("Cell: 555-123-4567, cell 0171 7946 0958", "Cell: <phone>, cell <phone>"),
])
def test_what_says_who_somebody_is_goes_in_all_its_forms(text: str, redacted: str) -> None:
    assert _left(text) == redacted


@pytest.mark.parametrize("text", [
    "The driver was updated to version 4.18.2.1 last week.", "Sections 1.2.3.4, 1.2.3.5 and 1.2.3.6 apply.",
    "Trypsin (EC 3.4.21.4) cuts proteins; so does 3.4.21.1.", "Firmware 120.113.4.2 was released.",
    "§ 4.1.2.3 says so.",
    "It rose from build 10.120.130.1 to 10.120.131.2.", "The debt reached 1 000 000 000 crowns in that year.",
    "About 12 345 678 901 grains and 1.100.200.250 crowns.", "It grew by +1 000 000 000 and by +12 345 678 900 in all.",
    "Part no. 202-555-0143 fits model 312-555-0143.", "The calls cost 1 000 000 000 dollars.",
    "He called on 2019-05-12 and in 1914-1918.", "He went home.it was late and he slept.",
    "We ate.in the end.no one came.",
    "Load index.pl, socket.io and asp.net; then command.in was read.", "At +12.5 degrees, +40.7128-74.0060 on the map.",
    "Take x[::2], x[2000::5] or x[1:2:3] and std::add.",
    "The product x@self.weight, A@B.T and q@k.transpose(1) is fast.",
    "Ratios 1:2:3:4:5:6:7:8 and the hour 10:30:15.",
    "at 20 people came to see me and the others who lived here so it was",
    "Reserved addresses such as 224.0.0.0/4 and fe80::/10.",
    "The function call 1234567 times, text 12345678 characters long.",
    "It ended at 5 p.m.to be sure; sit by me.to rest.",
    "The product number is 212-555-0199.", "It rose at 1.2.3.4 of the scale.",
    "entry.port-range.to - The end of the range.",
    "Hanahan and Weinberg, Cell 100 (2000) 57-70; Cell, 87 (1996) 123-135.", "Next call: 2021-05-12 10:30 UTC",
    "He texts on 2020/21 2021/22.", "The reach 1234-5678 of the river.", "He rang at 10.30 - 11.45 12.30.",
    "The version 1.2.3.4-1.2.3.5 is out.", "The product x@np.mean of it.",
    "Use @property, @app.route or @pytest.fixture.", "react@18.2.0 and lodash@4.17.21 are packages.",
])
def test_look_alikes_stay(text: str) -> None:
    assert without_personal_information(text) == (text, [])


@pytest.mark.parametrize("text", [
    "u = 'see http://a.org/%s/' % b\n",
    "values[::2]", "y = x@self.weight", "y = x@b.de", "z = (q@k.mT)@v.com\n", "x[2000::5] = a[1::2]\n",
    "t = {'v': '1.2.3.4'}\n", "n = 1_000_000_000\n", "c = f(a@w.t(), b@w.data[0])\n",
])
def test_code_that_only_looks_personal_stays(text: str) -> None:
    assert without_personal_information(text, code=True) == (text, [])


def test_code_is_redacted_in_its_strings_and_comments_where_all_of_it_would_break() -> None:
    text = "y = x@b.de  # ask jane@example.com\nhost = 'http://example.com/x'\n"
    redacted, items = without_personal_information(text, code=True)
    assert redacted == "y = x@b.de  # ask <email>\nhost = ''\n" and {item.kind for item in items} == {"email", "link"}


@pytest.mark.parametrize("piece", ["it.to.me.", "a.com.", "in.no.", "a@b.", "1.2.3.4-", "+1 ", "(0"])
def test_the_time_grows_as_the_text_does(piece: str) -> None:
    """A text sixteen times as long may take eighty times as long, not 256 times."""
    def seconds(text: str) -> float:
        started = time.process_time()
        _left(text)
        return time.process_time() - started

    short, long = (min(seconds(piece * (count // len(piece))) for _ in range(2)) for count in (6_000, 96_000))
    assert long < 80 * max(short, 0.005)


NAMES = st.sampled_from(["x", "self", "np", "weight", "com", "de", "T", "net"])


@settings(max_examples=150)
@given(st.lists(st.tuples(NAMES, NAMES, NAMES, st.integers(0, 3000), st.integers(0, 9)), min_size=1, max_size=4))
def test_no_redaction_breaks_code(rows: list[tuple]) -> None:
    line = "{0} = {1}@{2}.com + {0}[{3}::{4}] + {2}[::{4}]  # see http://{1}.com/{3} {0}@{2}.com"
    text = "\n".join(line.format(*row) for row in rows)
    redacted = _left(text, code=True)
    assert ast.dump(ast.parse(redacted)) == ast.dump(ast.parse(text)) and "http" not in redacted


@pytest.mark.parametrize("country", sorted(_LENGTHS))
def test_accounts_of_all_countries_go_however_they_are_set(country: str) -> None:
    body = ("1234567890" * 4)[: int(_LENGTHS[country]) - 4]
    check = 98 - int("".join(str(int(c, 36)) for c in f"{body}{country}00")) % 97
    account = f"{country}{check:02d}{body}"
    assert is_iban(account) and not is_iban(account[:-1])
    assert not is_iban(f"{account[:-1]}{(int(account[-1]) + 1) % 10}")
    for separator, group in ((" ", 4), ("-", 4), ("\u00a0", 4), (" ", 3), ("", 4), (" ", 2)):
        set_apart = separator.join(account[k : k + group] for k in range(0, len(account), group))
        assert _left(f"Pay {set_apart} now.") == "Pay <iban> now.", set_apart


@given(st.text(alphabet="ab (<[])>.,\n", max_size=12), st.text(alphabet="ab (<[])>.,\n", max_size=12), st.booleans())
def test_no_removed_link_joins_two_words(before: str, after: str, code: bool) -> None:
    closed = closed_up(f"{before}\0{after}", code)
    assert re.findall(r"\w+", closed) == re.findall(r"\w+", before) + re.findall(r"\w+", after)


@given(st.lists(st.sampled_from([
    "http://a.b/c", "www.a.com", "[a](http://x.y)", "word", "(", ")", "<", ">", " ", ".", "jane@a.org", "8.8.8.8",
]), max_size=10))
def test_what_is_left_is_left_alone(pieces: list[str]) -> None:
    left = _left("".join(pieces))
    assert "http" not in left and "www" not in left

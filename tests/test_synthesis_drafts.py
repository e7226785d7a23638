"""D2: gates, forms, judging, and the order in which pairs of seed and form are drawn."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hare.core.errors import HareError
from hare.data.shards import write_documents
from hare.synthesis import forms
from hare.synthesis.checks.gates import Candidate, breaks_off, first_objection, tidied
from hare.synthesis.checks.support import borne_out, is_running_text, kept_sentences, unsupported
from hare.synthesis.drafts import (
    assign_forms,
    generate_drafts,
    judged,
    rejected_examples,
    shown,
    yield_by_gate,
)
from hare.synthesis.engines.generator import FAILED, Generation
from hare.synthesis.passages import Passage
from hare.synthesis.prompts import Prompt, fill, load_families
from hare.synthesis.seeds import Seed

_GOOD = (
    "Tides are the slow rise and fall of the sea. They come about because the Moon pulls on the water, and so does "
    "the Sun, though less strongly. Twice a day most coasts see high water. Sailors plan their voyages by the tide "
    "tables, since a harbour may be too shallow for a loaded ship at low water."
)


@pytest.mark.parametrize(("text", "objection"), [
    (_GOOD, None),
    ("", "no finished sentence"),
    ("I'm sorry, but I can't help with that. " + _GOOD, "refusal"),
    ("Tides rise and fall.", "too little content"),
    (_GOOD[:60] + " The sea is the sea and the tide is the tide." * 12, "repetition"),
    ("Hier steht ein deutscher Text über das Meer und seine Gezeiten, der lang genug ist, um nicht an der Länge zu "
     "scheitern. Der Mond zieht das Wasser an, und die Sonne hilft ihm dabei ein wenig, wenn auch schwächer. Zweimal "
     "am Tag sehen die meisten Küsten Hochwasser, und die Schiffer richten ihre Reisen danach ein.", "not English"),
    ("Here is a rewritten version of the text:\n\n" + _GOOD, "talks about the task"),
    ("The DELETE call of API v2.1 (2021) returns HTTP 204. " * 1 + _GOOD, None),
])
def test_gates_reject_for_the_right_reason(text, objection):
    assert first_objection(Candidate(text, "Write about the tides.")) == objection


def test_quoted_code_is_not_taken_for_another_language():
    code = "```python\ndef f(xs):\n    return [x ** 2 for x in xs if x % 2]\n```"
    assert first_objection(Candidate(f"{_GOOD[:120]}\n{code}\n{_GOOD[120:]}", "Write about the tides.")) is None


def test_an_echo_of_the_prompt_is_rejected():
    assert first_objection(Candidate(_GOOD, f"Explain this: {_GOOD}")) == "prompt echo"


def test_tidying_cuts_chat_and_unfinished_ends():
    assert tidied("Sure! Here it is:\n\nThe sea rises. It falls. And then", "length") == "The sea rises. It falls."
    assert tidied("The sea rises. And then", "stop") == "The sea rises. And then"
    assert tidied("The sea rises.\n\n2.", "length") == "The sea rises." == tidied("The sea rises.\n\n2.", "stop")
    assert tidied("It holds.\n\n1. The sea rises.\n2. It", "length") == "It holds.\n\n1. The sea rises."
    assert tidied("It holds. See e.g. 3.", "length") == "It holds."
    assert tidied("no end in sight", "length") == ""


@pytest.mark.parametrize("end", [
    "\n\n2.", "\n3)", "\n-", "\n(b)", "\n**4.**", " and then", ":", ",", "\n```python\nx = 1",
])
def test_a_text_that_breaks_off_is_rejected(end):
    assert first_objection(Candidate(_GOOD + end, "Write about the tides.")) == "breaks off"


@given(st.text(max_size=80), st.sampled_from(["length", "stop"]))
def test_what_is_left_of_a_cut_text_is_empty_or_ends_whole(text, reason):
    tidy = tidied(text, reason)
    assert reason == "stop" or not tidy or not breaks_off(tidy) or "```" in tidy


@pytest.mark.parametrize("opening", [
    "<think>Let me see.</think> ", "</think>", "<|im_start|>assistant\n", "[INST] ", "<thinking>", "<|endoftext|>",
    "<reflection>x</reflection>", "<s>", "\ufffd",
])
def test_control_tokens_and_thinking_are_rejected(opening):
    assert first_objection(Candidate(opening + _GOOD, "Write about the tides.")) == "control tokens or thinking"


@pytest.mark.parametrize("sentence", [
    "The essay is a well-structured and engaging piece of writing.", "The lesson would begin with the tides.",
    "This text explains the tides.", "The passage describes the sea.", "In this article we look at the sea.",
    "I made several adjustments to enhance the essay's appeal.", "You're an experienced teacher who writes well.",
    "The Python tutorial demonstrates the tides.", "When explaining how to solve it, be brief.",
    "The textbook might start with the Moon.", "The law course educates students about the tides.",
    "The edit removes redundant words.", "Include examples for each step, so that students understand the sea.",
    'The answer to the question "Why?" is this.', "To address your request, think of the sea.",
    "Instead of saying this, use another phrase.", "So you're correct about the tides!",
    "Here's how you can show it to ten-year-olds: it rises.", "Here is an example of a page:",
    "I will provide a summary of it.",
])
def test_a_text_that_speaks_of_itself_is_rejected(sentence):
    assert first_objection(Candidate(f"{sentence} {_GOOD}", "Write about the tides.")) == "talks about the task"


def test_a_text_may_speak_of_what_its_seed_speaks_of():
    candidate = Candidate(f"Teachers keep tables of them. {_GOOD}", "Write about the tides.", "Teachers, at the sea")
    assert first_objection(candidate) is None
    assert first_objection(Candidate(candidate.text, candidate.prompt)) == "talks about the task"


@pytest.mark.parametrize(("code", "objection"), [
    ("x = [1, 2]\nprint(sum(x))", None), ("def f(x:\n    return x", "code that does not parse"),
    ("# only a comment", "code that does not parse"),
])
def test_code_that_does_not_parse_is_rejected(code, objection):
    assert first_objection(Candidate(f"{_GOOD}\n\n```python\n{code}\n```\n\nIt runs.", "Write it.")) == objection


# ---- forms


_RIVER = (
    "The Angara is a major river in Siberia. It drains out of Lake Baikal and is 1,849 kilometres (1,149 mi) long. In "
    "1956 a dam was built near Irkutsk, and the villages along the shore were moved."
)


@pytest.mark.parametrize(("text", "wrong"), [
    ("The river is 1,849 kilometres long.", []), ("The river is 1849 kilometres long.", []),
    ("The river is 1,149 kilometres long.", ["1149"]), ("The river is 2,000 kilometres long.", ["2000"]),
    ("A dam was built in 1957 near Irkutsk.", ["1957"]), ("It flows past Moscow to the sea.", ["Moscow"]),
])
def test_numbers_and_names_that_the_passage_lacks_count_against_a_rewrite(text, wrong):
    assert unsupported(text, _RIVER) == wrong


_TREATY = (
    "The treaty was signed by Anna of Norway before Karl of Sweden. It did not end the war, although some towns were "
    "returned. The king of Sweden refused to leave the largest harbour in 1705."
)


@pytest.mark.parametrize("sentence", [
    "The treaty was signed by Anna of Norway before Karl of Sweden.",
    "The treaty was signed by Anna of Norway, before Karl of Sweden signed.",
    "It did not end the war, although some towns were returned.",
])
def test_a_sentence_of_the_passage_is_supported(sentence):
    assert borne_out(sentence, _TREATY)


@pytest.mark.parametrize("sentence", [
    "It ended the war, although some towns were returned.",  # a denial dropped
    "It did not end the war, although most towns were returned.",  # another share
    "The treaty was signed by Karl of Sweden before Anna of Norway.",  # roles exchanged
    "The treaty was not signed by Anna of Norway before Karl of Sweden.",  # a denial added
    "The treaty was signed after Karl of Sweden.",  # another order in time
    "The king of Sweden refused to leave the smallest harbour in 1705.",  # the other end
    "The treaty returned the harbour of Sweden.",  # put together from three places
    "The treaty was signed by Anna of Norway before GUSTAV of Sweden.",  # a name added
    "The treaty was signed by Anna of Norway in 1706.",  # a number added
    "", "It is so.",
])
def test_a_sentence_that_contradicts_the_passage_is_not_supported(sentence):
    assert not borne_out(sentence, _TREATY) or len(sentence) < 12


@given(st.sampled_from([_TREATY, _RIVER]), st.integers(0, 2), st.sampled_from(["never", "not", "no", "without"]))
def test_no_denial_can_be_added_to_a_sentence_of_the_passage(passage, place, denial):
    from hare.data.text import sentences

    supported = sentences(passage)[place].split()
    assert not borne_out(" ".join([*supported[:2], denial, *supported[2:]]), passage)


def test_a_sentence_that_refers_to_a_removed_one_is_removed_too():
    assert kept_sentences("The Angara is a river in Mongolia. It drains out of Lake Baikal.", _RIVER) == []
    both = "The Angara is a major river in Siberia. It drains out of Lake Baikal."
    assert kept_sentences(both, _RIVER) == both.replace(". It", ".|It").split("|")
    assert kept_sentences("The dam was built near Irkutsk 3.", _RIVER.replace("In 1956", "3.")) == []


def test_only_running_text_is_rewritten():
    assert is_running_text(_RIVER.replace("1,849 kilometres (1,149 mi) ", ""))
    assert not is_running_text("Population: 4,100 (2023 est.")
    assert not is_running_text("1. One. 2. Two.") and not is_running_text("No end here and no second sentence")


def test_a_faq_keeps_the_questions_whose_answers_the_passage_holds():
    good = "Q: What does the Angara drain?\nA: It drains out of Lake Baikal.\n\nQ: When was a dam built?\nA: In 1956."
    bad = "Q: Who built it?\nA: Engineers from Moscow built the dam.\n\nQ: How old is the dam?\nA: It is 90 years old."
    assert forms.faq(f"{bad}\n\n{good}", _RIVER) == good
    assert forms.faq(bad, _RIVER) == "" == forms.faq(good.split("\n\n")[0], _RIVER)


def test_a_table_keeps_the_rows_that_the_passage_supports():
    head = "| Subject | Fact |\n| --- | --- |\n"
    good = "| The Angara | a major river in Siberia |\n| long | 1,849 kilometres |"
    bad = "| Mouth | the Black Sea |\n| long | 1,149 kilometres |\n| cut"
    assert forms.table(f"{head}{good}\n{bad}", _RIVER) == head + good
    assert forms.table(f"{head}| Mouth | the Black Sea |", _RIVER) == "" == forms.table("no table", _RIVER)


def test_summary_tutorial_and_worked_problem_keep_what_the_passage_supports():
    true = "The Angara drains out of Lake Baikal in Siberia."
    false = "The Angara was named after a famous Russian general."
    assert forms.summary(f"{true} {false}", _RIVER) == true and forms.summary(_TREATY, _TREATY) == ""
    first, last = "The Angara is a major river in Siberia.", "A dam was built near Irkutsk in 1956."
    steps = f"Step 1. {first}\n\nStep 2. {false}\n\nStep 3. {last}"
    assert forms.tutorial(steps, _RIVER) == f"Step 1. {first}\n\nStep 2. {last}"
    worked = f"Problem: What does the Angara drain?\n\nSolution: {true}\n\nAnswer: It drains out of Lake Baikal."
    assert forms.worked_problem(worked, _RIVER) == worked
    assert forms.worked_problem(worked.replace(true, false), _RIVER) == ""


@given(st.text(max_size=200), st.sampled_from(sorted(forms.FORMS)))
def test_forms_survive_any_text_and_keep_only_what_is_there(text, form):
    assert isinstance(forms.FORMS[form].kept(text, _RIVER), str)


# ---- pairs and prompts


def test_a_larger_d2_begins_with_the_pairs_of_a_smaller_one_and_forms_follow_the_weights():
    seeds = [Seed(Passage(f"d{n}#0", f"d{n}", "s", "wikipedia", _RIVER), 0) for n in range(200)]
    families, weights = load_families(), {"textbook": 0.5, "tutorial": 0.25, "summary": 0.25}
    pairs = assign_forms(seeds, families, weights, 300, seed=0)
    assert pairs[:120] == assign_forms(seeds, families, weights, 120, seed=0) and len(set(pairs)) == 300
    first = Counter(form for _, form in pairs[:200])
    assert 80 < first["textbook"] < 120 and 30 < first["summary"] < 70
    with pytest.raises(HareError, match="600 texts to write from them, but 601 are asked for"):
        assign_forms(seeds, families, weights, 601, seed=0)


def test_a_rewrite_is_asked_for_with_the_whole_passage_after_worked_examples():
    import random

    s = Seed(Passage("d#0", "d", "s", "wikipedia", _RIVER * 3), 0)
    prompt = fill(s, "table", load_families(), random.Random(0))
    roles = [message["role"] for message in prompt.messages]
    assert roles == ["system", *["user", "assistant"] * 2, "user"] and _RIVER * 3 in prompt.text
    page = fill(s, "textbook", load_families(), random.Random(0))
    assert _RIVER * 3 not in page.text and [m["role"] for m in page.messages] == ["system", "user"]


# ---- judging


_PAGE = (
    "Tides are the slow rise and fall of the sea. They come about because the Moon pulls on the water, and so does "
    "the Sun, though less strongly. Twice a day most coasts see high water, and sailors plan voyages by it."
)
_GARBAGE = "zq#x 7~ ]] vbn kkt " * 30


def drafts_of(tmp_path, answers: list[Generation]):
    """Drafts made of some answers to one prompt, with one document in D1."""
    passage = Passage("d#0", "d", "s", "wikipedia", "An old passage about quite other things.")
    row = {"id": "d", "text": passage.text * 9, "metadata": {"source": "s", "category": "wikipedia"}}
    write_documents(tmp_path / "d1", [row])
    prompts = [Prompt("Write about tides.", "textbook", "f@1", "0", 0, "a")] * len(answers)

    class Scripted:
        name, block = "scripted", 100

        def generate(self, asked, decoding):
            return answers

    pairs = [(Seed(passage, 0), "textbook")] * len(answers)
    return generate_drafts(pairs, prompts, Scripted(), 8, tmp_path / "d1", 0)


def test_yield_adds_up_and_every_unusable_answer_is_counted_under_its_reason(tmp_path):
    copied = "An old passage about quite other things. " * 1 + "An old passage about quite other things." * 8
    drafts = drafts_of(tmp_path, [
        Generation(_PAGE, 50, "stop"), Generation(_PAGE, 50, "stop"), Generation("", 0, FAILED),
        Generation("", 0, "stop"), Generation(_GARBAGE, 90, "length"), Generation(copied, 90, "stop"),
    ])
    assert [draft.objection for draft in drafts] == [
        "", "near-duplicate within D2", "request failed", "no finished sentence", "no finished sentence", "repetition",
    ]
    assert drafts[0].in_d1 == 0 and drafts[-1].in_d1 > 0.9
    assert [draft.objection for draft in rejected_examples(drafts)][0] == "request failed"
    assert "REJECTED: REPETITION" in shown(drafts[-1]) and "KEPT" in shown(drafts[0])
    table = yield_by_gate(drafts)
    assert table["asked"].iloc[0] == 6 and table["left"].iloc[-1] == 1
    assert (table["asked"] - table["rejected"] == table["left"]).all()


@pytest.mark.parametrize(("text", "objection"), [("", "no finished sentence"), (f"{_GARBAGE}.", "repetition")])
def test_a_model_that_answers_nothing_or_garbage_is_one_clear_error(tmp_path, text, objection):
    with pytest.raises(HareError, match=f"None of 3 texts by scripted passed the gates.*{objection}"):
        drafts_of(tmp_path, [Generation(text, 9, "stop")] * 3)


def test_a_page_that_occurs_in_d1_is_rejected(tmp_path):
    passage = Passage("d#0", "d", "s", "wikipedia", "x")
    row = {"id": "d", "text": f"Before it. {_PAGE} And after.", "metadata": {"source": "s", "category": "wikipedia"}}
    write_documents(tmp_path / "d1", [row])
    prompt = Prompt("Write about tides.", "textbook", "f@1", "0", 0, "a")
    (draft,) = judged([Seed(passage, 0)], [prompt], [Generation(_PAGE, 50, "stop")], tmp_path / "d1")
    assert draft.objection == "repeats D1" and draft.in_d1 == 1

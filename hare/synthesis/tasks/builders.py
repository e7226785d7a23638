"""Builders of D3 items from one passage, without a model: answer and distractors come from the text and its topic.

Each builder takes a `Material` and returns an item or None when the passage does not lend itself to it. A weak model
cannot be relied on to write a well-formed item with the right answer; a text that is taken apart can.
"""

import ast
import random
import re
import textwrap
from collections.abc import Callable

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from hare.data.words import words
from hare.synthesis.tasks.items import Item
from hare.synthesis.tasks.material import Material

GAP = "____"
DEFINING = frozenset({"wikipedia", "encyclopaedia"})  # whose articles open with what their subject is
_CONTENT = re.compile(r"\b[A-Za-z][a-z]{4,}\b")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{3,}\b")
_YEAR = re.compile(r"\b(?:1[5-9]\d\d|20[0-2]\d)\b")
_NUMBER = re.compile(r"(?<![\w.,])\d{1,4}(?![\w.,]*\d)\b")
_DEFINITION = re.compile(
    r"^(?P<subject>(?:The |An? )?[A-Z][\w'’\-]*(?: [\w'’\-]+){0,4}?)(?: ?\([^)]{1,80}\))? (?P<verb>is|are|was|were) "
    r"(?P<body>(?:an?|the|any|one of) .{20,})$"
)
_FUNCTION = re.compile(r'def (?P<name>[a-z]\w{3,})\([^)]*\)[^:\n]*:\n\s+r?"""(?P<purpose>[A-Z][^"\n]{15,160}\.)')
_PROBLEM = re.compile(r"^(?:Question|Problem): (?P<question>.+)\n(?:Answer|Solution): (?P<answer>.+)$", re.MULTILINE)
_FUNCTION_END = re.compile(r"\n(?=\s*(?:def |class |@|# ####))")
_ARTICLE = re.compile(r"^(?:The|An?) ")
_WHOLE = re.compile(r"[\"“‘']?[A-Z].*[.!?][\"”’']?$", re.DOTALL)
_MOSTLY_LETTERS = 0.85  # share of a sentence's characters; tables and reference lists have fewer
_MARKS = re.compile(r"[^\w\s'’\-]")


Builder = Callable[[Material, random.Random], Item | None]


def content_words(text: str) -> list[str]:
    """Words of five letters and more that carry meaning, as written in the text, in order."""
    return [word for word in _CONTENT.findall(text) if word.lower() not in ENGLISH_STOP_WORDS]


def names(text: str) -> list[str]:
    """Capitalised words that do not begin a sentence."""
    return _NAME.findall(text)


def is_whole(sentence: str) -> bool:
    """Whether a sentence stands alone: capital first, end mark last, brackets and quotes closed, mostly letters."""
    letters = sum(character.isalpha() or character.isspace() for character in sentence)
    closed = sentence.count("(") == sentence.count(")") and sentence.count('"') % 2 == 0
    closed = closed and sentence.count("“") == sentence.count("”")
    return bool(_WHOLE.match(sentence)) and closed and letters >= _MOSTLY_LETTERS * len(sentence)


def _whole_sentences(material: Material, fewest: int, most: int) -> list[str]:
    """The passage's whole sentences of ``fewest`` to ``most`` words, in order."""
    return [s for s in material.sentences if fewest <= len(s.split()) <= most and is_whole(s)]


def _gap(material: Material, draw: random.Random) -> tuple[str, str] | None:
    """The passage with one content word taken out everywhere, and the word."""
    text = material.passage.text
    candidates = sorted({word for word in content_words(text) if word[0].islower() and text.count(word) == 1})
    if not candidates:
        return None
    word = draw.choice(candidates)
    return re.sub(rf"\b{word}\b", GAP, text), word


def cloze(material: Material, draw: random.Random) -> Item | None:
    """A passage with a gap; the missing word is the answer."""
    gapped = _gap(material, draw)
    return gapped and material.item("cloze", passage=gapped[0], answer=gapped[1], evidence=gapped[1])


def multiple_choice(material: Material, draw: random.Random) -> Item | None:
    """A passage with a gap and four words to choose from; the wrong ones are words of the same topic."""
    gapped = _gap(material, draw)
    if not gapped:
        return None
    text, word = gapped
    inside = material.passage.text.lower()
    others = [w for w in material.topic.words if w not in inside and abs(len(w) - len(word)) <= 3]
    if len(others) < 3:
        return None
    options = [word, *draw.sample(others, 3)]
    draw.shuffle(options)
    return material.item("multiple_choice", passage=text, answer=word, evidence=word, options=tuple(options))


def definition(material: Material, draw: random.Random) -> Item | None:
    """"What is X?", answered by the sentence that opens an article and says what its subject is."""
    if material.passage.category not in DEFINING or not material.passage.id.endswith("#0") or not material.sentences:
        return None
    sentence = material.sentences[0]
    match = _DEFINITION.match(sentence)
    if not match or not is_whole(sentence) or words(match["subject"])[0] in ENGLISH_STOP_WORDS - {"the"}:
        return None
    subject = _ARTICLE.sub(lambda article: article[0].lower(), match["subject"])
    question = f"{'Who or what' if match['verb'] in ('was', 'were') else 'What'} {match['verb']} {subject}?"
    return material.item(
        "definition", passage=material.passage.text, question=question, answer=sentence, evidence=sentence
    )


def year_question(material: Material, draw: random.Random) -> Item | None:
    """The year in a sentence; the sentence without the year is the question."""
    dated = [s for s in _whole_sentences(material, 8, 60) if len(_YEAR.findall(s)) == 1]
    if not dated:
        return None
    sentence = draw.choice(dated)
    year = _YEAR.findall(sentence)[0]
    question = f"Which year belongs here: \"{_YEAR.sub(GAP, sentence)}\""
    return material.item(
        "year_question", passage=material.passage.text, question=question, answer=year, evidence=sentence
    )


def true_false(material: Material, draw: random.Random) -> Item | None:
    """A sentence of the passage, unchanged or with one number or name replaced."""
    usable = _whole_sentences(material, 7, 40)
    if not usable:
        return None
    sentence = draw.choice(usable)
    claim, answer = sentence, "True"
    if draw.random() < 0.5:
        altered = _altered(sentence, material, draw)
        if altered is None or altered in material.passage.text:
            return None
        claim, answer = altered, "False"
    return material.item(
        "true_false", passage=material.passage.text, question=claim, answer=answer, evidence=sentence,
        options=(),
    )


def _altered(sentence: str, material: Material, draw: random.Random) -> str | None:
    """The sentence with a number changed or a name replaced by another of the same topic."""
    numbers = _NUMBER.findall(sentence)
    if numbers:
        number = draw.choice(numbers)
        changed = str(int(number) + draw.choice((-1, 1)) * draw.randint(1, max(3, int(number) // 8)))
        return re.sub(rf"(?<![\w.,]){number}\b", changed.lstrip("-") or "1", sentence, count=1)
    its_names = names(sentence)
    others = [name for name in material.topic.names if name not in material.passage.text]
    if not its_names or not others:
        return None
    return sentence.replace(draw.choice(its_names), draw.choice(others))


def ordering(material: Material, draw: random.Random) -> Item | None:
    """The first three to five sentences of a passage, all whole, shuffled; their order is the answer."""
    lines = list(material.sentences[:5])
    if len(lines) < 3 or len(set(lines)) != len(lines) or lines != _whole_sentences(material, 4, 40)[:5]:
        return None
    shuffled = list(lines)
    while shuffled == lines:
        draw.shuffle(shuffled)
    listed = "\n".join(f"({number}) {sentence}" for number, sentence in enumerate(shuffled, start=1))
    answer = ", ".join(str(shuffled.index(sentence) + 1) for sentence in lines)
    return material.item("ordering", question=listed, answer=answer, evidence=lines[0])


def next_sentence(material: Material, draw: random.Random) -> Item | None:
    """The beginning of a passage and three sentences, one of which continues it; the others share its topic."""
    if len(material.sentences) < 3:
        return None
    *beginning, last = material.sentences
    others = [s for s in material.topic.sentences if s not in material.passage.text]
    if not 6 <= len(last.split()) <= 40 or not is_whole(last) or len(others) < 2:
        return None
    options = [last, *draw.sample(others, 2)]
    draw.shuffle(options)
    return material.item(
        "next_sentence", passage=" ".join(beginning), answer=last, evidence=last, options=tuple(options)
    )


def completion(material: Material, draw: random.Random) -> Item | None:
    """A passage whose last sentence breaks off; the rest of it is the answer."""
    if len(material.sentences) < 2 or material.sentences[-1] not in _whole_sentences(material, 12, 40):
        return None
    *beginning, last = material.sentences
    pieces = last.split()
    cut = draw.randint(len(pieces) // 2, len(pieces) - 3)
    rest = " ".join(pieces[cut:])
    return material.item(
        "completion", passage=" ".join([*beginning, *pieces[:cut]]), answer=rest, evidence=rest
    )


def key_terms(material: Material, draw: random.Random) -> Item | None:
    """The content words that recur in a passage, most frequent first."""
    content = [word.lower() for word in content_words(material.passage.text)]
    counts = {word: content.count(word) for word in content}
    ranked = sorted(counts, key=lambda word: (-counts[word], content.index(word)))
    best = [word for word in ranked if counts[word] >= 2][:5]
    if len(best) < 3:
        return None
    return material.item("key_terms", passage=material.passage.text, answer=", ".join(best), evidence=best[0])


def restoration(material: Material, draw: random.Random) -> Item | None:
    """A sentence without capitals and punctuation; the original sentence is the answer."""
    usable = [s for s in _whole_sentences(material, 8, 45) if len(_MARKS.findall(s)) >= 2]
    if not usable:
        return None
    sentence = draw.choice(usable)
    stripped = " ".join(_MARKS.sub(" ", sentence).lower().split())
    return material.item("restoration", question=stripped, answer=sentence, evidence=sentence)


def arithmetic(material: Material, draw: random.Random) -> Item | None:
    """A problem of school mathematics with the result computed by the problem's generator."""
    problems = list(_PROBLEM.finditer(material.passage.text))
    if not problems:
        return None
    problem = draw.choice(problems)
    return material.item(
        "arithmetic", question=problem["question"].strip(), answer=problem["answer"].strip(),
        evidence=problem.group(0),
    )


def _function(material: Material) -> tuple[str, str, str] | None:
    """Name, purpose and code of the first documented function of a passage, the code without its docstring."""
    match = _FUNCTION.search(material.passage.text)
    if not match:
        return None
    head, rest = match.group(0), material.passage.text[match.end() :]
    body = _FUNCTION_END.split(rest.partition('"""')[2].lstrip("\n"), maxsplit=1)[0].rstrip()
    code = f"{head.partition(chr(10))[0]}\n{body}"
    if len(body.strip()) < 60 or match["name"].startswith("test_") or not _parses(code):
        return None
    return match["name"], match["purpose"], code


def _parses(code: str) -> bool:
    """Whether a function is complete, since passages are cut at a length."""
    try:
        ast.parse(textwrap.dedent(code))
    except (SyntaxError, ValueError):
        return False
    return True


def function_name(material: Material, draw: random.Random) -> Item | None:
    """A function without its name, which is to be found from its purpose."""
    documented = _function(material)
    if not documented:
        return None
    name, purpose, code = documented
    code = re.sub(rf"\b{name}\b", GAP, code)
    return material.item("function_name", passage=code, question=purpose, answer=name, evidence=name)


def function_purpose(material: Material, draw: random.Random) -> Item | None:
    """A function without its docstring, whose first line is the answer."""
    documented = _function(material)
    if not documented:
        return None
    name, purpose, code = documented
    return material.item("function_purpose", passage=code, question=name, answer=purpose, evidence=purpose)


BUILDERS: dict[str, Builder] = {
    builder.__name__: builder
    for builder in (
        cloze, multiple_choice, definition, year_question, true_false, ordering, next_sentence, completion,
        key_terms, restoration, arithmetic, function_name, function_purpose,
    )
}
# Kinds that need prose and its sentence ends; the others also take code, and text that came stripped of its marks.
PUNCTUATED_ONLY = frozenset(BUILDERS) - {
    "cloze", "multiple_choice", "key_terms", "arithmetic", "function_name", "function_purpose",
}

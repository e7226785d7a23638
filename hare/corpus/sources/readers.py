"""Readers: archive members in, (key, text) rows out.

Members and the rows of tables come in the order of a hash of their names, not in the archive's own, which is often
sorted by subject: so the first megabytes of a source are a fair sample of it. Bytes that are no UTF-8 become U+FFFD,
for the first block to see.
"""

import ast
import csv
import gzip
import io
import re
import sqlite3
import tarfile
import xml.etree.ElementTree as ElementTree
import zipfile
from bz2 import decompress
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
import xxhash

from hare.corpus.sources.markup import html_to_text, wikitext_to_text
from hare.corpus.sources.source import Rows
from hare.data.archives import Archive, extract, members, read_member

MALFORMED = "\x00malformed row: "
_REDIRECT = re.compile(r"#redirect", re.IGNORECASE)
_SHORTEST_DOCSTRING = 200  # characters
_SHORTEST_SENTENCE = 5  # words
_YEAR = re.compile(r"(?:1[5-9]|20)\d\d")
_ABBREVIATIONS = frozenset(str.split(
    "mrs sen rep gov gen col sgt capt lieut prof rev hon inc corp ltd jan feb mar apr jun jul aug sep sept oct nov dec "
    "etc approx dept est min max vol fig assn bros com www http https messrs maj cmdr atty supt tel ext ave blvd "
    "vs pp ed al no ca eg ie pm am cf fn ft lb oz a b c d e f g h j k l m n o p q r s t u v w x y z"
))


def _text(archive: Archive, member: str) -> str:
    return _decoded(read_member(archive, member))


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", errors="replace").replace("\r\n", "\n")


def spread(names: Iterable[str]) -> list[str]:
    """The names in the order of their hashes."""
    return sorted(names, key=lambda name: (xxhash.xxh64_intdigest(name), name))


def _members_under(archive: Archive, prefixes: tuple[str, ...], suffix: str) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the members under ``prefixes``; the archive is opened once, since that is slow."""
    names = spread(name for prefix in prefixes for name in members(archive, prefix) if name.endswith(suffix))
    if archive.path.suffix == ".whl":
        with zipfile.ZipFile(archive.path) as file:
            for name in names:
                yield name, file.read(name)
    else:
        wanted = set(names)
        with tarfile.open(archive.path) as file:
            contents = {info.name: file.extractfile(info).read() for info in file if info.name in wanted}
        for name in names:
            yield name, contents[name]


def _spread_rows(texts: dict[str, str]) -> Rows:
    for key in spread(texts):
        yield key, texts[key]


def text_files(archive: Archive, prefixes: tuple[str, ...]) -> Rows:
    """One document per ``.txt`` member."""
    for member, data in _members_under(archive, prefixes, ".txt"):
        yield member, _decoded(data)


def orange_table(archive: Archive, tables: tuple[str, ...]) -> Rows:
    """One document per row of an Orange ``.tab`` file: its last text column, below three lines of heading."""
    texts = {}
    for member in tables:
        for number, _, text in _orange_rows(archive, member):
            texts[f"{member.rsplit('/', 1)[-1].removesuffix('.tab')}-{number:05d}"] = text
    yield from _spread_rows(texts)


def orange_labels(archive: Archive, tables: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The class, which stands in the first column, and the text of each row of Orange ``.tab`` files, as they come."""
    for member in tables:
        yield from ((label, text) for _, label, text in _orange_rows(archive, member))


def _orange_rows(archive: Archive, member: str) -> Iterator[tuple[int, str, str]]:
    """Number, first cell and text of each row that has a text."""
    lines = _text(archive, member).split("\n")
    column = _text_column(lines[0].split("\t"))
    for number, line in enumerate(lines[3:]):
        cells = line.split("\t")
        if len(cells) > column:
            yield number, cells[0], cells[column].strip(' "')


def _text_column(names: list[str]) -> int:
    return next(index for index, name in enumerate(names) if name in ("Text", "Content"))


def json_lines(
    archive: Archive, prefixes: tuple[str, ...], fields: tuple[str, ...]
) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """Rows of JSON-lines members, as `parsed_lines`."""
    for member in prefixes:
        yield from parsed_lines(_text(archive, member), fields)


def parsed_lines(text: str, fields: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """Number and object of each line that is not blank.

    A line that is no JSON object with all of ``fields`` is yielded as a text that starts with `MALFORMED` instead.
    """
    for number, line in enumerate(text.split("\n")):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
            missing = [field for field in fields if not isinstance(row, dict) or field not in row]
            problem = f"no field {missing[0]}" if missing else ""
        except orjson.JSONDecodeError as error:
            problem = str(error)
        yield f"{number:06d}", f"{MALFORMED}{problem}: {line[:80]}" if problem else row


def passages(archive: Archive, tables: tuple[str, ...]) -> Rows:
    """The passage of each item of evals' Schelling-point task: field "0"; the other fields shuffle its sentences."""
    for key, row in json_lines(archive, tables, ("0",)):
        yield key, row if isinstance(row, str) else str(row["0"])


def stopless_passages(archive: Archive, tables: tuple[str, ...]) -> Rows:
    """The same where the packer has cut the text at its full stops and dropped the last: it stands again.

    It does not where it was no end of a sentence: after an abbreviation or an initial, inside a number.
    """
    for key, text in passages(archive, tables):
        yield key, f"{text.rstrip()}." if lacks_its_stop(text) else text


def lacks_its_stop(text: str) -> bool:
    """Whether the last line reads as a whole sentence but for its full stop."""
    line = text.rstrip().rpartition("\n")[2]
    words = line.split()
    if len(words) < _SHORTEST_SENTENCE:
        return False
    last = words[-1].lstrip("(“\"'‘")
    if last.isdecimal():
        return bool(_YEAR.fullmatch(last))
    long_enough = len(last) > 2 or last.islower()
    return last[-1:].isalpha() and long_enough and last.lower() not in _ABBREVIATIONS and "." not in last


def bible_chapters(archive: Archive, tables: tuple[str, ...]) -> Rows:
    """One document per chapter, one line per verse."""
    chapters: dict[str, list[str]] = {}
    for key, row in json_lines(archive, tables, ("book", "chapter", "text")):
        if isinstance(row, str):
            yield key, row
        else:
            chapters.setdefault(f"{row['book']}-{row['chapter']}", []).append(row["text"])
    yield from _spread_rows({key: "\n".join(verses) for key, verses in chapters.items()})


def topic_summaries(archive: Archive, tables: tuple[str, ...]) -> Rows:
    """One document per Wikipedia summary of a topic."""
    for member in tables:
        topics = orjson.loads(read_member(archive, member))
        yield from _spread_rows({title: row["extract"] for title, row in topics.items()})


def wikipedia_dump(archive: Archive, dumps: tuple[str, ...]) -> Rows:
    """One document per article of a bzip2-compressed MediaWiki dump, its markup removed; redirects are no articles."""
    for member in dumps:
        parser = ElementTree.iterparse(io.BytesIO(decompress(read_member(archive, member))))
        for _, element in parser:
            if element.tag.rpartition("}")[2] != "page":
                continue
            field = {part.tag.rpartition("}")[2]: part.text or "" for part in element.iter()}
            if field.get("ns") == "0" and not _REDIRECT.match(field.get("text", "")):
                yield field["title"], wikitext_to_text(field["text"])
            element.clear()


def factbook(archive: Archive, prefixes: tuple[str, ...]) -> Rows:
    """One document per country: each field on a line of its own, under the heading of its chapter."""
    for member, data in _members_under(archive, prefixes, ".json"):
        chapters = orjson.loads(data)
        lines = [f"{heading}\n" + "\n".join(_fields(fields)) for heading, fields in chapters.items()]
        yield member, "\n\n".join(lines)


def _fields(value: Any, name: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _fields(inner, name if key == "text" else f"{name}, {key.strip()}" if name else key.strip())
    elif isinstance(value, str) and value.strip():
        yield f"{name}: {html_to_text(value)}"


def commons_speeches(archive: Archive, tables: tuple[str, ...]) -> Rows:
    """One document per speech of a ParlSpeech sample (a zip with one CSV inside)."""
    for member in tables:
        with zipfile.ZipFile(io.BytesIO(read_member(archive, member))) as inner:
            table = inner.read(inner.namelist()[0]).decode("utf-8", errors="replace")
        for number, row in enumerate(csv.DictReader(io.StringIO(table))):
            yield f"{number:05d}", row["text"]


def regulation_articles(archive: Archive, databases: tuple[str, ...]) -> Rows:
    """One document per article of a regulation, from an SQLite database."""
    for member in databases:
        with sqlite3.connect(f"file:{extract(archive, member)}?mode=ro", uri=True) as database:
            rows = database.execute("SELECT celex, article_id, content FROM articles ORDER BY celex, article_number")
            for celex, article, content in rows:
                yield f"{celex}-{article}", content


def service_documentation(archive: Archive, prefixes: tuple[str, ...]) -> Rows:
    """One document per operation of a service: its description and those of its parameters, HTML removed."""
    for member, data in _members_under(archive, prefixes, "service-2.json.gz"):
        service = orjson.loads(gzip.decompress(data))
        shapes = service.get("shapes", {})
        for name, operation in sorted(service.get("operations", {}).items()):
            parts = [operation.get("documentation", "")]
            fields = shapes.get(operation.get("input", {}).get("shape"), {}).get("members", {})
            parts += [f"{field}: {shape.get('documentation', '')}" for field, shape in fields.items()]
            yield f"{'-'.join(member.split('/')[2:4])}-{name}", html_to_text("\n".join(part for part in parts if part))


def python_files(archive: Archive, prefixes: tuple[str, ...]) -> Rows:
    """One document per Python file; empty files are no documents."""
    for member, data in _members_under(archive, prefixes, ".py"):
        text = _decoded(data)
        if text.strip():
            yield member, text


def docstrings(archive: Archive, prefixes: tuple[str, ...]) -> Rows:
    """One document per docstring of a module, class or function that is long enough to explain something."""
    for member, data in _members_under(archive, prefixes, ".py"):
        if "/tests/" in member:
            continue
        for node in ast.walk(ast.parse(_decoded(data))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = ast.get_docstring(node)
                if text and len(text) >= _SHORTEST_DOCSTRING:
                    yield f"{member}:{getattr(node, 'lineno', 0)}", text

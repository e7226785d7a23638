"""Wikitext and HTML turned into plain text."""

import html
import re

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_REFERENCE = re.compile(r"<ref[^>/]*/>|<ref.*?</ref>", re.DOTALL | re.IGNORECASE)
_DISPLAYED = re.compile(r"<(math|gallery|timeline|syntaxhighlight|source)\b.*?</\1>", re.DOTALL | re.IGNORECASE)
_INNERMOST_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}")
_INNERMOST_TABLE = re.compile(r"\{\|(?:(?!\{\||\|\}).)*\|\}", re.DOTALL)
_FILE_LINK = re.compile(r"\[\[(?:File|Image|Category):[^\[\]]*(?:\[\[[^\[\]]*\]\][^\[\]]*)*\]\]", re.IGNORECASE)
_LINK = re.compile(r"\[\[(?:[^|\[\]]*\|)?([^\[\]]*)\]\]")
_EXTERNAL_LINK = re.compile(r"\[(?:https?|ftp)://[^\s\]]+\s*([^\]]*)\]")
_EMPHASIS = re.compile(r"'{2,5}")
_HEADING = re.compile(r"^=+\s*(.*?)\s*=+\s*$", re.MULTILINE)
_LIST_MARK = re.compile(r"^[*#:;]+\s*", re.MULTILINE)
_TAG = re.compile(r"<[^<>]*>")
_BLOCK_TAG = re.compile(r"</?(?:p|br|li|ul|ol|dl|dt|dd|div|note|h\d|tr|table)\b[^<>]*>", re.IGNORECASE)
_SPACES = re.compile(r"[ \t\u00a0]+")
_BLANK_LINES = re.compile(r" *\n *(?:\n *)+")
_LAST_SECTIONS = re.compile(
    r"^=+\s*(?:References|External links|See also|Further reading|Notes|Bibliography)\s*=+.*",
    re.MULTILINE | re.DOTALL | re.IGNORECASE,
)


def wikitext_to_text(source: str) -> str:
    """Readable text of a MediaWiki article: templates, tables, references, files and the lists at its end are gone."""
    text = _LAST_SECTIONS.sub("", source)
    for pattern in (_COMMENT, _REFERENCE, _DISPLAYED):
        text = pattern.sub("", text)
    text = _without_nested(_INNERMOST_TEMPLATE, text)
    text = _without_nested(_INNERMOST_TABLE, text)
    text = _FILE_LINK.sub("", text)
    text = _LINK.sub(r"\1", text)
    text = _EXTERNAL_LINK.sub(r"\1", text)
    text = _EMPHASIS.sub("", text)
    text = _HEADING.sub(r"\n\1\n", text)
    text = _LIST_MARK.sub("", text)
    return _tidy(html.unescape(_TAG.sub("", text)))


def html_to_text(source: str) -> str:
    """Text of an HTML fragment; block elements end a line."""
    return _tidy(html.unescape(_TAG.sub("", _BLOCK_TAG.sub("\n", source))))


def _without_nested(innermost: re.Pattern[str], text: str) -> str:
    """Remove constructs that nest, from the inside out."""
    while True:
        text, count = innermost.subn("", text)
        if not count:
            return text


def _tidy(text: str) -> str:
    return _BLANK_LINES.sub("\n\n", _SPACES.sub(" ", text)).strip()

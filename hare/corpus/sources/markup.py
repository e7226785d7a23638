"""Wikitext and HTML turned into plain text, in which ``<`` and ``>`` may also compare numbers.

Patterns rather than a parser. Three were tried: HTML's own grammar (lxml, selectolax) takes the ``<n`` of ``i<n`` for a
tag and sets cells side by side without a blank; mwparserfromhell keeps the text of references and joins what ``<br>``
sets apart, at a tenth of the speed.
"""

import html
import re

_ATTRIBUTES = (
    r"(?:\s+[\w:.-]+\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s\"'<>=`]+)"
    r"|\s+(?:hidden|disabled|checked|nowrap|reversed|selected|readonly|required|noshade|compact|open|async|defer|inline|"
    r"controls|autoplay|loop|muted|multiple|itemscope))*"
)
_HTML_NAME = r"[A-Za-z][\w:.-]*"
_WIKI_NAME = (  # what MediaWiki takes for a tag; anything else is text
    r"(?i:abbr|b|bdi|bdo|big|blockquote|br|caption|center|ce|chem|cite|code|col|data|dd|del|dfn|div|dl|dt|em|font|h[1-6]|"
    r"hr|i|includeonly|ins|kbd|li|mark|noinclude|nowiki|ol|onlyinclude|p|pages?|poem|pre|q|rb|references|rp|rt|rtc|ruby|"
    r"s|samp|section|small|span|strike|strong|sub|sup|table|tbody|td|tfoot|th|thead|time|tr|tt|u|ul|var|wbr|ref|math|"
    r"gallery|timeline|syntaxhighlight|source|note)"
)
_BLOCK_NAME = (
    r"(?i:address|article|aside|blockquote|body|br|caption|center|dd|details|dir|div|dl|dt|fieldset|figcaption|figure|"
    r"footer|form|h[1-6]|head|header|hr|html|important|legend|li|main|menu|nav|note|ol|option|p|poem|pre|section|select|"
    r"summary|table|tbody|tfoot|thead|title|tr|ul)"
)
_HTML_TAG = re.compile(rf"</?{_HTML_NAME}{_ATTRIBUTES}\s*/?>")
_WIKI_TAG = re.compile(rf"</?{_WIKI_NAME}{_ATTRIBUTES}\s*/?>")
_BLOCK_TAG = re.compile(rf"</?{_BLOCK_NAME}{_ATTRIBUTES}\s*/?>")
_CELL_TAG = re.compile(rf"</?(?i:td|th){_ATTRIBUTES}\s*/?>")
_SCRIPT = re.compile(
    r"<(script|style|noscript|template|svg|iframe)\b[^<>]*(?<!/)>.*?(?:</\1\s*>|$(?!\n))", re.DOTALL | re.IGNORECASE
)
_DECLARATION = re.compile(r"<!DOCTYPE[^>]*>|<\?xml[^>]*\?>", re.IGNORECASE)
_CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)

_IN_TAG = r"(?:\"[^\"<>]*\"|'[^'<>]*'|[^<>\"'])*?"
_REFERENCE = re.compile(
    rf"<ref\b{_IN_TAG}/>|<ref\b{_IN_TAG}>(?:(?!<ref\b).)*?</ref\s*>|<references\b{_IN_TAG}/?>",
    re.DOTALL | re.IGNORECASE,
)
_DISPLAYED = re.compile(
    rf"<(math|gallery|timeline|syntaxhighlight|source|chem|ce|score)\b(?:{_IN_TAG}/>|{_IN_TAG}>.*?</\1\s*>)",
    re.DOTALL | re.IGNORECASE,
)
_INNERMOST_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}")
_INNERMOST_TABLE = re.compile(r"\{\|(?:(?!\{\||\|\}).)*\|\}", re.DOTALL)
_FILE_LINK = re.compile(r"\[\[(?:File|Image|Category):[^\[\]]*(?:\[\[[^\[\]]*\]\][^\[\]]*)*\]\]", re.IGNORECASE)
_LINK = re.compile(r"\[\[(?:[^|\[\]]*\|)?([^\[\]]*)\]\]")
_EXTERNAL_LINK = re.compile(r"\[(?:(?:https?|ftp):)?//[^\s\]]+\s*([^\]]*)\]")
_EMPHASIS = re.compile(r"'{2,5}")
_HEADING = re.compile(r"^=+\s*(.*?)\s*=+\s*$", re.MULTILINE)
_LIST_MARK = re.compile(r"^[*#:;]+\s*", re.MULTILINE)
_SPACES = re.compile(r"[ \t\u00a0]+")
_BLANK_LINES = re.compile(r" *\n *(?:\n *)+")
_BESIDE_BREAK = re.compile(r" *\n *")
_LAST_SECTIONS = re.compile(
    r"^=+\s*(?:References|External links|See also|Further reading|Notes|Bibliography)\s*=+.*",
    re.MULTILINE | re.DOTALL | re.IGNORECASE,
)


def wikitext_to_text(source: str) -> str:
    """Readable text of a MediaWiki article: templates, tables, references, files and the lists at its end are gone."""
    text = _LAST_SECTIONS.sub("", source)
    for pattern in (_COMMENT, _REFERENCE, _DISPLAYED):
        text = _without(pattern, text)
    text = _without_nested(_INNERMOST_TEMPLATE, text)
    text = _without_nested(_INNERMOST_TABLE, text)
    text = _without(_FILE_LINK, text)
    text = _LINK.sub(r"\1", text)
    text = _EXTERNAL_LINK.sub(r"\1", text)
    text = _EMPHASIS.sub("", text)
    text = _HEADING.sub(r"\n\1\n", text)
    text = _LIST_MARK.sub("", text)
    return _tidy(html.unescape(_without_tags(_WIKI_TAG, text)))


def html_to_text(source: str) -> str:
    """Text of an HTML fragment: block elements end a line, cells stand apart; scripts, styles and comments are gone."""
    text = source
    if "<" in text:
        for pattern in (_COMMENT, _SCRIPT, _DECLARATION):
            text = pattern.sub(" ", text)
        text = _without_tags(_HTML_TAG, _CDATA.sub(r"\1", text))
    return _tidy(html.unescape(text))


def _without_tags(tag: re.Pattern[str], text: str) -> str:
    if "<" not in text:
        return text
    return tag.sub("", _CELL_TAG.sub(" ", _BLOCK_TAG.sub("\n", text)))


def _without(pattern: re.Pattern[str], text: str) -> str:
    """The text without the matches, and a blank where one stood between two words."""
    return pattern.sub(_blank_between_words, text)


def _blank_between_words(match: re.Match[str]) -> str:
    start, end = match.span()
    return " " if match.string[start - 1 : start].isalnum() and match.string[end : end + 1].isalnum() else ""


def _without_nested(innermost: re.Pattern[str], text: str) -> str:
    """Remove constructs that nest, from the inside out."""
    while True:
        text, count = innermost.subn(_blank_between_words, text)
        if not count:
            return text


def _tidy(text: str) -> str:
    return _BESIDE_BREAK.sub("\n", _BLANK_LINES.sub("\n\n", _SPACES.sub(" ", text))).strip()

"""Outputs of notebooks as HTML without active content: text from data stays text.

Tables escape their cells (`hare.core.tables`); this is the second defence, an allow-list of tags and attributes.
"""

import re

KINDS = {"text/plain", "text/html", "text/markdown", "image/png", "image/jpeg", "image/svg+xml"}  # kept of an output
_TAGS = frozenset((
    "a", "abbr", "b", "blockquote", "br", "caption", "code", "col", "colgroup", "dd", "details", "div", "dl", "dt",
    "em", "figcaption", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "kbd", "li", "mark", "ol", "p",
    "pre", "q", "s", "samp", "small", "span", "strong", "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th",
    "thead", "tr", "u", "ul",
))
_ATTRIBUTES = frozenset(("class", "id", "title", "colspan", "rowspan", "align", "scope", "start", "width", "height"))
_LINK = re.compile(r"(?:https?://|mailto:|#|(?!//)[\w./-]+(?:[?#]|$))", re.I)
_PICTURE = re.compile(r"(?:data:image/(?:png|jpeg|gif|svg\+xml);base64,|(?!//)[\w./-]+$)", re.I)
# What pandas writes at the head of a table. Rules of any other form go; text of a cell comes later and never matches.
_OF_A_FRAME = re.compile(r"<style scoped>[^<]*</style>")
_OF_A_STYLER = re.compile(
    r'\A\s*<style type="text/css">\s*(?:(?:#T_\w+[\w ,#.:>()-]*\{(?:\s*[a-z-]+:\s*[\w\s#%.,()-]+;)*\s*\}\s*)*)</style>'
)


def safe_html(value: str) -> str:
    """HTML of an output without anything that runs, loads or submits; tags that are not allowed are shown as text."""
    import bleach

    head = _OF_A_STYLER.match(value)
    style = head[0] if head and "url(" not in head[0] else ""
    body = _OF_A_FRAME.sub("", value[len(head[0]) if head else 0 :])
    return style + bleach.clean(body, tags=_TAGS, attributes=_allowed, protocols=["http", "https", "mailto", "data"])


def _allowed(tag: str, name: str, value: str) -> bool:
    if name in _ATTRIBUTES:
        return True
    if (tag, name) == ("a", "href"):
        return bool(_LINK.match(value))
    if tag == "img" and name == "src":
        return bool(_PICTURE.match(value))
    return tag == "img" and name == "alt"

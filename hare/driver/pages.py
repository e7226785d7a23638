"""Notebooks' outputs as HTML that runs nothing: text from outside stays text, in the notebook and in its page.

Tables escape their cells (`hare.core.tables`); what is here is the second net, an allow-list of tags and attributes,
and in the page the third, a policy that forbids scripts and every address outside the page.
"""

import base64
import html
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbformat import NotebookNode

STYLE = Path(__file__).with_name("notebook.css")
KINDS = {"text/plain", "text/html", "text/markdown", "image/png", "image/jpeg", "image/svg+xml"}  # kept of an output
_POLICY = "default-src 'none'; img-src 'self' data: file:; style-src 'unsafe-inline'"
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


def safe_html(value: str | bytes) -> str:
    """Markup from an output or a Markdown cell with nothing in it that runs, loads or submits; other tags are shown.

    A picture in SVG, which comes as bytes, is put into an image, where scripts never run.
    """
    import bleach

    if isinstance(value, bytes):
        return f'<img src="data:image/svg+xml;base64,{base64.b64encode(value).decode()}" alt="">'
    value = str(value)
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


def to_html(notebook: "NotebookNode", title: str) -> str:
    """The notebook as one page that needs no network: own style, pictures embedded."""
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(template_name="basic", sanitize_html=True, filters={"clean_html": safe_html})
    body, _ = exporter.from_notebook_node(notebook)
    style = STYLE.read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n<title>{html.escape(title)}</title>\n'
        f"<style>\n{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )

"""Passwords, tokens and keys replaced by ``***`` wherever text leaves the program: messages, logs, notebooks, records.

Two kinds are replaced: what looks like a secret by its form or by the name before it, and the secrets of this machine,
which are the values of environment variables named like one and the passwords in addresses, in any encoding.
"""

import base64
import json
import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

MASK = "***"
_LEAST = 6  # characters of a value that is replaced everywhere; a shorter one would match ordinary words
_NAME = r"(?:token|secret|password|passwd|passphrase|pwd|api[_-]?key|access[_-]?key|private[_-]?key|credentials?)"
_SECRET_VARIABLE = re.compile(r"token|secret|passw|pwd|credential|auth|(?:^|_)(?:key|pat)(?:$|_)|api_?key", re.I)
_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]*://([^\s/?#\"'<>]+)@", re.I)

_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # https://user:password@host, also percent-encoded as a part of another address
    (re.compile(r"\b([a-z][a-z0-9+.-]*://)[^\s/?#\"'<>]+@", re.I), rf"\1{MASK}@"),
    (re.compile(r"(%3A%2F%2F)(?:(?!%2F|%3F|%23)[^\s/?#&\"'<>])+(%40)", re.I), rf"\1{MASK}\2"),
    # ?token=…, &X-Amz-Signature=…
    (re.compile(r"((?:[?&;]|%3F|%26)[^\s=&?#%]{0,64}(?:token|key|secret|passw|pwd|sig|auth|credential)[^\s=&?#%]{0,64}"
                r"(?:=|%3D))(?:(?!%26)[^\s&#\"'<>)])+", re.I), rf"\1{MASK}"),
    # Authorization: Bearer …, 'X-Api-Key': '…', Cookie: …
    (re.compile(r"\b((?:proxy-)?authorization|(?:set-)?cookie|x-[\w-]*(?:key|token|secret|auth)|api-key)"
                r"(\\?[\"']?\s*[:=]\s*\\?[\"']?)(?:(?:bearer|basic|token|digest|negotiate)\s+)?[^\"'\s\\,}<>]+", re.I),
     rf"\1\2{MASK}"),
    (re.compile(r"\b(bearer)\s+(?=[^\s\"']*\d)[\w.~+/=-]{12,}", re.I), rf"\1 {MASK}"),
    # HF_TOKEN=…, export OPENAI_API_KEY: …
    (re.compile(r"\b([A-Z0-9_]*(?:_TOKEN|_KEY|_SECRET|_PASSWORD|_PASSWD|_PWD|_CREDENTIALS|_PAT)"
                r"\\?[\"']?\s*[:=]\s*\\?[\"']?)(?!\s)[^\"'\s,;}<>\\]+"), rf"\1{MASK}"),
    # "api_key": "…", password='…', --password …
    (re.compile(rf"\b({_NAME}\\?[\"']?\s*[:=]\s*(\\?[\"']))(?:(?!\2)[^\n])+(\2)", re.I), rf"\1{MASK}\3"),
    (re.compile(rf"(--{_NAME}[= ])[^\s-][^\s]*", re.I), rf"\1{MASK}"),
    # tokens known by their form
    (re.compile(r"\b(?:hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|"
                r"glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,}|(?:AKIA|ASIA)[0-9A-Z]{16}|pypi-[\w-]{16,}|npm_[A-Za-z0-9]{20,}|"
                r"AIza[\w-]{30,}|eyJ[\w-]{8,}\.eyJ[\w-]{4,}\.[\w-]*)"), MASK),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S), MASK),
)


def masked(text: str) -> str:
    """``text`` with every secret in it replaced."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    for value in sorted(_spellings(), key=len, reverse=True):
        text = text.replace(value, MASK)
    return text


def masked_values(value: Any) -> Any:
    """The same for all strings in nested lists and mappings of plain values."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {key: masked_values(inner) for key, inner in value.items()}
    return [masked_values(inner) for inner in value] if isinstance(value, list | tuple) else value


def _spellings() -> Iterator[str]:
    """This machine's secrets verbatim, percent-encoded, decoded, as in JSON, and in base64 (basic authentication)."""
    for value in set(_known()):
        yield from (value, quote(value, safe=""), json.dumps(value)[1:-1])
        yield base64.b64encode(value.encode("utf-8", "surrogateescape")).decode()


def _known() -> Iterator[str]:
    """Values of variables named like a secret, and the user information of addresses in any variable."""
    for name, value in os.environ.items():
        if _SECRET_VARIABLE.search(name) and len(value) >= _LEAST and not value.startswith((os.sep, ".")):
            yield value
        for address in _ADDRESS.finditer(value):
            user, _, password = address[1].partition(":")
            for part in (address[1], password or user):
                yield from (spelled for spelled in (part, unquote(part)) if len(spelled) >= _LEAST)

"""What is turned away before any model reads it: empty, overlong and foreign requests, and control characters."""

import re
import unicodedata

from hare.corpus.language import identify
from hare.finetuning.functions import LONGEST_REQUEST

_LEAST_WORDS = 3
_SURE_FOREIGN = 0.8  # of the language model; short English requests full of names stay well below
_JOINERS = "\u200c\u200d"
_CONTROL_TEXT = re.compile(r"[<>{}\[\]|;`\\]")  # what further commands, markup and control tokens are written with
_CARRIER = re.compile(r"[\w.+-]+@[\w.-]+|\d+|\b[A-Z]\w+")  # addresses, numbers, names: of no language


def objection_to_request(request: str) -> str:
    """Why a request is turned away unread, '' when the model may read it."""
    if not request.strip():
        return "empty request"
    if len(request) > LONGEST_REQUEST:
        return "request too long"
    if _CONTROL_TEXT.search(request) or any(map(_is_control, request)):
        return "control text in the request"
    return "other language" if _is_foreign(request) else ""


def _is_control(sign: str) -> bool:
    """Whether a sign steers what shows it or stands for no character: joiners, which emoji and names need, do not."""
    return unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp") and sign not in _JOINERS


def _is_foreign(request: str) -> bool:
    letters = [sign for sign in request if sign.isalpha()]
    if sum(not unicodedata.name(sign, "").startswith("LATIN") for sign in letters) > len(letters) / 2:
        return True
    words = _CARRIER.sub(" ", request.lower() if request.isupper() else request[:1].lower() + request[1:])
    if len(words.split()) < _LEAST_WORDS:
        return False
    return identify(words).foreign >= _SURE_FOREIGN

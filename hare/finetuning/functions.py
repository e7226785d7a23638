"""The seven Android functions of the paper's Table 8, as a sandboxed table: validated calls, recorded effects.

A model's output never reaches anything but `Phone.execute`, which runs nothing that `objection_to` has not passed, and
whose functions only write down what they were asked for.
"""

import re
from dataclasses import dataclass, field

from hare.core.errors import HareError

LONGEST_REQUEST = 400  # characters
_EDGE = "\0"  # of a value, where these look for what would make it a part of something longer
_GOES_ON_BEFORE = re.compile(r"(?:[\w@+]|\w[-.'’])\0\w|\d[\s-]+\0\d")
_GOES_ON_AFTER = re.compile(r"\w\0(?:[\w@]|[-.'’]\w)|\d\0[\s-]+\d")
_CONTROL = re.compile(r"[<>{}\[\]|;`\\\x00-\x1f\x7f]")  # what other calls, markup or control tokens are written with


@dataclass(frozen=True)
class Slot:
    """One argument: what it may look like and how long it may be (characters); ``free_text``: any words may stand
    there, up to the end of a request."""

    name: str
    pattern: str
    longest: int
    free_text: bool = False


@dataclass(frozen=True)
class Function:
    """One function: the paper's ``api``, its name in plain text, what it does, its slots in order."""

    api: str
    name: str
    description: str
    slots: tuple[Slot, ...] = ()


_PERSON = r"[^\W\d_][^\W\d_.’'\- ]*(?:[.’'\- ]+[^\W\d_]+)*\.?"
_ADDRESS = r"[A-Za-z0-9._+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"
_PROSE = r"[\w(\"“‘'’$€£].*"

NO_CALL = "no_call"
FUNCTIONS: tuple[Function, ...] = (
    Function("API-0", "call_number", "Dial the telephone number that the user gives in digits.",
             (Slot("number", r"\+?\d[\d -]*\d", 20),)),
    Function("API-1", "call_contact", "Phone a person who is saved in the contacts, by name.",
             (Slot("contact", _PERSON, 40),)),
    Function("API-2", "search_web", "Open the browser and search the internet for what the user wants to know.",
             (Slot("query", _PROSE, 80, True),)),
    Function("API-3", "open_camera", "Start the camera to take a photo or a picture."),
    Function("API-4", "get_weather", "Tell the weather and the forecast of a city: rain, sun, temperature.",
             (Slot("place", _PERSON, 40),)),
    Function("API-5", "send_email", "Send an email message with the given text to a person or an address.",
             (Slot("recipient", rf"(?:{_ADDRESS}|{_PERSON})", 60), Slot("content", _PROSE, 160, True))),
    Function("API-6", NO_CALL, "Do nothing: the user says something meaningless or asks for something else."),
)
BY_NAME = {function.name: function for function in FUNCTIONS}


@dataclass(frozen=True)
class Call:
    """A function's name and its arguments in the order of its slots."""

    function: str
    arguments: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.function}({', '.join(map(repr, self.arguments))})"


def objection_to(call: Call, request: str | None = None) -> str:
    """Why a call must not be executed, '' when it may.

    With the ``request`` that it answers, every argument must stand in it word for word: a model that makes up a number
    or a recipient is refused.
    """
    function = BY_NAME.get(call.function)
    if function is None:
        return "unknown function"
    if len(call.arguments) != len(function.slots):
        return "missing slot" if len(call.arguments) < len(function.slots) else "surplus slot"
    for slot, value in zip(function.slots, call.arguments, strict=True):
        if reason := _objection_to_value(slot, value, request):
            return reason
    return ""


def _objection_to_value(slot: Slot, value: str, request: str | None) -> str:
    if not value.strip():
        return "empty slot"
    if len(value) > slot.longest:
        return "slot too long"
    if _CONTROL.search(value):
        return "control text in a slot"
    if not re.fullmatch(slot.pattern, value):
        return "malformed slot"
    return "" if request is None or _stands_in(value, request) else "slot not in the request"


def _stands_in(value: str, request: str) -> bool:
    """Whether the value is there as whole words: no part of a number in groups, an address, or a name with a hyphen."""
    places = (match.span() for match in re.finditer(re.escape(value), request))
    return any(not _GOES_ON_BEFORE.search(request[:start] + _EDGE + value[0])
               and not _GOES_ON_AFTER.search(value[-1] + _EDGE + request[end:]) for start, end in places)


@dataclass
class Phone:
    """The sandbox: executing a call only appends to ``log``; ``refused`` counts what was turned away, by reason."""

    log: list[Call] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)

    def execute(self, call: Call, request: str | None = None) -> str:
        """Carry out one validated call and say what was done; `NO_CALL` does nothing and is not logged.

        Raises:
            HareError: the call is invalid; it is counted, and nothing is done.
        """
        if reason := objection_to(call, request):
            self.refuse(reason)
            raise HareError(f"{call} was not executed: {reason}.", "ask again in other words")
        if call.function == NO_CALL:
            return "nothing to do"
        self.log.append(call)
        return f"{call.function}: {', '.join(call.arguments) or 'done'}"

    def refuse(self, reason: str) -> None:
        """Count something that was turned away."""
        self.refused[reason] = self.refused.get(reason, 0) + 1

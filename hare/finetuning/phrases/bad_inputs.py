"""Requests that must lead to no call, answers that must not be executed, and what became of each."""

from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from hare.core.errors import HareError
from hare.finetuning.calls import Reading, read_text
from hare.finetuning.dialogue import Dialogue
from hare.finetuning.functions import NO_CALL, Phone
from hare.finetuning.tools import ToolModel, carry_out

EXECUTED, REFUSED, ANSWERED_NO_CALL = "executed", "refused", "no call"
_OUT_OF_ORDER = (["user", "user"], ["assistant"], ["user", "assistant"], ["user", "system"], ["root"], [])


def bad_requests() -> list[tuple[str, str]]:
    """Kind and request."""
    return [(kind, "call " * 200 if request == "LONG" else request) for kind, request in _listed("bad_requests.yaml")]


def _listed(name: str) -> list[tuple[str, Any]]:
    listed = yaml.safe_load(Path(__file__).with_name(name).read_text(encoding="utf-8"))
    return [(kind, entry) for kind, entries in listed.items() for entry in entries]


def bad_input_table(tool: ToolModel) -> pd.DataFrame:
    """One row per request: kind, request (its beginning), outcome, detail (the call, or why there is none)."""
    asked = bad_requests()
    readings = tool.answer([request for _, request in asked])
    return pd.DataFrame([
        {"kind": kind, "request": repr(request[:60]), **_carried_out(request, reading)}
        for (kind, request), reading in zip(asked, readings, strict=True)
    ])


def bad_answer_table(dialogue: Dialogue) -> pd.DataFrame:
    """What becomes of answers that no model should give, and of conversations that break the chat template: kind,
    request, answer, outcome, detail. No model is asked."""
    rows = []
    for kind, (request, answer) in _listed("bad_answers.yaml"):
        outcome = _carried_out(request, read_text(answer, request))
        rows.append({"kind": kind, "request": request, "answer": answer, **outcome})
    for roles in _OUT_OF_ORDER:
        rows.append({"kind": "chat template mismatch", "request": ", ".join(roles), "answer": "",
                     **_prompted(dialogue, roles)})
    return pd.DataFrame(rows)


def _carried_out(request: str, reading: Reading) -> dict[str, str]:
    """``outcome`` and ``detail`` (the call, or why there is none) of a reading, on a phone of its own."""
    detail = carry_out(Phone(), request, reading)
    if reading.call is None:
        return {"outcome": REFUSED, "detail": detail}
    return {"outcome": ANSWERED_NO_CALL if reading.call.function == NO_CALL else EXECUTED, "detail": detail}


def _prompted(dialogue: Dialogue, roles: list[str]) -> dict[str, str]:
    try:
        dialogue.prompt_ids([{"role": role, "content": "call 112"} for role in roles])
    except HareError as error:
        return {"outcome": REFUSED, "detail": error.problem}
    return {"outcome": "read", "detail": "the model would be asked"}

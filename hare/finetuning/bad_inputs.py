"""Requests that must lead to no call, and what became of each."""

from pathlib import Path

import pandas as pd
import yaml

from hare.finetuning.functions import NO_CALL, Phone
from hare.finetuning.tools import ToolModel, carry_out

EXECUTED, REFUSED, ANSWERED_NO_CALL = "executed", "refused", "no call"


def bad_requests() -> list[tuple[str, str]]:
    """Kind and request."""
    listed = yaml.safe_load(Path(__file__).with_name("bad_inputs.yaml").read_text(encoding="utf-8"))
    return [
        (kind, "call " * 200 if request == "LONG" else request) for kind, found in listed.items() for request in found
    ]


def bad_input_table(tool: ToolModel) -> pd.DataFrame:
    """One row a request: kind, request (its beginning), decoding, outcome, detail (the call, or why there is none)."""
    asked = bad_requests()
    phone, rows = Phone(), []
    for (kind, request), reading in zip(asked, tool.answer([request for _, request in asked]), strict=True):
        said = carry_out(phone, request, reading)
        if reading.call is None:
            outcome = REFUSED
        else:
            outcome = ANSWERED_NO_CALL if reading.call.function == NO_CALL else EXECUTED
        rows.append({
            "kind": kind, "request": repr(request[:60]), "decoding": tool.decoding, "outcome": outcome, "detail": said,
        })
    return pd.DataFrame(rows)

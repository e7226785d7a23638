"""The one exception: its message, and its fields on the way between processes."""

import json
import pickle

from hypothesis import given
from hypothesis import strategies as st

from hare.core.errors import HareError, fields_in_notebook


@given(problem=st.text(), fix=st.text())
def test_any_fields_survive_json_and_notebooks(problem: str, fix: str) -> None:
    error = HareError(problem, fix)
    assert str(error) == f"{problem}\n  Fix: {fix}"
    again = HareError(**json.loads(json.dumps(error.fields)))
    assert (again.problem, again.fix) == (problem, fix)
    assert fields_in_notebook(error._render_traceback_()) == error.fields


def test_another_exceptions_traceback_has_no_fields() -> None:
    assert fields_in_notebook(["Traceback", "Cell In[1]", "ZeroDivisionError: division by zero"]) is None
    assert fields_in_notebook([]) is None


def test_an_error_from_another_process_keeps_its_fields() -> None:
    again = pickle.loads(pickle.dumps(HareError("problem", "fix")))
    assert (again.problem, again.fix) == ("problem", "fix")

"""Standard streams that cannot end the work: closed ones are replaced, and a reader may have seen enough."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO


@contextlib.contextmanager
def standard_streams() -> Iterator["Output"]:
    """Inside, what is printed goes through an `Output`; yields that of standard output, which is flushed at the end."""
    _open_closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot show is spelled instead
            stream.reconfigure(errors="backslashreplace")
    output, messages = Output(sys.stdout), Output(sys.stderr)
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(messages):  # type: ignore[type-var]
        try:
            yield output
        finally:
            output.flush()


def _open_closed() -> None:
    """Replace standard streams that the caller closed (``>&-``) by empty ones."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - as long as the process


class Output:
    """A stream whose reader, such as `head`, may have seen enough: then the rest goes nowhere, and the work goes on."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """As the stream does it."""
        with self._read_or_not():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """As the stream does it."""
        with self._read_or_not():
            self._stream.flush()

    def go_nowhere(self) -> None:
        """From now on nothing is written, not even what still waits to be."""
        with contextlib.suppress(OSError):  # what stands in for a stream in a test has no descriptor
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    @contextlib.contextmanager
    def _read_or_not(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            self.go_nowhere()

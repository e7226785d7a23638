"""The entry point of ``hare``: interruptions and errors become one message; the commands are in `hare.commands`.

Whatever loads slowly is imported after the first interruption would be caught.
"""

import os
import signal
import sys

TYPE_CHECKING = False  # as in `typing`, which takes its time
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from hare.core.streams import Output

INTERRUPTED = 130
CANNOT = 2
_MESSAGE = "hare: interrupted; the same command continues where it stopped"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return 0 on success, 1 when `doctor` or `verify` found a fault, 2 on a `HareError`, 130 on
    Ctrl-C."""
    _on_interruption(_leave)  # nothing has begun
    from hare.core.streams import standard_streams

    with standard_streams() as output:
        try:
            return _outcome(arguments, output)
        finally:
            _on_interruption(_leave)  # nothing is left to do


def _outcome(arguments: list[str] | None, output: "Output") -> int:
    from hare.commands import parser
    from hare.core.errors import HareError

    chosen = parser().parse_args(arguments)
    try:
        _on_interruption(signal.default_int_handler)
        code = chosen.run(chosen)
        output.flush()
        return code
    except HareError as error:
        print(f"hare: {error}", file=sys.stderr)
        return CANNOT
    except OSError as error:
        output.go_nowhere()  # if it is what cannot be written
        print(f"hare: {_of_the_system(error)}", file=sys.stderr)
        return CANNOT
    except KeyboardInterrupt:
        print(_MESSAGE, file=sys.stderr)
        return INTERRUPTED


def _on_interruption(handler: "Callable[[int, FrameType | None], object]") -> None:
    """Call ``handler`` on Ctrl-C and on the signal to end, unless the caller has them ignored, as `nohup` does."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _leave(*_: object) -> None:
    """End the process at once, where an exception might be raised in the middle of an import."""
    try:
        os.write(2, f"{_MESSAGE}\n".encode())
    finally:
        os._exit(INTERRUPTED)


def _of_the_system(error: OSError) -> Exception:
    """The error of the operating system with the file's name and a fix, wherever it was raised."""
    from hare.core.errors import HareError
    from hare.core.files import disk_fix

    fix = disk_fix(str(error)) or "see to it that it is there and yours to read and write"
    return HareError(f"{error.filename or 'A file'}: {error.strerror or error}.", fix)


if __name__ == "__main__":
    sys.exit(main())

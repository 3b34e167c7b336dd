"""The one exception class of epochbank: a foreseeable problem, described for the person who reads it."""

import traceback
from pathlib import Path

_PACKAGE = str(Path(__file__).parents[1])


class EpochbankError(Exception):
    """A foreseeable problem. Its text says what happened, what was received, what was expected, and the fix.

    `usage` sets the exit code of the command line: True for a wrong argument (exit code 2), False for a problem with
    the data or the machine (exit code 1).
    """

    def __init__(self, message: str, *, usage: bool = False):
        super().__init__(message)
        self.exit_code = 2 if usage else 1

    def _render_traceback_(self) -> list[str]:
        """Return the lines that IPython and Jupyter show instead of a traceback."""
        return short_traceback(self)


def short_traceback(error: BaseException) -> list[str]:
    """Return the lines of the user's code that led to an exception of epochbank, and the exception."""
    lines = []
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename.startswith(_PACKAGE):
            break
        if "IPython" not in frame.filename:  # What runs the cell.
            lines.append(f"line {frame.lineno}{'' if frame.name == '<module>' else f' in {frame.name}'}: {frame.line}")
    text = str(error).strip()
    return [*lines, f"{type(error).__name__}{f': {text}' if text else ''}"]

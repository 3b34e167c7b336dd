"""Standard streams that are closed, or that cannot be written, such as the log on a full disk."""

import io
import os
import sys
from contextlib import suppress
from typing import TextIO

from .notebook import in_notebook


def open_closed_streams() -> None:
    """Connect closed standard streams to the null device.

    Otherwise Python has None for them, and the next file that is opened gets their descriptor: messages of C libraries
    would be written into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            stream = open(number, "r" if name == "stdin" else "w", encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
    _buffer_output()


def _buffer_output() -> None:
    """Give standard output a buffer if it has none, as with PYTHONUNBUFFERED.

    Without a buffer, Python silently drops the part of a write that a full disk does not accept.
    """
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper) and isinstance(out.buffer, io.RawIOBase):
        sys.stdout = open(  # noqa: SIM115  as long as the process
            out.fileno(), "w", buffering=1, encoding=out.encoding, errors=out.errors, closefd=False
        )


def is_terminal() -> bool:
    """Return whether standard error is a terminal, on which a bar can be shown."""
    return sys.stderr is not None and sys.stderr.isatty()


def write_message(text: str, end: str = "\n") -> None:
    """Write a message to standard error. If that is impossible, discard it and all later ones: results go elsewhere.

    In a notebook it is written to standard output: Jupyter shows standard error in red.
    """
    stream = sys.stdout if in_notebook() else sys.stderr
    if stream is None:
        return
    try:
        print(text, end=end, file=stream, flush=True)
    except OSError:
        discard(stream)


def discard(stream: TextIO | None) -> None:
    """Connect `stream` to the null device if it cannot be written, so that Python does not try again at exit."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        with suppress(OSError, ValueError):  # A stream of a test or a notebook has no descriptor.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)

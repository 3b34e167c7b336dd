"""Functions that run in a worker process of a Dask cluster."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from .lease import leased
from .memory import keep_freed_memory

Question = TypeVar("Question")
Answer = TypeVar("Answer")

_answered: set[str] = set()
"""Tokens of the runs whose handshake this process has answered."""


class HandshakeMissing(Exception):
    """This process has answered no handshake: it replaced the one that did, at the same address."""


def run_handshake(token: str, ask: Callable[[Question], Answer] | None, question: Question) -> Answer | None:
    """Return `ask(question)`, and record that this process answered the handshake of the run `token`."""
    result = None if ask is None else ask(question)
    _answered.add(token)
    return result


def run_task(token: str, lease: Path | None, work: Callable[[Question], Answer], task: Question) -> Answer:
    """Return `work(task)`. Raises `HandshakeMissing` if this process did not answer that of the run `token`."""
    if token not in _answered:
        raise HandshakeMissing(token)
    keep_freed_memory()
    with leased(lease):
        return work(task)

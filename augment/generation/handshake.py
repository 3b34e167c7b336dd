"""The handshake: what a worker process of a cluster must have in common with this process to make or check shards.

Both compute the same facts in the same order. A worker whose facts differ is refused.
"""

import importlib
import platform
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from ... import __version__
from ..distortion.choose_engine import engine_named
from ..errors import EpochbankError
from ..shared.atomic import TEMPORARY, remove
from ..store.description import read_description
from ..store.digest import digest_of, to_hex
from .epoch_content import content_at
from .set_inputs import SetReference, load_inputs

_LIBRARIES = {"NumPy": "numpy", "Pillow": "PIL", "Numba": "numba", "h5py": "h5py"}
_CANARY = 8
"""Images that are made in memory, of the first stored epoch."""


@dataclass(frozen=True)
class Question:
    """What a worker process needs to compute its facts."""

    reference: SetReference
    engine: str | None
    """Engine of the images to make; None to make none, for a process that only reads shards."""
    nonce: str
    lease: Path | None
    """File of this process that contains `nonce`; None if nothing is written."""


@dataclass
class Answer:
    """What a worker process found."""

    host: str
    facts: dict[str, str] = field(default_factory=dict)
    """Values by name, in the order in which they were found."""
    fault: str = ""
    """The error that ended the search for facts, as a sentence; '' if there was none."""
    written: str = ""
    """Name of the file with the nonce that the process wrote beside the lease; '' if it wrote none."""


def ask(question: Question) -> Answer:
    """Find the facts in this process, as far as that is possible."""
    found = Answer(socket.gethostname())
    try:
        _find(question, found)
    except (EpochbankError, OSError) as error:
        found.fault = str(error)
    return found


def _find(question: Question, found: Answer) -> None:
    """Add the facts to `found` one by one. Raises `EpochbankError` or `OSError` if one cannot be found."""
    facts = found.facts
    facts |= {"epochbank": __version__, "Python": ".".join(platform.python_version_tuple()[:2])}
    facts |= {name: _version(module) for name, module in _LIBRARIES.items()}
    if question.lease is not None:
        seen = facts["the file that this run wrote into the directory of the set"] = _read(question.lease)
        found.written = _write(question.lease, question.nonce) if seen == question.nonce else ""
    if question.engine is None:
        facts["the fingerprint in set.json"] = read_description(question.reference.directory).fingerprint
    else:
        facts |= _facts_of_images(question.reference, question.engine)


def _version(module: str) -> str:
    try:
        return str(importlib.import_module(module).__version__)
    except ImportError as error:
        return f"none ({error})"


def _facts_of_images(reference: SetReference, engine: str) -> dict[str, str]:
    """Return the source file as this process sees it, and the digest of some images."""
    inputs = load_inputs(reference)
    count = min(_CANARY, inputs.description.num_images["train"])
    run = content_at(
        reference.directory, inputs.description, inputs.recipe, inputs.source, "epoch", 0, 0, count,
        engine_named(engine),
    )  # fmt: skip
    return {
        "bytes of the source file": str(reference.source.stat().st_size),
        "digest of the source file": inputs.source.digest,
        f"digest of {count} images": to_hex(digest_of(0, run.images, run.labels, run.rows)),
    }


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return "no such file"


def _write(lease: Path, nonce: str) -> str:
    """Write a file with the nonce beside the lease; return its name, or '' if the run has ended."""
    path = lease.with_name(f"{TEMPORARY}{secrets.token_hex(6)}-answer")
    path.write_text(nonce, encoding="utf-8")
    if lease.exists():
        return path.name
    path.unlink(missing_ok=True)
    return ""


class SetHandshake:
    """The handshake of a run with the worker processes of a cluster; a context manager.

    Parameters
    ----------
    reference
        The set and its source file.
    engine
        Engine of the images that will be made; None if shards are only read.
    writes
        Whether the tasks write files into the directory of the set. If not, nothing is written there.
    """

    def __init__(self, reference: SetReference, engine: str | None, *, writes: bool = True):
        self._directory = reference.directory
        nonce = secrets.token_hex(16)
        self.lease = self._directory / f"{TEMPORARY}{secrets.token_hex(6)}-run" if writes else None
        self.question = Question(reference, engine, nonce, self.lease)
        self._expected: dict[str, str] = {}

    ask: Callable[[Question], Answer] = staticmethod(ask)

    def __enter__(self) -> "SetHandshake":
        own = Answer(socket.gethostname(), self._expected)
        try:
            if self.lease is not None:
                self.lease.write_text(self.question.nonce, encoding="utf-8")
            _find(self.question, own)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        finally:
            self._take(own.written)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.lease is not None:
            remove(self.lease)

    def fault(self, answer: Any) -> str:
        """Return what differs in a worker process, as part of a sentence; '' if nothing does."""
        seen = self._take(answer.written)
        for name, value in answer.facts.items():
            if value != self._expected.get(name):
                return f"{name} is {value}; expected {self._expected.get(name)}, as in this process"
        if answer.fault:
            return answer.fault
        if self.lease is not None and seen != self.question.nonce:
            return (
                f"the file that it wrote into {self._directory} is {seen!r} here; expected {self.question.nonce!r}, "
                "because both must see the same directory"
            )
        return ""

    def _take(self, name: str) -> str:
        """Return the contents of the file that a process wrote, and remove it."""
        path = self._directory / Path(name).name
        if not path.name.startswith(TEMPORARY):
            return "missing"
        try:
            return _read(path)
        finally:
            with suppress(FileNotFoundError):
                path.unlink()

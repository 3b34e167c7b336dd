"""Claims: which shards of a cache the processes of a machine use, so that none of them is evicted.

Each process has a file with the paths that it uses, which it keeps locked until it ends. A file that is not locked
belongs to a process that has ended.
"""

import fcntl
import json
import os
import secrets
import weakref
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ...shared.atomic import no_follow

_FOLDER = "claims"


class Claims:
    """The paths that this process uses. The caller holds the lock of the cache."""

    def __init__(self, root: Path):
        self._root = root
        self._counts: Counter[str] = Counter()
        self._file: tuple[int, int, Path] | None = None
        """Process, descriptor and path of the file."""

    def add(self, names: Iterable[str]) -> None:
        """Claim paths relative to the cache, each as often as it is added."""
        if self._file is not None and self._file[0] != os.getpid():  # A forked process begins without claims.
            self._file = None
            self._counts.clear()
        self._counts.update(names)
        self._write()

    def remove(self, names: Iterable[str]) -> None:
        """Give up claims."""
        self._counts.subtract(names)
        self._counts = +self._counts
        self._write()

    def _write(self) -> None:
        if self._file is None or self._file[0] != os.getpid():
            self._file = self._create()
        data = json.dumps(sorted(self._counts)).encode()
        os.ftruncate(self._file[1], 0)
        os.pwrite(self._file[1], data, 0)

    def _create(self) -> tuple[int, int, Path]:
        path = self._root / _FOLDER / f"{os.getpid()}-{secrets.token_hex(6)}"
        path.parent.mkdir(exist_ok=True)
        descriptor = no_follow(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        weakref.finalize(self, _remove, path, descriptor, os.getpid())
        return os.getpid(), descriptor, path


def _remove(path: Path, descriptor: int, process: int) -> None:
    with suppress(OSError):
        os.close(descriptor)
    if os.getpid() == process:
        path.unlink(missing_ok=True)


def claimed(root: Path) -> set[str]:
    """Return what all running processes claim in the cache `root`, and remove the files of those that have ended.

    The caller holds the lock of the cache.
    """
    names: set[str] = set()
    with suppress(FileNotFoundError):
        for path in (root / _FOLDER).iterdir():
            with suppress(FileNotFoundError), open(path, "rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    names |= set(json.loads(file.read() or b"[]"))
                else:
                    path.unlink(missing_ok=True)
    return names

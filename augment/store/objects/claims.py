"""Claims: which shards of a cache the processes of a machine use, so that none of them is evicted.

Shards are claimed in groups, all of which a process needs to continue. A group is admitted when there is room
for all claimed shards together, so that processes do not wait for each other forever, each with a part of its group.

Each process has a file with the paths that it uses, which it keeps locked until it ends. A file that is not locked
belongs to a process that has ended.
"""

import fcntl
import json
import os
import secrets
import weakref
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ...shared.atomic import no_follow

_FOLDER = "claims"

Group = Mapping[str, int]
"""Bytes of the shards of a group, by their path relative to the cache."""


class Claims:
    """The shards that this process uses. The caller holds the lock of the cache."""

    def __init__(self, root: Path):
        self._root = root
        self._counts: Counter[str] = Counter()
        self._bytes: dict[str, int] = {}
        self._waiting: list[Group] = []
        self._process = os.getpid()
        self._file: tuple[int, Path] | None = None
        """Descriptor and path of the file."""

    def add(self, group: Group, size: int) -> None:
        """Claim a group in a cache of `size` bytes; a group that is added again must be removed as often."""
        if self._process != os.getpid():  # A forked process begins without claims.
            self._counts.clear()
            self._bytes.clear()
            self._waiting.clear()
            self._process, self._file = os.getpid(), None
        if self._admit(group, size) is not None:
            self._waiting.append(group)

    def remove(self, group: Group) -> None:
        """Give up a claim."""
        if self._process != os.getpid():
            return
        if group in self._waiting:
            self._waiting.remove(group)
            return
        self._counts.subtract(list(group))
        self._counts = +self._counts
        self._write()

    def waiting(self, name: str) -> bool:
        """Return whether a shard is in a group that is not admitted yet. The lock is not needed."""
        if self._process != os.getpid() or self._counts[name]:
            return False
        return any(name in group for group in list(self._waiting))

    def lacking(self, name: str, size: int) -> tuple[int, int] | None:
        """Admit the groups with a shard if there is room; else return the bytes of one, and of all claimed shards."""
        for group in [group for group in self._waiting if name in group]:
            used = self._admit(group, size)
            if used is not None:
                return sum(group.values()), used
            self._waiting.remove(group)
        return None

    def _admit(self, group: Group, size: int) -> int | None:
        """Admit a group and return None if there is room for it; else return the bytes of all claimed shards."""
        others = claimed(self._root)
        if sum({**others, **group}.values()) > size:
            return sum(others.values())
        self._counts.update(list(group))
        self._bytes.update(group)
        self._write()
        return None

    def _write(self) -> None:
        if self._file is None:
            self._file = self._create()
        self._bytes = {name: self._bytes[name] for name in self._counts}
        data = json.dumps(self._bytes).encode()
        os.ftruncate(self._file[0], 0)
        os.pwrite(self._file[0], data, 0)

    def _create(self) -> tuple[int, Path]:
        path = self._root / _FOLDER / f"{os.getpid()}-{secrets.token_hex(6)}"
        path.parent.mkdir(exist_ok=True)
        descriptor = no_follow(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        weakref.finalize(self, _remove, path, descriptor, os.getpid())
        return descriptor, path


def _remove(path: Path, descriptor: int, process: int) -> None:
    with suppress(OSError):
        os.close(descriptor)
    if os.getpid() == process:
        path.unlink(missing_ok=True)


def claimed(root: Path) -> dict[str, int]:
    """Return what all running processes claim in the cache `root`, and remove the files of those that have ended.

    The values are bytes. The caller holds the lock of the cache.
    """
    names: dict[str, int] = {}
    with suppress(FileNotFoundError):
        for path in (root / _FOLDER).iterdir():
            with suppress(FileNotFoundError), open(path, "rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    names.update(json.loads(file.read() or b"{}"))
                else:
                    path.unlink(missing_ok=True)
    return names

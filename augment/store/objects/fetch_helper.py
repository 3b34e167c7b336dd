"""Fetch shards by another process, because obstore cannot be used in one that was forked from one that has used it.

It runs `fetch_server`. Each line that it gets names a shard. It answers with a line: the class of the error and its
text, or null.
"""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from ...errors import EpochbankError
from ..manifest import Entry
from .faults import CacheFull, DamagedObject

_FAULTS: dict[str, type[EpochbankError]] = {one.__name__: one for one in (CacheFull, DamagedObject)}


class FetchHelper:
    """A process that fetches shards into a cache, one at a time. Thread-safe."""

    def __init__(self, root: Path, size: int):
        self.process = os.getpid()
        """The process that has started it, and may use it."""
        self._root, self._lock = root, threading.Lock()
        words = [sys.executable, "-m", f"{__package__}.fetch_server", str(root), str(size)]
        self._helper = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def fetch(self, directory: Path, entry: Entry) -> None:
        """Fetch a shard of the set whose mirror is `directory`. Raises what `ShardCache.fetch` raises there."""
        assert self._helper.stdin is not None
        assert self._helper.stdout is not None
        with self._lock:
            try:
                self._helper.stdin.write(json.dumps([str(directory), entry.file]) + "\n")
                self._helper.stdin.flush()
                answer = self._helper.stdout.readline()
            except BrokenPipeError:
                answer = ""
        if not answer:
            raise EpochbankError(
                f"the process that fetches shards into the cache {self._root} has died. Run the same command again."
            )
        fault = json.loads(answer)
        if fault is not None:
            raise _FAULTS.get(fault[0], EpochbankError)(fault[1])

"""Fetch shards by another process, because obstore cannot be used in one that was forked from one that has used it.

Each line that the helper gets names a shard. It answers with a line: the class of the error and its text, or null.
"""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from ...errors import EpochbankError
from ..manifest import Entry
from .bucket import Bucket
from .faults import CacheFull, DamagedObject
from .mirror import remote_url

_FAULTS: dict[str, type[EpochbankError]] = {one.__name__: one for one in (CacheFull, DamagedObject)}


class FetchHelper:
    """A process that fetches shards into a cache, one at a time. Thread-safe."""

    def __init__(self, root: Path, size: int):
        self.process = os.getpid()
        """The process that has started it, and may use it."""
        self._root, self._lock = root, threading.Lock()
        words = [sys.executable, "-m", __name__, str(root), str(size)]
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


def _serve(root: Path, size: int) -> None:
    """Fetch the shards that standard input names."""
    from ..manifest import read_manifest
    from .cache import ShardCache

    cache, entries = ShardCache(root, size), {}
    for line in sys.stdin:
        directory, file = json.loads(line)
        try:
            if (directory, file) not in entries:
                entries.update({(directory, one.file): one for one in read_manifest(Path(directory))})
            bucket = Bucket(str(remote_url(Path(directory))))
            cache.fetch(Path(directory), bucket, entries[directory, file])
            fault = None
        except EpochbankError as error:
            fault = type(error).__name__, str(error)
        print(json.dumps(fault), flush=True)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), int(sys.argv[2]))

"""epochbank on slow disks, simulated: a limit of bytes a second, and a delay of every call.

Both are put around `os.pread` and `os.preadv`, by which the stream reads; what is slept is slept outside
any lock, as a disk would have a thread wait. To a read that must not wait (RWF_NOWAIT) these disks say that
nothing is in the page cache, whatever the kernel read ahead.
"""

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from pace import handed_over, open_sequence
from peers import WORKERS, Pictures

LIMIT = 200e6
"""Bytes per second of the limited disk."""
DELAY = 0.010
"""Seconds that a network disk adds to each call."""
PACE = 0.020
"""Seconds of a consumer's step on the network disk."""
_AT_MOST = 6.0


class _Reads:
    """Bytes and calls that went through, and how long each has to wait."""

    def __init__(self, limit: float = 0.0, delay: float = 0.0):
        self.bytes, self.calls = 0, 0
        self._limit, self._delay = limit, delay
        self._lock, self._free = threading.Lock(), 0.0

    def read(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """`call(*arguments)`, no sooner than the disk would have it. A token bucket without a reserve."""
        begun = time.perf_counter()
        got = call(*arguments)
        count = got if isinstance(got, int) else len(got)
        with self._lock:
            self.bytes, self.calls = self.bytes + count, self.calls + 1
            self._free = max(self._free, begun) + (count / self._limit if self._limit else 0.0)
            ready = max(self._free if self._limit else 0.0, begun + self._delay)
        time.sleep(max(0.0, ready - time.perf_counter()))
        return got

    def scatter(self, call: Callable[..., int], descriptor: int, buffers: Any, offset: int, flags: int = 0) -> int:
        """`os.preadv`."""
        if flags & getattr(os, "RWF_NOWAIT", 0):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return self.read(call, descriptor, buffers, offset, flags)


@contextmanager
def _reading(reads: _Reads) -> Iterator[None]:
    real = os.pread, os.preadv
    os.pread = lambda *arguments: reads.read(real[0], *arguments)  # type: ignore[assignment]
    os.preadv = lambda *arguments: reads.scatter(real[1], *arguments)  # type: ignore[assignment]
    try:
        yield
    finally:
        os.pread, os.preadv = real


def limited_disk(pictures: Pictures, codec: str) -> dict[str, float]:
    """Images per second of a first epoch from a disk of `LIMIT` bytes a second, nothing of it in the page cache."""
    _drop_cached(pictures.sets_of(codec))
    reads = _Reads(limit=LIMIT)
    with _reading(reads):
        rate = _rate(pictures, codec, threads=WORKERS)
        _check(reads)
    return {"rate": rate, "bytes": reads.bytes, "calls": reads.calls}


def network_disk(pictures: Pictures, codec: str) -> dict[str, Any]:
    """Images per second with `DELAY` on every call and the default threads; and a consumer of `PACE` a batch."""
    reads = _Reads(delay=DELAY)
    with _reading(reads):
        rate = _rate(pictures, codec, threads=None)
        _check(reads)
        data = open_sequence(pictures.sets_of(codec), threads=None)
        paced = handed_over(data, PACE, int(_AT_MOST / PACE))
        data.stream.close()
    return {"rate": rate, "calls": reads.calls, "paced": paced}


def _rate(pictures: Pictures, codec: str, threads: int | None) -> float:
    """Images per second of the first epoch, or of its first seconds."""
    data = open_sequence(pictures.sets_of(codec), threads)
    images, begun = 0, time.perf_counter()
    for number in range(len(data)):
        images += len(data[number][1])
        if time.perf_counter() - begun > _AT_MOST:
            break
    rate = images / (time.perf_counter() - begun)
    data.stream.close()
    return rate


def _check(reads: _Reads) -> None:
    if not reads.calls:
        raise click.ClickException("no os.pread or os.preadv was seen: the stream reads otherwise now; mend disk.py")


def _drop_cached(folder: Path) -> None:
    for path in folder.rglob("*.h5"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # Only clean pages are dropped.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)

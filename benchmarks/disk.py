"""epochbank on simulated slow disks: one with a limited data rate, and one with a delay for each call.

The simulation wraps `os.pread` and `os.preadv`, which the stream reads with, and sleeps outside any lock, as a thread
waits for a real disk. Reads that must not wait (RWF_NOWAIT) are answered as if nothing were in the page cache.
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

from pace import measure_intervals, open_sequence
from peers import WORKERS, Images

LIMIT = 200e6
"""Bytes per second of the limited disk."""
DELAY = 0.010
"""Delay in seconds of each call to the network disk."""
PACE = 0.020
"""Seconds that the simulated consumer sleeps per batch on the network disk."""
_AT_MOST = 6.0


class _Reads:
    """Counts bytes and calls, and delays each call."""

    def __init__(self, limit: float = 0.0, delay: float = 0.0):
        self.bytes, self.calls = 0, 0
        self._limit, self._delay = limit, delay
        self._lock, self._free = threading.Lock(), 0.0

    def read(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Return `call(*arguments)` after the time that the disk would take. A token bucket without a reserve."""
        start = time.perf_counter()
        result = call(*arguments)
        count = result if isinstance(result, int) else len(result)
        with self._lock:
            self.bytes, self.calls = self.bytes + count, self.calls + 1
            self._free = max(self._free, start) + (count / self._limit if self._limit else 0.0)
            ready = max(self._free if self._limit else 0.0, start + self._delay)
        time.sleep(max(0.0, ready - time.perf_counter()))
        return result

    def scatter(self, call: Callable[..., int], descriptor: int, buffers: Any, offset: int, flags: int = 0) -> int:
        """Simulate `os.preadv`."""
        if flags & getattr(os, "RWF_NOWAIT", 0):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return self.read(call, descriptor, buffers, offset, flags)


@contextmanager
def _reading(reads: _Reads) -> Iterator[None]:
    real = os.pread, os.preadv
    os.pread = lambda *arguments: reads.read(real[0], *arguments)
    os.preadv = lambda *arguments: reads.scatter(real[1], *arguments)
    try:
        yield
    finally:
        os.pread, os.preadv = real


def limited_disk(images: Images, codec: str) -> dict[str, float]:
    """Measure images per second in the first epoch, from a disk of `LIMIT` bytes/s with a cold page cache."""
    _drop_cached(images.sets_of(codec))
    reads = _Reads(limit=LIMIT)
    with _reading(reads):
        rate = _rate(images, codec, threads=WORKERS)
        _check(reads)
    return {"rate": rate, "bytes": reads.bytes, "calls": reads.calls}


def network_disk(images: Images, codec: str) -> dict[str, Any]:
    """Measure images per second with a delay of `DELAY` per call, and a consumer that takes `PACE` per batch."""
    reads = _Reads(delay=DELAY)
    with _reading(reads):
        rate = _rate(images, codec, threads=None)
        _check(reads)
        data = open_sequence(images.sets_of(codec), threads=None)
        paced = measure_intervals(data, PACE, int(_AT_MOST / PACE))
        data.stream.close()
    return {"rate": rate, "calls": reads.calls, "paced": paced}


def _rate(images: Images, codec: str, threads: int | None) -> float:
    """Return images per second in the first epoch, or in its first seconds."""
    data = open_sequence(images.sets_of(codec), threads)
    num_images, start = 0, time.perf_counter()
    for number in range(len(data)):
        num_images += len(data[number][1])
        if time.perf_counter() - start > _AT_MOST:
            break
    rate = num_images / (time.perf_counter() - start)
    data.stream.close()
    return rate


def _check(reads: _Reads) -> None:
    if not reads.calls:
        raise click.ClickException("the stream called neither os.pread nor os.preadv; adapt disk.py to how it reads")


def _drop_cached(folder: Path) -> None:
    for path in folder.rglob("*.h5"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # Only clean pages are dropped.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)

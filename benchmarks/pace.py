"""Time to the first batch, intervals between batches, and how long a consumer waits for each batch."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from peers import BATCH, WORKERS, Images

if TYPE_CHECKING:
    from epochbank import AugmentedSequence

STEP = 0.002
"""Seconds that the simulated consumer sleeps per batch."""
_EPOCHS = 3
_FIRSTS = 5


def first_batch(images: Images, codec: str) -> float:
    """Return the seconds from `open_set` to the first batch, median of five; imports and page cache are warm."""
    open_sequence(images.sets_of(codec)).stream.close()
    times = []
    for _ in range(_FIRSTS):
        start = time.perf_counter()
        data = open_sequence(images.sets_of(codec))
        data[0]
        times.append(time.perf_counter() - start)
        data.stream.close()
    return float(np.median(times))


def batch_intervals(images: Images, codec: str) -> dict[str, dict[str, float]]:
    """Measure batches as fast as they arrive (`unthrottled`), and with a consumer that takes `STEP` each (`paced`)."""
    data = open_sequence(images.sets_of(codec))
    result = {}
    for name, step in (("unthrottled", 0.0), ("paced", STEP)):
        for _ in _batches(data, 0, 1):
            pass
        result[name] = measure_intervals(data, step, _EPOCHS * len(data), epoch=1)
    data.stream.close()
    return result


def measure_intervals(data: "AugmentedSequence", step: float, count: int, epoch: int = 0) -> dict[str, float]:
    """Return the milliseconds between batches and those waited for each, over `count` batches after the first."""
    waits, times = [], []
    batches = _batches(data, epoch, 1 + count // len(data))
    for _ in range(count + 1):
        asked = time.perf_counter()
        if next(batches, None) is None:
            break
        times.append(time.perf_counter())
        waits.append(times[-1] - asked)
        if step:
            time.sleep(step)
    intervals, waited = 1e3 * np.diff(times), 1e3 * np.array(waits[1:])
    return {
        "interval_median_ms": float(np.median(intervals)),
        "interval_p99_ms": float(np.percentile(intervals, 99)),
        "waited_median_ms": float(np.median(waited)),
        "waited_p99_ms": float(np.percentile(waited, 99)),
        "waited_share": float(waited.sum() / intervals.sum()),
    }


def open_sequence(sets: Path, threads: int | None = WORKERS) -> "AugmentedSequence":
    """Open the newest set in `sets` as training does, with distorted images only."""
    from epochbank import AugmentedSequence, open_set

    return AugmentedSequence(open_set(None, sets), batch_size=BATCH, originals=0, seed=0, threads=threads)


def _batches(data: "AugmentedSequence", epoch: int, epochs: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for data.epoch in range(epoch, epoch + epochs):
        for number in range(len(data)):
            yield data[number]

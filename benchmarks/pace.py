"""How epochbank hands over its batches: how soon the first comes, how evenly the rest, and who waits how long."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from peers import BATCH, WORKERS, Pictures

if TYPE_CHECKING:
    from epochbank import AugmentedSequence

STEP = 0.002
"""Seconds of a consumer's step, slept."""
_EPOCHS = 3
_FIRSTS = 5


def first_batch(pictures: Pictures, codec: str) -> float:
    """Seconds from `open_set` to the first batch, median of five; imports and page cache are warm."""
    open_sequence(pictures.sets_of(codec)).stream.close()
    times = []
    for _ in range(_FIRSTS):
        begun = time.perf_counter()
        data = open_sequence(pictures.sets_of(codec))
        data[0]
        times.append(time.perf_counter() - begun)
        data.stream.close()
    return float(np.median(times))


def evenness(pictures: Pictures, codec: str) -> dict[str, dict[str, float]]:
    """Intervals between batches and time waited for each, unthrottled and with a consumer of `STEP` a batch."""
    data = open_sequence(pictures.sets_of(codec))
    result = {}
    for name, step in (("unthrottled", 0.0), ("paced", STEP)):
        for _ in _batches(data, 0, 1):
            pass
        result[name] = handed_over(data, step, _EPOCHS * len(data), epoch=1)
    data.stream.close()
    return result


def handed_over(data: "AugmentedSequence", step: float, count: int, epoch: int = 0) -> dict[str, float]:
    """Milliseconds between batches and milliseconds waited for each, over `count` batches after the first."""
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
    intervals, waits = 1e3 * np.diff(times), 1e3 * np.array(waits[1:])
    return {
        "interval_median_ms": float(np.median(intervals)),
        "interval_p99_ms": float(np.percentile(intervals, 99)),
        "waited_median_ms": float(np.median(waits)),
        "waited_p99_ms": float(np.percentile(waits, 99)),
        "waited_share": float(waits.sum() / intervals.sum()),
    }


def open_sequence(sets: Path, threads: int | None = WORKERS) -> "AugmentedSequence":
    """The set as a training run streams it, distorted pictures alone."""
    from epochbank import AugmentedSequence, open_set

    return AugmentedSequence(open_set(None, sets), batch_size=BATCH, mix=0, seed=0, threads=threads)


def _batches(data: "AugmentedSequence", epoch: int, epochs: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for data.epoch in range(epoch, epoch + epochs):
        for number in range(len(data)):
            yield data[number]

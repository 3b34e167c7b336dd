"""Data wait: how long training steps waited for data, and what to do about it.

A step waits from its start until its batch is available. If the framework fetches batches in the training thread (JAX,
torch), a step waits as long as fetching takes. If another thread fetches them in advance (TensorFlow), a step waits if
its batch arrives after the step began.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...augment.shared.progress import duration, size

_MAX_HANDOVER = 0.002
"""Upper limit, in seconds, of the time that a framework needs to pass a fetched batch to a waiting step."""
_NEVER = 0.001
"""Share of the time below which training counts as never waiting."""
_SHORT_EPOCH = 3.0
"""Mean seconds of an epoch below which its start-up hides what else steps waited for."""


@dataclass(frozen=True)
class DataWait:
    """Time that the steps of one or more epochs waited for data."""

    waited: float
    """Seconds waiting for data."""
    seconds: float
    """Seconds of all steps, including waits."""
    depth: float
    """Number of batches that were ready when a step began, on average."""
    epochs: int = 1
    """Number of epochs."""

    @property
    def share(self) -> float:
        """Share of the time that was spent waiting, 0 to 1."""
        return self.waited / self.seconds if self.seconds else 0.0

    def columns(self) -> dict[str, float]:
        """Return the values by their names in the Keras history and in metrics.csv."""
        return {"data_wait": self.waited, "data_wait_share": self.share, "queue_depth": self.depth}


@dataclass(frozen=True)
class _Delivery:
    requested: float
    delivered: float
    depth: int
    thread: int


class DataWaitMeter:
    """Measure data wait from the times of steps and of batch deliveries. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        self.clock = clock
        self._lock = threading.Lock()
        self._deliveries: deque[_Delivery] = deque()
        self._steps: list[tuple[int, float]] = []
        self._begun = self._ended = 0.0
        self.epochs: list[DataWait] = []
        """Data wait of each epoch that has ended."""

    def __getstate__(self) -> dict[str, object]:
        return {"clock": self.clock}

    def __setstate__(self, state: dict[str, Callable[[], float]]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # A copy starts without measurements.

    def delivered(self, requested: float, depth: int) -> None:
        """Record that a batch that was requested at time `requested` is delivered now; `depth` more are ready."""
        with self._lock:
            self._deliveries.append(_Delivery(requested, self.clock(), depth, threading.get_ident()))

    def begin_epoch(self, *, new_iterator: bool = True) -> None:
        """Begin an epoch. With `new_iterator`, discard the batches that an earlier iterator fetched but did not use."""
        with self._lock:
            if new_iterator:
                self._deliveries.clear()
            self._steps.clear()
            self._begun, self._ended = self.clock(), 0.0

    def begin_step(self, number: int) -> None:
        """Begin step `number` of the epoch, which uses the delivery of that number.

        If several steps run in one execution (Keras' `steps_per_execution`), call this for the first of them only.
        """
        self._steps.append((number, self.clock()))

    def end_steps(self) -> None:
        """End the last step of the epoch. The time until `end_epoch`, such as validation, does not count."""
        self._ended = self._ended or self.clock()

    def end_epoch(self) -> DataWait:
        """End the epoch and return its data wait."""
        self.end_steps()
        with self._lock:
            each = self._steps[1][0] - self._steps[0][0] if len(self._steps) > 1 else 1
            count = self._steps[-1][0] + each if self._steps else 0
            taken = [self._deliveries.popleft() for _ in range(min(count, len(self._deliveries)))]
            following = self._deliveries[0].requested if self._deliveries else self._ended
        seconds = self._ended - self._begun
        depth = sum(delivery.depth for delivery in taken) / len(taken) if taken else 0.0
        if taken and taken[-1].thread == threading.get_ident():
            waited = sum(delivery.delivered - delivery.requested for delivery in taken)
        else:
            waited = _waited(taken, self._steps, following)
        data_wait = DataWait(min(waited, seconds), seconds, depth)
        self.epochs.append(data_wait)
        return data_wait

    def total(self) -> DataWait:
        """Return the data wait of all epochs that have ended."""
        return total_of(self.epochs)


def total_of(epochs: Sequence[DataWait]) -> DataWait:
    """Return the data wait of several epochs together; the depth is weighted by their seconds."""
    seconds = sum(epoch.seconds for epoch in epochs)
    depth = sum(epoch.depth * epoch.seconds for epoch in epochs) / seconds if seconds else 0.0
    return DataWait(sum(epoch.waited for epoch in epochs), seconds, depth, sum(epoch.epochs for epoch in epochs))


def _waited(deliveries: list[_Delivery], steps: list[tuple[int, float]], following: float) -> float:
    """Return the seconds that `steps` (numbers and start times) waited for batches that another thread fetched."""
    if not deliveries:
        return 0.0
    # Between two fetches the framework hands the batch over; this is fastest when a step waits for it.
    requested = [*(delivery.requested for delivery in deliveries), following]
    gaps = [after - delivery.delivered for delivery, after in zip(deliveries, requested[1:], strict=True)]
    handover = min(max(0.0, min(gaps)), _MAX_HANDOVER)
    first = deliveries[0].requested
    waited = 0.0
    for number, step in steps:
        if number < len(deliveries):
            delivered, after = deliveries[number].delivered, requested[number + 1]
            waited += max(0.0, min(delivered + handover, max(after, delivered)) - max(step, first))
    return waited


@dataclass(frozen=True)
class ThreadTimes:
    """What the threads of a stream spent their time on."""

    threads: int
    computed: float
    """Seconds of decoding and batch assembly, summed over threads."""
    disk_waited: float
    """Seconds waiting for the disk, summed over threads."""
    disk_bytes: int
    """Bytes that were read from the disk and not from the page cache."""

    def plus(self, other: "ThreadTimes") -> "ThreadTimes":
        """Return the sum of two periods of the same threads."""
        return ThreadTimes(
            self.threads,
            self.computed + other.computed,
            self.disk_waited + other.disk_waited,
            self.disk_bytes + other.disk_bytes,
        )

    def since(self, earlier: "ThreadTimes") -> "ThreadTimes":
        """Return the difference to an earlier measurement of the same threads."""
        return self.plus(ThreadTimes(self.threads, -earlier.computed, -earlier.disk_waited, -earlier.disk_bytes))


def advice(
    data_wait: DataWait, thread_times: ThreadTimes, codec: str, cores: int, *, threads_option: str = "--threads"
) -> str:
    """Return one sentence on how long training waited for data, and how to reduce the wait.

    `codec` is the codec of the set, `cores` the number of cores of this machine; `threads_option` is how the caller
    sets the number of decoding threads.
    """
    if not data_wait.seconds:
        return "No training step ran, so nothing waited for data."
    if data_wait.share < _NEVER:
        return f"Training never waited for data: {data_wait.depth:.0f} batches were ready on average."
    if data_wait.share < 10 * _NEVER:
        return f"Training hardly waited for data: {100 * data_wait.share:.1f} % of the time."
    seconds = data_wait.seconds / data_wait.epochs
    if seconds < _SHORT_EPOCH:
        return (
            f"Training waited for data {100 * data_wait.share:.0f} % of the time, which says little, "
            f"because an epoch takes only {duration(seconds)}."
        )
    text = f"Training waited for data {100 * data_wait.share:.0f} % of the time: "
    if thread_times.computed > 0.7 * data_wait.seconds * thread_times.threads:
        threads = [f"more {threads_option} (this machine has {cores} cores)"] if cores > thread_times.threads else []
        faster_codec = ["a set generated with --codec lz4"] if codec in ("zstd", "gzip") else []
        fixes = [*threads, *faster_codec] or ["a machine with more cores"]
        return f"{text}decoding keeps {thread_times.threads} threads busy; use {_either(fixes)}."
    if thread_times.disk_waited > 0.3 * data_wait.seconds:
        smaller = ["a set generated with --codec zstd"] if codec in ("none", "lz4") else []
        fixes = [*smaller, "a faster or local disk", "more memory for the page cache"]
        rate = size(thread_times.disk_bytes / data_wait.seconds)
        return f"{text}the disk delivers only {rate}/s; use {_either(fixes)}."
    if data_wait.depth >= 1:
        return f"{text}batches were ready, but the framework fetched them too late; use larger batches."
    return f"{text}batches were late, but neither the disk nor decoding was at its limit; use more {threads_option}."


def _either(fixes: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(fixes[:-1]), fixes[-1]]))

"""The stall meter: how long training steps waited for data, and what to do about it.

A step waits from its beginning until its batch is there. Where the framework fetches batches in the
training thread itself (JAX, torch), a step waits as long as fetching takes; where another thread fetches
them ahead (TensorFlow), it waits if its batch comes after it began.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ...augment.shared.progress import size

_LONGEST_HANDOVER = 0.002
_NEVER = 0.001
"""Share of the time below which a training never waited."""


@dataclass(frozen=True)
class Waits:
    """What one epoch's steps, or those of several epochs, waited for data."""

    waited: float
    """Seconds."""
    seconds: float
    """Of all the steps, waits included."""
    depth: float
    """Batches that stood ready when a step began, on average."""

    @property
    def share(self) -> float:
        """Of the time, 0 to 1."""
        return self.waited / self.seconds if self.seconds else 0.0

    def columns(self) -> dict[str, float]:
        """As the Keras history and metrics.csv have them."""
        return {"data_wait": self.waited, "data_wait_share": self.share, "queue_depth": self.depth}


@dataclass(frozen=True)
class _Delivery:
    asked: float
    given: float
    depth: int
    thread: int


class StallMeter:
    """Told of deliveries and of steps, tells what the steps waited. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        self.clock = clock
        self._lock = threading.Lock()
        self._deliveries: deque[_Delivery] = deque()
        self._steps: list[tuple[int, float]] = []
        self._begun = self._ended = 0.0
        self.epochs: list[Waits] = []
        """Of each epoch that has ended."""

    def __getstate__(self) -> dict[str, object]:
        return {"clock": self.clock}

    def __setstate__(self, state: dict[str, Callable[[], float]]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # A copy has measured nothing yet.

    def delivered(self, asked: float, depth: int) -> None:
        """A batch, asked for at time `asked`, is given away now; `depth` more stand ready."""
        with self._lock:
            self._deliveries.append(_Delivery(asked, self.clock(), depth, threading.get_ident()))

    def begin_epoch(self, *, anew: bool) -> None:
        """Steps follow; `anew`: batches are asked for anew, too, and those delivered before are for nobody."""
        with self._lock:
            if anew:
                self._deliveries.clear()
            self._steps.clear()
            self._begun, self._ended = self.clock(), 0.0

    def begin_step(self, number: int) -> None:
        """Step `number` of the epoch begins, which takes that delivery; with more than one an execution, the first."""
        self._steps.append((number, self.clock()))

    def end_steps(self) -> None:
        """The epoch's last step is done; what follows, validation for one, does not count."""
        self._ended = self._ended or self.clock()

    def end_epoch(self) -> Waits:
        """What the epoch's steps waited."""
        self.end_steps()
        with self._lock:
            each = self._steps[1][0] - self._steps[0][0] if len(self._steps) > 1 else 1
            count = self._steps[-1][0] + each if self._steps else 0
            taken = [self._deliveries.popleft() for _ in range(min(count, len(self._deliveries)))]
            following = self._deliveries[0].asked if self._deliveries else self._ended
        seconds = self._ended - self._begun
        depth = sum(delivery.depth for delivery in taken) / len(taken) if taken else 0.0
        if taken and taken[-1].thread == threading.get_ident():
            waited = sum(delivery.given - delivery.asked for delivery in taken)
        else:
            waited = _waited(taken, self._steps, following)
        waits = Waits(min(waited, seconds), seconds, depth)
        self.epochs.append(waits)
        return waits

    def total(self) -> Waits:
        """Over all epochs that have ended."""
        seconds = sum(waits.seconds for waits in self.epochs)
        depth = sum(waits.depth * waits.seconds for waits in self.epochs) / seconds if seconds else 0.0
        return Waits(sum(waits.waited for waits in self.epochs), seconds, depth)


def _waited(deliveries: list[_Delivery], steps: list[tuple[int, float]], following: float) -> float:
    """Seconds that `steps` (numbers and beginnings) waited for what another thread fetched for them."""
    if not deliveries:
        return 0.0
    # Between two fetches lies the framework's own handing over, at its quickest when a step waits for it.
    asked = [*(delivery.asked for delivery in deliveries), following]
    gaps = [after - delivery.given for delivery, after in zip(deliveries, asked[1:], strict=True)]
    handover = min(max(0.0, min(gaps)), _LONGEST_HANDOVER)
    first = deliveries[0].asked
    waited = 0.0
    for number, step in steps:
        if number < len(deliveries):
            given, after = deliveries[number].given, asked[number + 1]
            waited += max(0.0, min(given + handover, max(after, given)) - max(step, first))
    return waited


@dataclass(frozen=True)
class Effort:
    """What the stream's threads did in the meantime."""

    threads: int
    computed: float
    """Seconds of decoding and gathering, added up over threads."""
    disk_waited: float
    """Seconds of waiting for the disk, added up over threads."""
    disk_bytes: int
    """Bytes that came from the disk and not from the page cache."""


def advice(waits: Waits, effort: Effort, codec: str, cores: int) -> str:
    """One plain sentence on what training waited, and on what to do about it."""
    if not waits.seconds:
        return "No step was made: nothing waited for data."
    if waits.share < _NEVER:
        return f"Training never waited for data: {waits.depth:.0f} batches stood ready on average."
    if waits.share < 10 * _NEVER:
        return f"Training hardly waited for data: {100 * waits.share:.1f} % of the time."
    said = f"Training waited for data {100 * waits.share:.0f} % of the time: "
    if effort.computed > 0.7 * waits.seconds * effort.threads:
        more = [f"more --threads (this machine has {cores} cores)"] if cores > effort.threads else []
        lighter = ["a set made with --codec lz4"] if codec in ("zstd", "gzip") else []
        remedies = [*more, *lighter] or ["a machine with more cores"]
        return f"{said}decoding keeps {effort.threads} threads busy; use {_either(remedies)}."
    if effort.disk_waited > 0.3 * waits.seconds:
        smaller = ["a set made with --codec zstd"] if codec in ("none", "lz4") else []
        remedies = [*smaller, "a faster or a local disk", "more memory for the page cache"]
        return f"{said}the disk delivers {size(effort.disk_bytes / waits.seconds)}/s; use {_either(remedies)}."
    if waits.depth >= 1:
        return f"{said}batches stood ready, but were not handed over in time; use larger batches."
    return f"{said}batches came late, though neither the disk nor decoding was at its limit; use more --threads."


def _either(remedies: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(remedies[:-1]), remedies[-1]]))

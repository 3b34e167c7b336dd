"""How fast a set streams, and how long a training step waits for it."""

import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from ...augment.shared.progress import size
from ..streaming.data_wait import Waits
from ..streaming.stream import Stream
from .gpu_load import GpuLoad

if TYPE_CHECKING:
    import keras

_ROUNDS = 5


@dataclass(frozen=True)
class StreamRate:
    """What streaming alone reached."""

    images: int
    seconds: float
    first: float
    """Seconds to the first batch."""
    median: float
    """Seconds between two batches."""
    slowest: float
    """The 99th percentile of the same."""
    picture_bytes: int
    disk_bytes: int
    """Bytes that came from the disk and not from the page cache."""

    def lines(self) -> list[str]:
        """For people."""
        rate = self.images / self.seconds
        return [
            f"stream    {rate:,.0f} pictures/s ({size(rate * self.picture_bytes)}/s decoded) over {self.images:,} "
            f"pictures; {size(self.disk_bytes)} came from the disk, the rest from the page cache",
            f"batches   first after {1e3 * self.first:.1f} ms, then one every {1e3 * self.median:.2f} ms (median), "
            f"{1e3 * self.slowest:.2f} ms (99th percentile)",
        ]


def stream_rate(stream: Stream, seconds: float) -> StreamRate:
    """Stream epochs, as fast as they come, for at least `seconds` and one epoch; closes the stream, which is new."""
    begun = time.perf_counter()
    batches = stream.batches
    stream.batch(0, 0)
    first = time.perf_counter() - begun
    times, images, epoch = [time.perf_counter()], 0, 0
    while epoch == 0 or times[-1] - times[0] < seconds:
        for number in range(len(batches)):
            images += len(stream.batch(epoch, number)[1])
            times.append(time.perf_counter())
        epoch += 1
    effort = stream.effort()
    stream.close()
    middle, slowest = np.percentile(np.diff(times), [50, 99])
    picture_bytes = int(np.prod(stream.bank.shape))
    return StreamRate(images, times[-1] - times[0], first, middle, slowest, picture_bytes, effort.disk_bytes)


@dataclass(frozen=True)
class StepTime:
    """Training steps on the stream beside steps on one cached batch: what a faster stream could gain."""

    streamed: float
    """Seconds of a step, waits included."""
    cached: float
    """Seconds of a step on the same batch again and again."""
    waits: Waits
    gpu_load: float | None
    """Mean load in percent of the busiest NVIDIA GPU on the stream; None without one."""

    @property
    def headroom(self) -> float:
        """`streamed` over `cached`: 1 where data costs nothing."""
        return self.streamed / self.cached

    def lines(self) -> list[str]:
        """For people."""
        lines = [
            f"step      {1e3 * self.streamed:.2f} ms on the stream, {1e3 * self.cached:.2f} ms on one cached batch: "
            f"headroom {self.headroom:.3f}",
            f"waited    {100 * self.waits.share:.2f} % of the time for data; {self.waits.depth:.1f} batches were ready",
        ]
        if self.gpu_load is not None:
            lines.append(f"GPU       {self.gpu_load:.0f} % load on the stream")
        return lines


def step_time(stream: Stream, model_name: str, steps: int, precision: str) -> StepTime:
    """Time `fit` over `steps` steps of a model, on the stream and on one batch in turn; medians of five rounds.

    The stream's batches are all of the same size; it is closed.
    """
    import keras

    from ..training.models import build_model, compile_model

    keras.config.set_dtype_policy(precision)
    bank = stream.bank
    model = build_model(model_name, bank.shape, len(bank.class_names))
    compile_model(model, learning_rate=1e-3, steps=1000)
    from .datasets import Cached, Streamed

    streamed, cached = Streamed(stream, steps), Cached(stream.batch(0, 0), steps)
    _seconds_a_step(model, cached)
    _seconds_a_step(model, streamed)
    streamed.meter.epochs.clear()  # That was to warm up.
    times: dict[str, list[float]] = {"streamed": [], "cached": []}
    loads = []
    for _ in range(_ROUNDS):
        times["cached"].append(_seconds_a_step(model, cached))
        with GpuLoad() as load:
            times["streamed"].append(_seconds_a_step(model, streamed))
        loads.append(load.percent)
    stream.close()
    measured = [load for load in loads if load is not None]
    return StepTime(
        median(times["streamed"]),
        median(times["cached"]),
        streamed.meter.total(),
        median(measured) if measured else None,
    )


def _seconds_a_step(model: "keras.Model", data: Any) -> float:
    """Of an epoch over `data`, its first step left out."""
    timer = data.timer()
    model.fit(data, epochs=1, shuffle=False, verbose=0, callbacks=[timer])
    return timer.seconds_a_step

"""Measure how fast a set streams, and how long a training step waits for it."""

import time
from dataclasses import dataclass
from statistics import median

import numpy as np

from ...augment.shared.progress import size
from ..streaming.data_wait import DataWait
from ..streaming.stream import Stream
from .gpu_load import GpuLoad

_ROUNDS = 5


@dataclass(frozen=True)
class StreamRate:
    """The rate of a stream without training."""

    num_images: int
    seconds: float
    first: float
    """Seconds to the first batch."""
    median: float
    """Median of the seconds between two batches."""
    slowest: float
    """99th percentile of the seconds between two batches."""
    image_bytes: int
    disk_bytes: int
    """Bytes read from the disk rather than from the page cache."""

    def lines(self) -> list[str]:
        """Return the lines that `train bench` prints."""
        rate = self.num_images / self.seconds
        return [
            f"stream    {rate:,.0f} images/s ({size(rate * self.image_bytes)}/s decoded) over {self.num_images:,} "
            f"images; {size(self.disk_bytes)} came from the disk, the rest from the page cache",
            f"batches   first after {1e3 * self.first:.1f} ms, then one every {1e3 * self.median:.2f} ms (median), "
            f"{1e3 * self.slowest:.2f} ms (99th percentile)",
        ]


def stream_rate(stream: Stream, seconds: float) -> StreamRate:
    """Stream whole epochs as fast as possible for at least `seconds`, and close the stream, which must be new."""
    start = time.perf_counter()
    batches = stream.batches
    stream.batch(0, 0)
    first = time.perf_counter() - start
    times, num_images, epoch = [time.perf_counter()], 0, 0
    while epoch == 0 or times[-1] - times[0] < seconds:
        for number in range(len(batches)):
            num_images += len(stream.batch(epoch, number)[1])
            times.append(time.perf_counter())
        epoch += 1
    thread_times = stream.thread_times()
    stream.close()
    middle, slowest = np.percentile(np.diff(times), [50, 99])
    image_bytes = int(np.prod(stream.stored_set.shape))
    return StreamRate(num_images, times[-1] - times[0], first, middle, slowest, image_bytes, thread_times.disk_bytes)


@dataclass(frozen=True)
class StepTime:
    """The time of a training step on the stream and on one cached batch."""

    streamed: float
    """Seconds per step on the stream, data wait included."""
    cached: float
    """Seconds per step on one cached batch."""
    data_wait: DataWait
    gpu_load: float | None
    """Mean utilization in percent of the busiest NVIDIA GPU on the stream; None without one."""

    @property
    def headroom(self) -> float:
        """`streamed` divided by `cached`: 1 if the data costs no time."""
        return self.streamed / self.cached

    def lines(self) -> list[str]:
        """Return the lines that `train bench` prints."""
        wait = self.data_wait
        lines = [
            f"step      {1e3 * self.streamed:.2f} ms on the stream, {1e3 * self.cached:.2f} ms on one cached batch: "
            f"headroom {self.headroom:.3f}",
            f"waited    {100 * wait.share:.2f} % of the time for data; {wait.depth:.1f} batches were ready",
        ]
        if self.gpu_load is not None:
            lines.append(f"GPU       {self.gpu_load:.0f} % utilization on the stream")
        return lines


def step_time(stream: Stream, model_name: str, steps: int, precision: str) -> StepTime:
    """Time `steps` training steps on the stream and on one cached batch in turn; the medians of five rounds.

    All batches of the stream must have the same size. Closes the stream.
    """
    import keras

    from ..training.models import build_model, compile_model
    from .datasets import CachedSteps, StreamedSteps, seconds_per_step

    keras.config.set_dtype_policy(precision)
    stored_set = stream.stored_set
    model = build_model(model_name, stored_set.shape, len(stored_set.class_names))
    compile_model(model, learning_rate=1e-3, steps=1000)
    streamed, cached = StreamedSteps(stream, steps), CachedSteps(stream.batch(0, 0), steps)
    for data in (cached, streamed):  # Warm up.
        seconds_per_step(model, data)
    streamed.meter.epochs.clear()
    cached_times, streamed_times, loads = [], [], []
    for _ in range(_ROUNDS):
        cached_times.append(seconds_per_step(model, cached))
        with GpuLoad() as load:
            streamed_times.append(seconds_per_step(model, streamed))
        if load.percent is not None:
            loads.append(load.percent)
    stream.close()
    gpu_load = median(loads) if loads else None
    return StepTime(median(streamed_times), median(cached_times), streamed.meter.total(), gpu_load)

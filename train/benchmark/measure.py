"""Measure how fast a set streams, and how long a training step waits for it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from ...augment.shared.progress import size
from ..streaming.data_wait import DataWait
from ..streaming.stream import Stream
from .gpu_load import GpuLoad

_FEWEST_ROUNDS, _MOST_ROUNDS = 5, 25
_NARROW = 0.01
"""Spread of the ratio below which no further round is run."""


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
        for number in range(batches.steps(0)):
            num_images += len(stream.batch(epoch, number)[0])
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
    """Seconds per step on the stream, data wait included; the median of the rounds."""
    cached: float
    """Seconds per step on one cached batch; the median of the rounds."""
    ratios: tuple[float, ...]
    """Time on the stream divided by that on one cached batch, of each round. The two alternate in a round, so that a
    slower minute of the machine affects both."""
    data_wait: DataWait
    gpu_load: float | None
    """Mean utilization in percent of the busiest NVIDIA GPU on the stream; None without one."""

    @property
    def headroom(self) -> float:
        """Median of `ratios`: 1 if the data costs no time. Noise can make it less than 1."""
        return median(self.ratios)

    @property
    def spread(self) -> tuple[float, float]:
        """First and third quartile of `ratios`."""
        return spread_of(self.ratios)

    def verdict(self) -> str:
        """Return what the data pipeline costs, in words: less than what noise hides counts as nothing."""
        (low, high), ratio = self.spread, self.headroom
        if low <= 1:
            most = 100 * max(high - 1, 0.001)
            return f"no cost of the data pipeline can be measured: if there is one, it is less than {most:.1f} %"
        return (
            f"steps on the stream take {ratio:.3f} times as long as on a cached batch: the data pipeline costs "
            f"{100 * (ratio - 1):.1f} %"
        )

    def lines(self) -> list[str]:
        """Return the lines that `train bench` prints."""
        wait, (low, high) = self.data_wait, self.spread
        lines = [
            f"step      {1e3 * self.streamed:.2f} ms on the stream, {1e3 * self.cached:.2f} ms on one cached batch",
            f"headroom  {self.headroom:.3f} (middle half of {len(self.ratios)} rounds: {low:.3f} to {high:.3f})",
            f"          {self.verdict()}",
            f"waited    {100 * wait.share:.2f} % of the time for data; {wait.depth:.1f} batches were ready",
        ]
        if self.gpu_load is not None:
            lines.append(f"GPU       {self.gpu_load:.0f} % utilization on the stream")
        return lines


def spread_of(ratios: Sequence[float]) -> tuple[float, float]:
    """Return the first and third quartile of `ratios`."""
    low, high = np.percentile(ratios, [25, 75])
    return float(low), float(high)


def step_time(stream: Stream, model_name: str, steps: int, precision: str, seconds: float = 0.0) -> StepTime:
    """Time `steps` training steps on the stream and on one cached batch, in rounds in which the two alternate.

    There are five rounds, and up to 25 within `seconds` seconds while the ratio of the two differs between rounds. All
    batches of the stream must have the same size. Closes the stream.
    """
    import keras

    from ..training.models import build_model, compile_model
    from ..training.outputs import output_kind
    from .datasets import CachedSteps, StreamedSteps, seconds_per_step

    keras.config.set_dtype_policy(precision)
    stored_set = stream.stored_set
    model = build_model(model_name, stored_set.shape, len(stored_set.class_names))
    batch = stream.batch(0, 0)
    compile_model(model, output_kind(model, batch[0]), learning_rate=1e-3, steps=1000)
    half = max(2, steps // 2)
    streamed, cached = StreamedSteps(stream, half), CachedSteps(batch, half)
    for data in (cached, streamed):  # Warm up.
        seconds_per_step(model, data)
    streamed.meter.epochs.clear()
    begun = time.monotonic()
    cached_times, streamed_times, loads = [], [], []
    ratios: list[float] = []
    while len(ratios) < _FEWEST_ROUNDS or (len(ratios) < _MOST_ROUNDS and time.monotonic() - begun < seconds):
        before = seconds_per_step(model, cached)
        with GpuLoad() as load:
            on_stream = [seconds_per_step(model, streamed) for _ in range(2)]
        on_cached = [before, seconds_per_step(model, cached)]
        if load.percent is not None:
            loads.append(load.percent)
        cached_times.append(sum(on_cached) / 2)
        streamed_times.append(sum(on_stream) / 2)
        ratios.append(sum(on_stream) / sum(on_cached))
        low, high = spread_of(ratios)
        if len(ratios) >= _FEWEST_ROUNDS and high - low < _NARROW:
            break
    stream.close()
    gpu_load = median(loads) if loads else None
    return StepTime(median(streamed_times), median(cached_times), tuple(ratios), streamed.meter.total(), gpu_load)

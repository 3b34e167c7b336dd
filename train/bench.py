"""How fast a set streams, and how long a training step waits for it."""

import time
from dataclasses import dataclass

import numpy as np

from augment.progress import size
from train.bank import Bank
from train.batches import TrainingBatches
from train.stream import Stream


@dataclass(frozen=True)
class StreamRate:
    """What streaming alone reached."""

    images: int
    seconds: float
    first: float
    """Seconds from opening to the first batch."""
    median: float
    """Seconds between two batches."""
    slowest: float
    """The 99th percentile of the same."""
    picture_bytes: int

    def lines(self) -> list[str]:
        """For people."""
        rate = self.images / self.seconds
        return [
            f"stream    {rate:,.0f} pictures/s ({size(rate * self.picture_bytes)}/s decoded) over {self.images:,} "
            "pictures",
            f"batches   first after {1e3 * self.first:.1f} ms, then one every {1e3 * self.median:.2f} ms (median), "
            f"{1e3 * self.slowest:.2f} ms (99th percentile)",
        ]


def stream_rate(bank: Bank, batch_size: int, mix: float, seconds: float, threads: int | None) -> StreamRate:
    """Stream training epochs, as fast as they come, for at least `seconds` and one epoch."""
    batches = TrainingBatches(bank.images["train"], bank.epochs, batch_size, mix)
    begun = time.perf_counter()
    stream = Stream(bank, batches, seed=0, threads=threads)
    stream.batch(0, 0)
    first = time.perf_counter() - begun
    times, images, epoch = [time.perf_counter()], 0, 0
    while epoch == 0 or times[-1] - times[0] < seconds:
        for number in range(len(batches)):
            images += len(stream.batch(epoch, number)[1])
            times.append(time.perf_counter())
        epoch += 1
    stream.close()
    gaps = np.diff(times)
    median, slowest = np.percentile(gaps, [50, 99])
    return StreamRate(images, times[-1] - times[0], first, median, slowest, int(np.prod(bank.shape)))


@dataclass(frozen=True)
class StepTime:
    """Training steps on the stream beside steps on one cached batch."""

    streamed: float
    """Seconds of a step, median, its wait for the batch included."""
    cached: float
    """Seconds of a step on the same batch again and again, median."""
    waited: float
    """Share of the streamed steps' time that was spent waiting for data."""

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"step      {1e3 * self.streamed:.1f} ms on the stream, {1e3 * self.cached:.1f} ms on one cached batch: "
            f"{self.streamed / self.cached:.3f} times",
            f"waited    {100 * self.waited:.2f} % of the time for data",
        ]


def step_time(bank: Bank, model_name: str, batch_size: int, mix: float, steps: int) -> StepTime:
    """Time `steps` training steps of a model either way, after ten of each to warm up."""
    from train.models import build_model, compile_model

    model = build_model(model_name, bank.shape, len(bank.class_names))
    compile_model(model, learning_rate=1e-3, steps=1000)
    batches = TrainingBatches(bank.images["train"], bank.epochs, batch_size, mix)
    stream = Stream(bank, batches, seed=0)
    cached = stream.batch(0, 0)
    waits, streamed, repeated = [], [], []
    for step in range(-10, steps):
        begun = time.perf_counter()
        pictures, labels = stream.batch(*divmod(step + 10, max(1, len(batches) - 1)))
        waited = time.perf_counter() - begun
        model.train_on_batch(pictures, labels)
        if step >= 0:
            streamed.append(time.perf_counter() - begun)
            waits.append(waited)
        begun = time.perf_counter()
        model.train_on_batch(*cached)
        if step >= 0:
            repeated.append(time.perf_counter() - begun)
    stream.close()
    return StepTime(float(np.median(streamed)), float(np.median(repeated)), sum(waits) / sum(streamed))

"""The data wait of training steps, measured with a simulated clock, and the advice that follows from it."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from epochbank.train.benchmark.gpu_load import GpuLoad, mean_load
from epochbank.train.streaming.data_wait import DataWait, DataWaitMeter, ThreadTimes, advice, total_of


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def in_another_thread(call: Callable[[], None]) -> None:
    """Call `call` in another thread, as TensorFlow fetches batches."""
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def measured(events: list[tuple[float, str]], *, prefetch: bool, each: int = 1) -> DataWait:
    """Return the data wait of an epoch with these events: ask, give, step (of `each` batches), validate and end."""
    clock = Clock()
    meter = DataWaitMeter(clock)
    asked: list[float] = []
    step = 0
    for at, event in [(0.0, "begin"), *events]:
        clock.now = 100.0 + at
        if event == "begin":
            meter.begin_epoch()
        elif event == "ask":
            asked.append(clock.now)
        elif event == "give":
            give = lambda: meter.delivered(asked.pop(0), depth=3)  # noqa: E731
            in_another_thread(give) if prefetch else give()
        elif event == "step":
            meter.begin_step(step)
            step += each
        elif event == "validate":
            meter.end_steps()
    return meter.end_epoch()


def test_steps_wait_for_fetches_in_the_training_thread() -> None:
    """With JAX and torch, the data wait is the sum of the fetches."""
    events = []
    for step in range(4):
        at = 1.0 * step
        events += [(at, "step"), (at + 0.1, "ask"), (at + 0.35, "give")]
    data_wait = measured([*events, (5.0, "end")], prefetch=False)
    assert data_wait.waited == pytest.approx(4 * 0.25)
    assert data_wait.seconds == pytest.approx(5.0)
    assert data_wait.share == pytest.approx(0.2)
    assert data_wait.depth == 3


def test_steps_do_not_wait_for_batches_that_are_prefetched() -> None:
    """With TensorFlow and a fast stream, only the first step waits."""
    events = [(0.0, "step"), (0.1, "ask"), (0.2, "give"), (0.2001, "ask"), (0.3, "give")]
    for step in range(1, 9):
        events += [(1.0 * step, "step"), (1.0 * step + 0.05, "ask"), (1.0 * step + 0.1, "give")]
    data_wait = measured([*events, (9.0, "end")], prefetch=True)
    # The first step waits from the request of its batch until the framework has handed it over.
    assert data_wait.waited == pytest.approx(0.1 + 0.0001, abs=1e-6)


def test_steps_wait_for_batches_that_come_late() -> None:
    """With TensorFlow and a slow stream, each batch arrives half a second after its step began."""
    events: list[tuple[float, str]] = []
    for step in range(6):
        at = 1.0 * step
        events += [(at + 0.2, "step"), (at + 0.7, "give")]
        events += [(at + 0.7, "ask")]
    data_wait = measured([(0.0, "ask"), *events, (6.2, "end")], prefetch=True)
    assert data_wait.waited == pytest.approx(6 * 0.5)
    assert data_wait.share == pytest.approx(3 / 6.2)


def test_several_steps_per_execution() -> None:
    """With Keras' steps_per_execution, an execution waits for the first of its three batches."""
    events: list[tuple[float, str]] = []
    for execution in range(4):
        at = 1.0 * execution
        events += [(at + 0.2, "step"), (at + 0.4, "give"), (at + 0.4, "ask")]
        events += [(at + 0.5, "give"), (at + 0.5, "ask"), (at + 0.6, "give"), (at + 0.6, "ask")]
    data_wait = measured([(0.0, "ask"), *events, (4.1, "end")], prefetch=True, each=3)
    assert data_wait.waited == pytest.approx(4 * 0.2)


def test_validation_does_not_count() -> None:
    """The time after the last step is not part of the epoch."""
    data_wait = measured([(0.1, "ask"), (0.1, "step"), (0.3, "give"), (1.0, "validate"), (9.0, "end")], prefetch=False)
    assert data_wait.seconds == pytest.approx(1.0)
    assert data_wait.share == pytest.approx(0.2)


def test_the_total_weighs_epochs_by_their_length() -> None:
    """Waits and seconds are summed over epochs, and the depth is weighted by seconds."""
    meter = DataWaitMeter(Clock())
    meter.epochs = [DataWait(1.0, 10.0, 8), DataWait(0.0, 30.0, 4)]
    total = meter.total()
    assert (total.waited, total.seconds, total.share, total.depth) == (1.0, 40.0, 0.025, 5.0)
    assert DataWaitMeter().total().share == 0


@pytest.mark.parametrize(
    ("share", "thread_times", "codec", "cores", "expected"),
    [
        (0.0004, ThreadTimes(2, 10, 0, 0), "zstd", 8, "never waited for data: 6 batches were ready"),
        (0.004, ThreadTimes(2, 10, 0, 0), "zstd", 8, "hardly waited for data: 0.4 %"),
        (0.31, ThreadTimes(2, 60, 80, 18 * 10**9), "none", 8,
         "31 % of the time: the disk delivers only 180.0 MB/s; use a set generated with --codec zstd, a faster"),
        (0.31, ThreadTimes(2, 60, 80, 18 * 10**9), "zstd", 8, "the disk delivers only 180.0 MB/s; use a faster"),
        (0.5, ThreadTimes(2, 190, 5, 10**6), "zstd", 8,
         "keeps 2 threads busy; use more --threads (this machine has 8 cores) or a set generated with --codec lz4."),
        (0.5, ThreadTimes(2, 190, 5, 10**6), "none", 2, "keeps 2 threads busy; use a machine with more cores."),
        (0.2, ThreadTimes(2, 20, 5, 10**6), "zstd", 2, "fetched them too late; use larger batches"),
        (0.4, ThreadTimes(2, 190, 80, 10**9), "none", 2, "decoding keeps 2 threads busy"),
    ],
)  # fmt: skip
def test_advice_names_the_bottleneck(
    share: float, thread_times: ThreadTimes, codec: str, cores: int, expected: str
) -> None:
    """The advice is one sentence that names the disk, decoding or the framework, or says that nothing waited."""
    text = advice(DataWait(100 * share, 100, 6), thread_times, codec, cores)
    assert text.startswith("Training ")
    assert text.endswith(".")
    assert text.count(". ") == 0
    assert expected in text


def test_short_epochs_get_no_advice() -> None:
    """Waits in epochs of less than some seconds are noise: the share is printed, without a remedy."""
    times = ThreadTimes(2, 20, 5, 0)
    text = advice(total_of([DataWait(0.1, 0.3, 6)] * 20), times, "zstd", 2)
    assert text == ("Training waited for data 33 % of the time, which says little, because an epoch takes only 0.3 s.")
    assert "use larger batches" in advice(total_of([DataWait(2, 6, 6)] * 20), times, "zstd", 2)


def test_advice_without_steps_or_known_reason() -> None:
    """There is also advice if no step ran, or if batches were late for no known reason."""
    no_steps = advice(DataWait(0, 0, 0), ThreadTimes(2, 0, 0, 0), "zstd", 2)
    assert no_steps == "No training step ran, so nothing waited for data."
    assert "were late" in advice(DataWait(20, 100, 0.2), ThreadTimes(2, 20, 5, 0), "zstd", 2)


def test_gpu_load_is_that_of_the_busiest_gpu() -> None:
    """The utilization is the mean of the busier of two GPUs, or None without any value."""
    assert mean_load("0, 10\n1, 90\n0, 20\n1, 100\n") == 95
    assert mean_load("0, [N/A]\n1, 97\n0, [N/A]\n1, 99\n") == 98
    assert mean_load("") is None
    assert mean_load("0, [N/A]\n") is None


def test_gpu_load_comes_from_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The utilization is what `nvidia-smi` prints while the block runs, or None if it is not installed."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nwhile true; do echo '0, 96'; echo '1, 3'; sleep 0.01; done\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with GpuLoad() as load:
        time.sleep(0.3)
    assert load.percent == 96
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    with GpuLoad() as load:
        pass
    assert load.percent is None

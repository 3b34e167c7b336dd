"""The stall meter, on a clock of the test's own: what steps waited, and what is said about it."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from epochbank.train.benchmark.gpu_load import GpuLoad, mean_load
from epochbank.train.streaming.data_wait import Effort, StallMeter, Waits, advice


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def elsewhere(call: Callable[[], None]) -> None:
    """Call it in another thread, as TensorFlow fetches batches."""
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def measured(events: list[tuple[float, str]], *, ahead: bool, each: int = 1) -> Waits:
    """What the meter says of an epoch: `ask`, `give` and `step` (of `each` batches) at their times, until `end`."""
    clock = Clock()
    meter = StallMeter(clock)
    asked: list[float] = []
    step = 0
    for at, event in [(0.0, "begin"), *events]:
        clock.now = 100.0 + at
        if event == "begin":
            meter.begin_epoch(anew=True)
        elif event == "ask":
            asked.append(clock.now)
        elif event == "give":
            give = lambda: meter.delivered(asked.pop(0), depth=3)  # noqa: E731
            elsewhere(give) if ahead else give()
        elif event == "step":
            meter.begin_step(step)
            step += each
        elif event == "validate":
            meter.end_steps()
    return meter.end_epoch()


def test_fetched_in_the_training_thread_a_step_waits_as_long_as_fetching_takes() -> None:
    """JAX and torch: the sum of the fetches."""
    events = []
    for step in range(4):
        at = 1.0 * step
        events += [(at, "step"), (at + 0.1, "ask"), (at + 0.35, "give")]
    waits = measured([*events, (5.0, "end")], ahead=False)
    assert waits.waited == pytest.approx(4 * 0.25)
    assert waits.seconds == pytest.approx(5.0)
    assert waits.share == pytest.approx(0.2)
    assert waits.depth == 3


def test_fetched_ahead_by_another_thread_nothing_waits() -> None:
    """TensorFlow with a quick stream: each batch is there long before its step, but for the first."""
    events = [(0.0, "step"), (0.1, "ask"), (0.2, "give"), (0.2001, "ask"), (0.3, "give")]
    for step in range(1, 9):
        events += [(1.0 * step, "step"), (1.0 * step + 0.05, "ask"), (1.0 * step + 0.1, "give")]
    waits = measured([*events, (9.0, "end")], ahead=True)
    # The first step waits from when its batch was asked for until it is handed over.
    assert waits.waited == pytest.approx(0.1 + 0.0001, abs=1e-6)


def test_fetched_too_late_each_step_waits() -> None:
    """TensorFlow with a slow stream: the step begins and its batch comes half a second later."""
    events: list[tuple[float, str]] = []
    for step in range(6):
        at = 1.0 * step
        events += [(at + 0.2, "step"), (at + 0.7, "give")]
        events += [(at + 0.7, "ask")]
    waits = measured([(0.0, "ask"), *events, (6.2, "end")], ahead=True)
    assert waits.waited == pytest.approx(6 * 0.5)
    assert waits.share == pytest.approx(3 / 6.2)


def test_several_steps_an_execution() -> None:
    """Keras' steps_per_execution: an execution of three begins when the first of its batches is there, or waits."""
    events: list[tuple[float, str]] = []
    for execution in range(4):
        at = 1.0 * execution
        events += [(at + 0.2, "step"), (at + 0.4, "give"), (at + 0.4, "ask")]
        events += [(at + 0.5, "give"), (at + 0.5, "ask"), (at + 0.6, "give"), (at + 0.6, "ask")]
    waits = measured([(0.0, "ask"), *events, (4.1, "end")], ahead=True, each=3)
    assert waits.waited == pytest.approx(4 * 0.2)


def test_validation_is_not_training() -> None:
    """Time after the last step does not count."""
    waits = measured([(0.1, "ask"), (0.1, "step"), (0.3, "give"), (1.0, "validate"), (9.0, "end")], ahead=False)
    assert waits.seconds == pytest.approx(1.0)
    assert waits.share == pytest.approx(0.2)


def test_the_total_weighs_epochs_by_their_length() -> None:
    """Over all epochs: waits and seconds added up."""
    meter = StallMeter(Clock())
    meter.epochs = [Waits(1.0, 10.0, 8), Waits(0.0, 30.0, 4)]
    total = meter.total()
    assert (total.waited, total.seconds, total.share, total.depth) == (1.0, 40.0, 0.025, 5.0)
    assert StallMeter().total().share == 0


@pytest.mark.parametrize(
    ("share", "effort", "codec", "cores", "said"),
    [
        (0.0004, Effort(2, 10, 0, 0), "zstd", 8, "never waited for data: 6 batches stood ready"),
        (0.004, Effort(2, 10, 0, 0), "zstd", 8, "hardly waited for data: 0.4 %"),
        (0.31, Effort(2, 60, 80, 18 * 10**9), "none", 8,
         "31 % of the time: the disk delivers 180.0 MB/s; use a set made with --codec zstd, a faster or a local"),
        (0.31, Effort(2, 60, 80, 18 * 10**9), "zstd", 8, "the disk delivers 180.0 MB/s; use a faster"),
        (0.5, Effort(2, 190, 5, 10**6), "zstd", 8,
         "keeps 2 threads busy; use more --threads (this machine has 8 cores) or a set made with --codec lz4."),
        (0.5, Effort(2, 190, 5, 10**6), "none", 2, "keeps 2 threads busy; use a machine with more cores."),
        (0.2, Effort(2, 20, 5, 10**6), "zstd", 2, "not handed over in time; use larger batches"),
        (0.4, Effort(2, 190, 80, 10**9), "none", 2, "decoding keeps 2 threads busy"),
    ],
)  # fmt: skip
def test_advice_names_what_is_in_the_way(share: float, effort: Effort, codec: str, cores: int, said: str) -> None:
    """One sentence: never, hardly, the disk, decoding, or handing over."""
    text = advice(Waits(100 * share, 100, 6), effort, codec, cores)
    assert text.startswith("Training ")
    assert text.endswith(".")
    assert text.count(". ") == 0
    assert said in text


def test_advice_at_its_edges() -> None:
    """No step made, and batches that were late without a reason that is known."""
    assert advice(Waits(0, 0, 0), Effort(2, 0, 0, 0), "zstd", 2) == "No step was made: nothing waited for data."
    assert "came late" in advice(Waits(20, 100, 0.2), Effort(2, 20, 5, 0), "zstd", 2)


def test_the_busiest_gpu_counts() -> None:
    """Lines of two GPUs in turn: the mean of the busier one; nothing where nothing was said."""
    assert mean_load("0, 10\n1, 90\n0, 20\n1, 100\n") == 95
    assert mean_load("0, [N/A]\n1, 97\n0, [N/A]\n1, 99\n") == 98
    assert mean_load("") is None
    assert mean_load("0, [N/A]\n") is None


def test_the_load_of_a_gpu_is_asked_of_the_drivers_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While something runs, what `nvidia-smi` prints; nothing where there is none."""
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

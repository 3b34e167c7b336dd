"""The verdict of `train bench`, and the lines of training progress."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochbank.train.benchmark.measure import StepTime, spread_of
from epochbank.train.streaming.data_wait import DataWait
from epochbank.train.training.epoch_lines import epoch_line


def measured(*ratios: float) -> StepTime:
    return StepTime(0.0102, 0.01, ratios, DataWait(0.01, 1.0, 7.5), None)


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ((1.018, 1.02, 1.022), "steps on the stream take 1.020 times as long as on a cached batch: "
                               "the data pipeline costs 2.0 %"),
        ((1.5, 1.6, 1.7), "steps on the stream take 1.600 times as long as on a cached batch: "
                          "the data pipeline costs 60.0 %"),
        ((0.96, 0.99, 1.01, 1.02), "no cost of the data pipeline can be measured: "
                                   "if there is one, it is less than 1.2 %"),
        ((0.97, 0.98, 0.99), "no cost of the data pipeline can be measured: if there is one, it is less than 0.1 %"),
    ],
)  # fmt: skip
def test_the_verdict_is_in_words(ratios: tuple[float, ...], verdict: str) -> None:
    """Noise below 1 is no gain, and a cost that noise could hide is none; the numbers are not changed."""
    assert measured(*ratios).verdict() == verdict
    assert any(verdict in line for line in measured(*ratios).lines())


@given(st.lists(st.floats(0.5, 3), min_size=1, max_size=20))
def test_headroom_and_spread_are_those_of_the_rounds(ratios: list[float]) -> None:
    """The median lies between the quartiles, and no cost below zero is ever claimed."""
    step_time = measured(*ratios)
    low, high = step_time.spread
    assert min(ratios) <= low <= step_time.headroom <= high <= max(ratios)
    assert (low, high) == spread_of(ratios)
    assert "costs -" not in step_time.verdict()
    assert f"headroom  {step_time.headroom:.3f} (middle half of {len(ratios)} rounds" in "\n".join(step_time.lines())


LOGS = {"loss": 12.34567, "accuracy": 1.0, "val_loss": 0.00004, "val_accuracy": 0.98765, "data_wait": 0.001}


def test_an_epoch_is_one_line() -> None:
    """Epochs count from 1; metrics of the data wait are left out."""
    assert epoch_line(2, 10, LOGS, 65) == (
        "epoch 3/10: loss 12.3457, accuracy 100.00 %, val loss 0.0000, val accuracy 98.77 %, 1 min 05 s"
    )
    assert epoch_line(0, 1, {"loss": 0.5}, 0.25) == "epoch 1/1: loss 0.5000, 0.2 s"


@given(st.integers(1, 999), st.floats(0, 99), st.floats(0, 1), st.floats(0, 36_000))
def test_a_line_fits_100_columns(epochs: int, loss: float, accuracy: float, seconds: float) -> None:
    logs = {"loss": loss, "accuracy": accuracy, "val_loss": loss, "val_accuracy": accuracy}
    line = epoch_line(epochs - 1, epochs, logs, seconds)
    assert len(line) <= 100
    assert not re.search(r"\n", line)

"""Which epoch's model a training run keeps, and when it stops."""

import math
from pathlib import Path

import keras
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from epochbank.train.training.best_model import BestModel, best_epoch
from epochbank.train.training.ranks import Ranks

Logs = dict[str, float]


def logs(*pairs: tuple[float, float]) -> list[Logs]:
    """Return the logs of epochs by validation accuracy and validation loss."""
    return [{"loss": 1.0, "accuracy": 0.5, "val_accuracy": accuracy, "val_loss": loss} for accuracy, loss in pairs]


def show(callback: BestModel, rows: list[Logs], first: int = 0) -> tuple[list[int], bool]:
    """Show epochs to the callback until it stops training; return those whose model was saved, and whether it did."""
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    callback.set_model(model)
    model.stop_training = False
    saved = []
    for epoch, row in enumerate(rows, first):
        model.layers[0].kernel.assign([[epoch]])
        callback.on_epoch_end(epoch, row)
        kept = keras.models.load_model(callback._path) if callback._path.exists() else None
        if kept is not None and int(kept.layers[0].kernel.numpy().item()) == epoch:
            saved.append(epoch)
        if model.stop_training:
            break
    return saved, model.stop_training


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        ([], None),
        (logs((0.5, 1.0), (0.7, 2.0), (0.6, 0.5)), 1),  # The loss grows while the accuracy does.
        (logs((0.7, 1.0), (0.7, 0.9), (0.7, 0.9)), 1),
        (logs((0.7, 1.0), (0.9, math.nan), (0.6, 0.5)), 0),
        (logs((0.7, math.nan)), None),
        ([{"loss": 2.0, "accuracy": 0.9}, {"loss": 1.0, "accuracy": 0.8}], 1),
    ],
)
def test_the_best_epoch_has_the_highest_validation_accuracy(rows: list[Logs], best: int | None) -> None:
    assert best_epoch(rows) == best


def test_the_best_model_is_kept_and_training_stops_when_patience_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    rows = logs((0.5, 2.0), (0.6, 1.0), (0.6, 1.5), (0.6, 0.9), (0.5, 0.1), (0.6, 0.9), (0.9, 0.1))
    callback = BestModel(tmp_path / "model.keras", 2, [], Ranks())
    assert show(callback, rows) == ([0, 1, 3], True)
    assert callback.epoch == 3
    assert capsys.readouterr().out == "Stopped after 2 epochs without a better one than epoch 4.\n"
    patient = BestModel(tmp_path / "other.keras", 0, [], Ranks())
    assert show(patient, rows) == ([0, 1, 3, 6], False)


@given(
    st.lists(st.tuples(st.sampled_from([0.5, 0.6]), st.sampled_from([1.0, 2.0, math.nan])), max_size=8),
    st.integers(0, 8),
    st.integers(0, 3),
)
def test_a_resumed_run_keeps_and_stops_as_one_that_was_not_interrupted(
    pairs: list[tuple[float, float]], cut: int, patience: int
) -> None:
    whole = _Recorder(patience, [])
    stop = whole.show(logs(*pairs), 0)
    before = logs(*pairs)[: min(cut, stop)]
    resumed = _Recorder(patience, before)
    assert len(before) == stop or resumed.show(logs(*pairs)[len(before) :], len(before)) == stop
    assert resumed.epoch == whole.epoch == best_epoch(logs(*pairs)[:stop])


class _Recorder(BestModel):
    """Keeps no file."""

    def __init__(self, patience: int, rows: list[Logs]):
        super().__init__(Path("unused"), patience, rows, Ranks(rank=1, world_size=2))

    def show(self, rows: list[Logs], first: int) -> int:
        """Show epochs until training stops; return the number of the epoch after it."""
        self.set_model(keras.Sequential())
        self.model.stop_training = False
        for epoch, row in enumerate(rows, first):
            self.on_epoch_end(epoch, row)
            if self.model.stop_training:
                return epoch + 1
        return first + len(rows)

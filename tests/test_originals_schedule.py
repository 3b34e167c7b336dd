"""A share of originals that changes from epoch to epoch."""

from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st

from conftest import numbers
from epochbank.augment.errors import EpochbankError
from epochbank.train.cli import main as train
from epochbank.train.feeding.augmented_set import AugmentedSet
from epochbank.train.feeding.sequence import AugmentedSequence
from epochbank.train.feeding.torch_batches import _WorkerBatches
from epochbank.train.streaming.batches import TrainingBatches
from epochbank.train.streaming.schedule import OriginalsSchedule, ScheduledBatches, parse_originals
from test_stream import make, train_numbers


@pytest.fixture
def stored_set(numbered_npz: Path, nothing_recipe: Path, tmp_path: Path) -> AugmentedSet:
    return make(numbered_npz, nothing_recipe, tmp_path / "sets")


def test_shares() -> None:
    """The share changes linearly up to the last mixed epoch; then only originals are shown."""
    schedule = OriginalsSchedule(0.2, 0.8, 6, finish=2)
    assert [schedule.share(epoch) for epoch in range(7)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1, 1])
    assert OriginalsSchedule(0.3, 0.9, 1).share(0) == 0.3


def test_parse() -> None:
    """A constant share is a number."""
    assert parse_originals("0.5", 10) == 0.5
    assert parse_originals("1", 10) == 1.0
    assert parse_originals("0.3:0.9", 10) == OriginalsSchedule(0.3, 0.9, 10)
    assert parse_originals("0.5", 10, 3) == OriginalsSchedule(0.5, 0.5, 10, 3)
    for text in ("", "x", "0.1:", "0.1:2", "0.1:0.2:0.3", "nan", "-1", "inf"):
        with pytest.raises(EpochbankError, match="expected a share"):
            parse_originals(text, 10)
    with pytest.raises(EpochbankError, match=r"--finish-on-originals\) for 10 of 10 epochs; expected 0 to 9"):
        parse_originals("0.5", 10, 10)


@settings(max_examples=60, deadline=None)
@example(20, 9, 0.25, 0.25, 1, 3)
@given(st.integers(20, 300), st.integers(4, 40), st.floats(0, 1), st.floats(0, 1), st.integers(0, 3), st.integers(1, 3))
def test_every_epoch_shows_every_image(
    num_images: int, size: int, first: float, last: float, finish: int, ranks: int
) -> None:
    """All ranks together show each image once distorted in a mixed epoch, and once undistorted in the last epochs."""
    schedule = OriginalsSchedule(first, last, 6, finish)
    share = schedule.share_of_batch(0, size)
    try:
        bases = [TrainingBatches(num_images, (0, 1), size, share, rank, ranks) for rank in range(ranks)]
        batches = [ScheduledBatches(base, schedule) for base in bases]
    except EpochbankError:  # Too few images for one batch per rank.
        reject()
    originals: list[Counter[int]] = [Counter() for _ in batches]
    for epoch in range(6):
        assert len({one.steps(epoch) for one in batches}) == 1
        shown: Counter[int] = Counter()
        for one, own in zip(batches, originals, strict=True):
            for number in range(one.steps(epoch)):
                for split, stored, _, start, stop, _ in one.segments(epoch, number):
                    (own if split == "train" and schedule.share(epoch) < 1 else shown).update(range(start, stop))
                    assert split == "train" or stored == epoch % 2
        assert shown == Counter(range(num_images))
    for own in filter(None, originals):  # The parts of the ranks differ by an image, and all have as many steps.
        counts = [own[at] for at in range(min(own), max(own) + 1)]
        assert max(counts) - min(counts) <= 1


def test_images_of_all_epochs(stored_set: AugmentedSet) -> None:
    """Decoded ahead across epochs of different length, every epoch shows what its share says."""
    schedule = OriginalsSchedule(0, 0.75, 4, finish=1)
    total = stored_set.num_images["train"]
    epochs: list[list[int]] = [[] for _ in range(4)]
    with stored_set.batches(32, schedule, epochs=4, threads=2) as batches:
        for images, labels in batches:
            epochs[batches.position[0]] += numbers(images).tolist()
            assert np.array_equal(numbers(images) % 5, labels)
    assert sorted(epochs[0]) == sorted(epochs[3]) == train_numbers(stored_set)
    for epoch, share in ((1, 0.375), (2, 0.75)):
        assert len(epochs[epoch]) == pytest.approx(total / (1 - share), rel=0.02)
        assert set(epochs[epoch]) == set(train_numbers(stored_set))


def test_keras_needs_one_fit_per_epoch(stored_set: AugmentedSet) -> None:
    """One call of `fit` for all epochs is refused with the loop that works."""
    data = AugmentedSequence(stored_set, 32, OriginalsSchedule(0.25, 0.75, 3))
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(5)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(EpochbankError, match=r"which has .*: with a schedule of originals, .* Call `fit` once"):
        model.fit(data, epochs=3, shuffle=False, verbose=0, callbacks=[data.callback()])
    steps = []
    for epoch in range(3):
        data.show(epoch)
        steps.append(len(data))
        model.fit(data, initial_epoch=epoch, epochs=epoch + 1, shuffle=False, verbose=0, callbacks=[data.callback()])
    assert steps == sorted(set(steps))


@pytest.mark.long
def test_fit(stored_set: AugmentedSet, tmp_path: Path) -> None:
    """`train fit` takes a schedule and final originals, and its learning rate reaches the end of its schedule."""
    run = tmp_path / "run"
    words = ["fit", str(stored_set.path), "--epochs", "3", "--originals", "0.2:0.6", "--finish-on-originals", "1"]
    done = CliRunner().invoke(train, [*words, "--batch-size", "64", "--run", str(run)])
    assert done.exit_code == 0, done.output
    with np.errstate(all="ignore"):
        assert (run / "summary.json").exists()
    bad = CliRunner().invoke(train, ["fit", str(stored_set.path), "--originals", "2", "--run", str(tmp_path / "no")])
    assert bad.exit_code == 2
    assert "originals 2 (--originals); expected a share from 0 to 1" in bad.output


@pytest.mark.parametrize(("first", "last", "finish"), [(0.5, 0.9, 0), (0.9, 0.1, 0), (0.5, 0.5, 1)])
def test_an_endless_iteration_ends_for_workers_that_get_no_more_batches(first: float, last: float, finish: int) -> None:
    """A worker of PyTorch must not look for batches that never come, but get all those that do."""
    scheduled = ScheduledBatches(TrainingBatches(40, (0, 1), 20, 0.5), OriginalsSchedule(first, last, 3, finish))
    ended = 0
    for worker in range(30):
        batches = _WorkerBatches(scheduled, worker, 30)
        for epoch in range(8):
            rest = [batches.steps(later) for later in range(epoch, 20)]
            if batches.has_ended(epoch):
                ended += 1
                assert not any(rest)
            elif epoch >= 3:
                assert all(rest)
    assert ended

"""Training that follows its set (`--follow`), and that waits for its first epoch (`--wait`)."""

import csv
import fcntl
import gc
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.python.framework.config import disable_op_determinism

import epochbank
from conftest import small_set
from epochbank import AugmentedSequence, EpochbankError, open_set
from epochbank.api import generation
from epochbank.augment.lifecycle.refresh import remove_retired
from epochbank.augment.shared.lock import LOCK, writing
from epochbank.train.cli import main
from epochbank.train.feeding import wait as wait_module
from epochbank.train.feeding.wait import wait_for_epoch
from epochbank.train.reading.stored_set import read_stored_set
from epochbank.train.streaming.choices import Choices, choose
from epochbank.train.training.checkpoint import Checkpoint
from epochbank.train.training.fit import fit
from epochbank.train.training.fit_options import FitOptions
from epochbank.train.training.interrupt import Stopped
from epochbank.train.training.resume import resume
from epochbank.train.training.snapshot import read_snapshot

SMALL: dict[str, Any] = {"jobs": 1, "shard_size": 20, "chunk_size": 5}
PUBLISHED = st.sets(st.integers(0, 9), min_size=1).map(sorted)

# --- Which stored epoch a training epoch shows ----------------------------------------------------------------------


@given(published=PUBLISHED, epochs=st.integers(0, 40))
def test_a_set_that_does_not_change_is_shown_in_rotation(published: list[int], epochs: int) -> None:
    """Training epoch e shows the (e mod N)-th of N stored epochs, in its pass e div N, as without `follow`."""
    choices = Choices(published)
    expected = [(published[epoch % len(published)], epoch // len(published)) for epoch in range(epochs)]
    assert [choices.shown(epoch) for epoch in range(epochs)] == expected


@given(changes=st.lists(PUBLISHED, min_size=1, max_size=20))
def test_new_epochs_come_first_and_retired_ones_never(changes: list[list[int]]) -> None:
    """The next epoch is a new one if there is one. What was decided stays, and no pass is shown twice."""
    choices, shown = Choices(changes[0]), []
    for epoch, published in enumerate(changes):
        choices.shown(epoch + 3)  # Decoding ahead asks for later epochs.
        stored = choose(published, shown)
        choices.decide(epoch, stored, published)
        assert stored in published
        assert stored not in shown or set(published) <= set(shown)
        shown.append(stored)
        assert choices.before(epoch + 1) == shown
    passes = [choices.shown(epoch) for epoch in range(len(shown))]
    assert len(set(passes)) == len(passes)
    assert all(number == shown[:epoch].count(stored) for epoch, (stored, number) in enumerate(passes))


@given(before=PUBLISHED, after=PUBLISHED, epoch=st.integers(0, 5), ahead=st.integers(0, 5))
def test_the_first_changed_choice_is_reported(before: list[int], after: list[int], epoch: int, ahead: int) -> None:
    """`decide` returns the first training epoch whose expected choice was another one; batches of it are stale."""
    choices = Choices(before)
    expected = [choices.shown(one) for one in range(epoch + ahead)]
    first = choices.decide(epoch, choose(after, choices.before(epoch)), after)
    now = [choices.shown(one) for one in range(epoch + ahead)]
    assert first == next((at for at, (a, b) in enumerate(zip(expected, now, strict=True)) if a != b), None)


# --- The stream -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source and its set of three epochs of 84 images, each in five shards."""
    return small_set(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def here(sound: Path, tmp_path: Path) -> Path:
    """A copy of that directory."""
    return Path(shutil.copytree(sound, tmp_path / "copy"))


@pytest.fixture
def stored(here: Path) -> Path:
    return set_in(here)


def set_in(directory: Path) -> Path:
    return next((directory / "sets").glob("*/set.json")).parent


def folders(stored: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("epoch-")) for path in stored.glob("epoch-*") if path.is_dir())


def bytes_of(images: np.ndarray) -> list[bytes]:
    return [image.tobytes() for image in images]


def stored_images(stored: Path, epoch: int) -> list[bytes]:
    """The images of a stored epoch, sorted."""
    opened = read_stored_set(stored)
    table = opened.table("epoch", epoch)
    found = []
    for number, size in enumerate(table.chunk_sizes):
        images, labels = np.empty((size, *opened.shape), np.uint8), np.empty(size, np.int32)
        table.read(number, images, labels)
        found += bytes_of(images)
    return sorted(found)


def following(stored: Path, **options: Any) -> AugmentedSequence:
    return AugmentedSequence(stored, batch_size=16, originals=0, seed=1, follow=True, **options)


def shown(data: AugmentedSequence, start: int = 0, stop: int | None = None) -> list[bytes]:
    """The images of batches `start` to `stop` - 1 of the current epoch, in order."""
    batches = range(start, len(data) if stop is None else stop)
    return [one for at in batches for one in bytes_of(data[at][0])]


@pytest.mark.parametrize("originals", [0, 0.5, 1])
def test_without_changes_the_batches_are_the_same(stored: Path, originals: float) -> None:
    """With `follow`, a set that does not change is streamed as without it, to the byte."""
    plain, follow = (
        AugmentedSequence(stored, batch_size=16, originals=originals, seed=1, follow=follow) for follow in (False, True)
    )
    for epoch in (0, 1, 2, 3, 7, 2):
        plain.show(epoch)
        follow.show(epoch)
        assert shown(plain) == shown(follow)
    assert plain.stored_epochs is None
    assert follow.stored_epochs == (None if originals == 1 else [0, 1, 2])


def test_an_epoch_is_finished_and_the_next_one_is_new(stored: Path) -> None:
    """Retired files stay while they are read, and are removed once the training has moved on."""
    data = following(stored)
    first = shown(data, 0, 2)
    images = {epoch: stored_images(stored, epoch) for epoch in range(3)}
    result = epochbank.refresh(stored, 3, jobs=1)
    assert (result.retired, result.left) == ([0, 1, 2], True)
    assert folders(stored)[0] == 0
    assert sorted(first + shown(data, 2)) == images[0]
    for epoch, expected in enumerate((3, 4, 5, 3), 1):
        data.show(epoch)
        assert sorted(shown(data)) == stored_images(stored, expected)
    assert data.stored_epochs == [0, 3, 4, 5, 3]
    assert remove_retired(stored)
    assert folders(stored) == [3, 4, 5]


def test_only_what_is_read_is_kept(stored: Path) -> None:
    """Of five retired epochs, the current one and the one that was expected next keep their files."""
    data = following(stored)
    shown(data)
    epochbank.refresh(stored, 2, jobs=1)
    assert folders(stored) == [0, 1, 2, 3, 4]
    data.show(1)
    assert data.stored_epochs == [0, 2]
    epochbank.refresh(stored, 3, jobs=1)
    assert folders(stored) == [2, 3, 5, 6, 7]
    assert sorted(shown(data)) == sorted(shown(data))
    data.close()
    epochbank.gc(stored.parent)
    data.show(2)
    assert epochbank.gc(stored.parent)
    assert folders(stored) == [5, 6, 7]


def test_batches_that_were_decoded_ahead_are_not_stale(here: Path) -> None:
    """A set of one epoch is decoded far ahead; an epoch that is published at the last moment is still picked up."""
    epochbank.generate(here / "a.npz", epochs=1, sets=here / "one", **SMALL)
    stored = next((here / "one").glob("*/set.json")).parent
    data = following(stored, prefetch=20)
    for epoch in range(4):
        generation.run(here / "a.npz", epochs=epoch + 1, sets=here / "one", **SMALL)
        data.show(epoch)
        assert sorted(shown(data)) == stored_images(stored, epoch)
    data.show(4)
    assert data.stored_epochs == [0, 1, 2, 3, 0]


def test_a_second_fit_shows_what_there_is(stored: Path) -> None:
    """Beginning again with epoch 0 after a refresh shows the new epochs."""
    data = AugmentedSequence(stored, batch_size=16, seed=1, follow=True)
    for epoch in range(2):
        data.show(epoch)
        shown(data)
    epochbank.refresh(stored, 3, jobs=1)
    for epoch in range(2):
        data.show(epoch)
        batches = [bytes_of(data[at][0]) for at in range(len(data))]
        assert sorted(one for batch in batches for one in batch[: len(batch) // 2]) == stored_images(stored, 3 + epoch)
    assert data.stored_epochs == [3, 4]


def test_a_damaged_manifest_does_not_end_a_training(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It warns once and continues with the epochs that it knows; the next good manifest counts again."""
    data = following(stored)
    sound = (stored / "manifest.jsonl").read_bytes()
    (stored / "manifest.jsonl").write_bytes(sound[:-200])
    for epoch in range(1, 5):
        data.show(epoch)
        assert len(shown(data)) == 84
    assert data.stored_epochs == [0, 1, 2, 0, 1]
    assert capsys.readouterr().err.count("warning: training continues with the known stored epochs") == 1
    (stored / "manifest.jsonl").write_bytes(sound)
    epochbank.refresh(stored, 1, jobs=1)
    data.show(5)
    assert data.stored_epochs[-1] == 3
    assert "now has the stored epochs 1 to 3" in capsys.readouterr().err


def test_a_lost_shard_of_the_next_epoch_is_an_error(stored: Path) -> None:
    """What is published must be there: the message names the file."""
    data = following(stored)
    lost = stored / "epoch-0002" / "0000000020.h5"
    lost.unlink()
    data.show(1)
    assert len(shown(data)) == 84
    with pytest.raises(EpochbankError, match=r"epoch-0002/0000000020\.h5"):
        data.show(2)
    assert data.epoch == 1


def test_a_set_that_was_replaced_is_not_read(here: Path, stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another set at the same path serves no image."""
    data = following(stored)
    kept = stored.rename(stored.with_name("kept"))
    other = epochbank.generate(here / "a.npz", epochs=1, seed=5, sets=here / "other", **SMALL).path
    shutil.copytree(other, stored)
    data.show(1)
    with pytest.raises(EpochbankError, match="was replaced by another set"):
        data.show(2)
    assert "was replaced by another set" in capsys.readouterr().err
    shutil.rmtree(stored)
    kept.rename(stored)
    data.show(2)
    assert sorted(shown(data)) == stored_images(stored, data.stored_epochs[-1])


@pytest.fixture(params=["local", "between machines"])
def locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks of a local disk, and of a network file system that two machines mount: none on directories."""
    flock = fcntl.flock

    def on_files(descriptor: int, operation: int) -> None:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            flock(descriptor, operation)

    if request.param != "local":
        monkeypatch.setattr(fcntl, "flock", on_files)


def test_a_followed_set_is_not_removed(stored: Path, locks: None) -> None:
    data = following(stored)
    with pytest.raises(EpochbankError, match="is being read by a training run"):
        epochbank.remove(stored)
    del data
    assert epochbank.remove(stored) > 0
    assert not list(stored.parent.glob(".tmp-*"))


def test_a_followed_epoch_is_not_deleted(stored: Path, locks: None) -> None:
    data = following(stored)
    shown(data)
    epochbank.refresh(stored, 2, jobs=1)
    assert not remove_retired(stored)
    assert 0 in folders(stored)
    del data
    gc.collect()
    assert remove_retired(stored)
    assert 0 not in folders(stored)
    assert not list(stored.glob(".tmp-*"))


@pytest.mark.parametrize("options", [{"rank": 1, "world_size": 2}, {"world_size": 3}])
def test_several_processes_are_refused(stored: Path, options: dict[str, int]) -> None:
    with pytest.raises(EpochbankError, match="--follow with world size"):
        following(stored, **options)
    result = CliRunner().invoke(main, ["fit", str(stored), "--wait", "--world-size", "2"])
    assert result.exit_code == 2
    assert "--follow with world size 2; expected 1" in result.stderr


# --- Keras' fit, and train fit --------------------------------------------------------------------------------------


class Then(keras.callbacks.Callback):
    """Call a function after each epoch."""

    def __init__(self, then: Callable[[int], object]):
        super().__init__()
        self._then = then

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._then(epoch)


@pytest.mark.parametrize("shuffle", [False, True])
def test_fit_takes_up_new_epochs(stored: Path, shuffle: bool) -> None:
    """A refresh after epoch 1 replaces all stored epochs; the history says which were shown."""
    data = following(stored)
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(4)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    then = Then(lambda epoch: epoch == 1 and epochbank.refresh(stored, 3, jobs=1))
    callbacks = [data.callback(), then]
    history = model.fit(data, epochs=5, shuffle=shuffle, verbose=0, callbacks=callbacks).history
    assert history["stored_epoch"] == [0, 1, 3, 4, 5]
    assert folders(stored)[-1] == 5


OPTIONS = FitOptions("follow_model:build", 4, 16, originals=0, patience=0, follow=True, deterministic=True)
"""Four epochs of six steps."""

MODEL = """
import keras

def build(shape, classes):
    return keras.Sequential([keras.Input(shape), keras.layers.Flatten(), keras.layers.Dropout(0.2),
                             keras.layers.Dense(classes)])
"""


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[tuple[int, int], Callable[[], object]]]:
    """What to do before a step: by training epoch and number of the step. The model is quick, and draws no report."""
    (tmp_path / "follow_model.py").write_text(MODEL)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("epochbank.train.training.finish._report", lambda *_: [])
    actions: dict[tuple[int, int], Callable[[], object]] = {}
    original = Checkpoint.on_train_batch_begin

    def hooked(self: Checkpoint, batch: int, logs: Any = None) -> None:
        actions.pop((self.epoch, self._data.start + batch), lambda: None)()
        original(self, batch, logs)

    monkeypatch.setattr(Checkpoint, "on_train_batch_begin", hooked)
    yield actions
    disable_op_determinism()  # `deterministic=True` made this process deterministic for good.


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def metrics_of(run: Path) -> list[dict[str, str]]:
    """The columns of metrics.csv that do not hold times."""
    with open(run / "metrics.csv", newline="") as file:
        return [{name: text for name, text in row.items() if "wait" not in name and "depth" not in name}
                for row in csv.DictReader(file)]  # fmt: skip


def test_resuming_is_exact_on_a_set_that_changes(
    sound: Path, tmp_path: Path, at: dict[tuple[int, int], Callable[[], object]]
) -> None:
    """A refresh comes before the interruption, and new epochs before resuming: all metrics are equal to the bit."""
    results = []
    for name in ("plain", "interrupted"):
        copied, run = Path(shutil.copytree(sound, tmp_path / name)), tmp_path / f"run-{name}"
        stored = set_in(copied)

        def grow(copied: Path = copied) -> None:
            generation.run(copied / "a.npz", epochs=4, sets=copied / "sets", **SMALL)

        at[0, 2] = lambda stored=stored: epochbank.refresh(stored, 1, jobs=1)
        at[1, 3] = grow if name == "plain" else interrupt
        if name == "plain":
            fit(open_set(stored), OPTIONS, run)
        else:
            with pytest.raises(Stopped):
                fit(open_set(stored), OPTIONS, run)
            grow()
            resume(run, trust=True)
        results.append(metrics_of(run))
        assert open_set(stored).epochs == (1, 2, 3, 4)
    assert [row["stored_epoch"] for row in results[0]] == ["0", "1", "2", "3"]
    assert results[0] == results[1]


def test_the_interrupted_epoch_was_retired(
    stored: Path, tmp_path: Path, at: dict[tuple[int, int], Callable[[], object]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without `follow` the message names it, and with it the run continues at the same step with another epoch."""
    run = tmp_path / "run"
    at[1, 3] = interrupt
    with pytest.raises(Stopped):
        fit(open_set(stored), replace(OPTIONS, epochs=3, follow=False), run)
    epochbank.refresh(stored, 3, jobs=1)
    with pytest.raises(EpochbankError, match=f"train fit --resume {run} --follow"):
        resume(run, trust=True)
    capsys.readouterr()
    resume(run, trust=True, follow=True)
    said = capsys.readouterr().err
    assert "training epoch 2 was interrupted in stored epoch 1, which was retired" in said
    assert "resumes in epoch 2, after 3 of 6 steps" in said
    assert [row["stored_epoch"] for row in metrics_of(run)] == ["0", "3", "4"]
    assert all(None not in row for row in metrics_of(run))


def test_a_lost_epoch_ends_fit_after_a_checkpoint(stored: Path, tmp_path: Path, at: dict[Any, Any]) -> None:
    """No completed epoch is lost, although no checkpoint was due; once the shards are back, the run continues."""
    run, kept = tmp_path / "run", stored.with_name("kept")
    at[0, 1] = lambda: (stored / "epoch-0002").rename(kept)
    options = replace(OPTIONS, epochs=3, checkpoint_minutes=0)
    with pytest.raises(EpochbankError, match="stored epoch 2 are missing"):
        fit(open_set(stored), options, run)
    state = read_snapshot(run / "checkpoint.npz").state
    assert (state["epoch"], state["batch"], state["stored_epochs"]) == (2, 0, [0, 1])
    kept.rename(stored / "epoch-0002")
    resume(run, trust=True)
    assert [row["stored_epoch"] for row in metrics_of(run)] == ["0", "1", "2"]


# --- Waiting --------------------------------------------------------------------------------------------------------


def test_waiting_for_a_run_that_generates(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A real `augment run` in another process: waiting ends when the first epoch is published."""
    sets = here / "later"
    words = ["run", str(here / "a.npz"), "--epochs", "40", "--sets", str(sets), "--jobs", "1", "--shard-size", "20"]
    with subprocess.Popen([sys.executable, "-m", "epochbank.augment", *words], stderr=subprocess.PIPE) as process:
        directory = wait_for_epoch(None, sets)
        opened = open_set(directory)
        process.terminate()
        process.communicate(timeout=60)
    assert opened.epochs[0] == 0
    assert len(opened.validation(16)) > 0
    said = capfd.readouterr().err
    assert f"waiting for the first stored epoch of a set in {sets}/" in said


def test_waiting_says_who_writes(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The splits are published and half of the first epoch; the lock is held, and later released."""
    lines = (stored / "manifest.jsonl").read_text().splitlines(keepends=True)
    epoch = [line for line in lines if '"part":"epoch","epoch":0' in line]
    splits = [line for line in lines if '"part":"epoch"' not in line]
    for number in range(1, 3):
        shutil.rmtree(stored / f"epoch-{number:04d}")
    (stored / "manifest.check").unlink()
    (stored / "manifest.jsonl").write_text("".join(splits + epoch[:2]))
    with writing(stored / LOCK), pytest.MonkeyPatch.context() as patched:
        moments = iter(range(100))

        def sleep(seconds: float) -> None:
            if next(moments) == 3:
                (stored / "manifest.jsonl").write_text("".join(splits + epoch))

        patched.setattr(wait_module.time, "sleep", sleep)
        assert wait_for_epoch(stored, stored.parent) == stored
    said = capsys.readouterr().err
    assert f"waiting for the first stored epoch of {stored}" in said
    assert f"written by process {os.getpid()} on " in said
    assert f"wait for {stored.name}: 184 images" in said


def test_waiting_for_nobody_ends(here: Path, stored: Path) -> None:
    """Neither the name nor an unfinished set is waited for if no process writes it."""
    with pytest.raises(EpochbankError, match=r"no process has written nothing for 0 s.*check the name"):
        wait_for_epoch("nothing", here / "sets", idle=0.2)
    with pytest.raises(EpochbankError, match=r"no process has written a set in .*/none/ for 0 s"):
        wait_for_epoch(None, here / "none", idle=0.2)
    manifest = stored / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-300])
    with pytest.raises(EpochbankError, match=r"no process has written.*manifest\.jsonl"):
        wait_for_epoch(stored, here / "sets", idle=0.2)


@pytest.mark.long
def test_a_set_with_an_epoch_is_not_waited_for(stored: Path, tmp_path: Path) -> None:
    """`train fit --wait` then trains at once, as with --follow."""
    assert open_set(stored.name, stored.parent, wait=True).epochs == (0, 1, 2)
    words = ["fit", stored, "--wait", "--epochs", 2, "--batch-size", 32, "--run", tmp_path / "r"]
    result = CliRunner().invoke(main, list(map(str, words)))
    assert result.exit_code == 0, result.output
    assert "waiting" not in result.stderr
    assert json.loads((tmp_path / "r" / "config.json").read_text())["follow"] is True
    assert [row["stored_epoch"] for row in metrics_of(tmp_path / "r")] == ["0", "1"]

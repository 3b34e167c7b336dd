"""System calls that fail while training: an error that names the file, and a resume that completes the run."""

import errno
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import glyphs
from epochbank.api import generation
from epochbank.augment.errors import EpochbankError
from epochbank.augment.shared.atomic import new_file
from epochbank.train.feeding.augmented_set import AugmentedSet, open_set
from epochbank.train.reading.disk import Disk
from epochbank.train.training import fit as training
from epochbank.train.training.fit import fit
from epochbank.train.training.fit_options import FitOptions
from epochbank.train.training.loop import MetricsFile
from epochbank.train.training.resume import resume
from epochbank.train.training.run_directory import CHECKPOINT_FILE
from epochbank.train.training.run_report import page


def test_a_new_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """NumPy and Keras raise the error of a write or close, which has no path."""
    with pytest.raises(OSError, match=r"No space left.*checkpoint[.]npz"), new_file(tmp_path / "checkpoint.npz"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OSError, match=r"Permission.*'source[.]npz'"), new_file(tmp_path / "other"):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), "source.npz")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full device")
def test_a_row_of_metrics_that_cannot_be_written_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.symlink_to("/dev/full")
    metrics = MetricsFile(path)
    metrics.on_train_begin()
    with pytest.raises(OSError, match=r"No space left.*metrics[.]csv"):
        metrics.on_epoch_end(0, {"loss": 1.0})
    with pytest.raises(OSError, match=r"No space left.*metrics[.]csv"):
        metrics.close()
    metrics.close()


def test_a_file_that_was_read_and_whose_close_fails_prints_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python prints the exceptions of `__del__`. The descriptor is closed, and nothing was written to it."""
    (tmp_path / "a").write_bytes(b"1234")
    close, ignored, closed = os.close, [], []

    def fails(descriptor: int) -> None:
        close(descriptor)
        closed.append(descriptor)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "close", fails)
    monkeypatch.setattr(sys, "unraisablehook", ignored.append)
    disk = Disk()
    disk.read(str(tmp_path / "a"), memoryview(bytearray(4)), 0)
    disk.close()
    assert len(closed) == 1
    assert not ignored


@pytest.fixture
def stored(tmp_path: Path, nothing_recipe: Path) -> AugmentedSet:
    """A set of one epoch of 40 images of four classes."""
    np.savez(tmp_path / "a.npz", images=glyphs(40, (8, 8, 1)), labels=np.arange(40) % 4)
    return open_set(
        generation.run(tmp_path / "a.npz", recipe=nothing_recipe, epochs=1, sets=tmp_path / "sets", jobs=1).directory
    )


def test_a_run_that_was_never_begun_is_begun_by_the_same_command(
    stored: AugmentedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message does not say to resume it, and a temporary file that could not be removed does no harm."""

    def fails(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "config.json")

    left = tmp_path / "run/.tmp-0123456789ab-config.json"
    left.parent.mkdir()
    left.touch()
    monkeypatch.setattr(training, "write_json", fails)
    with pytest.raises(OSError, match=r"No space left.*config[.]json") as refused:
        fit(stored, FitOptions(epochs=1, batch_size=16), left.parent)
    assert "--resume" not in str(refused.value)
    assert not left.exists()
    (left.parent / "metrics.csv").touch()
    with pytest.raises(EpochbankError, match="expected a new run directory"):
        fit(stored, FitOptions(epochs=1, batch_size=16), left.parent)


@pytest.mark.long
def test_a_checkpoint_that_cannot_be_removed_is_removed_by_the_resume(
    stored: AugmentedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is trained, and has its summary: it is not trained again."""
    run, unlink = tmp_path / "run", Path.unlink

    def fails(path: Path, missing_ok: bool = False) -> None:
        if path.name == CHECKPOINT_FILE:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        unlink(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", fails)
        with pytest.raises(EpochbankError, match=r"checkpoint[.]npz.*train fit --resume"):
            fit(stored, FitOptions(epochs=1, batch_size=16), run)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    assert resume(run).summary["epochs"] == 1
    del before[CHECKPOINT_FILE]
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    with pytest.raises(EpochbankError, match="is finished"):
        resume(run)


@pytest.mark.long
def test_a_report_that_cannot_be_written_is_written_by_the_resume(
    stored: AugmentedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is trained and has its summary, but it is finished only when it has its page."""
    run = tmp_path / "run"

    def fails(path: Path, *arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(page, "write_page", fails)
        with pytest.raises(EpochbankError, match=r"No space left.*report[.]html.*train fit --resume"):
            fit(stored, FitOptions(epochs=1, batch_size=16), run)
    assert (run / CHECKPOINT_FILE).exists()
    assert resume(run).files[0] == run / "report.html"
    assert (run / "report.html").exists()
    assert not (run / CHECKPOINT_FILE).exists()

"""System calls that fail: an error that names the path, and what the next command finds. See `faults/syscalls.py`."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import epochbank
from conftest import glyphs
from epochbank.api import generation
from epochbank.augment.cli import main
from epochbank.augment.errors import EpochbankError
from epochbank.augment.ingest import workspace
from epochbank.augment.ingest.importer import ImportOptions, import_source
from epochbank.augment.ingest.source_file import open_source_file
from epochbank.augment.lifecycle import refresh, remove
from epochbank.augment.shared import atomic, lock
from epochbank.augment.shared.hdf5_output import hdf5_input, hdf5_output
from epochbank.augment.shared.signals import deferred
from epochbank.augment.sources.find import open_source
from epochbank.augment.store.manifest import Entry
from epochbank.augment.store.shard import Run, ShardTask, write_shard
from epochbank.augment.store.shard_read import read_run

SHAPE = (8, 8, 1)
PIXELS = glyphs(16, SHAPE)


def shard(path: Path, codec: str = "zstd") -> Entry:
    """Write a shard of 16 images in two chunks of 512 bytes before compression."""
    runs = (Run(PIXELS[at : at + 8], np.arange(8, dtype=np.int32), np.arange(at, at + 8)) for at in (0, 8))
    return write_shard(path, ShardTask("epoch", 0, 0, 16, 8, codec), SHAPE, "f" * 64, runs)


class Failing:
    """A function whose call number `number` (from 0) fails, once."""

    def __init__(self, call: Callable[..., Any], number: int, code: int = errno.EIO):
        self.call, self.left, self.code = call, number, code

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        self.left -= 1
        if self.left == -1:
            raise OSError(self.code, os.strerror(self.code))
        return self.call(*arguments, **keywords)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_shard_with_one_failed_write_is_never_taken_for_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Each write in turn fails once: the last ones are those of labels, which HDF5 does not report."""
    for number in range(200):
        path = tmp_path / f"{number}.h5"
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", failing := Failing(os.pwrite, number, code))
            try:
                shard(path)
            except OSError as error:
                assert (error.errno, error.filename) == (code, str(path))  # noqa: PT017  the loop ends without one
                continue
        assert failing.left >= 0, f"the failure of write {number} was not noticed"
        break
    assert number > 10
    (tmp_path / "epoch-0000").mkdir()
    entry = shard(tmp_path / "epoch-0000/0000000000.h5")
    np.testing.assert_array_equal(read_run(tmp_path, entry, 0, 16)[0], PIXELS)


def test_shards_and_other_files_are_written_in_two_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """h5py does not lock the writing of a chunk, during which Python code and so another thread may run."""
    faults: list[Exception] = []
    pwrite = os.pwrite

    def slow(*arguments: Any) -> int:
        if len(arguments[1]) == 512:
            time.sleep(0.003)
        return pwrite(*arguments)

    monkeypatch.setattr(os, "pwrite", slow)

    def write_shards() -> None:
        for number in range(60):
            try:
                shard(tmp_path / f"a{number}.h5", "none")
            except Exception as error:
                faults.append(error)

    def write_others() -> None:
        while thread.is_alive():
            try:
                with h5py.File(tmp_path / "b.h5", "w") as file:
                    file["x"] = np.arange(100)
            except Exception as error:
                faults.append(error)

    thread = threading.Thread(target=write_shards)
    thread.start()
    write_others()
    assert not faults


def test_a_signal_is_handled_between_two_writes_of_hdf5(tmp_path: Path) -> None:
    """It does not interrupt the library, and is not lost; the file is closed."""
    reached = []
    with pytest.raises(KeyboardInterrupt), hdf5_output(tmp_path / "a.h5", "x") as (file, check):  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        file["a"] = np.arange(1000)
        reached.append("after the signal")
        check()
        reached.append("after the check")
    assert reached == ["after the signal"]
    assert not file.id.valid
    with pytest.raises(KeyboardInterrupt), deferred():  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        reached.append("end of the block")
    assert reached[-1] == "end of the block"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_file_that_cannot_be_read_back_is_an_os_error(tmp_path: Path) -> None:
    """h5py raises KeyError and others where a read fails."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"] = 1
    with pytest.raises(OSError, match=r"a[.]h5"), hdf5_input(tmp_path / "a.h5") as file:
        file["b"]


def test_errors_of_descriptors_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "one"
    path.touch()
    monkeypatch.setattr(os, "fsync", Failing(os.fsync, 0))
    with pytest.raises(OSError, match="one"):
        atomic.sync(path)
    with pytest.raises(OSError, match="other"), atomic.naming("somewhere"):
        raise OSError(errno.EIO, "input/output error", "/other")
    with pytest.raises(OSError, match=r"folder/name"), atomic.naming("folder"):
        raise OSError(errno.EIO, "input/output error", "name")


@pytest.mark.parametrize("call", ["ftruncate", "pwrite"])
def test_a_lock_that_cannot_be_written_names_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, call, Failing(getattr(os, call), 0, errno.ENOSPC))
        with pytest.raises(OSError, match=r"No space left.*[.]lock"), lock.writing(tmp_path):
            pass
    with lock.writing(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_an_import_whose_last_sync_fails_can_be_repeated(
    tmp_path: Path, npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that had its name already is removed, so that the same command does not find it."""
    path = tmp_path / "out/source.h5"
    with monkeypatch.context() as patch:
        patch.setattr(workspace, "sync_directory", Failing(workspace.sync_directory, 0))
        with pytest.raises(EpochbankError, match=r"source[.]h5"):
            import_source(open_source(str(npz)), path, ImportOptions(), 1, quiet=True)
    assert not list(path.parent.iterdir())
    import_source(open_source(str(npz)), path, ImportOptions(), 1, quiet=True)
    assert open_source_file(path).num_images == 300


@pytest.fixture
def stored(tmp_path: Path, nothing_recipe: Path) -> Path:
    """A set of two epochs of 40 images."""
    np.savez(tmp_path / "a.npz", images=glyphs(40, SHAPE), labels=np.arange(40) % 4)
    result = generation.run(tmp_path / "a.npz", recipe=nothing_recipe, epochs=2, sets=tmp_path / "sets", jobs=1)
    return result.directory


def test_a_refresh_that_fails_at_its_end_is_continued(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command does not begin another refresh."""
    with monkeypatch.context() as patch:
        patch.setattr(refresh, "remove_retired", Failing(refresh.remove_retired, 2))
        with pytest.raises(OSError, match=stored.name):
            epochbank.refresh(stored, 1, jobs=1)
    assert [one["epoch"] for one in epochbank.info(stored)["epochs"]] == [1, 2]
    result = epochbank.refresh(stored, 1, jobs=1)
    assert [one["epoch"] for one in epochbank.info(stored)["epochs"]] == [1, 2]
    assert result.new == []
    assert not (stored / refresh.NAME).exists()


def test_a_removal_that_fails_halfway_says_what_is_left(
    tmp_path: Path, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(remove.shutil, "rmtree", Failing(shutil.rmtree, 0))
        with pytest.raises(EpochbankError, match=r"is removed, but .* `augment gc` removes them"):
            epochbank.remove(stored)
    assert not stored.exists()
    epochbank.gc(tmp_path / "sets")
    assert not list((tmp_path / "sets").glob(".tmp-*"))


def test_a_run_removes_what_an_import_could_not_remove(tmp_path: Path, stored: Path, nothing_recipe: Path) -> None:
    """The source file exists, so that the run does not import."""
    source = next((tmp_path / "sets/sources").glob("*.h5"))
    left = source.parent / f".tmp-{0:016x}12345678-{source.name}"
    left.mkdir()
    generation.run(tmp_path / "a.npz", recipe=nothing_recipe, epochs=2, sets=tmp_path / "sets", jobs=1)
    assert not left.exists()


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't start new thread")])
def test_no_memory_is_a_message(stored: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(*arguments: Any, **keywords: Any) -> None:
        raise error

    monkeypatch.setattr("epochbank.api.contents.info", fails)
    result = CliRunner().invoke(main, ["info", str(stored)])
    assert result.exit_code == 1
    assert "memory ran out" in result.stderr
    assert "fewer --jobs" in result.stderr


def test_what_remains_of_a_set_that_was_never_begun_is_removed_by_the_next_gc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = tmp_path / "sets/a-kanji-12345678"
    begun.mkdir(parents=True)
    (begun / ".lock").touch()
    rmtree = shutil.rmtree

    def fails_at_the_end(path: Path) -> None:
        for one in path.iterdir():
            one.unlink()
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", fails_at_the_end)
        _, notes = epochbank.gc(tmp_path / "sets")
    assert "Read-only" in " ".join(notes)
    assert shutil.rmtree is rmtree
    epochbank.gc(tmp_path / "sets")
    assert not list((tmp_path / "sets").iterdir())


def test_output_is_never_cut_without_an_error(tmp_path: Path, stored: Path) -> None:
    """Without a buffer, Python drops what the disk does not take of a write."""
    words = [sys.executable, "-m", "epochbank.augment", "info", str(stored), "--json"]
    with open(tmp_path / "out", "wb") as out:
        run = subprocess.run(
            words, stdout=out, stderr=subprocess.PIPE, text=True, check=False,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512)),
        )  # fmt: skip
    assert run.returncode == 1
    assert "File too large" in run.stderr


def test_gc_reports_a_file_whose_status_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If `lstat` fails, the file is not taken for removed: gc removes it, or says why not."""
    sources = tmp_path / "sets" / "sources"
    sources.mkdir(parents=True)
    unneeded = sources / "unneeded-123456789012.h5"
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=np.arange(16) % 2)
    import_source(open_source(str(tmp_path / "a.npz")), unneeded, ImportOptions(), 1)
    lstat = Path.lstat
    asked: list[Path] = []

    def failing(self: Path) -> os.stat_result:
        asked.append(self)
        if self == unneeded and asked.count(unneeded) == 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(self))
        return lstat(self)

    monkeypatch.setattr(Path, "lstat", failing)
    done = CliRunner().invoke(main, ["gc", "--yes", "--sets", str(tmp_path / "sets")])
    assert asked.count(unneeded) >= 2
    assert not unneeded.exists() or (done.exit_code == 1 and str(unneeded) in done.output)


def test_repair_names_the_set_if_a_call_without_a_path_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing the manifest has no path of its own."""
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=np.arange(16) % 2)
    words = ["--sets", str(tmp_path / "sets"), "--jobs", "1", "--epochs", "1", "--validation", "0", "--test", "0"]
    assert CliRunner().invoke(main, ["run", str(tmp_path / "a.npz"), *words]).exit_code == 0
    (shard_path,) = (tmp_path / "sets").glob("*/epoch-*/*.h5")
    shard_path.unlink()
    from epochbank.augment.store import manifest

    close = manifest.ManifestWriter.close

    def failing(self: manifest.ManifestWriter) -> None:
        close(self)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(manifest.ManifestWriter, "close", failing)
    done = CliRunner().invoke(main, ["repair", str(shard_path.parents[1]), "--jobs", "1"])
    assert done.exit_code == 1
    assert str(shard_path.parents[1]) in done.output

"""A disk that is full, or a limit on file sizes, at any moment of an import: a message, no crash, nothing left."""

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from conftest import NOTHING, glyphs
from epochbank.augment.errors import EpochbankError
from epochbank.augment.ingest.importer import ImportOptions, import_source
from epochbank.augment.ingest.source_file import open_source_file
from epochbank.augment.shared.hdf5_output import hdf5_output
from epochbank.augment.sources.find import open_source
from epochbank.augment.store.split_file import SplitRows, read_split, write_split

PWRITE, TRUNCATE = os.pwrite, os.ftruncate


class FullAfter:
    """A disk that is full after some number of writes or changes of length."""

    def __init__(self, calls: int, code: int = errno.ENOSPC):
        self.left, self.code = calls, code

    def __call__(self, call: Any) -> Any:
        def limited(*arguments: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise OSError(self.code, os.strerror(self.code))
            return call(*arguments)

        return limited


@pytest.fixture
def source(tmp_path: Path) -> Path:
    groups = np.array([f"writer {number // 7}" for number in range(300)])
    np.savez(tmp_path / "a.npz", images=glyphs(300, (9, 7, 1)), labels=np.arange(300) % 5, groups=groups)
    return tmp_path / "a.npz"


def import_to(path: Path, source: Path) -> None:
    import_source(open_source(str(source)), path, ImportOptions(), 1, quiet=True)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO])
def test_an_import_fails_cleanly_at_every_write(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Each write in turn fails, and all after it: a message with the reason, and no file; then the import succeeds."""
    path, failed = tmp_path / "out" / "o.h5", 0
    for number in range(200):
        disk = FullAfter(number, code)
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", disk(PWRITE))
            patch.setattr(os, "ftruncate", disk(TRUNCATE))
            try:
                import_to(path, source)
                break
            except EpochbankError as error:
                failed += 1
                assert os.strerror(code) in str(error)  # noqa: PT017  the loop ends where nothing fails
                assert str(path) in str(error)  # noqa: PT017
                assert ".tmp-" not in str(error)  # noqa: PT017
        assert list((tmp_path / "out").iterdir()) == []
    assert failed > 10
    np.testing.assert_array_equal(open_source_file(path).read(np.arange(300)), glyphs(300, (9, 7, 1)))


def test_hdf5_output_is_the_file_that_h5py_writes(tmp_path: Path) -> None:
    """What is written through the stream is read back by h5py, also after the file is opened again."""
    texts = [f"text {number}" * 9 for number in range(5000)]
    with hdf5_output(tmp_path / "o.h5", "x") as (file, check):
        file["a"] = np.arange(10_000)
        file.create_dataset("texts", data=texts, dtype=h5py.string_dtype())
        check()
    with hdf5_output(tmp_path / "o.h5", "r+") as (file, _):
        file["a"][17] = 4
        file.attrs["more"] = "text"
    with h5py.File(tmp_path / "o.h5") as file:
        assert file["a"][()].tolist() == [4 if number == 17 else number for number in range(10_000)]
        assert file["texts"].asstr()[()].tolist() == texts
        assert file.attrs["more"] == "text"
    with pytest.raises(FileExistsError), hdf5_output(tmp_path / "o.h5", "x"):
        pass


def test_what_cannot_be_written_can_be_read_until_the_file_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The HDF5 library reads back what it wrote, so that it can close the file; then the error is raised."""
    for number in range(0, 40, 3):
        disk = FullAfter(number)
        path = tmp_path / f"{number}.h5"
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", disk(PWRITE))
            patch.setattr(os, "ftruncate", disk(TRUNCATE))
            try:
                with hdf5_output(path, "x", rdcc_nbytes=0) as (file, _):
                    for name in map(str, range(30)):
                        file.create_dataset(name, data=np.full(1000, int(name)), chunks=(100,))
                    file.flush()
                    for name in map(str, range(30)):
                        assert (file[name][()] == int(name)).all()
            except OSError as error:
                assert (error.errno, error.filename) == (errno.ENOSPC, str(path))  # noqa: PT017


def test_split_files_fail_cleanly_at_every_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.arange(2000)
    splits = {name: SplitRows(rows, rows % 7, rows % 11) for name in ("train", "validation", "test")}
    for number in range(100):
        disk = FullAfter(number)
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", disk(PWRITE))
            patch.setattr(os, "ftruncate", disk(TRUNCATE))
            try:
                write_split(tmp_path, splits, ["a"] * 11, by_class=True)
                break
            except OSError as error:
                assert error.errno == errno.ENOSPC  # noqa: PT017
        assert list(tmp_path.iterdir()) == []
    assert number > 5
    np.testing.assert_array_equal(read_split(tmp_path, "test").row, rows)


LIMITED = """
import resource, sys
from click.testing import CliRunner
from epochbank.augment.cli import main
failed = 0
for limit in map(int, sys.argv[2].split(",")):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    result = CliRunner().invoke(main, ["import", "a.npz", "o.h5", "--jobs", "1"])
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    if result.exit_code:
        failed += 1
        assert isinstance(result.exception, SystemExit), result.exception
        assert "File too large" in result.stderr and "o.h5" in result.stderr, result.stderr
print(failed)
"""


def test_limits_on_the_size_of_files(tmp_path: Path, source: Path) -> None:
    """Under 40 limits of the system, from no byte to the whole file, imports end with a message, without a crash."""
    import_to(tmp_path / "whole.h5", source)
    size = (tmp_path / "whole.h5").stat().st_size
    limits = sorted({*range(0, size, size // 36), 1, 96, 2048, 4096, size - 1})
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, "-", ",".join(map(str, limits))],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) == len(limits)
    assert "Traceback" not in run.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "whole.h5"]


@pytest.mark.long
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_limited_command_ends_with_a_message_and_works_afterwards(tmp_path: Path, jobs: int) -> None:
    """The whole command in its own process, with workers: exit code 1, no crash at exit; then it succeeds."""
    np.savez(tmp_path / "a.npz", images=glyphs(3000, (9, 7, 1)), labels=np.arange(3000) % 5)
    (tmp_path / "nothing.toml").write_text(NOTHING)
    words = [sys.executable, "-m", "epochbank.augment", "run", "a.npz", "--recipe", "nothing.toml", "--epochs", "1",
             "--jobs", str(jobs)]  # fmt: skip
    limit = 100_000
    run = subprocess.run(
        words, cwd=tmp_path, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    assert run.returncode == 1, run.stderr
    assert "File too large" in run.stderr
    assert "Traceback" not in run.stderr
    assert list((tmp_path / "sets" / "sources").iterdir()) == []
    run = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr

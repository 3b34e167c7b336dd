"""Write HDF5 files on disks that may be full.

If a write of the HDF5 library fails, the library cannot close the file, and may crash when the process ends. It
therefore writes through a stream for which no write fails: the first error is kept and raised after the library has
closed the file, and what could not be written stays in memory until then, where the library finds it again. A signal
that would raise an exception in the middle of a write is handled between two writes.
"""

import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from .atomic import naming
from .signals import deferred

_PAGE = 4096


class _Output(io.RawIOBase):
    """A file that is open for reading and writing, and whose writes never fail."""

    def __init__(self, descriptor: int):
        self._descriptor, self._at = descriptor, 0
        self._size = os.fstat(descriptor).st_size
        self._unwritten: dict[int, bytes] = {}
        """Contents of the pages that are written after the first error, by number."""
        self.error: OSError | None = None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read from the current position. What lies beyond the end is 0."""
        try:
            data = self._on_disk(self._at, len(buffer))
        except OSError as error:
            self.error = self.error or error
            raise
        for page in self._pages(self._at, len(buffer)) if self._unwritten else ():
            if page in self._unwritten:
                start = page * _PAGE - self._at
                first, last = max(start, 0), min(start + _PAGE, len(data))
                data[first:last] = self._unwritten[page][first - start : last - start]
        buffer[:] = data
        self._at += len(data)
        return len(data)

    def write(self, data: Any) -> int:
        size = len(data)
        if self.error is None:
            try:
                self._write_to_disk(data)
            except OSError as error:
                self.error = error
        if self.error is not None:
            self._keep(bytes(data))
        self._at += size
        self._size = max(self._size, self._at)
        return size

    def truncate(self, size: int | None = None) -> int:
        self._size = self._at if size is None else size
        if self.error is None:
            try:
                os.ftruncate(self._descriptor, self._size)
            except OSError as error:
                self.error = error
        return self._size

    def _on_disk(self, offset: int, size: int) -> bytearray:
        data = bytearray()
        while len(data) < size and (piece := os.pread(self._descriptor, size - len(data), offset + len(data))):
            data += piece
        return data + bytes(size - len(data))

    def _write_to_disk(self, data: Any) -> None:
        written = 0
        while written < len(data):
            written += os.pwrite(self._descriptor, data[written:], self._at + written)

    def _keep(self, data: bytes) -> None:
        for page in self._pages(self._at, len(data)):
            start = page * _PAGE
            content = bytearray(self._unwritten.get(page) or self._on_disk(start, _PAGE))
            first, last = max(self._at, start), min(self._at + len(data), start + _PAGE)
            content[first - start : last - start] = data[first - self._at : last - self._at]
            self._unwritten[page] = bytes(content)

    @staticmethod
    def _pages(offset: int, size: int) -> range:
        return range(offset // _PAGE, -(-(offset + size) // _PAGE))


@contextmanager
def hdf5_output(
    path: Path, mode: str, *, create: Callable[[io.RawIOBase], h5py.File] | None = None, **options: Any
) -> Iterator[tuple[h5py.File, Callable[[], None]]]:
    """Open the HDF5 file `path` for writing; yield it, and a function that raises the first error so far, if any.

    Signals that raise an exception, such as Ctrl-C, do so in that function, or when the block ends.

    Parameters
    ----------
    path
        File to write.
    mode
        `x` for a new file, `r+` for an existing one.
    create
        Function that creates the HDF5 file in a stream; None for `h5py.File`.
    **options
        Other arguments of `h5py.File`.

    Raises
    ------
    OSError
        If the file cannot be opened, or something could not be written; at the latest when the block ends.
    """
    descriptor = os.open(path, os.O_RDWR | (os.O_CREAT | os.O_EXCL if mode == "x" else 0), 0o666)
    try:
        output = _Output(descriptor)

        def check() -> None:
            handle_signals()
            if output.error is not None:
                raise OSError(output.error.errno, output.error.strerror, str(path))

        try:
            with (
                deferred() as handle_signals,
                create(output) if create else h5py.File(output, "w" if mode == "x" else mode, **options) as file,
            ):
                yield file, check
        except Exception:
            check()  # If reading fails, the library raises KeyError and others.
            raise
        check()
    finally:
        with naming(path):
            os.close(descriptor)


@contextmanager
def hdf5_input(path: Path) -> Iterator[h5py.File]:
    """Open the HDF5 file `path` for reading, a file that this process has written.

    Raises `OSError` if it cannot be read, also where h5py raises another exception in the block.
    """
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            yield file
    except (LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise OSError(errno.EIO, str(error), str(path)) from error

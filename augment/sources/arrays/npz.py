"""Arrays in `.npz` files, compressed or not."""

import errno
import math
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np

from ...errors import EpochbankError
from ..archive import check_member, data_offset
from ..workspace_space import check_unpacked
from .npy import read_header
from .store import Header, RawArray, objects_refused

_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    ValueError,
    EOFError,
    KeyError,
    OverflowError,
    RuntimeError,
)
"""Exceptions raised for a damaged or encrypted `.npz`."""
_SUFFIX = ".npy"
_RATIOS = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: 1032}
"""Largest ratio of decompressed to compressed bytes. DEFLATE codes up to 258 bytes in 2 bits."""


class NpzStore:
    """The arrays in an `.npz` file."""

    def __init__(self, path: Path):
        self.path, self.where = path, str(path)

    def has_one_array(self) -> bool:
        """Return whether the file has a single array."""
        with self._reading(), zipfile.ZipFile(self.path) as archive:
            return sum(name.endswith(_SUFFIX) for name in archive.namelist()) == 1

    def headers(self) -> dict[str, Header]:
        """Return shape and type of each array."""
        return self._headers

    @cached_property
    def _headers(self) -> dict[str, Header]:
        found = {}
        with self._reading(), zipfile.ZipFile(self.path) as archive:
            for name in archive.namelist():
                if name.endswith(_SUFFIX):
                    check_member(archive.getinfo(name))
                    with archive.open(name) as file:
                        found[name.removesuffix(_SUFFIX)] = read_header(file)[0]
        return found

    def column(self, name: str) -> np.ndarray:
        """Return a whole array."""
        if self.headers()[name].dtype.hasobject:
            raise objects_refused(self.where, name)
        with self._reading():
            with zipfile.ZipFile(self.path) as archive:
                self._member(archive, name)
            with np.load(self.path, allow_pickle=False) as arrays:
                return arrays[name]

    def open(self, name: str, workspace: Path) -> RawArray:
        """Return an array: in place if it is stored uncompressed, else a decompressed copy in `workspace`."""
        with self._reading(), zipfile.ZipFile(self.path) as archive:
            member, (shape, dtype), fortran_order, header_size = self._member(archive, name)
            if member.compress_type == zipfile.ZIP_STORED:
                with open(self.path, "rb") as stored:
                    offset = data_offset(stored.fileno(), member.header_offset) + header_size
                return RawArray(self.path, offset, shape, dtype.str, fortran_order)
            check_unpacked(f"{name} of {self.path}", member.file_size, workspace)
            extracted = workspace / f"{self.path.stem}-{archive.namelist().index(member.filename)}.npy"
            with archive.open(member) as compressed, open(extracted, "wb") as copy:
                shutil.copyfileobj(compressed, copy, 1 << 20)
            return RawArray(extracted, header_size, shape, dtype.str, fortran_order)

    def _member(self, archive: zipfile.ZipFile, name: str) -> tuple[zipfile.ZipInfo, Header, bool, int]:
        """Return the member of an array, its header, whether it is in Fortran order, and the header's size in bytes.

        Raises `ValueError` if the member cannot hold the array, before anything of the array's size is allocated.
        """
        member = archive.getinfo(name + _SUFFIX)
        with archive.open(member) as file:
            header, fortran_order = read_header(file)
            header_size = file.tell()
        expected = header_size + math.prod(header.shape) * header.dtype.itemsize
        most = min(member.compress_size, self.path.stat().st_size) * _RATIOS.get(member.compress_type, math.inf)
        size = min(member.file_size, most)
        if size != expected and not header.dtype.hasobject:
            raise ValueError(f"{name}.npy has {size:,} bytes, but its shape {header.shape} needs {expected:,}")
        return member, header, fortran_order, header_size

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (*_DAMAGED, OSError) as error:
            # zipfile seeks to a negative offset if bytes are missing: EINVAL.
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise
            raise EpochbankError(f"{self.path} cannot be read as .npz: {error}. Write it again.") from error

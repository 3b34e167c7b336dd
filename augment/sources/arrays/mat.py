"""Arrays in MATLAB files of version 5, read without holding them in memory; version 7.3 is HDF5.

The format is described in "MAT-File Format" (The MathWorks): a header of 128 bytes, and then an element for each
variable, compressed with zlib or not. A variable has flags, dimensions, a name, and its values in Fortran order,
perhaps in a smaller type than its class.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from ...errors import EpochbankError
from ..workspace_space import check_unpacked
from .store import Header, RawArray

_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""NumPy's types of stored values, by the number in a tag."""
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
"""NumPy's types of variables, by the number of their class. Others are text, cells, structures and sparse matrices."""
_MATRIX, _COMPRESSED = 14, 15
_COMPLEX, _LOGICAL = 0x0800, 0x0200
_HEADER_SIZE, _PIECE = 128, 1 << 20
_MAX_ELEMENT = 1 << 16
"""Largest size in bytes of the flags, dimensions and name of a variable."""
_MAX_RATIO = 1032
"""Largest ratio of decompressed to compressed bytes: DEFLATE codes up to 258 bytes in 2 bits."""
_DAMAGED = (ValueError, EOFError, struct.error, zlib.error)


class _Variable(NamedTuple):
    """A variable of numbers, and where its element is in the file."""

    header: Header
    start: int
    size: int
    compressed: bool


class _Inflated:
    """The decompressed bytes of a compressed element, read in pieces."""

    def __init__(self, file: BinaryIO, size: int):
        self._file, self._left = file, size
        self._inflate, self._ready = zlib.decompressobj(), b""

    def read(self, size: int) -> bytes:
        while len(self._ready) < size and not self._inflate.eof:
            piece = self._inflate.unconsumed_tail or self._file.read(min(self._left, _PIECE))
            self._left -= 0 if self._inflate.unconsumed_tail else len(piece)
            if not piece:
                break
            self._ready += self._inflate.decompress(piece, size - len(self._ready))
        result, self._ready = self._ready[:size], self._ready[size:]
        return result


def is_version_5(path: Path) -> bool:
    """Return whether a file begins like a MATLAB file of version 5."""
    with open(path, "rb") as file:
        head = file.read(_HEADER_SIZE)
    return head[124:] in (b"\0\1IM", b"\1\0MI")


class MatStore:
    """The variables of a MATLAB file of version 5 that are arrays of numbers."""

    def __init__(self, path: Path):
        self.path, self.where = path, str(path)

    def headers(self) -> dict[str, Header]:
        """Return shape and type of each variable."""
        return {name: variable.header for name, variable in self._variables.items()}

    @cached_property
    def _variables(self) -> dict[str, _Variable]:
        found, others = {}, list[str]()
        with self._reading() as file:
            length = file.seek(0, 2)
            file.seek(_HEADER_SIZE)
            while tag := file.read(8):
                kind, size = self._unpack("2I", tag)
                start = file.tell()
                if start + size > length:
                    raise EOFError("it is truncated")
                if kind in (_MATRIX, _COMPRESSED):
                    stream = self._stream(file, size, compressed=kind == _COMPRESSED)
                    name, header = self._read_header(stream)
                    if header is None:
                        others.append(name)
                    else:
                        found[name] = _Variable(header, start, size, kind == _COMPRESSED)
                file.seek(start + size)
        if not found:
            raise EpochbankError(
                f"{self.path} has no arrays of real numbers, only {', '.join(others[:10]) or 'nothing'}, which are "
                "structures, cells, text or sparse; expected arrays of images and labels. Load it with "
                "scipy.io.loadmat, then np.savez('data.npz', images=..., labels=...)."
            )
        return found

    def column(self, name: str) -> np.ndarray:
        """Return a whole variable."""
        header = self._variables[name].header
        with self._reading() as file:
            stream, stored, size = self._values(file, name)
            values = np.frombuffer(_read(stream, size), stored)
        return values.reshape(header.shape, order="F").astype(header.dtype)

    def open(self, name: str, workspace: Path) -> RawArray:
        """Return a variable: in place if it is stored uncompressed, else a decompressed copy in `workspace`."""
        variable, extracted = self._variables[name], workspace / f"{self.path.stem}-{name}"
        with self._reading() as file:
            stream, stored, size = self._values(file, name)
            offset = 0
            if variable.compressed:
                check_unpacked(f"{name} of {self.path}", size, workspace)
                with open(extracted, "wb") as copy:
                    for start in range(0, size, _PIECE):
                        copy.write(_read(stream, min(_PIECE, size - start)))
            else:
                offset = file.tell()
        path = extracted if variable.compressed else self.path
        shape, dtype = variable.header
        return RawArray(path, offset, shape, stored, True, None if np.dtype(stored) == dtype else dtype.str)

    def _values(self, file: BinaryIO, name: str) -> tuple[BinaryIO | _Inflated, str, int]:
        """Return a stream of the values of a variable, their type as stored, and their size in bytes."""
        header, start, element_size, compressed = self._variables[name]
        file.seek(start)
        stream = self._stream(file, element_size, compressed=compressed)
        self._read_header(stream)
        kind, size, _ = self._read_tag(stream)
        if kind not in _TYPES:
            raise ValueError(f"{name} has values of type {kind}; expected numbers")
        stored = np.dtype(self._order + _TYPES[kind])
        expected = math.prod(header.shape) * stored.itemsize
        size = min(size, element_size * (_MAX_RATIO if compressed else 1))
        if size != expected:
            raise ValueError(f"{name} has {size:,} bytes; expected {expected:,}")
        return stream, stored.str, size

    def _stream(self, file: BinaryIO, size: int, *, compressed: bool) -> BinaryIO | _Inflated:
        """Return a stream that begins after the tag of a matrix."""
        if not compressed:
            return file
        stream = _Inflated(file, size)
        _read(stream, 8)
        return stream

    def _read_header(self, stream: BinaryIO | _Inflated) -> tuple[str, Header | None]:
        """Read up to the values of a variable; return its name, and its header if it is an array of numbers."""
        flags = self._unpack("I", self._read_element(stream)[:4])[0]
        sides = self._read_element(stream)
        shape = self._unpack(f"{len(sides) // 4}i", sides)
        if min(shape, default=0) < 0:
            raise ValueError(f"a variable has the shape {shape}")
        name = self._read_element(stream).decode("latin-1")
        kind = _CLASSES.get(flags & 0xFF)
        if kind is None or flags & _COMPLEX:
            return name, None
        return name, Header(tuple(shape), np.dtype(bool if flags & _LOGICAL else kind))

    def _read_element(self, stream: BinaryIO | _Inflated) -> bytes:
        _, size, small = self._read_tag(stream)
        if size > _MAX_ELEMENT:
            raise ValueError(f"a header has {size:,} bytes; expected at most {_MAX_ELEMENT:,}")
        return _read(stream, 4)[:size] if small else _read(stream, size + -size % 8)[:size]

    def _read_tag(self, stream: BinaryIO | _Inflated) -> tuple[int, int, bool]:
        """Return type, size in bytes, and whether the values are in the last four bytes of the tag."""
        (first,) = self._unpack("I", _read(stream, 4))
        if first >> 16:
            return first & 0xFFFF, first >> 16, True
        return first, self._unpack("I", _read(stream, 4))[0], False

    def _unpack(self, layout: str, data: bytes) -> tuple[int, ...]:
        return struct.unpack(self._order + layout, data)

    @cached_property
    def _order(self) -> str:
        """`<` or `>`, as in `struct`."""
        with open(self.path, "rb") as file:
            return ">" if file.read(_HEADER_SIZE)[126:] == b"MI" else "<"

    @contextmanager
    def _reading(self) -> Iterator[BinaryIO]:
        try:
            if not is_version_5(self.path):
                raise ValueError("it has no header of version 5; save it with save(..., '-v7')")
            with open(self.path, "rb") as file:
                yield file
        except _DAMAGED as error:
            raise EpochbankError(f"{self.path} cannot be read as a MATLAB file: {error}. Write it again.") from error


def _read(stream: BinaryIO | _Inflated, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError("it is truncated")
    return data

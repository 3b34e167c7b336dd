"""Arrays in `.npy` files, and the header that they share with the members of `.npz` files."""

import io
import math
import tokenize
from pathlib import Path
from typing import IO

import numpy as np

from ...errors import EpochbankError
from .store import Header, RawArray, objects_refused

_MAX_HEADER = 1 << 16
"""Largest header in bytes: NumPy itself refuses those of more than 10,000 characters."""


def read_header(file: IO[bytes]) -> tuple[Header, bool]:
    """Return shape and type of the array in an open `.npy` file, and whether it is in Fortran order.

    The array begins where the file is then. Raises `ValueError` if there is no such header.
    """
    version = np.lib.format.read_magic(file)
    first = version == (1, 0)
    length = file.read(2 if first else 4)
    if len(length) < (2 if first else 4) or int.from_bytes(length, "little") > _MAX_HEADER:
        raise ValueError("its header is damaged")
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    try:
        shape, fortran_order, dtype = read(io.BytesIO(length + file.read(int.from_bytes(length, "little"))))
    except (tokenize.TokenError, SyntaxError, TypeError, RecursionError, MemoryError) as error:  # Of Python's parser.
        raise ValueError(f"its header is damaged: {error}") from error
    if min(shape, default=0) < 0:
        raise ValueError(f"its shape {shape} has a negative length")
    return Header(shape, dtype), fortran_order


class NpyStore:
    """A `.npy` file, which holds one array, with the name ''."""

    def __init__(self, path: Path):
        self.path, self.where = path, str(path)

    def headers(self) -> dict[str, Header]:
        """Return shape and type of the array."""
        return {"": self._read()[0]}

    def column(self, name: str) -> np.ndarray:
        """Return the whole array."""
        if self._read()[0].dtype.hasobject:
            raise objects_refused(self.where, self.path.stem)
        return np.load(self.path, allow_pickle=False)

    def open(self, name: str, workspace: Path) -> RawArray:
        """Return the array, to be read in place."""
        header, fortran_order, offset = self._read()
        return RawArray(self.path, offset, header.shape, header.dtype.str, fortran_order)

    def _read(self) -> tuple[Header, bool, int]:
        try:
            with open(self.path, "rb") as file:
                header, fortran_order = read_header(file)
                offset = file.tell()
            expected = offset + math.prod(header.shape) * header.dtype.itemsize
            if self.path.stat().st_size < expected and not header.dtype.hasobject:
                raise ValueError(f"it has {self.path.stat().st_size:,} bytes; expected {expected:,}")
        except (ValueError, EOFError) as error:
            raise EpochbankError(f"{self.path} cannot be read as .npy: {error}. Write it again.") from error
        return header, fortran_order, offset

"""Sources in `.npz` files, compressed or not, with the arrays that `arrays` describes."""

import errno
import math
import shutil
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EpochbankError
from .archive import data_offset
from .arrays import RawReader, column_names, scan_arrays
from .base import Scan, SourceOptions, file_identity

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


class NpzSource:
    """An `.npz` file, compressed or not."""

    def __init__(self, path: Path, name: str, options: SourceOptions):
        self.path, self.name, self.options = path, name, options

    def identity(self) -> Any:
        """Return path, size and modification time."""
        return ["npz", *file_identity(self.path)]

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """Read everything except the images. Compressed images are decompressed into `workspace`."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                if "images.npy" not in archive.namelist():
                    found = ", ".join(name.removesuffix(".npy") for name in archive.namelist()) or "nothing"
                    raise EpochbankError(
                        f"{self.path}: there is no array `images` (found {found}); "
                        "expected `images` and `labels`. Write them with np.savez(file, images=..., labels=...)."
                    )
                reader = _image_reader(self.path, archive, workspace)
            with np.load(self.path, allow_pickle=False) as arrays:
                columns = {name: _member(self.path, arrays, name) for name in column_names(self.options)}
        except (*_DAMAGED, OSError) as error:
            # zipfile seeks to a negative offset if bytes are missing: EINVAL.
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise
            raise EpochbankError(f"{self.path} cannot be read as .npz: {error}. Write it again.") from error
        return scan_arrays(str(self.path), reader, reader.shape, np.dtype(reader.dtype), columns)


def _member(path: Path, arrays: Any, name: str) -> np.ndarray | None:
    try:
        return arrays[name] if name in arrays.files else None
    except ValueError as error:
        raise EpochbankError(
            f"{path}: {name} cannot be read ({error}); expected integers or strings. Write it as np.array([...], str)."
        ) from error


def _image_reader(path: Path, archive: zipfile.ZipFile, workspace: Path) -> RawReader:
    """Return a reader of `images.npy`: in place if it is stored uncompressed, else of a decompressed copy."""
    member = archive.getinfo("images.npy")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran_order, dtype = read_header(file)
        header_size = file.tell()
    expected = header_size + math.prod(shape) * dtype.itemsize
    if member.file_size != expected and not dtype.hasobject:
        raise ValueError(f"images.npy has {member.file_size:,} bytes, but its shape {shape} needs {expected:,}")
    if member.compress_type == zipfile.ZIP_STORED:
        with open(path, "rb") as file:
            offset = data_offset(file.fileno(), member.header_offset) + header_size
        return RawReader(path, offset, shape, dtype.str, fortran_order)
    extracted = workspace / "images.npy"
    with archive.open(member) as compressed, open(extracted, "wb") as file:
        shutil.copyfileobj(compressed, file, 1 << 20)
    return RawReader(extracted, header_size, shape, dtype.str, fortran_order)

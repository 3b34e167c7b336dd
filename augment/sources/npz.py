"""Sources that are `.npz` files, compressed or not, of the arrays that `arrays` describes."""

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
from .archive import data_at
from .arrays import RawReader, columns_of, scan_arrays
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
"""What reading a damaged or encrypted `.npz` may raise."""


class NpzSource:
    """An `.npz` file, compressed or not."""

    def __init__(self, path: Path, name: str, options: SourceOptions):
        self.path, self.name, self.options = path, name, options

    def identity(self) -> Any:
        """Path, bytes and time of change."""
        return ["npz", *file_identity(self.path)]

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """Read all but the pictures, which are laid bare in `workspace` where they are compressed."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                if "images.npy" not in archive.namelist():
                    found = ", ".join(name.removesuffix(".npy") for name in archive.namelist()) or "nothing"
                    raise EpochbankError(
                        f"{self.path}: there is no array `images` (found {found}); "
                        "expected `images` and `labels`, as np.savez(file, images=..., labels=...) writes them."
                    )
                reader = _lay_bare(self.path, archive, workspace)
            with np.load(self.path, allow_pickle=False) as arrays:
                columns = {key: _member(self.path, arrays, key) for key in columns_of(self.options)}
        except (*_DAMAGED, OSError) as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:  # What zipfile seeks before the beginning.
                raise
            raise EpochbankError(f"{self.path} cannot be read as .npz: {error}. Write it again.") from error
        return scan_arrays(str(self.path), reader, reader.shape, np.dtype(reader.dtype), columns)


def _member(path: Path, arrays: Any, key: str) -> np.ndarray | None:
    try:
        return arrays[key] if key in arrays.files else None
    except ValueError as error:
        raise EpochbankError(
            f"{path}: {key} cannot be read ({error}); expected integers or strings. Write it as np.array([...], str)."
        ) from error


def _lay_bare(path: Path, archive: zipfile.ZipFile, workspace: Path) -> RawReader:
    """A reader of the member `images.npy`: in place if it is stored as it is, else from a decompressed copy."""
    member = archive.getinfo("images.npy")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read_header(file)
        header_bytes = file.tell()
    expected = header_bytes + math.prod(shape) * dtype.itemsize
    if member.file_size != expected and not dtype.hasobject:
        raise ValueError(f"images.npy has {member.file_size:,} bytes, and its shape {shape} wants {expected:,}")
    if member.compress_type == zipfile.ZIP_STORED:
        with open(path, "rb") as file:
            offset = data_at(file.fileno(), member.header_offset) + header_bytes
        return RawReader(path, offset, shape, dtype.str, fortran)
    bare = workspace / "images.npy"
    with archive.open(member) as packed, open(bare, "wb") as file:
        shutil.copyfileobj(packed, file, 1 << 20)
    return RawReader(bare, header_bytes, shape, dtype.str, fortran)

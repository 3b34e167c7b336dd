"""Reads encoded images from Parquet files, row group by row group."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...errors import EpochbankError
from ..decode import BadImage, read_image
from ..shards.reader import SpanReader

_BATCH = 64
"""Images that are in memory at once."""


@dataclass(frozen=True)
class ParquetReader:
    """Reads images from shards, row group by row group."""

    root: Path
    files: tuple[tuple[str, int], ...]
    """Path of each shard relative to `root`, and its number of rows."""
    column: str
    """Column of the images' bytes, such as `image.bytes`."""
    copies: tuple[SpanReader | None, ...]
    """Reader of a copy of each shard's images, for shards with large row groups."""

    def read(self, indices: np.ndarray) -> Iterator[Image.Image | BadImage]:
        """Yield each decoded image, or the reason why it cannot be used."""
        start = 0
        for (name, count), copy in zip(self.files, self.copies, strict=True):
            wanted = indices[(indices >= start) & (indices < start + count)] - start
            if len(wanted):
                yield from self._read_file(self.root / name, wanted) if copy is None else copy.read(wanted)
            start += count

    def _read_file(self, path: Path, rows: np.ndarray) -> Iterator[Image.Image | BadImage]:
        with open_parquet(path) as file, naming_damage(path):
            start = 0
            for group in range(file.num_row_groups):
                count = file.metadata.row_group(group).num_rows
                wanted = rows[(rows >= start) & (rows < start + count)] - start
                if len(wanted):
                    yield from self._read_group(file, group, wanted)
                start += count

    def _read_group(self, file: Any, group: int, rows: np.ndarray) -> Iterator[Image.Image | BadImage]:
        start = 0
        for batch in file.iter_batches(_BATCH, row_groups=[group], columns=[self.column], use_threads=False):
            values = batch.column(0)
            for row in rows[(rows >= start) & (rows < start + len(values))] - start:
                yield _decoded(_bytes_of(values[int(row)]))
            start += len(values)
            if start > rows[-1]:
                return

    def origin(self, index: int) -> str:
        """Return the name of the shard and the row in it."""
        for name, count in self.files:
            if index < count:
                return f"{name}[{index}]"
            index -= count
        raise IndexError(index)


def encoded_images(file: Any, group: int, column: str) -> Iterator[bytes]:
    """Yield the bytes of each image in a row group of an open file; empty for one that is missing."""
    for batch in file.iter_batches(_BATCH, row_groups=[group], columns=[column], use_threads=False):
        yield from map(_bytes_of, batch.column(0))


def _bytes_of(scalar: Any) -> bytes:
    value = scalar.as_py()
    return (value.get("bytes") if isinstance(value, dict) else value) or b""


def _decoded(data: bytes) -> Image.Image | BadImage:
    if not data:
        return BadImage("has no bytes; expected those of an image file")
    return read_image(io.BytesIO(data))


def open_parquet(path: Path) -> Any:
    """Open a Parquet file. Raises `EpochbankError` if it is damaged, or pyarrow is not installed."""
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise EpochbankError(
            f'{path} needs pyarrow, which is not installed. Install it: pip install "epochbank[parquet]"'
        ) from error
    with naming_damage(path):
        return ParquetFile(path, memory_map=False, pre_buffer=False, buffer_size=1 << 20)


@contextmanager
def naming_damage(path: Path) -> Iterator[None]:
    """Raise `EpochbankError`, which names the file, for exceptions of pyarrow: the file at `path` is damaged."""
    from pyarrow import ArrowException

    try:
        yield
    except (ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).strip().rstrip(".")
        raise EpochbankError(f"{path} cannot be read as Parquet: {reason}. Download the file again.") from error

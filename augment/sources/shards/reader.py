"""Reads encoded images by their place in a file, so that workers read in parallel, and in any order."""

import io
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from ..archive import MAX_FILE_SIZE
from ..decode import BadImage, read_image
from ..paths import PathList, PathWriter, printable

_SPAN = np.dtype([("file", "<u4"), ("size", "<u8"), ("offset", "<u8")])
"""Number of the file, size and offset in bytes."""
_RUN = 1024
"""Images whose places are written at once."""


@dataclass(frozen=True)
class SpanReader:
    """Reads the images of several files. Small to pickle: the places are in files."""

    files: PathList
    spans: Path
    """Place of each image, `_SPAN` (N,)."""
    origins: PathList

    def read(self, indices: np.ndarray) -> Iterator[Image.Image | BadImage]:
        """Yield each decoded image, or the reason why it cannot be used."""
        if not len(indices):
            return
        spans, opened, descriptor = np.memmap(self.spans, _SPAN, "r")[indices].tolist(), -1, -1
        with ExitStack() as stack:
            for number, size, offset in spans:
                if number != opened:
                    stack.close()
                    descriptor, opened = os.open(self.files.encoded(number), os.O_RDONLY), number
                    stack.callback(os.close, descriptor)
                yield _read_one(descriptor, offset, size)

    def origin(self, index: int) -> str:
        """Return the name of the shard, and the image in it."""
        return printable(self.origins.encoded(index))


def _read_one(descriptor: int, offset: int, size: int) -> Image.Image | BadImage:
    if size > MAX_FILE_SIZE:
        return BadImage(f"has {size:,} bytes; expected at most {MAX_FILE_SIZE:,}")
    if not size:
        return BadImage("has no bytes; expected those of an image file")
    data = os.pread(descriptor, size, offset)
    if len(data) < size:
        return BadImage("cannot be read: the file changed during the import")
    return read_image(io.BytesIO(data))


class SpanWriter:
    """Writes the files of a `SpanReader`."""

    def __init__(self, spans: BinaryIO, origins: PathWriter, reader: SpanReader):
        self._span_file, self._origin_writer = spans, origins
        self.reader = reader
        """To be used after the files are closed."""
        self._spans: list[tuple[int, int, int]] = []
        self._origins: list[bytes] = []

    def add(self, file: int, offset: int, size: int, origin: bytes) -> None:
        """Append the place of an image in file number `file`."""
        self._spans.append((file, size, offset))
        self._origins.append(origin)
        if len(self._spans) == _RUN:
            self.flush()

    def flush(self) -> None:
        """Write what is pending."""
        self._span_file.write(np.array(self._spans, _SPAN).tobytes())
        self._origin_writer.add(self._origins)
        self._spans.clear()
        self._origins.clear()


@contextmanager
def span_writer(workspace: Path, files: list[Path]) -> Iterator[SpanWriter]:
    """Open a writer of the places of images in `files`, whose lists are files in `workspace`."""
    paths = PathList(workspace / "shards", workspace / "shard-ends")
    origins = PathList(workspace / "origins", workspace / "origin-ends")
    with open(paths.text, "wb") as text, open(paths.ends, "wb") as ends:
        PathWriter(text, ends).add([os.fsencode(path) for path in files])
    reader = SpanReader(paths, workspace / "spans", origins)
    with open(reader.spans, "wb") as spans, open(origins.text, "wb") as text, open(origins.ends, "wb") as ends:
        writer = SpanWriter(spans, PathWriter(text, ends), reader)
        yield writer
        writer.flush()

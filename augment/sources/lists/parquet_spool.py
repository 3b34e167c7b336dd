"""Copies the encoded images of Parquet files with large row groups, so that they are read one by one.

A reader of Parquet decodes a page at a time, and finds a row only from the beginning of its row group. Many writers
make one page of a thousand images, and one row group of a whole file: each worker would decode whole pages repeatedly.
The copy is made by one process, which holds a page about twice.
"""

from pathlib import Path
from typing import Any

from ...errors import EpochbankError
from ...shared.progress import size
from ..shards.reader import SpanReader, span_writer
from ..workspace_space import check_unpacked
from .parquet_reader import encoded_images, naming_damage, open_parquet

_LARGE = 128 << 20
"""Bytes of the images of a row group beyond which they are copied."""
_MAX_PAGE = 512 << 20
"""Largest page in bytes, without compression."""


def spool_large(path: Path, column: str, workspace: Path) -> SpanReader | None:
    """Copy the images in `column` of a file to a new directory `workspace`; return their reader.

    Returns None if the images of no row group are large. Raises `EpochbankError` if the disk has no room.
    """
    with open_parquet(path) as file, naming_damage(path):
        groups = map(file.metadata.row_group, range(file.num_row_groups))
        # The metadata of a column is read for large row groups only: if it is damaged, PyArrow ends the process.
        if max((group.total_byte_size for group in groups), default=0) <= _LARGE:
            return None
        sizes = _group_sizes(file.metadata, column)
        if max(sizes, default=0) <= _LARGE:
            return None
        for number in range(file.num_row_groups):
            _check_pages(path, file.metadata.row_group(number), column)
        workspace.mkdir()
        check_unpacked(f"the images of {path}", sum(sizes), workspace)
        copy, end = workspace / "images", 0
        with open(copy, "wb") as images, span_writer(workspace, [copy]) as writer:
            for group in range(file.num_row_groups):
                for data in encoded_images(file, group, column):
                    writer.add(0, end, len(data), b"")
                    end += images.write(data)
        return writer.reader


def _group_sizes(metadata: Any, column: str) -> list[int]:
    """Return the bytes of a column in each row group, without compression."""
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    return [sum(chunk.total_uncompressed_size for chunk in _chunks(group, column)) for group in groups]


def _chunks(group: Any, column: str) -> list[Any]:
    chunks = [group.column(place) for place in range(group.num_columns)]
    return [chunk for chunk in chunks if chunk.path_in_schema == column]


def _check_pages(path: Path, group: Any, column: str) -> None:
    """Raise `EpochbankError` if the first page of a column is too large; a writer makes all pages alike."""
    for chunk in _chunks(group, column):
        for offset in filter(None, (chunk.dictionary_page_offset, chunk.data_page_offset)):
            page = _page_size(path, offset)
            if page > _MAX_PAGE:
                raise EpochbankError(
                    f"{path} has {size(page)} of images in one page, which must be in memory at once; expected at "
                    f"most {size(_MAX_PAGE)}. Write it again with PyArrow's row_group_size=100."
                )


def _page_size(path: Path, offset: int) -> int:
    """Return the bytes of the page whose header is at `offset`, without compression.

    The header is a structure of Thrift's compact protocol: its first two fields are the type and this size, each a byte
    for the field and a zigzag integer.
    """
    with open(path, "rb") as file:
        file.seek(offset)
        header = file.read(16)
    numbers, at = list[int](), 1
    while len(numbers) < 2:
        value = shift = 0
        while at < len(header):
            value |= (header[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if header[at - 1] < 0x80:
                break
        numbers.append(value >> 1 ^ -(value & 1))
        at += 1
    return numbers[1]

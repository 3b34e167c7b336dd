"""Verification of a whole source file: every image, and everything that is known about it."""

import hashlib
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import EpochbankError
from ..shared.progress import Progress
from ..shared.threads import read_on_all_cores
from ..store.description import read_description
from ..store.digest import image_digests
from .source_digest import content_digest
from .source_file import DamagedSource, SourceFile, block_rows, damaged, open_source_file, origins_digest
from .source_seal import has_seal

_TASK_BYTES = 32 << 20
"""Bytes of images that a task reads."""
_LISTED = 5
"""Number of damaged images that a message lists."""


@dataclass(frozen=True)
class _Rows:
    """Consecutive rows to verify."""

    file: SourceFile
    """Without names, because it is sent with every task."""
    start: int
    stop: int
    with_content: bool
    """Whether to return the SHA-256 of each block, too."""


@dataclass(frozen=True)
class _Found:
    wrong: list[int]
    """Rows whose image was changed."""
    blocks: list[bytes]


def check_source(file: SourceFile, jobs: int, *, quiet: bool = False) -> None:
    """Read all images of an opened source file, and compare them and all else with their digests.

    Files that have no digest of the columns are compared with the digest of the whole content, which takes longer.
    Raises `DamagedSource` if the file is damaged.
    """
    with_content = file.columns is None
    blocks = block_rows(file.shape)
    step = blocks * max(1, _TASK_BYTES // (blocks * math.prod(file.shape)))
    starts = range(0, file.num_images, step)
    few = replace(file, class_names=[], group_names=None, notes=[])
    tasks = (_Rows(few, start, min(start + step, file.num_images), with_content) for start in starts)
    found: list[_Found | None] = [None] * len(starts)
    image_bytes = math.prod(file.shape)
    size = file.num_images * image_bytes
    with Progress("verify source", file.num_images, quiet=quiet, item_bytes=image_bytes) as progress:
        for number, result in read_on_all_cores(_check_rows, tasks, len(starts), jobs, size):
            found[number] = result
            progress.advance(min(step, file.num_images - starts[number]))
    done = [result for result in found if result is not None]
    wrong = [row for result in done for row in result.wrong]
    if wrong:
        listed = ", ".join(map(str, wrong[:_LISTED])) + (", ..." if len(wrong) > _LISTED else "")
        raise damaged(
            file.path, f"is damaged: {len(wrong):,} of {file.num_images:,} images were changed, rows {listed}"
        )
    # A seal covers the origins, too, and was compared when the file was opened.
    if file.origins is not None and not has_seal(file.path) and file.origins != origins_digest(file):
        raise damaged(file.path, "is damaged: the origins of images were changed")
    if with_content:
        columns = (
            file.column("label"),
            None if file.group_names is None else file.column("group"),
            file.column("split") if file.splits else None,
        )
        each = [block for result in done for block in result.blocks]
        if content_digest(file.shape, file.class_names, file.group_names, columns, each) != file.digest:
            raise damaged(file.path, "is damaged: its images, labels or names are not those of its digest")


def check_before_use(file: SourceFile, jobs: int, *, begins_set: bool) -> None:
    """Check what reading single images of an opened source file cannot: for files of earlier versions, all of it.

    New files need no such check. Those without a digest of the columns are checked before a set begins, and those
    without digests of images before each run. Raises `DamagedSource` if the file is damaged.
    """
    if file.digest_offset is None or (file.columns is None and begins_set):
        check_source(file, jobs)


@dataclass(frozen=True)
class SourceCheck:
    """Result of checking the source file of a set."""

    path: Path
    state: Literal["sound", "missing", "damaged", "unchecked"]
    message: str = ""
    """What is wrong with it, and what the set can still do, as a sentence or two; '' if it is sound or unchecked."""

    def to_json(self) -> dict[str, str]:
        """Return the fields as JSON values."""
        return {"path": str(self.path), "state": self.state, "message": self.message}


WITHOUT_SOURCE = (
    "The set can be trained on, evaluated, verified, copied and exported, but not extended, refreshed or repaired"
)
"""What a set without a source file can still do."""


def missing_source(path: Path) -> str:
    """Return that the source file `path` of a set is missing, and what the set can still do, as a sentence or two."""
    return f"its source file {path} is missing. {WITHOUT_SOURCE}."


def check_source_of(directory: Path, jobs: int) -> SourceCheck:
    """Verify the source file of the set in `directory`: every image, and everything that is known about it."""
    description = read_description(directory)
    path, expected = description.source_path(directory), str(description.identity["source"])
    try:
        if not path.exists():
            return SourceCheck(path, "missing", missing_source(path))
        file = open_source_file(path)
        if file.digest != expected:
            fault = (
                f"the source file {path} is not the one that the set was made from: its digest is "
                f"{file.digest[:16]}, expected {expected[:16]}. Restore it from a copy."
            )
            return SourceCheck(path, "damaged", f"{fault} {WITHOUT_SOURCE}.")
        check_source(file, jobs)
    except DamagedSource as error:
        return SourceCheck(path, "damaged", f"{error} {WITHOUT_SOURCE}.")
    except EpochbankError as error:  # It is of a newer format.
        return SourceCheck(path, "damaged", str(error))
    except OSError as error:
        fault = f"the source file {path} cannot be read: {error.strerror or error}. Check the disk and the permissions."
        return SourceCheck(path, "damaged", f"{fault} {WITHOUT_SOURCE}.")
    return SourceCheck(path, "sound")


def _check_rows(rows: _Rows) -> _Found:
    """Read and check consecutive rows, one block of the digest at a time."""
    file, found = rows.file, _Found([], [])
    step = block_rows(file.shape)
    pixels, digests = np.empty((step, *file.shape), np.uint8), np.empty((step, 2), "<u8")
    with open(file.path, "rb", buffering=0) as opened:
        for start in range(rows.start, rows.stop, step):
            images, stored = (column[: rows.stop - start] for column in (pixels, digests))
            _read(file, opened.fileno(), images, file.offset + start * images[:1].nbytes)
            if file.digest_offset is not None:
                _read(file, opened.fileno(), stored, file.digest_offset + start * stored[:1].nbytes)
                wrong = np.flatnonzero((image_digests(images) != stored).any(axis=1))
                found.wrong.extend((start + wrong).tolist())
            if rows.with_content:
                found.blocks.append(hashlib.sha256(images.data).digest())
    return found


def _read(file: SourceFile, descriptor: int, array: np.ndarray, offset: int) -> None:
    buffer, done = array.reshape(-1).view(np.uint8).data, 0
    while done < len(buffer):
        try:
            size = os.preadv(descriptor, [buffer[done:]], offset + done)
        except OSError as error:
            raise damaged(file.path, f"cannot be read: {error.strerror}") from error
        if not size:
            raise damaged(file.path, "is truncated")
        done += size

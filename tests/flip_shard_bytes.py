"""Flip bytes of a shard and read it: `python flip_shard_bytes.py SET FILE START STEP MASK`, run by a test.

Prints a JSON object: how many damaged shards were refused, how many gave the same images, and what else happened.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from epochbank.augment.errors import EpochbankError
from epochbank.augment.store.manifest import Entry, read_manifest
from epochbank.augment.store.shard_read import read_rejected, read_run
from epochbank.train.reading.chunk_table import ChunkTable

Read = Callable[[Path, Entry, tuple[int, ...]], tuple[np.ndarray, ...]]


def main(directory: Path, name: str, start: int, step: int, mask: int) -> None:
    """Flip the bits of `mask` in every `step`-th byte from `start` on, one byte at a time."""
    (entry,) = (one for one in read_manifest(directory) if one.file == name)
    images, labels, rows = read_run(directory, entry, entry.start, entry.stop)
    found: Counter[str] = Counter()
    with open(directory / name, "rb+", buffering=0) as file:
        for offset in range(start, entry.bytes, step):
            before = os.pread(file.fileno(), 1, offset)
            os.pwrite(file.fileno(), bytes([before[0] ^ mask]), offset)
            for kind, read in (("stream", streamed), ("run", through_read_run), ("rejected", rejected)):
                found[f"{kind}: {outcome(read, directory, entry, images, labels, rows)}"] += 1
            os.pwrite(file.fileno(), before, offset)
    print(json.dumps(found))


def outcome(read: Read, directory: Path, entry: Entry, *expected: np.ndarray) -> str:
    """Return what reading the damaged shard led to."""
    try:
        columns = read(directory, entry, expected[0].shape)
    except EpochbankError as error:
        return "refused" if entry.file in str(error) else f"without the file's name: {error}"
    except Exception as error:  # Anything else is a fault that the test reports.
        return f"{type(error).__name__}: {error}"
    # Rows have no checksum in a shard; only `verify` reads them.
    same = all(np.array_equal(one, other) for one, other in zip(columns, expected[:2], strict=False))
    return "same" if same else "wrong images"


def streamed(directory: Path, entry: Entry, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Read all chunks as training does, one by one, in an array that is filled with another value before."""
    table = ChunkTable(directory, [entry], (shape[1], shape[2], shape[3]))
    images, labels = np.full(shape, 77, np.uint8), np.full(shape[0], -7, np.int32)
    first = 0
    for number, count in enumerate(table.chunk_sizes.tolist()):
        table.read(number, images[first : first + count], labels[first : first + count])
        first += count
    return images, labels


def through_read_run(directory: Path, entry: Entry, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    return read_run(directory, entry, entry.start, entry.stop)


def rejected(directory: Path, entry: Entry, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    read_rejected(directory, entry)
    return ()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))

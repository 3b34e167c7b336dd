"""Download shards from an object store, and compare them with the manifest."""

import os
from collections.abc import Callable
from pathlib import Path

import xxhash

from ..manifest import Entry
from .bucket import Bucket
from .faults import DamagedObject, Stopped
from .layout import shard_object


def download(bucket: Bucket, entry: Entry, path: Path) -> None:
    """Write a shard of the set in `bucket` to the new file `path`, after comparing it with the manifest.

    Raises `DamagedObject` if the object is missing or damaged, and `EpochbankError` if the store cannot be read.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        download_into(descriptor, bucket, entry, lambda: False)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def download_into(descriptor: int, bucket: Bucket, entry: Entry, stopped: Callable[[], bool]) -> int:
    """Write a shard into an open file, and return the bytes that were fetched: twice if the first ones were wrong.

    Raises `DamagedObject` like `download`, and `Stopped` if `stopped`, which is called between blocks, returns True.
    """
    name, fetched = shard_object(entry), 0
    for _ in range(2):
        os.lseek(descriptor, 0, os.SEEK_SET)
        state, count = xxhash.xxh3_128(), 0
        try:
            for block in bucket.blocks(name):
                if stopped():
                    raise Stopped
                state.update(block)
                count += len(block)
                if count > entry.bytes:
                    break
                _write(descriptor, block)
        except FileNotFoundError as error:
            raise DamagedObject(
                f"{bucket.url}/{name} does not exist, but the manifest lists it. `augment verify {bucket.url}` lists "
                "all damaged and missing shards."
            ) from error
        fetched += count
        if count == entry.bytes and state.hexdigest() == entry.checksum:
            return fetched
    raise DamagedObject(
        f"{bucket.url}/{name} was changed: its checksum or size is wrong. `augment verify {bucket.url}` lists all "
        "damaged and missing shards."
    )


def _write(descriptor: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]

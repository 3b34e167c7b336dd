"""Remove what no set needs in an object store: shards that no manifest lists, left by runs that were stopped.

An object that is less than a day old is kept, because a run may be about to list it. Before anything is deleted, an
empty segment is published. A run that writes the set at the same time then ends with an error, because the number of
its next segment is taken.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ..errors import EpochbankError
from ..store.manifest import read_manifest
from ..store.objects.bucket import Bucket
from ..store.objects.layout import SHARDS, shard_object
from ..store.objects.mirror import Mirror
from ..store.objects.remote_sets import open_mirror, sets_below

_YOUNG = timedelta(days=1)


@dataclass(frozen=True)
class StoreGarbage:
    """An object that may be removed."""

    path: str
    """Its URL."""
    owner: str
    """URL of the set."""
    name: str
    """Name of the object, relative to the set."""
    bytes: int
    why: str = "a shard that the manifest does not list, or of a retired epoch"

    def to_json(self) -> dict[str, Any]:
        """Return the JSON values of `augment gc --json`."""
        return {"path": self.path, "kind": "object", "why": self.why, "bytes": self.bytes}


def find_store_garbage(url: str) -> tuple[list[StoreGarbage], list[str]]:
    """Return what may be removed in the sets below `url`, and notes on sets that cannot be read.

    Retired epochs may still be read by a training that was begun before. Raises `EpochbankError` if the store cannot be
    read.
    """
    found: list[StoreGarbage] = []
    notes: list[str] = []
    for one in sets_below(url):
        try:
            found += _garbage(one)
        except EpochbankError as error:
            notes.append(f"{one} is not examined: {error}")
    return found, notes


def collect_store_garbage(garbage: Iterable[StoreGarbage]) -> tuple[list[StoreGarbage], list[str]]:
    """Remove those of `garbage` that still are garbage; return them, and why others were kept."""
    garbage = list(garbage)
    removed: list[StoreGarbage] = []
    kept: list[str] = []
    for owner in dict.fromkeys(one.owner for one in garbage):
        try:
            bucket = Bucket(owner)
            mirror = Mirror(open_mirror(owner), bucket)
            mirror.pull()
            mirror.publish(secrets.token_hex(16), [])
            still = {one.name for one in _garbage(owner)}
            for one in garbage:
                if one.owner == owner and one.name in still and _is_old(bucket, one.name):
                    bucket.delete(one.name)
                    removed.append(one)
        except EpochbankError as error:
            kept.append(str(error))
    return removed, kept


def _is_old(bucket: Bucket, name: str) -> bool:
    """Return whether an object exists, and no run has uploaded it again since it was listed."""
    found = bucket.head(name)
    return found is not None and datetime.now(UTC) - found.modified > _YOUNG


def _garbage(url: str) -> list[StoreGarbage]:
    bucket = Bucket(url)
    # List objects before reading the manifest: everything in the manifest was uploaded before it was listed there.
    objects = [one for one in bucket.listed(SHARDS) if datetime.now(UTC) - one.modified > _YOUNG]
    needed = set(map(shard_object, read_manifest(open_mirror(url)))) if objects else set()
    return [StoreGarbage(f"{url}/{one.name}", url, one.name, one.bytes) for one in objects if one.name not in needed]

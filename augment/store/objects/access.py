"""Read a shard of any set. A shard of a mirror is fetched into the cache first."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..manifest import Entry
from .bucket import Bucket
from .cache import ShardCache
from .mirror import MARKER, remote_url


@contextmanager
def shard_at_hand(directory: Path, entry: Entry) -> Iterator[None]:
    """Keep the file of a shard of the set in `directory` there during the `with` block; fetch it if necessary.

    Raises `EpochbankError` if it cannot be fetched. For a set that is no mirror, nothing is done.
    """
    if not (directory / MARKER).exists():
        yield
        return
    bucket, cache = _opened(directory)
    with cache.held(directory, bucket, entry):
        yield


def bucket_of(directory: Path) -> Bucket | None:
    """Return the bucket of the set whose mirror `directory` is; None if it is not a mirror."""
    url = remote_url(directory)
    return None if url is None else Bucket(url)


@lru_cache(maxsize=8)
def _opened(directory: Path) -> tuple[Bucket, ShardCache]:
    return Bucket(str(remote_url(directory))), ShardCache(directory.parent)


@dataclass(frozen=True)
class RemoteShards:
    """The shards of a set in an object store, and the cache that they are fetched into. Picklable."""

    directory: Path
    """The mirror of the set."""
    bucket: Bucket
    cache: ShardCache

    def fetch(self, entry: Entry, stopped: Callable[[], bool] | None = None) -> None:
        """Fetch a shard unless it is there; see `ShardCache.fetch`."""
        self.cache.fetch(self.directory, self.bucket, entry, stopped)

    def fetch_needed(self, entry: Entry) -> None:
        """Fetch a shard unless it is there, and wait for a while if there is no room for it."""
        self.cache.fetch_needed(self.directory, self.bucket, entry)

    def drop(self, entry: Entry) -> None:
        """Remove a shard from the cache if its file is damaged."""
        self.cache.drop(self.directory, entry)


def open_remote(directory: Path, cache: ShardCache | None = None) -> RemoteShards | None:
    """Return the shards of the set whose mirror `directory` is; None if it is not a mirror."""
    bucket = bucket_of(directory)
    return None if bucket is None else RemoteShards(directory, bucket, cache or ShardCache(directory.parent))

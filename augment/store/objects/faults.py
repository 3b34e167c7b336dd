"""What ends the fetch of a shard."""

from ...errors import EpochbankError


class CacheFull(EpochbankError):
    """A cache has no room for a shard, because everything in it is in use."""


class DamagedObject(EpochbankError):
    """A shard in an object store is missing or has other bytes than the manifest lists."""


class Stopped(Exception):
    """A fetch was stopped by its caller."""

"""The sets in an object store, and their mirrors."""

import json
from pathlib import Path

from .bucket import Bucket
from .cache import ShardCache, default_cache
from .layout import DESCRIPTION
from .mirror import Mirror, mirror_name, no_set


def open_mirror(url: str, cache: ShardCache | None = None) -> Path:
    """Bring the mirror of the set at `url` in a cache up to date, and return its directory.

    `cache` is by default that of the user. Raises `EpochbankError` if there is no set at the URL, it is damaged, or the
    store cannot be read.
    """
    bucket = Bucket(url)
    document = bucket.get(DESCRIPTION)
    if document is None:
        raise no_set(bucket.url)
    root = (cache or ShardCache(default_cache())).root
    directory = root / mirror_name(bucket.url, _fingerprint(document))
    Mirror(directory, bucket).pull(keep=False)
    return directory


def sets_below(url: str) -> list[str]:
    """Return the URLs of the sets below `url`, sorted. Raises `EpochbankError` if the store cannot be read."""
    bucket = Bucket(url)
    found = [f"{bucket.url}/{name}" for name in bucket.folders()]
    return [one for one in found if Bucket(one).head(DESCRIPTION) is not None]


def _fingerprint(document: bytes) -> str:
    """Return the fingerprint in a description, which is checked when the mirror is read; '' if there is none."""
    try:
        return str(json.loads(document)["fingerprint"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""

"""The process that fetches shards for one that was forked; see `fetch_helper`."""

import json
import sys
from pathlib import Path

from ...errors import EpochbankError
from ..manifest import read_manifest
from .bucket import Bucket
from .cache import ShardCache
from .mirror import remote_url


def _serve(root: Path, size: int) -> None:
    """Fetch the shards that standard input names."""
    cache, entries = ShardCache(root, size), {}
    for line in sys.stdin:
        directory, file = json.loads(line)
        try:
            if (directory, file) not in entries:
                entries.update({(directory, one.file): one for one in read_manifest(Path(directory))})
            bucket = Bucket(str(remote_url(Path(directory))))
            cache.fetch(Path(directory), bucket, entries[directory, file])
            fault = None
        except EpochbankError as error:
            fault = type(error).__name__, str(error)
        print(json.dumps(fault), flush=True)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), int(sys.argv[2]))

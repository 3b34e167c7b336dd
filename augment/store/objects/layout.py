"""The names of the objects of a set, relative to its URL.

A shard is `shards/FOLDER/START-CHECKSUM.h5`, in which FOLDER and START are those of its file: an object with this name
has these bytes, so it never changes, and a shard that is written again with other bytes gets another name.
"""

from pathlib import Path

from ..manifest import Entry

SHARDS = "shards"
SEGMENTS = "manifest"
DESCRIPTION = "set.json"


def shard_object(entry: Entry) -> str:
    """Return the name of the object of a shard."""
    folder, _, file = entry.file.rpartition("/")
    return f"{SHARDS}/{folder}/{Path(file).stem}-{entry.checksum}.h5"


def segment_object(number: int) -> str:
    """Return the name of segment `number` of the manifest, from 1."""
    return f"{SEGMENTS}/{number:010d}.jsonl"

"""Which published shards are missing or incomplete: a quick look at names and sizes of files, not at their contents.

One listing per directory and one `stat` per file: 100,000 shards take less than a second on a local disk. `verify`
reads the contents.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import EpochbankError
from .manifest import Entry

REGENERATE = "Run the same `augment run` again: it generates these shards again, and no others."
"""The fix in messages about missing and incomplete shards."""


def lost_shards(directory: Path, entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries whose file in the set's `directory` does not exist or has another size, in order."""
    sizes: dict[str, dict[str, int]] = {}
    lost = []
    for entry in entries:
        folder, _, name = entry.file.rpartition("/")
        if folder not in sizes:
            sizes[folder] = _sizes(directory / folder)
        if sizes[folder].get(name) != entry.bytes:
            lost.append(entry)
    return lost


def check_presence(directory: Path, entries: Iterable[Entry]) -> None:
    """Raise `EpochbankError` if a published shard of the set in `directory` is missing or has another size."""
    entries = list(entries)
    lost = lost_shards(directory, entries)
    if lost:
        raise EpochbankError(f"{describe_lost(directory, lost, len(entries))}. {REGENERATE}")


def describe_lost(directory: Path, lost: list[Entry], total: int) -> str:
    """Describe `lost`, at least one of the `total` shards of the set in `directory`, with the fault of the first."""
    path = directory / lost[0].file
    number = f"{len(lost):,} of the {total:,} shards of {directory} {'is' if len(lost) == 1 else 'are'}"
    return f"{number} missing or incomplete, such as {path} ({fault_of(path, lost[0])})"


def fault_of(path: Path, entry: Entry) -> str:
    """Return whether the shard at `path` is missing or has another size than its entry, or '' if neither is true."""
    try:
        found = path.stat().st_size
    except FileNotFoundError:
        return "the file is missing"
    return "" if found == entry.bytes else f"the file has {found:,} bytes; expected {entry.bytes:,}"


def _sizes(folder: Path) -> dict[str, int]:
    """Return the bytes of each file in `folder`; nothing if there is no such folder."""
    try:
        with os.scandir(folder) as found:
            return {one.name: one.stat().st_size for one in found if one.is_file()}
    except (FileNotFoundError, NotADirectoryError):
        return {}

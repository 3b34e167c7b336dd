"""Which published shards are missing or incomplete: a quick look at names and sizes of files, not at their contents.

One listing per directory and one `stat` per file: 100,000 shards take less than a second on a local disk. `verify`
reads the contents.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..errors import EpochbankError
from .manifest import Entry
from .objects.mirror import stored_remotely
from .set_files import special

REGENERATE = "Run the same `augment run` again: it generates these shards again, and no others."
"""The fix in messages about missing and incomplete shards."""


def lost_shards(directory: Path, entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries whose file in the set's `directory` does not exist or has another size, in order.

    A special file, and a link that leads out of the set, do not count as the file. Of a mirror, the shards that are in
    the object store are not lost.
    """
    entries = list(entries)
    lost = _without_file(directory, entries)
    remote = stored_remotely(directory) if lost else set()
    return [entry for entry in lost if (entry.file, entry.checksum) not in remote]


def _without_file(directory: Path, entries: list[Entry]) -> list[Entry]:
    sizes: dict[str, dict[str, int]] = {}
    lost = []
    for entry in entries:
        folder, _, name = entry.file.rpartition("/")
        if folder not in sizes:
            sizes[folder] = _sizes(directory, folder)
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
    """Return whether the shard at `path` is missing, no regular file or of another size than its entry; '' if not.

    `path` is that of the entry's file in the directory of the set.
    """
    try:
        if path.is_symlink() or not path.is_file():
            fault = special(path, path.parent.parent)
            if fault:
                return f"it is {fault}"
        found = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return "the file is missing"
    except OSError as error:
        return f"the file cannot be read: {error.strerror or error}"
    return "" if found == entry.bytes else f"the file has {found:,} bytes; expected {entry.bytes:,}"


def _sizes(directory: Path, folder: str) -> dict[str, int]:
    """Return the bytes of each file in `folder` of the set in `directory`; nothing if there is no such folder."""
    sizes = {}
    try:
        with os.scandir(directory / folder) as found:
            for one in found:
                if one.is_file() and not (one.is_symlink() and special(Path(one.path), directory)):
                    with suppress(FileNotFoundError):  # It was removed since.
                        sizes[one.name] = one.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return sizes

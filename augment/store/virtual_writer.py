"""Write and remove the virtual datasets of a set (`store.virtual_epoch`) as its shards are published."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..console import notify
from ..shared.atomic import new_file, sync_directory
from ..shared.disk_space import Limits
from .description import Description
from .manifest import Entry
from .virtual_epoch import fault_of_virtual, published_shards, stale_virtual, virtual_bytes, virtual_name


class VirtualEpochs:
    """Keep the virtual datasets of a set up to date. The caller has locked the set.

    What cannot be written, because the disk is full or a limit would be exceeded, is reported once; nothing else
    depends on it, and the next writer makes it.
    """

    def __init__(self, directory: Path, description: Description, entries: Iterable[Entry], limits: Limits = Limits()):  # noqa: B008  frozen
        self._directory, self._description, self._limits = directory, description, limits
        self._shards: dict[str, dict[str, Entry]] = {}
        """Published shards, by virtual dataset and file."""
        self._missing: dict[str, int] = {}
        """Number of images that a virtual dataset would lack."""
        self._reported = False
        for entry in entries:
            self._add(entry)

    def update(self, *, thorough: bool = False) -> list[str]:
        """Write what is missing or outdated, remove what is not published, and return the names of the written files.

        `thorough` also compares each file with its checksum.
        """
        entries = [entry for shards in self._shards.values() for entry in shards.values()]
        for name in stale_virtual(self._directory, self._description, entries):
            remove_virtual(self._directory, name)
        written = []
        for name, shards in published_shards(self._description, entries).items():
            outdated = fault_of_virtual(self._directory, name, self._description, shards, thorough=thorough)
            if outdated and self._write(name, shards):
                written.append(name)
        return written

    def published(self, entry: Entry) -> None:
        """Note that the shard `entry` was published; if that completes its epoch or split, write the dataset."""
        name = self._add(entry)
        if self._missing[name] <= 0:
            for one, shards in published_shards(self._description, self._shards[name].values()).items():
                if fault_of_virtual(self._directory, one, self._description, shards, thorough=False):
                    self._write(one, shards)

    def _add(self, entry: Entry) -> str:
        """Add a published shard, and return the name of its virtual dataset."""
        name = virtual_name(entry.split, entry.epoch)
        images = self._description.num_images["train" if entry.split == "epoch" else entry.split]
        known = self._shards.setdefault(name, {})
        if entry.file not in known:
            self._missing[name] = self._missing.get(name, images) - entry.num_images
        known[entry.file] = entry
        return name

    def _write(self, name: str, shards: list[Entry]) -> bool:
        path = self._directory / name
        content = virtual_bytes(self._description, shards)
        fault = self._limits.exceeded(self._directory.parent, len(content), "virtual dataset") if self._limits else ""
        if not fault:
            try:
                with new_file(path) as temporary:
                    temporary.write_bytes(content)
                return True
            except OSError as error:
                fault = f"{error.strerror or error}."
        if not self._reported:
            notify(
                f"{path}, a virtual dataset, was not written: {fault} Its shards are published; the next run adds it"
            )
        self._reported = True
        return False


def remove_virtual(directory: Path, name: str) -> None:
    """Remove a virtual dataset of the set in `directory` if it exists, durably."""
    with suppress(FileNotFoundError):
        (directory / name).unlink()
        sync_directory(directory)

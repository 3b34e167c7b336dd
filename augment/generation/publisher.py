"""Publish shards in groups, so that one sync of a file or directory serves all shards that are ready.

The order is that of a single shard: rename all files, sync their directories, append and sync the lines of the
manifest, append and sync their checksums. After a kill at any moment, what the manifest lists is complete.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import EpochbankError
from ..shared.atomic import sync_directory
from ..shared.profile import Profile
from ..store.manifest import Entry, ManifestWriter
from .budget import Budget
from .run_log import RunLog

Made = tuple[Path, Entry, Profile]
"""A shard that can be published: its synced temporary file, its entry, and the profile of the work."""


@dataclass
class Publisher:
    """Publish the shards of one run. One thread may add shards while another one publishes."""

    directory: Path
    """The set's."""
    manifest: ManifestWriter
    lost: dict[str, Entry]
    """Entries in the manifest whose files are lost, by file."""
    budget: Budget
    log: RunLog
    published: Callable[[Entry], object]
    """Called after the shard is published."""
    _ready: deque[Made] = field(default_factory=deque, init=False)
    _failed: bool = field(default=False, init=False)

    def add(self, made: Made) -> None:
        """Queue a shard for `publish_ready`, which publishes up to `GROUP` shards per call."""
        self._ready.append(made)

    def publish_ready(self) -> int:
        """Publish the queued shards as one group, and return their number of images.

        If one cannot be published, those before it are, and no further one. Raises `EpochbankError` or `OSError` then.
        """
        group = [self._ready.popleft() for _ in range(min(len(self._ready), self.manifest.largest_group))]
        if not group:
            return 0
        entries = [entry for _, entry, _ in group]
        if self._failed:  # It would become a file without a line in the manifest.
            raise EpochbankError(
                f"{self.directory / entries[0].file} was not published, because another shard could not be."
            )
        try:
            with self.budget.publishing(entries):
                self._publish(group)
            for entry in entries:
                self.published(entry)
        except BaseException:
            self._failed = True
            raise
        return sum(entry.num_images for entry in entries)

    def _publish(self, group: list[Made]) -> None:
        """Rename the files of `group` and list them."""
        renamed: list[Made] = []
        try:
            for temporary, entry, profile in group:
                self._check_images(entry)
                temporary.replace(self.directory / entry.file)
                renamed.append((temporary, entry, profile))
        finally:
            self._list(renamed)

    def _list(self, renamed: list[Made]) -> None:
        """Append the entries of renamed files to the manifest, and count those that are in it then."""
        for folder in {(self.directory / entry.file).parent for _, entry, _ in renamed}:
            sync_directory(folder)
        # A lost file that has the same bytes again is listed already.
        new = [entry for _, entry, _ in renamed if entry != self.lost.get(entry.file)]
        before = self.manifest.appended
        try:
            self.manifest.append(*new)
        finally:
            missing = {entry.file for entry in new[self.manifest.appended - before :]}
            for _, entry, profile in renamed:
                if entry.file not in missing:
                    self.log.add(entry, profile)

    def _check_images(self, entry: Entry) -> None:
        """Raise `EpochbankError` if a shard that replaces a lost file has other images."""
        before = self.lost.get(entry.file)
        if before is not None and before.digest != entry.digest:
            raise EpochbankError(
                f"{self.directory / entry.file} was generated again with other images (digest {entry.digest}) than "
                f"those that the manifest lists (digest {before.digest}). Restore the file from a copy, or generate "
                "the set again in another --sets directory."
            )

"""Sources of image files: a folder tree, or a .zip of one, with a folder per class, nested to any depth.

The class of an image is the folder that holds it, named by its path below the folder that all classes share. Hidden
files and files without an image suffix are skipped and counted.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EpochbankError
from ..shared.progress import Count, counted
from .archive import find_archive
from .base import Reader, Scan, SourceOptions, file_identity, size_and_mtime
from .classes import composed, find_classes, first_few
from .names import Names
from .paths import PathList, PathWriter, printable
from .readers import FilesReader, ZipReader
from .tree import Folder, walk, walk_archive

_RUN = 4096
"""Number of paths written at once."""

_SHOWN = 10
"""Paths listed in an error message; further ones are counted."""


@dataclass
class _Found:
    """Results of a scan, collected folder by folder."""

    folders: list[bytes] = field(default_factory=list)
    """Folders with images."""
    sizes: list[int] = field(default_factory=list)
    """Number of images in each."""
    skipped: Counter[str] = field(default_factory=Counter)
    empty: list[str] = field(default_factory=list)
    repeated: int = 0
    bad: list[tuple[str, str]] = field(default_factory=list)

    def add(self, folder: Folder) -> None:
        self.skipped.update(folder.skipped)
        self.repeated += folder.repeated
        if folder.images:
            self.folders.append(folder.path)
            self.sizes.append(len(folder.images))
        elif folder.error:
            self.bad.append((f"{printable(folder.path)}/", f"cannot be listed: {folder.error}"))
        elif folder.is_leaf:
            self.empty.append(f"{printable(folder.path)}/")

    def notes(self) -> list[str]:
        """Describe everything that is not among the images."""
        notes = [f"skipped {self.skipped_as_text()}"] if self.skipped else []
        if self.empty:
            notes.append(f"folders without images: {first_few(self.empty)}")
        if self.repeated:
            notes.append(
                f"skipped {counted(self.repeated, 'image')} that the archive contains again, under the same name"
            )
        return notes

    def skipped_as_text(self) -> str:
        """Describe the number of skipped files and the reasons."""
        reasons = sorted(self.skipped.items(), key=lambda item: (-item[1], item[0]))
        listed = first_few([f"{count:,} {reason}" for reason, count in reasons])
        return f"{self.skipped.total():,} hidden or foreign files ({listed})"


class _FilesSource:
    """The common part of folders and archives: classes, groups and the list of paths."""

    def __init__(self, path: Path, name: str, options: SourceOptions):
        self.path, self.name, self.options = path, name, options
        self.group_pattern = _compile(options.group_pattern)

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """List the images. Raises `EpochbankError` if there are no images or classes, or if a path has no group."""
        paths, offsets = PathList(workspace / "paths", workspace / "path-ends"), workspace / "offsets"
        found, groups, ungrouped = _Found(), Names(), list[str]()
        with (
            open(paths.text, "wb") as text,
            open(paths.ends, "wb") as ends,
            open(offsets, "wb") as offsets_file,
            Count(f"list {self.path.name}") as count,
        ):
            writer = PathWriter(text, ends)
            for folder in self._walk(count):
                found.add(folder)
                offsets_file.write(np.array(folder.offsets, np.uint64).tobytes())
                for names in (folder.images[at : at + _RUN] for at in range(0, len(folder.images), _RUN)):
                    encoded = [folder.path + b"/" + name for name in names]
                    writer.add(encoded)
                    if self.group_pattern is not None:
                        ungrouped = [*ungrouped, *self._add_groups(encoded, groups)][:_SHOWN]
        self._check(found, ungrouped, sum(found.sizes) - len(groups))
        classes = find_classes(found.folders, found.sizes, use_source_splits=self.options.split == "source")
        group_index, group_names = groups.sorted_index() if groups else (None, None)
        return Scan(
            reader=self._reader(paths, offsets),
            labels=np.repeat(classes.of_folder, found.sizes),
            class_names=classes.names,
            groups=group_index,
            group_names=group_names,
            splits=None if classes.splits is None else np.repeat(classes.splits, found.sizes),
            bad=found.bad,
            notes=[*classes.notes, *found.notes()],
        )

    def _walk(self, count: Count) -> Iterator[Folder]:
        """Yield the folders with their images, in an order that depends only on the names."""
        raise NotImplementedError

    def _reader(self, paths: PathList, offsets: Path) -> Reader:
        raise NotImplementedError

    def _add_groups(self, paths: list[bytes], groups: Names) -> Iterator[str]:
        """Find the group of each path, and yield the paths that have none."""
        assert self.group_pattern is not None
        for path in paths:
            match = self.group_pattern.search(composed(printable(path)))
            group = match and match.group(1 if self.group_pattern.groups else 0)
            if group is None:
                yield printable(path)
            else:
                groups.add(group)

    def _check(self, found: _Found, ungrouped: list[str], count: int) -> None:
        """Raise `EpochbankError` for an invalid source. `ungrouped` are the first of `count` paths without a group."""
        if not found.folders:
            bad = "".join(f"\n  {where} {reason}" for where, reason in found.bad)
            instead = f", only {found.skipped_as_text()}" if found.skipped else ""
            raise EpochbankError(
                f"{self.path} holds no images{instead}; expected a folder per class with images in a format that "
                f"Pillow opens. Check the path.{bad}"
            )
        if b"" in found.folders:
            stray = found.sizes[found.folders.index(b"")]
            raise EpochbankError(
                f"{self.path}: {stray:,} images lie directly in it; expected a folder per class. "
                "Put the images of each class into a folder named after the class."
            )
        if ungrouped:
            listed = "".join(f"\n  {path}" for path in ungrouped)
            more = f"\n  and {count - _SHOWN:,} more" if count > _SHOWN else ""
            raise EpochbankError(
                f"--group-pattern does not match {count:,} of {sum(found.sizes):,} paths; expected a group "
                f"for each image. Widen the pattern, or move these files away:{listed}{more}",
                usage=True,
            )


class FolderSource(_FilesSource):
    """A folder tree."""

    def identity(self) -> Any:
        """Return the path, and a digest of path, size and modification time of every image."""
        digest, root = hashlib.sha256(), os.fsencode(self.path)
        with Count(f"list {self.path.name}") as count:
            for folder in self._walk(count):
                digest.update(folder.error.encode())
                for name in folder.images:
                    path = folder.path + b"/" + name
                    digest.update(b"%b/%b/" % (path, size_and_mtime(root + b"/" + path).encode()))
        return ["folder", str(self.path.resolve()), digest.hexdigest()]

    def _walk(self, count: Count) -> Iterator[Folder]:
        for folder in walk(self.path, count):
            if folder.error and not folder.path:
                raise EpochbankError(f"{self.path} cannot be listed: {folder.error}. Grant yourself read permission.")
            yield folder

    def _reader(self, paths: PathList, offsets: Path) -> Reader:
        return FilesReader(self.path, paths)


class ZipSource(_FilesSource):
    """A .zip archive of a folder tree."""

    def identity(self) -> Any:
        """Return path, size and modification time of the archive."""
        return ["zip", *file_identity(self.path)]

    def _walk(self, count: Count) -> Iterator[Folder]:
        return walk_archive(find_archive(self.path), count)

    def _reader(self, paths: PathList, offsets: Path) -> Reader:
        return ZipReader(find_archive(self.path), paths, offsets)


def _compile(group_pattern: str | None) -> re.Pattern[str] | None:
    if group_pattern is None:
        return None
    try:
        return re.compile(group_pattern)
    except re.error as error:
        raise EpochbankError(
            f"--group-pattern {group_pattern!r} is not a valid regular expression: {error}. "
            r"Example: --group-pattern '_(\d+)\.png$'",
            usage=True,
        ) from error

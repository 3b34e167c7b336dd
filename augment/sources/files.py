"""Sources that are files: a folder tree, or a .zip of one, with a folder per class, nested as it may be.

The class of a picture is the folder that it lies in, named by its path below the folder that all classes share.
Hidden files and files that are no pictures by name are left out, and counted.
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
from ..shared.progress import Count
from .archive import find_archive
from .base import Reader, Scan, SourceOptions, file_identity, status_of
from .classes import arrange, composed, some
from .names import Names
from .paths import PathList, PathWriter, shown
from .readers import FilesReader, ZipReader
from .tree import Folder, walk, walk_archive

_RUN = 4096
"""Paths that are put together and written at once."""

_SHOWN = 10
"""Paths that are listed in a refusal; more are counted."""


@dataclass
class _Found:
    """What a scan finds, folder by folder."""

    folders: list[bytes] = field(default_factory=list)
    """Those with pictures."""
    sizes: list[int] = field(default_factory=list)
    """How many each of them has."""
    left_out: Counter[str] = field(default_factory=Counter)
    empty: list[str] = field(default_factory=list)
    repeated: int = 0
    bad: list[tuple[str, str]] = field(default_factory=list)

    def add(self, folder: Folder) -> None:
        self.left_out.update(folder.left_out)
        self.repeated += folder.repeated
        if folder.pictures:
            self.folders.append(folder.path)
            self.sizes.append(len(folder.pictures))
        elif folder.fault:
            self.bad.append((f"{shown(folder.path)}/", f"cannot be listed: {folder.fault}"))
        elif folder.is_leaf:
            self.empty.append(f"{shown(folder.path)}/")

    def notes(self) -> list[str]:
        """What is not among the pictures."""
        notes = [f"{self.left_out_as_text()} left out"] if self.left_out else []
        if self.empty:
            notes.append(f"folders without pictures: {some(self.empty)}")
        if self.repeated:
            notes.append(
                f"of pictures that are in the archive more than once the last is taken: {self.repeated:,} left out"
            )
        return notes

    def left_out_as_text(self) -> str:
        """How many files are left out, and as what."""
        kinds = sorted(self.left_out.items(), key=lambda kind: (-kind[1], kind[0]))
        listed = some([f"{count:,} {kind}" for kind, count in kinds])
        return f"{self.left_out.total():,} hidden or foreign files ({listed})"


class _FilesSource:
    """What folders and archives share: classes, groups and the list of paths."""

    def __init__(self, path: Path, name: str, options: SourceOptions):
        self.path, self.name, self.options = path, name, options
        self.group_pattern = _compile(options.group_pattern)

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """List the pictures; `EpochbankError` where there are none, or no classes, or a path has no group."""
        paths, places = PathList(workspace / "paths", workspace / "path-ends"), workspace / "places"
        found, groups, ungrouped = _Found(), Names(), list[str]()
        with (
            open(paths.text, "wb") as text,
            open(paths.ends, "wb") as ends,
            open(places, "wb") as places_file,
            Count(f"list {self.path.name}") as count,
        ):
            writer = PathWriter(text, ends)
            for folder in self._walk(count):
                found.add(folder)
                places_file.write(np.array(folder.places, np.uint64).tobytes())
                for names in (folder.pictures[at : at + _RUN] for at in range(0, len(folder.pictures), _RUN)):
                    encoded = [folder.path + b"/" + name for name in names]
                    writer.add(encoded)
                    if self.group_pattern is not None:
                        ungrouped = [*ungrouped, *self._group(encoded, groups)][:_SHOWN]
        self._check(found, ungrouped, sum(found.sizes) - len(groups))
        classes = arrange(found.folders, found.sizes, obey_parts=self.options.split == "source")
        group_index, group_names = groups.in_order() if groups else (None, None)
        return Scan(
            reader=self._reader(paths, places),
            labels=np.repeat(classes.of_folder, found.sizes),
            class_names=classes.names,
            groups=group_index,
            group_names=group_names,
            parts=None if classes.parts is None else np.repeat(classes.parts, found.sizes),
            bad=found.bad,
            notes=[*classes.notes, *found.notes()],
        )

    def _walk(self, count: Count) -> Iterator[Folder]:
        """The folders with their pictures, in an order that depends on the names alone."""
        raise NotImplementedError

    def _reader(self, paths: PathList, places: Path) -> Reader:
        raise NotImplementedError

    def _group(self, paths: list[bytes], groups: Names) -> Iterator[str]:
        """Find the group of each of `paths`; gives those that have none."""
        assert self.group_pattern is not None
        for path in paths:
            match = self.group_pattern.search(composed(shown(path)))
            group = match and match.group(1 if self.group_pattern.groups else 0)
            if group is None:
                yield shown(path)
            else:
                groups.add(group)

    def _check(self, found: _Found, ungrouped: list[str], count: int) -> None:
        """Refuse what is no source; `ungrouped` are the first of `count` paths without a group, if one is asked for."""
        if not found.folders:
            others = "".join(f"\n  {where} {reason}" for where, reason in found.bad)
            instead = f"; there are {found.left_out_as_text()}" if found.left_out else ""
            raise EpochbankError(
                f"{self.path} holds no pictures{instead}; expected a folder per class with pictures in a format that "
                f"Pillow opens. Check the path.{others}"
            )
        if b"" in found.folders:
            stray = found.sizes[found.folders.index(b"")]
            raise EpochbankError(
                f"{self.path}: {stray:,} pictures lie directly in it; expected a folder per class. "
                "Put the pictures of each class into a folder that bears its name."
            )
        if ungrouped:
            listed = "".join(f"\n  {path}" for path in ungrouped)
            more = f"\n  and {count - _SHOWN:,} more" if count > _SHOWN else ""
            raise EpochbankError(
                f"--group-pattern does not match {count:,} of {sum(found.sizes):,} paths; expected a group "
                f"for each picture. Widen the pattern, or move these files away:{listed}{more}",
                words=True,
            )


class FolderSource(_FilesSource):
    """A folder tree."""

    def identity(self) -> Any:
        """Path, and a digest of path, bytes and time of change of every picture below."""
        digest, root = hashlib.sha256(), os.fsencode(self.path)
        with Count(f"list {self.path.name}") as count:
            for folder in self._walk(count):
                digest.update(folder.fault.encode())
                for name in folder.pictures:
                    path = folder.path + b"/" + name
                    digest.update(b"%b/%b/" % (path, status_of(root + b"/" + path).encode()))
        return ["folder", str(self.path.resolve()), digest.hexdigest()]

    def _walk(self, count: Count) -> Iterator[Folder]:
        for folder in walk(self.path, count):
            if folder.fault and not folder.path:
                raise EpochbankError(
                    f"{self.path} cannot be listed: {folder.fault}. Give yourself the right to read it."
                )
            yield folder

    def _reader(self, paths: PathList, places: Path) -> Reader:
        return FilesReader(self.path, paths)


class ZipSource(_FilesSource):
    """A .zip archive of a folder tree."""

    def identity(self) -> Any:
        """Path, bytes and time of change of the archive."""
        return ["zip", *file_identity(self.path)]

    def _walk(self, count: Count) -> Iterator[Folder]:
        return walk_archive(find_archive(self.path), count)

    def _reader(self, paths: PathList, places: Path) -> Reader:
        return ZipReader(find_archive(self.path), paths, places)


def _compile(group_pattern: str | None) -> re.Pattern[str] | None:
    if group_pattern is None:
        return None
    try:
        return re.compile(group_pattern)
    except re.error as error:
        raise EpochbankError(
            f"--group-pattern {group_pattern!r} is no regular expression: {error}. "
            r"Example: --group-pattern '_(\d+)\.png$'",
            words=True,
        ) from error

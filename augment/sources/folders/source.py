"""Sources of image files: a folder tree, or a .zip of one, with a folder per class, nested to any depth.

The class of an image is the folder that holds it, named by its path below the folder that all classes share, or what
`--label-pattern` finds in its path. Hidden files and files without an image suffix are skipped and counted.
"""

import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...errors import EpochbankError
from ...shared.progress import Count
from ..archive import Archive, find_archive
from ..base import Reader, Scan, SourceOptions, file_identity, size_and_mtime
from ..decode import BadImage
from ..name_encoding import check_encoding, with_encoding
from ..paths import PathList, PathWriter, join, printable
from .classes import find_splits
from .frames import frames_note
from .labeling import Labels, label_images
from .listing import Listing
from .path_names import PathNames
from .readers import FilesReader, ZipReader
from .tree import Folder, walk, walk_archive

_RUN = 4096
"""Number of paths written at once."""


class _FilesSource:
    """The common part of folders and archives: classes, groups and the list of paths."""

    def __init__(self, path: Path, name: str, options: SourceOptions):
        self.path, self.name, self.options = path, name, options
        self._patterns()

    def _patterns(self) -> tuple[PathNames, PathNames]:
        """Return the groups and the classes that patterns find. Raises `EpochbankError` for an invalid pattern."""
        return (
            PathNames("--group-pattern", self.options.group_pattern, "group"),
            PathNames("--label-pattern", self.options.label_pattern, "class"),
        )

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """List the images. Raises `EpochbankError` if there are no images or classes, or if a path has no group."""
        paths, offsets = PathList(workspace / "paths", workspace / "path-ends"), workspace / "offsets"
        found, (groups, classes) = Listing(), self._patterns()
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
                    encoded = [join(folder.path, name) for name in names]
                    writer.add(encoded)
                    groups.add(encoded)
                    classes.add(encoded)
        self._check(found)
        groups.check(found.num_images)
        classes.check(found.num_images)
        labels = self._labels(found, classes, paths)
        notes = [*labels.notes, *found.notes(), *self._notes()]
        notes += frames_note(found.with_frames, lambda index: self._content(index, paths, offsets))
        group_index, group_names = groups.names.sorted_index() if groups.is_used else (None, None)
        scan = Scan(
            reader=self._reader(paths, offsets),
            labels=labels.labels,
            class_names=labels.class_names,
            groups=group_index,
            group_names=group_names,
            splits=labels.splits,
            bad=[*found.bad, *labels.bad],
            notes=notes,
        )
        return scan if labels.keep is None else self._only(scan, labels.keep, paths, offsets)

    def _labels(self, found: Listing, classes: PathNames, paths: PathList) -> Labels:
        use_splits = self.options.split == "source"
        if not classes.is_used:
            return label_images(found, paths, self._read_list, use_splits=use_splits)
        index, names = classes.names.sorted_index()
        splits, notes = find_splits(found.folders, found.sizes, use=use_splits)
        return Labels(index, names, None if splits is None else np.repeat(splits, found.sizes), notes)

    def _only(self, scan: Scan, keep: np.ndarray, paths: PathList, offsets: Path) -> Scan:
        """Return the scan of the images for which `keep`, bool (N,), is True."""
        kept = offsets.with_name("offsets-kept")
        if offsets.stat().st_size:
            np.memmap(offsets, np.uint64, "r")[keep].tofile(kept)
        return replace(
            scan,
            reader=self._reader(paths.select(keep), kept),
            labels=scan.labels[keep],
            groups=None if scan.groups is None else scan.groups[keep],
            splits=None if scan.splits is None else scan.splits[keep],
        )

    def _walk(self, count: Count) -> Iterator[Folder]:
        """Yield the folders with their images, in an order that depends only on the names."""
        raise NotImplementedError

    def _reader(self, paths: PathList, offsets: Path) -> Reader:
        raise NotImplementedError

    def _read_list(self, path: bytes, offset: int) -> bytes:
        """Return the content of a list of classes."""
        raise NotImplementedError

    def _content(self, index: int, paths: PathList, offsets: Path) -> bytes | IO[bytes] | None:
        """Return the path of an image, or its content; None if it cannot be read."""
        raise NotImplementedError

    def _notes(self) -> list[str]:
        """Return notes of the kind of source."""
        return []

    def _check(self, found: Listing) -> None:
        """Raise `EpochbankError` for a source without images or classes."""
        if not found.folders:
            bad = "".join(f"\n  {where} {reason}" for where, reason in found.bad)
            instead = f", only {found.skipped_as_text()}" if found.skipped else ""
            raise EpochbankError(
                f"{self.path} holds no images{instead}; expected a folder per class with images in a format that "
                f"Pillow opens. Check the path.{bad}"
            )
        if b"" in found.folders and self.options.label_pattern is None:
            stray = found.sizes[found.folders.index(b"")]
            raise EpochbankError(
                f"{self.path}: {stray:,} images lie directly in it; expected a folder per class. Find the class in "
                "the names of the files with --label-pattern, use a list of paths and labels (a .csv) as SOURCE, or "
                "put the images of each class into a folder named after the class."
            )


class FolderSource(_FilesSource):
    """A folder tree."""

    def identity(self) -> Any:
        """Return the path, and a digest of path, size and modification time of every image and list of classes."""
        digest, root = hashlib.sha256(), os.fsencode(self.path)
        with Count(f"list {self.path.name}") as count:
            for folder in self._walk(count):
                digest.update(folder.error.encode())
                for name in (*folder.images, *sorted(folder.lists)):
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

    def _read_list(self, path: bytes, offset: int) -> bytes:
        return Path(os.fsdecode(join(os.fsencode(self.path), path))).read_bytes()

    def _content(self, index: int, paths: PathList, offsets: Path) -> bytes | IO[bytes] | None:
        return join(os.fsencode(self.path), paths.encoded(index))


class ZipSource(_FilesSource):
    """A .zip archive of a folder tree."""

    def __init__(self, path: Path, name: str, options: SourceOptions):
        super().__init__(path, name, options)
        check_encoding(options.name_encoding)
        self._opened: tuple[Archive, list[str]] | None = None

    def identity(self) -> Any:
        """Return path, size and modification time of the archive."""
        return ["zip", *file_identity(self.path)]

    def _archive(self) -> tuple[Archive, list[str]]:
        """Return the archive with the encoding of its names, and notes on the encoding."""
        if self._opened is None:
            self._opened = with_encoding(find_archive(self.path), self.options.name_encoding)
        return self._opened

    def _walk(self, count: Count) -> Iterator[Folder]:
        return walk_archive(self._archive()[0], count)

    def _reader(self, paths: PathList, offsets: Path) -> Reader:
        return ZipReader(self._archive()[0], paths, offsets)

    def _read_list(self, path: bytes, offset: int) -> bytes:
        try:
            return self._archive()[0].read_file(offset)
        except BadImage as bad:
            raise EpochbankError(f"{printable(path)} in {self.path} {bad}. Create the archive again.") from bad

    def _content(self, index: int, paths: PathList, offsets: Path) -> bytes | IO[bytes] | None:
        try:
            return io.BytesIO(self._archive()[0].read_file(int(np.memmap(offsets, np.uint64, "r")[index])))
        except BadImage:  # The import reports it.
            return None

    def _notes(self) -> list[str]:
        return self._archive()[1]

"""Sources that are files: a folder tree, or a .zip of one, with a folder per class, nested as it may be.

The class of a picture is the folder that it lies in, named by its path below the folder that all
classes share. Hidden files and files that are no pictures by name are left out, and counted.
"""

import hashlib
import io
import os
import re
import warnings
import zipfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from augment.errors import EpochbankError
from augment.picture import LARGEST, BadPicture, decode
from augment.sources.base import Scan, SourceOptions, file_identity


@dataclass(frozen=True)
class PathList:
    """Paths kept in a file instead of memory: millions of them cost nothing."""

    text: Path
    """The paths, UTF-8, one after another."""
    ends: Path
    """uint64 (N,): where each path ends in `text`."""

    def __getitem__(self, index: int) -> str:
        with open(self.ends, "rb") as ends, open(self.text, "rb") as text:
            ends.seek(8 * max(index - 1, 0))
            bounds = np.frombuffer(ends.read(16 if index else 8), np.uint64).tolist()
            start, stop = (bounds[0], bounds[1]) if index else (0, bounds[0])
            text.seek(start)
            return os.fsdecode(text.read(stop - start))


@dataclass(frozen=True)
class FilesReader:
    """Opens pictures by path, in a folder or in a .zip."""

    root: Path
    paths: PathList

    def read(self, indices: np.ndarray) -> Iterator[Image.Image | BadPicture]:
        """Each picture decoded, or the reason why not."""
        return (self._read_one(self.paths[int(index)]) for index in indices)

    def origin(self, index: int) -> str:
        """The path below the folder, or within the .zip."""
        return _text(self.paths[index])

    def _file(self, path: str) -> Path | io.BytesIO:
        if self.root.is_dir():
            return self.root / path
        return io.BytesIO(_archive(self.root, self.root.stat().st_mtime_ns).read(path))

    def _read_one(self, path: str) -> Image.Image | BadPicture:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                return self._open(path)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            return BadPicture(f"is absurdly large; expected at most {LARGEST:,} pixels")
        except BadPicture as bad:
            return bad
        except MemoryError:
            raise
        except Exception as error:  # Pillow's decoders raise whatever damaged data leads them to.
            return BadPicture(f"cannot be read: {error or type(error).__name__}")

    def _open(self, path: str) -> Image.Image:
        with Image.open(self._file(path)) as image:
            if image.width * image.height > LARGEST:
                raise BadPicture(f"is {image.width} x {image.height}; expected at most {LARGEST:,} pixels")
            return decode(image)


@lru_cache(maxsize=1)
def _archive(path: Path, changed: int) -> zipfile.ZipFile:
    """The open archive, anew where it has `changed` (ns): its directory takes long to read."""
    return zipfile.ZipFile(path)


class _FilesSource:
    """What folders and archives share: classes, groups and the list of paths."""

    def __init__(self, path: Path, name: str, options: SourceOptions):
        self.path, self.name, self.options = path, name, options
        self.group_pattern = _compile(options.group_pattern)

    def walk(self) -> Iterator[str]:
        """Paths of all files below the root, with '/', in an order that depends on the names alone."""
        raise NotImplementedError

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """List the pictures; `EpochbankError` where there are none, or no classes, or a path has no group."""
        paths = PathList(workspace / "paths", workspace / "path-ends")
        classes: dict[str, int] = {}
        groups: dict[str, int] = {}
        labels, members, foreign, end = array("i"), array("i"), 0, 0
        ungrouped: list[str] = []
        with open(paths.text, "wb") as text, open(paths.ends, "wb") as ends:
            for path in self.walk():
                if not _is_picture(path):
                    foreign += 1
                    continue
                labels.append(classes.setdefault(str(PurePosixPath(path).parent), len(classes)))
                if self.group_pattern is not None:
                    found = self.group_pattern.search(path)
                    group = found and found.group(1 if self.group_pattern.groups else 0)
                    group = group and _text(group)
                    if group is None:
                        ungrouped.append(path)
                    else:
                        members.append(groups.setdefault(group, len(groups)))
                encoded = os.fsencode(path)
                end += len(encoded)
                text.write(encoded)
                ends.write(np.uint64(end).tobytes())
        self._check(labels, classes, ungrouped, foreign)
        label, class_names = _sorted([_text(name) for name in _below_common(list(classes))], labels)
        group, group_names = _sorted(list(groups), members)
        return Scan(
            reader=FilesReader(self.path, paths),
            labels=label,
            class_names=class_names,
            groups=group if groups else None,
            group_names=group_names if groups else None,
            notes=[f"{foreign:,} hidden or foreign files left out"] if foreign else [],
        )

    def _check(self, labels: array, classes: dict[str, int], ungrouped: list[str], foreign: int) -> None:
        if not labels:
            raise EpochbankError(
                f"{self.path} holds no pictures ({foreign:,} other files); expected a folder per class with pictures "
                "in a format that Pillow opens."
            )
        if "." in classes:
            stray = sum(label == classes["."] for label in labels)
            raise EpochbankError(
                f"{self.path}: {stray:,} pictures lie directly in it; expected a folder per class. "
                "Put the pictures of each class into a folder that bears its name."
            )
        if ungrouped:
            shown = "".join(f"\n  {_text(path)}" for path in ungrouped[:10])
            more = f"\n  and {len(ungrouped) - 10:,} more" if len(ungrouped) > 10 else ""
            raise EpochbankError(
                f"--group-pattern does not match {len(ungrouped):,} of {len(labels):,} paths; expected a group for "
                f"each picture. Widen the pattern, or move these files away:{shown}{more}",
                words=True,
            )


class FolderSource(_FilesSource):
    """A folder tree."""

    def identity(self) -> Any:
        """Path, and a digest of path, bytes and time of change of every picture below."""
        digest = hashlib.sha256()
        for path in self.walk():
            if _is_picture(path):
                status = _status(self.path / path)
                digest.update(os.fsencode(f"{path}/{status.st_size}/{status.st_mtime_ns}/"))
        return ["folder", str(self.path.resolve()), digest.hexdigest()]

    def walk(self) -> Iterator[str]:
        """Depth first: in each folder its files by name, then its folders by name. Links are followed."""
        return self._below(self.path, "", ())

    def _below(self, directory: Path, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
        """Paths below `directory`; `above` identifies the folders on the way to it, into which no link leads back."""
        status = directory.stat()
        here = (status.st_dev, status.st_ino)
        if here in above:
            return
        with os.scandir(directory) as found:
            entries = sorted(found, key=lambda entry: (entry.is_dir(), entry.name))
        for entry in entries:
            if entry.is_dir():
                yield from self._below(directory / entry.name, f"{prefix}{entry.name}/", (*above, here))
            else:
                yield prefix + entry.name


class ZipSource(_FilesSource):
    """A .zip archive of a folder tree."""

    def identity(self) -> Any:
        """Path, bytes and time of change of the archive."""
        return ["zip", *file_identity(self.path)]

    def walk(self) -> Iterator[str]:
        """In the order of a walk through the folders."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                names = [member.filename for member in archive.infolist() if not member.is_dir()]
        except zipfile.BadZipFile as error:
            raise EpochbankError(f"{self.path} cannot be read as .zip: {error}. Fetch or write it again.") from error
        yield from sorted(names, key=_depth_first)


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


def _status(path: Path) -> os.stat_result:
    """Of the file; of the link where it leads nowhere, which is told when the picture is read."""
    return path.stat() if path.exists() else path.lstat()


def _text(name: str) -> str:
    """A name that is no UTF-8 with its odd bytes as `\\xe9`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _depth_first(path: str) -> list[tuple[int, str]]:
    """Sorts paths as a walk through folders meets them: in each, files by name, then folders by name."""
    *folders, file = path.split("/")
    return [*((1, folder) for folder in folders), (0, file)]


def _is_picture(path: str) -> bool:
    """True for what is a picture by its name, and not hidden."""
    parts = PurePosixPath(path)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts.parts)
    return not hidden and parts.suffix.lower() in _picture_suffixes()


def _sorted(names: list[str], numbers: array) -> tuple[np.ndarray, list[str]]:
    """`numbers` (indices into `names`) and `names`, renumbered so that the names are in order."""
    order = sorted(range(len(names)), key=names.__getitem__)
    place = np.empty(len(names), np.int32)
    place[order] = np.arange(len(names))
    return place[np.array(numbers, np.int32)], [names[number] for number in order]


@lru_cache(maxsize=1)
def _picture_suffixes() -> frozenset[str]:
    readable = Image.registered_extensions().items()
    return frozenset(suffix for suffix, kind in readable if kind in Image.OPEN)


def _below_common(folders: list[str]) -> list[str]:
    """Class names: the folders without the leading ones that all of them lie in."""
    levels = [folder.split("/") for folder in folders]
    most = min(map(len, levels)) - 1
    shared = next((n for n in range(most) if len({names[n] for names in levels}) > 1), most)
    return ["/".join(names[shared:]) for names in levels]

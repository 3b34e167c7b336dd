"""Lists the folders of a tree or of an archive, with the images in each and the files that are skipped."""

import os
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import EpochbankError
from ...shared.progress import Count
from ..archive import Archive
from ..names import ranks
from ..paths import is_hidden, join, skip_reason
from .annotations import is_annotations

_FILES_PER_UPDATE = 1024
"""Files of a folder between two updates of the progress."""


@dataclass
class Folder:
    """One folder of a tree or an archive."""

    path: bytes
    """Relative to the root, with '/' between folders and no trailing '/'; empty for the root."""
    images: list[bytes] = field(default_factory=list)
    """Sorted names of the image files, which are recognized by suffix."""
    offsets: list[int] = field(default_factory=list)
    """In an archive, the offset of each image's directory entry."""
    lists: dict[bytes, int] = field(default_factory=dict)
    """Names of the lists of classes, and in an archive the offset of each one's directory entry."""
    repeated: int = 0
    """Images of an archive that are skipped because a later one has the same name."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Number of skipped files, by reason."""
    error: str = ""
    """Why the folder cannot be listed; empty for a hidden folder."""
    is_leaf: bool = False
    """Whether the folder has no subfolder, and is neither hidden nor the root."""


def walk(root: Path, count: Count) -> Iterator[Folder]:
    """Yield the folders of a tree, depth first, sorted by name. Follows links, except those to a parent folder.

    Memory is about 60 bytes per file of the folder that is being listed.
    """
    start = os.fsencode(root)
    parents = {(status.st_dev, status.st_ino) for status in map(os.stat, [root, *root.resolve().parents])}
    stack = [(b"", False)]
    while stack:
        path, hidden = stack.pop()
        folder = Folder(path)
        files: list[bytes] = []
        folders: list[bytes] = []
        try:
            with os.scandir(join(start, path)) as entries:
                for entry in entries:
                    kind = folders if is_folder(entry) else files
                    if kind is folders and entry.is_symlink() and _links_to_parent(start, path, entry, parents):
                        continue
                    kind.append(entry.name)
                    if len(files) % _FILES_PER_UPDATE == 0:
                        count.show(len(files))
        except OSError as error:
            folder.error = "" if hidden else error.strerror or str(error)
            files, folders = [], []  # Discard an incomplete listing.
        folders.sort(reverse=True)
        stack += ((join(path, name), hidden or is_hidden(name)) for name in folders)
        if hidden:
            folder.skipped.update(["hidden"] * len(files))
        else:
            _classify(folder, files)
            folder.is_leaf = path != b"" and not folders
        count.advance(len(files))
        yield folder


def walk_archive(archive: Archive, count: Count) -> Iterator[Folder]:
    """Yield the folders of an archive, in the order of `walk`.

    Memory is 20 bytes per image, and the names of one folder. Raises `EpochbankError` if images are encrypted or
    use an unsupported compression method.
    """
    known: dict[str, int] = {}
    folders: dict[bytes, int] = {}
    hidden: list[bool] = []
    folder_of, offsets = array("i"), array("Q")
    skipped, problems = Counter[str](), Counter[str]()
    lists = defaultdict[int, dict[bytes, int]](dict)
    for offset, entry in archive.entries():
        count.advance(1)
        parent, _, name = entry.name.rpartition("/")
        if parent not in known:
            path = _below_root(parent)
            known[parent] = folders.setdefault(path, len(folders))
            hidden += [any(map(is_hidden, path.split(b"/")))] * (len(folders) - len(hidden))
        if not name:
            continue  # The entry is a folder.
        number = known[parent]
        reason = "hidden" if hidden[number] else skip_reason(_encoded(name))
        if reason:
            skipped[reason] += 1
            if reason != "hidden" and is_annotations(_encoded(name)):
                lists[number][_encoded(name)] = offset
        else:
            problems.update([entry.problem] if entry.problem else [])
            folder_of.append(number)
            offsets.append(offset)
    if problems:
        raise EpochbankError(
            f"{archive.path}: {problems.total():,} of {len(offsets):,} images in it are {' or '.join(problems)}; "
            "expected a .zip without a password, stored or deflated. Unpack it, and use the folder as SOURCE."
        )
    if not offsets:
        yield Folder(b"", skipped=skipped)
        return
    paths = sorted(folders, key=lambda path: path.split(b"/"))
    rank = ranks(paths, folders)[np.frombuffer(folder_of, np.intc)]
    order, ends = np.argsort(rank, kind="stable"), np.cumsum(np.bincount(rank, minlength=len(paths)))
    with open(archive.path, "rb") as file:
        for path, following, run in zip(paths, [*paths[1:], b""], np.split(order, ends[:-1]), strict=True):
            latest: dict[bytes, int] = {}  # If a name occurs twice, unpacking keeps the later file.
            for index in run.tolist():
                latest[_encoded(archive.entry(file.fileno(), offsets[index]).name.rpartition("/")[2])] = offsets[index]
            images = sorted(latest)
            yield Folder(
                path,
                images,
                [latest[name] for name in images],
                lists[folders[path]],
                repeated=len(run) - len(latest),
                skipped=skipped,
                is_leaf=path != b"" and not hidden[folders[path]] and not following.startswith(path + b"/"),
            )
            skipped = Counter()


def _below_root(folder: str) -> bytes:
    """Remove the components of a path that lead out of the archive, as unpacking programs do."""
    return _encoded("/".join(name for name in folder.split("/") if name not in ("", ".", "..")))


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _classify(folder: Folder, files: list[bytes]) -> None:
    for name in files:
        if is_annotations(name):
            folder.lists[name] = 0
        reason = skip_reason(name)
        if reason:
            folder.skipped[reason] += 1
        else:
            folder.images.append(name)
    folder.images.sort()


def is_folder(entry: os.DirEntry[Any]) -> bool:
    """Return whether an entry is a folder or a link to one. Broken links are reported when the image is read."""
    try:
        return entry.is_dir()
    except OSError:  # The link leads to itself, or into a folder without read permission.
        return False


def _links_to_parent(root: bytes, path: bytes, link: os.DirEntry[bytes], parents: set[tuple[int, int]]) -> bool:
    """Return whether a link in the folder `path` leads to that folder or to one of its parents."""
    status = link.stat()
    target = (status.st_dev, status.st_ino)
    while target not in parents and path:
        status = Path(os.fsdecode(join(root, path))).stat()
        if target == (status.st_dev, status.st_ino):
            return True
        path = path.rpartition(b"/")[0]
    return target in parents

"""A folder tree, or an archive of one, listed: folder by folder, with the pictures in it and what is left out."""

import os
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EpochbankError
from ..shared.progress import Count
from .archive import Archive
from .names import ranks
from .paths import is_hidden, left_out_as

_COUNTED = 1024
"""Files of a folder after which people may see that there are more."""


@dataclass
class Folder:
    """One folder of a tree, or of an archive."""

    path: bytes
    """Below the root, with '/', not at its end; empty for the root itself."""
    pictures: list[bytes] = field(default_factory=list)
    """Names of the files that are pictures by their names, in order."""
    places: list[int] = field(default_factory=list)
    """Of an archive, the byte of it at which each picture's entry in its directory begins."""
    repeated: int = 0
    """Pictures of an archive left out because one of the same name follows."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Files left out, by what they are left out as."""
    fault: str = ""
    """Why it cannot be listed, unless it is hidden."""
    is_leaf: bool = False
    """Whether it is neither hidden nor the root, and no folder lies in it."""


def walk(root: Path, count: Count) -> Iterator[Folder]:
    """The folders of a tree, depth first, in the order of their names. Links are followed, but not back up.

    A folder's names are held in memory while it is listed: some 60 bytes a file.
    """
    start = os.fsencode(root)
    above = {(status.st_dev, status.st_ino) for status in map(os.stat, [root, *root.resolve().parents])}
    waiting = [(b"", False)]
    while waiting:
        path, hidden = waiting.pop()
        folder = Folder(path)
        files: list[bytes] = []
        folders: list[bytes] = []
        try:
            with os.scandir(_join(start, path)) as found:
                for entry in found:
                    into = folders if is_folder(entry) else files
                    if into is folders and entry.is_symlink() and _leads_back(start, path, entry, above):
                        continue
                    into.append(entry.name)
                    if len(files) % _COUNTED == 0:
                        count.show(len(files))
        except OSError as error:
            folder.fault = "" if hidden else error.strerror or str(error)
            files, folders = [], []  # Half a folder is none.
        folders.sort(reverse=True)
        waiting += ((_join(path, name), hidden or is_hidden(name)) for name in folders)
        if hidden:
            folder.left_out.update(["hidden"] * len(files))
        else:
            _sort_out(folder, files)
            folder.is_leaf = path != b"" and not folders
        count.advance(len(files))
        yield folder


def walk_archive(archive: Archive, count: Count) -> Iterator[Folder]:
    """The folders of an archive, in the order of `walk`. Memory: 20 bytes a picture, and the names of one folder.

    Raises `EpochbankError` where pictures cannot be read because they are encrypted, or compressed in an unusual way.
    """
    known: dict[str, int] = {}
    folders: dict[bytes, int] = {}
    hidden: list[bool] = []
    folder_of, places = array("i"), array("Q")
    left_out, faults = Counter[str](), Counter[str]()
    for place, entry in archive.entries():
        count.advance(1)
        above, _, name = entry.name.rpartition("/")
        if above not in known:
            path = _below_root(above)
            known[above] = folders.setdefault(path, len(folders))
            hidden += [any(map(is_hidden, path.split(b"/")))] * (len(folders) - len(hidden))
        if not name:
            continue  # the entry of a folder itself
        number = known[above]
        reason = "hidden" if hidden[number] else left_out_as(_encoded(name))
        if reason:
            left_out[reason] += 1
        else:
            faults.update([entry.fault] if entry.fault else [])
            folder_of.append(number)
            places.append(place)
    if faults:
        raise EpochbankError(
            f"{archive.path}: {faults.total():,} of {len(places):,} pictures in it are {' or '.join(faults)}; expected "
            "a .zip without a password, stored or deflated. Unpack it, and give the folder."
        )
    if not places:
        yield Folder(b"", left_out=left_out)
        return
    paths = sorted(folders, key=lambda path: path.split(b"/"))
    place_of = ranks(paths, folders)[np.frombuffer(folder_of, np.intc)]
    order, ends = np.argsort(place_of, kind="stable"), np.cumsum(np.bincount(place_of, minlength=len(paths)))
    with open(archive.path, "rb") as file:
        for path, following, run in zip(paths, [*paths[1:], b""], np.split(order, ends[:-1]), strict=True):
            latest: dict[bytes, int] = {}  # Of two files of one name, unpacking leaves the later one.
            for index in run.tolist():
                latest[_encoded(archive.entry(file.fileno(), places[index]).name.rpartition("/")[2])] = places[index]
            pictures = sorted(latest)
            yield Folder(
                path,
                pictures,
                [latest[name] for name in pictures],
                repeated=len(run) - len(latest),
                left_out=left_out,
                is_leaf=path != b"" and not hidden[folders[path]] and not following.startswith(path + b"/"),
            )
            left_out = Counter()


def _below_root(folder: str) -> bytes:
    """The path of a folder: without what would lead out of the archive, as programs do that unpack archives."""
    return _encoded("/".join(name for name in folder.split("/") if name not in ("", ".", "..")))


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _sort_out(folder: Folder, files: list[bytes]) -> None:
    for name in files:
        reason = left_out_as(name)
        if reason:
            folder.left_out[reason] += 1
        else:
            folder.pictures.append(name)
    folder.pictures.sort()


def _join(path: bytes, name: bytes) -> bytes:
    return path + b"/" + name if path and name else path or name


def is_folder(entry: os.DirEntry[Any]) -> bool:
    """Whether it is a folder, or a link to one; a link that leads nowhere is told when the picture is read."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into a folder that may not be read
        return False


def _leads_back(root: bytes, path: bytes, link: os.DirEntry[bytes], above: set[tuple[int, int]]) -> bool:
    """Whether a link in the folder `path` leads to that folder or one that it lies in: then it is walked already."""
    status = link.stat()
    target = (status.st_dev, status.st_ino)
    while target not in above and path:
        status = Path(os.fsdecode(_join(root, path))).stat()
        if target == (status.st_dev, status.st_ino):
            return True
        path = path.rpartition(b"/")[0]
    return target in above

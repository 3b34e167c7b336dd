"""Places of IDX files: in a folder, in folders of their own names, in `MNIST/raw/`, and in EMNIST's `gzip.zip`."""

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, NamedTuple, cast

from ...errors import EpochbankError
from ..archive import check_member
from ..paths import is_hidden, skip_reason
from ..peek import first_files
from .names import is_idx_name

_MEMBERS = "gzip.zip"
"""Name of the archive in which NIST distributes EMNIST."""

UNREADABLE = (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError)
"""Exceptions for damaged, encrypted and unsupported files, in addition to `OSError`."""


class Place(NamedTuple):
    """A file on disk, or a member of a .zip archive."""

    path: Path
    member: str = ""
    is_nested: bool = False
    """Whether it is in a folder of its own name, into which some programs unpack."""

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.member.rpartition("/")[2] or self.path.name

    def __str__(self) -> str:
        return f"{self.path}/{self.member}" if self.member else str(self.path)

    @contextmanager
    def open(self) -> Iterator[tuple[IO[bytes], bool]]:
        """Open the file, and say whether it is compressed or in an archive. Its name does not decide.

        Browsers decompress .gz files and keep the name. Raises `UNREADABLE` for files that are damaged.
        """
        with ExitStack() as stack:
            if self.member:
                archive = stack.enter_context(zipfile.ZipFile(self.path))
                member = archive.getinfo(self.member)
                check_member(member)
                file = stack.enter_context(archive.open(member))
            else:
                file = stack.enter_context(self.path.open("rb"))
            is_gzip = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if is_gzip:
                file = stack.enter_context(cast(IO[bytes], gzip.GzipFile(fileobj=file)))
            yield file, is_gzip or self.member != ""


class Container(NamedTuple):
    """A folder or an archive with IDX files."""

    path: Path
    places: list[Place]
    """Its files, sorted by name."""


def find_container(path: Path) -> Container:
    """Return the folder or the archive that `path` is, holds, or is in. A missing path is a prefix of names.

    Raises `EpochbankError` if there are several below a folder.
    """
    if path.is_file() and path.suffix.lower() != ".zip":
        return _folder(path.parent)
    if not path.exists():
        path = path.parent
    if path.is_file():
        return _archive(path)
    here = _folder(path)
    if any(is_idx_name(place.name) for place in here.places):
        return here
    below = _containers_below(path)
    if len(below) > 1:
        listed = ", ".join(f"idx:{place}" for place in below)
        raise EpochbankError(
            f"{path} holds IDX files in several places; expected one of {listed}.",
            usage=True,
        )
    return here if not below else _archive(below[0]) if below[0].is_file() else _folder(below[0])


def holds_idx(path: Path) -> bool:
    """Return whether a path is an IDX file, a folder or an archive of such files, or a folder that leads to one.

    Folders and archives that also contain image files do not count. Raises `EpochbankError` for EMNIST in MATLAB's
    format.
    """
    if path.is_file() and path.suffix.lower() != ".zip":
        return is_idx_name(path.name)
    paths = first_files(path)
    names = [name.rpartition("/")[2] for name in paths]
    if any(name.lower().startswith("emnist-") and name.lower().endswith(".mat") for name in names):
        _refuse_matlab(path)
    if path.is_dir() and any(map(is_idx_name, paths)):
        return True
    if any(not skip_reason(name.encode("utf-8", "surrogateescape")) for name in names):
        return False
    return any(map(is_idx_name, names)) or (path.is_dir() and bool(_containers_below(path)))


def _folder(path: Path) -> Container:
    places = []
    for entry in sorted(path.iterdir()):
        if entry.is_file():
            places.append(Place(entry))
        elif is_idx_name(entry.name) and (entry / entry.name).is_file():
            places.append(Place(entry / entry.name, is_nested=True))
    return Container(path, places)


def _archive(path: Path) -> Container:
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(name for name in archive.namelist() if not name.endswith("/"))
    except (*UNREADABLE, OSError, ValueError) as error:
        raise EpochbankError(f"{path} cannot be read as .zip: {error}. Download it again.") from error
    return Container(path, [Place(path, name) for name in names if not any(map(_is_hidden, name.split("/")))])


def _is_hidden(name: str) -> bool:
    return is_hidden(name.encode("utf-8", "surrogateescape"))


def _containers_below(path: Path) -> list[Path]:
    """Return the folders below `path` that hold IDX files, and the archives that hold them packed."""
    folders: dict[Path, None] = {}
    archives = []
    for name in first_files(path):
        folder, _, file = name.rpartition("/")
        if is_idx_name(file):
            is_nested = folder.rpartition("/")[2] == file
            folders[path / (folder.rpartition("/")[0] if is_nested else folder)] = None
        elif file.lower() == _MEMBERS and any(is_idx_name(one.rpartition("/")[2]) for one in first_files(path / name)):
            archives.append(path / name)
    return sorted(folders) or sorted(archives)


def _refuse_matlab(path: Path) -> None:
    raise EpochbankError(
        f"{path} holds EMNIST in MATLAB's format; expected its IDX files. Download {_MEMBERS} from the same page, and "
        "use that file as SOURCE."
    )

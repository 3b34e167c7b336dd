"""WebDataset: tar files with three members for each image, `.png`, `.cls` and `.json`.

The same images always give the same bytes: members have no times and no owners.
"""

import json
import tarfile
from collections.abc import Iterable
from typing import BinaryIO

from .samples import Sample

OVERHEAD = 3072
"""Bytes of a sample beside its PNG: three headers, the small members, and padding to blocks of 512 bytes."""


def file_name(split: str, number: int, count: int) -> str:
    """Return the path of file `number` of the `count` files of a split, relative to the export."""
    return f"{split}-{number:06d}.tar"


def write(file: BinaryIO, samples: Iterable[Sample]) -> None:
    """Write samples to a new file. Memory: one sample."""
    for one in samples:
        about: dict[str, str | int] = {"label": one.label, "class": one.name}
        if one.group is not None:
            about["group"] = one.group
        about |= {"row": one.row, "epoch": one.epoch, "position": one.position}
        _add(file, f"{one.number:09d}.png", one.png)
        _add(file, f"{one.number:09d}.cls", str(one.label).encode())
        _add(file, f"{one.number:09d}.json", json.dumps(about, ensure_ascii=False).encode())
    # The end of an archive is two blocks of zeros, and files are multiples of a record.
    end = file.tell() + 2 * tarfile.BLOCKSIZE
    file.write(bytes(2 * tarfile.BLOCKSIZE + -end % tarfile.RECORDSIZE))


def _add(file: BinaryIO, name: str, data: bytes) -> None:
    """Append a member. `tarfile.TarFile` would keep an object of each one in memory."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    file.write(member.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % tarfile.BLOCKSIZE))

"""Virtual datasets: one small HDF5 file for each published epoch and split, which shows its shards as one dataset.

`epoch-0003.h5` has `image` uint8 (n, H, W, C), `label` int32 (n,) and `row` int64 (n,), which HDF5 reads from the
shards; `train.h5`, `validation.h5` and `test.h5` are those of the undistorted splits. They are for other programs:
epochbank never reads images through them, and the manifest does not list them. They can be removed at any time, and
everything that writes to a set makes those that it lacks.

The first 512 bytes are a user block, which HDF5 ignores. It has the digest of what the file shows (`_contents`) and the
checksum of the rest, so that a file is compared with the manifest without the HDF5 library.
"""

import io
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import xxhash
from h5py import h5d, h5f, h5fd, h5p, h5s, h5t

from ..shared.types import SPLITS
from .description import Description
from .manifest import Entry, covers, shard_folder
from .set_files import special

_NAME = re.compile("(epoch-[0-9]{4,}|" + "|".join(SPLITS) + ")[.]h5")
_USER_BLOCK = 512
_HEAD = re.compile(rb"epochbank virtual dataset 1\nshows ([0-9a-f]{32})\nchecksum ([0-9a-f]{32})\n\0*")
_MISSING = "is missing"
_REMADE = "It is made from the shards: `augment repair` makes it again."
_DATASETS = (
    ("image", h5t.STD_U8LE, np.uint8(0), "images, (position, height, width, channel), ink bright on black"),
    ("label", h5t.STD_I32LE, np.int32(-1), "class index of each image; -1 if the shard is missing"),
    ("row", h5t.STD_I64LE, np.int64(-1), "row of each image in the source file; -1 if the shard is missing"),
)
"""Name, type, fill value and description of each dataset. HDF5 shows fill values where it cannot open a shard."""


def virtual_name(split: str, epoch: int) -> str:
    """Return the file name of the virtual dataset of a split or stored epoch."""
    return f"{shard_folder(split, epoch)}.h5"


def virtual_files(directory: Path) -> list[str]:
    """Return the file names of the virtual datasets in the set's `directory`, sorted."""
    with suppress(FileNotFoundError), os.scandir(directory) as found:
        return sorted(one.name for one in found if _NAME.fullmatch(one.name) and not one.is_dir(follow_symlinks=False))
    return []


def published_shards(description: Description, entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Return the shards of each published epoch and complete split, by the name of its virtual dataset."""
    shards: dict[tuple[str, int], list[Entry]] = {}
    for entry in entries:
        shards.setdefault((entry.split, entry.epoch), []).append(entry)
    return {
        virtual_name(split, epoch): sorted(found, key=lambda entry: entry.start)
        for (split, epoch), found in sorted(shards.items())
        if covers(found, description.num_images["train" if split == "epoch" else split])
    }


def epoch_of(name: str) -> int | None:
    """Return the number of the stored epoch that a virtual dataset shows; None for an undistorted split."""
    return int(name.removeprefix("epoch-").removesuffix(".h5")) if name.startswith("epoch-") else None


def stale_virtual(directory: Path, description: Description, entries: Iterable[Entry]) -> list[str]:
    """Return the virtual datasets in `directory` whose epoch or split is not published, or not any more."""
    return sorted(set(virtual_files(directory)) - published_shards(description, entries).keys())


def lacks_virtual(directory: Path, description: Description, entries: Iterable[Entry]) -> bool:
    """Return whether a published epoch or split of the set in `directory` has no virtual dataset."""
    return not published_shards(description, entries).keys() <= set(virtual_files(directory))


def virtual_bytes(description: Description, shards: list[Entry]) -> bytes:
    """Return the file that shows `shards`, all those of a split or epoch in order; 260 bytes for each of them."""
    buffer = io.BytesIO()
    creation, access = h5p.create(h5p.FILE_CREATE), h5p.create(h5p.FILE_ACCESS)
    creation.set_userblock(_USER_BLOCK)
    creation.set_obj_track_times(False)
    access.set_libver_bounds(h5f.LIBVER_V110, h5f.LIBVER_V110)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    access.set_fileobj_driver(h5fd.fileobj_driver, buffer)
    with h5py.File(h5f.create(b"virtual dataset", h5f.ACC_TRUNC, creation, access)) as file:
        split, epoch = shards[0].split, shards[0].epoch
        what = f"stored epoch {epoch}, distorted" if split == "epoch" else f"{split} split, undistorted"
        file.attrs["about"] = f"epochbank virtual dataset: the {what}; its shards are in {shard_folder(split, epoch)}/"
        file.attrs["fingerprint"] = description.fingerprint
        file.attrs["part"], file.attrs["epoch"] = split, epoch
        for name, kind, fill, contents in _DATASETS:
            _add_dataset(file, name, kind, fill, description.shape if name == "image" else (), shards)
            file[name].attrs["contents"] = contents
        file.attrs.create("class_names", list(map(_text, description.class_names)), dtype=h5py.string_dtype())
    rest = memoryview(buffer.getbuffer())[_USER_BLOCK:]
    head = _head(_contents(description, shards), xxhash.xxh3_128_hexdigest(rest))
    return b"".join((head, rest))


def _text(name: str) -> str:
    """Return `name` as HDF5 can store it: in UTF-8 and without zeros."""
    return name.encode("utf-8", "backslashreplace").decode().replace("\0", "?")


def _add_dataset(
    file: h5py.File, name: str, kind: h5t.TypeID, fill: np.generic, tail: tuple[int, ...], shards: list[Entry]
) -> None:
    """Add a virtual dataset of the elements `name` of `shards`, each of shape `tail`.

    The calls of the HDF5 library itself take less than half the time of h5py's `VirtualLayout`.
    """
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_obj_track_times(False)
    properties.set_fill_value(np.array(fill))
    space, once, origin = h5s.create_simple((shards[-1].stop, *tail)), (1,) * (1 + len(tail)), (0,) * len(tail)
    for shard in shards:
        space.select_hyperslab((shard.start, *origin), once, None, (shard.num_images, *tail))
        source = h5s.create_simple((shard.num_images, *tail))
        # HDF5 looks for a relative path in the directory of the virtual file, so the set can be moved.
        properties.set_virtual(space, shard.file.encode(), name.encode(), source)
    space.select_all()
    h5d.create(file.id, name.encode(), kind, space, properties)


def virtual_faults(
    directory: Path, description: Description, entries: Iterable[Entry], first: int, names: Iterable[str]
) -> Iterator[str]:
    """Yield a sentence for each virtual dataset that is damaged or does not show what the manifest lists.

    Parameters
    ----------
    directory
        Directory of the set.
    description, entries
        The set and its published shards.
    first
        Number of its first epoch; files of retired epochs may be left.
    names
        What `virtual_files` returned before the manifest was read: a run may publish in the meantime.
    """
    shards = published_shards(description, entries)
    for name in names:
        epoch = epoch_of(name)
        if name not in shards:
            if epoch is None or epoch >= first:
                yield (
                    f"{directory / name} is a virtual dataset of an epoch or split that is not published. "
                    "`augment repair` removes it."
                )
            continue
        fault = fault_of_virtual(directory, name, description, shards[name], thorough=True)
        if fault and fault != _MISSING:  # It may have been removed since.
            yield f"{directory / name}, a virtual dataset, {fault}. {_REMADE}"


def fault_of_virtual(directory: Path, name: str, description: Description, shards: list[Entry], thorough: bool) -> str:
    """Return what is wrong with a virtual dataset of `shards`; '' if nothing is. `thorough` reads all of it."""
    path = directory / name
    try:
        odd = special(path, directory)
        if odd:
            return f"is {odd}"
        with open(path, "rb") as file:
            head = _HEAD.fullmatch(file.read(_USER_BLOCK))
            if head is None:
                return "is damaged: its first 512 bytes are not those that epochbank writes"
            if head[1].decode() != _contents(description, shards):
                return "shows other shards than the manifest lists"
            if thorough and head[2].decode() != _checksum(file):
                return "is damaged: its checksum is wrong"
    except FileNotFoundError:
        return _MISSING
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return ""


def _contents(description: Description, shards: list[Entry]) -> str:
    """Return the XXH3-128 (hexadecimal) of what a virtual dataset shows: set, shapes, and place of each shard."""
    places = [(shard.file, shard.start, shard.num_images) for shard in shards]
    document = [description.fingerprint, description.shape, description.class_names, places]
    return xxhash.xxh3_128_hexdigest(json.dumps(document, separators=(",", ":")).encode())


def _head(contents: str, checksum: str) -> bytes:
    return f"epochbank virtual dataset 1\nshows {contents}\nchecksum {checksum}\n".encode().ljust(_USER_BLOCK, b"\0")


def _checksum(file: io.BufferedReader) -> str:
    state = xxhash.xxh3_128()
    while block := file.read(1 << 20):
        state.update(block)
    return state.hexdigest()

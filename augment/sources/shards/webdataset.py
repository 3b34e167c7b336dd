"""Sources in WebDataset's format: `.tar` files in which `0001.png`, `0001.cls` and `0001.json` are a sample.

A sample consists of consecutive members whose paths agree up to the first dot of the file name. Its label is in `.cls`,
or in `.json`, which may also have the name of the class and the group.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ...errors import EpochbankError
from ...shared.progress import Count
from ..base import Scan, SourceOptions, file_identity
from ..exported import about_files, as_exported
from ..lists.fields import Faults
from ..names import GROUP, LABEL, find_column, find_key, first_names
from ..paths import is_hidden, join, printable, skip_reason
from ..peek import first_files
from .files import shard_files, split_of, without_gzip
from .reader import span_writer
from .samples import CLASS_TEXT, Samples, name_files
from .tar import Member, members

_SHARD = re.compile(r".+\.(tar|tgz|tar\.gz)", re.IGNORECASE)
_LABELS = ("cls", "cls.txt", "label", "label.txt", "class")
"""Extensions of members with a label: the preferred extension first."""
_JSON = "json"
_MAX_TEXT = 1 << 20
"""Largest member with a label or with JSON, in bytes."""
_MAX_MEMBERS = 1000
"""Most members of a sample."""


def is_webdataset(name: str) -> bool:
    """Return whether a file has the name of a shard."""
    return _SHARD.fullmatch(name) is not None


def holds_webdataset(folder: Path) -> bool:
    """Return whether a folder, or a folder in it, has shards and no images."""
    names = [name.rpartition("/")[2] for name in first_files(folder)]
    return any(map(is_webdataset, names)) and not any(not skip_reason(name.encode(errors="replace")) for name in names)


@dataclass
class _Sample:
    """The members of one sample, by extension: what follows the first dot of their file names."""

    key: bytes
    members: dict[str, Member] = field(default_factory=dict)
    repeated: str = ""
    """An extension that occurs twice."""


class WebDatasetSource:
    """A `.tar` file, also compressed with gzip, or a folder of them."""

    def __init__(self, path: Path, name: str, options: SourceOptions):
        self.path, self.name, self.options = path, name, options

    def identity(self) -> Any:
        """Return path, size and modification time of each shard, and of the file of class names."""
        return ["webdataset", *map(file_identity, [*self._files(), *name_files(self.path), *about_files(self.path)])]

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """Read the headers of all members, and the labels. Compressed shards are unpacked into `workspace`.

        Raises `EpochbankError` for damaged shards, and lists the samples that cannot be used.
        """
        shards = self._files()
        files = [without_gzip(path, workspace, number) for number, path in enumerate(shards)]
        found, faults, skipped = Samples(self.path, self.options), Faults(self.path), _Skipped()
        root = self.path if self.path.is_dir() else self.path.parent
        with span_writer(workspace, files) as writer, Count(f"list {self.path.name}", "samples") as count:
            for number, (shard, path) in enumerate(zip(shards, files, strict=True)):
                name = os.fsencode(shard.relative_to(root))
                with open(path, "rb") as file:
                    for sample in _samples(file, shard, path.stat().st_size, skipped):
                        count.advance(1)
                        try:
                            image = self._image(sample)
                            if image is None:
                                skipped.without_image += 1
                                continue
                            found.add(*self._about(file, sample))
                        except ValueError as error:
                            faults.add(f"{printable(join(name, sample.key))} {error}")
                            continue
                        writer.add(number, image.offset, image.size, join(name, image.name))
                found.end_of_file(split_of(shard, self.path))
        faults.refuse("samples cannot be used", "Fix them, or choose members and keys with --images-key, --labels-key.")
        if not found:
            raise EpochbankError(
                f"{self.path} has no samples with an image and a label; expected members such as 0001.png and "
                "0001.cls. If it is an archive of folders of images, unpack it, and use the folder as SOURCE."
            )
        return as_exported(found.scan(writer.reader, skipped.notes(), []), self.path)

    def _files(self) -> list[Path]:
        return shard_files(self.path, is_webdataset, ".tar files")

    def _image(self, sample: _Sample) -> Member | None:
        """Return the image; None for a sample without one. Raises `ValueError` if there are several."""
        if sample.repeated:
            raise ValueError(f"has the member .{sample.repeated} twice; expected each once")
        if self.options.images_key is not None:
            return sample.members.get(self.options.images_key.removeprefix("."))
        images = [name for name in sample.members if not skip_reason(b"x." + name.encode(errors="replace"))]
        if len(images) > 1:
            raise ValueError(f"has the images {first_names(images)}; expected one. Choose with --images-key")
        return sample.members[images[0]] if images else None

    def _about(self, file: BinaryIO, sample: _Sample) -> tuple[Any, str | None, Any]:
        """Return label, name of the class and group of a sample. Raises `ValueError` if it has no label."""
        about = _json(file, sample.members[_JSON]) if _JSON in sample.members else {}
        keys = list(about)
        text = next((about[key] for key in CLASS_TEXT if isinstance(about.get(key), str)), None)
        place = find_column(keys, GROUP)
        return self._label(file, sample, about), text, None if place is None else about[keys[place]]

    def _label(self, file: BinaryIO, sample: _Sample, about: dict[str, Any]) -> Any:
        keys, key = list(about), self.options.labels_key
        names = _LABELS if key is None else (key.removeprefix("."),)
        member = next((sample.members[name] for name in names if name in sample.members), None)
        if member is not None:
            return _text(file, member).strip()
        place = find_column(keys, LABEL, option="--labels-key") if key is None else find_key(keys, key)
        if place is None:
            have = first_names([*(f".{name}" for name in sample.members), *keys])
            expected = ".cls, or a key `label` in .json" if key is None else f"{key!r} for --labels-key"
            raise ValueError(f"has no label: it has {have}; expected {expected}")
        return about[keys[place]]


class _Skipped:
    """Counts what is not used."""

    def __init__(self) -> None:
        self.others = self.hidden = self.without_image = 0

    def notes(self) -> list[str]:
        """Return a sentence on each kind."""
        listed = (
            (self.others, "member that is a link or device is", "members that are links or devices are"),
            (self.hidden, "hidden member is", "hidden members are"),
            (self.without_image, "sample without an image is", "samples without an image are"),
        )
        return [f"{count:,} {one if count == 1 else several} left out" for count, one, several in listed if count]


def _samples(file: BinaryIO, shard: Path, end: int, skipped: _Skipped) -> Iterator[_Sample]:
    """Yield the samples of a shard. Raises `EpochbankError` for a damaged one."""
    sample: _Sample | None = None
    try:
        for member in members(file, end):
            if member.kind == "other":
                skipped.others += 1
            name = member.name.removeprefix(b"./")
            if member.kind != "file":
                continue
            if any(is_hidden(part) for part in name.split(b"/") if part not in (b".", b"..")):
                skipped.hidden += 1
                continue
            folder, _, base = name.rpartition(b"/")
            stem, _, extension = base.partition(b".")
            key = join(folder, stem)
            if sample is None or sample.key != key:
                if sample is not None:
                    yield sample
                sample = _Sample(key)
            kind = printable(extension).lower()
            sample.repeated = kind if kind in sample.members else sample.repeated
            sample.members[kind] = member._replace(name=name)
            if len(sample.members) > _MAX_MEMBERS:
                raise ValueError(
                    f"the sample {printable(key)} has more than {_MAX_MEMBERS:,} members; expected a few, such as "
                    ".png and .cls"
                )
    except ValueError as error:
        raise EpochbankError(f"{shard} cannot be read as .tar: {error}. Download or create it again.") from error
    if sample is not None:
        yield sample


def _text(file: BinaryIO, member: Member) -> str:
    if member.size > _MAX_TEXT:
        raise ValueError(f"has {printable(member.name)} of {member.size:,} bytes; expected at most {_MAX_TEXT:,}")
    file.seek(member.offset)
    return file.read(member.size).decode("utf-8-sig")


def _json(file: BinaryIO, member: Member) -> dict[str, Any]:
    text = _text(file, member)
    try:
        about = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"has .json that cannot be read: {error}") from error
    if not isinstance(about, dict):
        raise ValueError(f"has .json of {type(about).__name__}; expected an object")
    return about

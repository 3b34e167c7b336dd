"""Sources in TFRecord files of `tf.train.Example`, with features named as in TensorFlow Datasets and Models."""

import os
import re
from pathlib import Path
from typing import Any

from ...errors import EpochbankError
from ...shared.progress import Count
from ...shared.tfrecord import DamagedData, Values, decode_example, read_record, record_size
from ..archive import MAX_FILE_SIZE
from ..base import Scan, SourceOptions, file_identity
from ..exported import about_files, as_exported
from ..lists.fields import Faults
from ..names import GROUP, LABEL, find_column, find_key, first_names
from ..paths import skip_reason
from ..peek import first_files
from .files import shard_files, split_of, without_gzip
from .reader import span_writer
from .samples import CLASS_TEXT, Samples, name_files

_IMAGES = (
    "image/encoded", "image", "image_raw", "img", "image_bytes", "encoded", "picture", "jpeg", "jpg", "png", "bytes",
    "data",
)  # fmt: skip
_LABELS = ("image/class/label", "label", "image/label", "class/label")
_TEXTS = ("image/class/text", "class/text", *CLASS_TEXT)
"""Names of features: the preferred name first."""

_NUMBERED = r"-\d+-of-\d+"
_SHARD = re.compile(rf".+\.(tfrecords?|tfrec)({_NUMBERED})?(\.gz)?({_NUMBERED})?", re.IGNORECASE)
_ANY_SHARD = re.compile(rf"{_SHARD.pattern}|.+{_NUMBERED}", re.IGNORECASE)
"""Names of shards, also `train-00000-of-01024`, as TensorFlow's models write them."""


def is_tfrecord(name: str) -> bool:
    """Return whether a file has the name of a TFRecord file."""
    return _SHARD.fullmatch(name) is not None


def holds_tfrecord(folder: Path) -> bool:
    """Return whether a folder, or a folder in it, has TFRecord files and no images."""
    names = [name.rpartition("/")[2] for name in first_files(folder)]
    return any(map(is_tfrecord, names)) and not any(not skip_reason(name.encode(errors="replace")) for name in names)


class TFRecordSource:
    """A TFRecord file, also compressed with gzip, or a folder of them."""

    def __init__(self, path: Path, name: str, options: SourceOptions):
        self.path, self.name, self.options = path, name, options

    def identity(self) -> Any:
        """Return path, size and modification time of each shard, and of the file of class names."""
        return ["tfrecord", *map(file_identity, [*self._files(), *name_files(self.path), *about_files(self.path)])]

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """Read all records, and check them. Compressed files are unpacked into `workspace`.

        Raises `EpochbankError` for damaged files, and lists the records that cannot be used.
        """
        shards = self._files()
        files = [without_gzip(path, workspace, number) for number, path in enumerate(shards)]
        found, faults, bad = Samples(self.path, self.options), Faults(self.path), list[tuple[str, str]]()
        root = self.path if self.path.is_dir() else self.path.parent
        with span_writer(workspace, files) as writer, Count(f"read {self.path.name}", "records") as count:
            for number, (shard, path) in enumerate(zip(shards, files, strict=True)):
                name = str(shard.relative_to(root))
                end, offset, record = path.stat().st_size, 0, 0
                with open(path, "rb") as file:
                    while offset < end:
                        origin = f"{name}[{record}]"
                        try:
                            data = read_record(file, offset, end, max_size=MAX_FILE_SIZE)
                        except DamagedData as error:
                            bad.append((origin, f"is damaged: {error}"))
                            record, offset = record + 1, error.end
                            continue
                        except ValueError as error:
                            raise EpochbankError(
                                f"{shard} cannot be read as TFRecord: {error}. Download or create it again."
                            ) from error
                        try:
                            image = self._add(decode_example(data), found)
                            # The same bytes anywhere in the record are the same image.
                            place = offset + 12 + data.index(image)
                            writer.add(number, place, len(image), os.fsencode(origin))
                        except ValueError as error:
                            faults.add(f"{origin} {error}")
                        count.advance(1)
                        record, offset = record + 1, offset + record_size(len(data))
                found.end_of_file(split_of(shard, self.path))
        faults.refuse("records cannot be used", "Fix them, or choose features with --images-key and --labels-key.")
        if not found:
            raise EpochbankError(f"{self.path} has no records; expected a tf.train.Example for each image.")
        return as_exported(found.scan(writer.reader, [], bad), self.path)

    def _files(self) -> list[Path]:
        is_shard = is_tfrecord
        if self.path.is_dir() and not holds_tfrecord(self.path):
            is_shard = lambda name: _ANY_SHARD.fullmatch(name) is not None  # noqa: E731
        return shard_files(self.path, is_shard, "TFRecord files")

    def _add(self, features: dict[str, Values], found: Samples) -> bytes:
        """Add what a record says about its image; return the encoded image. Raises `ValueError` without a label."""
        names = list(features)
        image = _named(names, _IMAGES, self.options.images_key, _IMAGES, "--images-key")
        label = _named(names, _LABELS, self.options.labels_key, LABEL, "--labels-key")
        if image is None or label is None:
            raise ValueError(
                f"has the features {first_names(names)}; expected {_IMAGES[0]} or {_IMAGES[1]}, and {_LABELS[0]} or "
                f"{_LABELS[1]}"
            )
        encoded = _only(image, features[image])
        if not isinstance(encoded, bytes) or not encoded:
            raise ValueError(
                f"has {'an empty' if encoded == b'' else 'numbers in the'} feature {image!r}; expected "
                "the bytes of an image file"
            )
        text = next((name for name in _TEXTS if name in features and name != label), None)
        place = find_column(names, GROUP)
        group = None if place is None or not features[names[place]] else _text(names[place], features[names[place]])
        found.add(_text(label, features[label]), None if text is None else _first_text(features[text]), group)
        return encoded


def _named(names: list[str], known: tuple[str, ...], key: str | None, more: tuple[str, ...], option: str) -> str | None:
    """Return the feature that `key` names; else the first of `known`, or one of `more`; None if there is none."""
    if key is not None:
        place = find_key(names, key)
    else:
        first = next((name for name in known if name in names), None)
        place = find_column(names, more, option=option) if first is None else names.index(first)
    return None if place is None else names[place]


def _only(name: str, values: Values) -> Any:
    """Return the only value of a feature. Raises `ValueError` if there are several, or none."""
    if len(values) != 1:
        raise ValueError(f"has {len(values)} values in the feature {name!r}; expected one")
    return values[0]


def _text(name: str, values: Values) -> Any:
    """Return the only value of a feature, bytes as text. Raises `ValueError` if they are not UTF-8."""
    value = _only(name, values)
    return value.decode() if isinstance(value, bytes) else value


def _first_text(values: Values) -> str | None:
    value = values[0] if len(values) == 1 else None
    return value.decode(errors="replace") if isinstance(value, bytes) else None

"""`set.json`: what a set is. It is written once, when the set is created, and never changed."""

import hashlib
import json
import math
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import EpochbankError
from ..shared.atomic import write_text
from ..shared.renamed import rename_keys
from ..shared.types import SPLITS
from .set_files import check_directory

FORMAT = 1
"""Format version of a set. It is part of the fingerprint; readers refuse a newer version."""

LARGEST_CHUNK = 1 << 30
"""Most decoded bytes of a chunk, and so of an image."""

_FIX = (
    "Restore it from a copy, or remove it and run the same `augment run` again, which writes it again; `augment "
    "repair` cannot, because the file says what the set is."
)

_STORED_NAMES = {"num_images": "images"}
"""Fields of `Description` that format 1 stores under another key."""


@dataclass(frozen=True)
class Description:
    """What a set is. Which shards it has so far is in the manifest."""

    fingerprint: str
    """SHA-256 of `identity`, hexadecimal. It covers everything that changes a pixel, and nothing else."""
    identity: dict[str, Any]
    """`format`, `source` (digest), `split`, `recipe` (settings), `seed`, `shape`, and `per_class` if epochs are
    balanced."""
    source: dict[str, Any]
    """`name`, `spec` (the SOURCE argument), `notes` of the import, `preprocessing` (the fields of
    `ingest.preprocess.Preprocessing`; absent in older sets), and `path` of the source file, which is relative to the
    set's directory if the file is in `sets/sources/`, so that both can be moved together."""
    recipe: str
    """Name of the recipe."""
    class_names: list[str]
    num_images: dict[str, int]
    """Number of images in each split, by name. For the training split it is the number of images in an epoch, which
    differs from the rows of `split.h5` if epochs are balanced."""
    split_checksum: str
    """XXH3-128 of `split.h5`, hexadecimal."""
    warnings: list[str] = field(default_factory=list)
    """Warnings about the split, one sentence each."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (H, W, C) of an image."""
        height, width, channels = self.identity["shape"]
        return height, width, channels

    def source_path(self, directory: Path) -> Path:
        """Return the path of the source file of the set in `directory`. The file may no longer exist."""
        return directory / self.source["path"]

    @property
    def per_class(self) -> tuple[int, int] | None:
        """Minimum and maximum number of images of a class in a balanced epoch; None if epochs are not balanced."""
        limits = self.identity.get("per_class")
        return None if limits is None else (limits[0], limits[1])

    @property
    def name(self) -> str:
        """Directory name of the set: source, recipe, the first eight digits of the fingerprint."""
        return f"{self.source['name']}-{self.recipe}-{self.fingerprint[:8]}"


def fingerprint_of(document: dict[str, Any]) -> str:
    """Return the SHA-256 of `document` as canonical JSON (sorted keys, no spaces), hexadecimal."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def write_description(directory: Path, description: Description) -> None:
    """Write and publish `set.json` in `directory`."""
    document = {"format": FORMAT, **rename_keys(asdict(description), _STORED_NAMES)}
    document["checksum"] = fingerprint_of(document)
    write_text(directory / "set.json", json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def read_description(directory: Path) -> Description:
    """Read `set.json`.

    Raises `EpochbankError` if there is no set in `directory`, it is damaged or of a newer format, or its directory
    contains what a set may not contain (`store.set_files`).
    """
    path = directory / "set.json"
    try:
        check_directory(directory)
        document = json.loads(path.read_text(encoding="utf-8"))
        found = document["format"]
        if found != FORMAT:
            raise EpochbankError(
                f"{directory} is a set of format {found}; this epochbank reads format {FORMAT}. "
                "Upgrade epochbank, or generate the set again."
            )
        if document.pop("checksum") != fingerprint_of(document):
            raise EpochbankError(
                f"{path} was changed: its contents do not match its checksum, so its fingerprint cannot be trusted. "
                f"{_FIX}"
            )
        del document["format"]
        description = Description(**rename_keys(document, {stored: field for field, stored in _STORED_NAMES.items()}))
        _check_values(description)
        return description
    except (FileNotFoundError, NotADirectoryError) as error:
        raise EpochbankError(f"{directory} is not a set: it has no set.json. `augment list` shows all sets.") from error
    except OSError as error:
        raise EpochbankError(
            f"{path} cannot be read: {error.strerror or error}. Check the disk and the permissions."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EpochbankError(
            f"{path} is damaged ({error}); expected the JSON that `augment run` wrote. {_FIX}"
        ) from error


def _check_values(description: Description) -> None:
    """Raise `ValueError` if a value cannot be that of a set; its type may be any that JSON has."""
    identity, shape = description.identity, description.identity["shape"]
    limits = identity.get("per_class")
    texts = [
        description.recipe,
        description.fingerprint,
        *(description.source[key] for key in ("name", "spec", "path")),
    ]
    names, counts = description.class_names, description.num_images
    problems = {
        "fingerprint": description.fingerprint != fingerprint_of(identity),
        "shape": not (_counts(shape, 1) and len(shape) == 3 and math.prod(shape) <= LARGEST_CHUNK),
        "recipe": not _is_recipe(identity["recipe"]),
        "seed": type(identity["seed"]) is not int,
        "source": not isinstance(identity["source"], str),
        "split": not _is_split(identity["split"]),
        "per_class": limits is not None and not (_counts(limits, 0) and len(limits) == 2),
        "images": sorted(counts) != sorted(SPLITS) or not _counts(list(counts.values()), 0),
        "class_names": not (_texts(names) and names),
        "split_checksum": not is_digest(description.split_checksum),
        "recipe or source": not all(isinstance(text, str) and "\0" not in text for text in texts),
        "notes": not _texts(description.source.get("notes", [])),
        "preprocessing": not isinstance(description.source.get("preprocessing", {}), (dict, type(None))),
        "warnings": not _texts(description.warnings),
    }
    wrong = [name for name, problem in problems.items() if problem]
    if wrong:
        raise ValueError(f"the value of {wrong[0]} is impossible")


def _is_recipe(settings: Any) -> bool:
    """Return whether `settings` has the form of `Recipe.settings()`; its operations are checked when they are used."""
    check = settings.get("safety")
    stages = [(stage["probability"], stage["operations"]) for stage in settings["stages"]]
    return (check is None or (_is_number(check["lost"]) and _is_number(check["attempts"]))) and all(
        _is_number(probability)
        and all(isinstance(one["op"], str) and _is_number(one["weight"]) for one in operations)
        and sum(one["weight"] for one in operations) > 0
        for probability, operations in stages
    )


def _is_split(split: Any) -> bool:
    """Return whether `split` has the fractions of a split, or `source` where the source defines it."""
    fractions = [one for one in (split["validation"], split["test"]) if one != "source"]
    return all(_is_number(one) and 0 <= one < 1 for one in fractions) and sum(fractions) < 1


def _is_number(value: Any) -> bool:
    """Return whether `value` is a finite number that is no larger than a float can be."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _texts(values: Any) -> bool:
    """Return whether `values` is a list of strings."""
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _counts(values: Any, least: int) -> bool:
    """Return whether `values` is a list of integers of `least` or more that fit into 64 bits."""
    return isinstance(values, list) and all(type(value) is int and least <= value < 1 << 62 for value in values)


def is_digest(text: Any) -> bool:
    """Return whether `text` is an XXH3-128 as epochbank stores it: 32 lower-case hexadecimal digits."""
    return isinstance(text, str) and len(text) == 32 and not text.strip("0123456789abcdef")

"""`set.json`: what a set is. Written once when the set is made, and never changed."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import EpochbankError
from ..shared.atomic import write_text

FORMAT = 1
"""Version of the set on disk; it is in the fingerprint, and a reader refuses a newer one."""

PARTS = ("train", "validation", "test")
"""The undistorted parts of a set."""


@dataclass(frozen=True)
class Description:
    """What a set is, without what it holds so far (that is the manifest's to say)."""

    fingerprint: str
    """SHA-256 of `identity`, hexadecimal: whatever changes a pixel, and nothing else."""
    identity: dict[str, Any]
    """`format`, `source` (digest), `split`, `recipe` (settings), `seed`, `shape`; `per_class` where epochs are
    balanced."""
    source: dict[str, Any]
    """`name`, `spec` (as the user gave it), `notes` of its import, and `path` of the source file: from the set's
    directory if it is in `sets/sources/`, so that the two can be moved together."""
    recipe: str
    """The recipe's name."""
    class_names: list[str]
    images: dict[str, int]
    """Pictures in each part, by name. Of the training part what an epoch shows of it, which differs from what
    `split.h5` has where epochs are balanced."""
    split_checksum: str
    """XXH3-128 of `split.h5`, hexadecimal."""
    warnings: list[str] = field(default_factory=list)
    """What people should know of the split, one sentence each."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of a picture."""
        height, width, channels = self.identity["shape"]
        return height, width, channels

    def source_path(self, directory: Path) -> Path:
        """The source file that the set in `directory` was made from, which may be gone."""
        return directory / self.source["path"]

    @property
    def per_class(self) -> tuple[int, int] | None:
        """The least and the most pictures of a class in an epoch; None where each is there once."""
        least_and_most = self.identity.get("per_class")
        return None if least_and_most is None else (least_and_most[0], least_and_most[1])

    @property
    def name(self) -> str:
        """The set's directory name: source, recipe, the fingerprint's first eight digits."""
        return f"{self.source['name']}-{self.recipe}-{self.fingerprint[:8]}"


def fingerprint_of(document: dict[str, Any]) -> str:
    """SHA-256 of `document` as canonical JSON (sorted keys, no spaces), hexadecimal."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def write_description(directory: Path, description: Description) -> None:
    """Publish `set.json` in `directory`."""
    document = {"format": FORMAT, **asdict(description)}
    document["checksum"] = fingerprint_of(document)
    write_text(directory / "set.json", json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def read_description(directory: Path) -> Description:
    """Read `set.json`; `EpochbankError` where there is no set, a damaged one, or one of a newer format."""
    path = directory / "set.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        found = document["format"]
        if found != FORMAT:
            raise EpochbankError(
                f"{directory} is a set of format {found}; this epochbank reads format {FORMAT}. "
                "Upgrade epochbank, or generate the set again."
            )
        if document.pop("checksum") != fingerprint_of(document):
            raise EpochbankError(
                f"{path} was changed: its contents do not have the checksum that it states, so that its fingerprint "
                "cannot be relied on. Restore it from a copy, or generate the set again."
            )
        del document["format"]
        return Description(**document)
    except FileNotFoundError as error:
        raise EpochbankError(
            f"{directory} is not a set: it has no set.json. `augment list` shows the sets there are."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EpochbankError(
            f"{path} is damaged ({error}); expected the JSON that `augment run` wrote. "
            "Restore it from a copy, or generate the set again."
        ) from error

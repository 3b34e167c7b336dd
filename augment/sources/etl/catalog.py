"""The sets of the ETL Character Database: their files, official record counts, and file names."""

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from .records import RECORDS, RecordType


@dataclass(frozen=True)
class Forms:
    """The forms of a set: what one writer filled in, which is a group."""

    characters: int
    """Characters of a form; each occurs once."""
    sheets: int
    """Sheets of a form. The first sheet of a form has a number of 1 + a multiple of this."""
    count: int
    """Official number of forms in the set."""
    by_character: bool = False
    """Whether a file holds one character of all forms, then the next, instead of one form after another."""


@dataclass(frozen=True)
class EtlSet:
    """One set. Its files are numbered from 1."""

    name: str
    """As in `--etl-sets`: `9G`."""
    record: str
    """Name of the record type."""
    stem: str
    """Beginning of the official file names, which a number follows: `ETL9G_` for `ETL9G_01`."""
    counts: tuple[int, ...]
    """Official number of images in each file, without dummy records and model images."""
    code: Literal["jis0201", "jis0208", "co59"]
    digits: int = 1
    """Minimum number of digits of the file number; 0 if the names have no number."""
    hiragana: bool = False
    """Whether the codes of katakana stand for hiragana."""
    dummies: int = 0
    """Number of dummy records at the beginning of each file."""
    models: dict[int, int] = field(default_factory=dict)
    """Number of model images, which writers were asked to copy, at the end of a file, by file number."""
    forms: Forms | None = None
    """The forms, each of which is a group; None if each sheet is a group."""
    unlabeled: dict[int, str] = field(default_factory=dict)
    """Codes of undamaged images without a character, and what a note says of these."""

    @property
    def type(self) -> RecordType:
        """The record type."""
        return RECORDS[self.record]

    def file_name(self, number: int) -> str:
        """Return the official name of a file: `ETL9G_01`."""
        return f"{self.stem}{number:0{self.digits}d}" if self.digits else self.stem


def _sets(*sets: EtlSet) -> dict[str, EtlSet]:
    return {etl_set.name: etl_set for etl_set in sets}


_BLANKS = {0x00: "with code 0x00, no character", 0x20: "with code 0x20, the blank of JIS X 0201"}
_FORMS_9 = Forms(3036, 20, 200)

SETS = _sets(
    EtlSet(
        "1", "M", "ETL1C_", (11560,) * 6 + (11288, 11288, 11287, 11288, 11288, 11287, 4233), "jis0201", 2,
        unlabeled=_BLANKS,
    ),
    EtlSet("2", "K", "ETL2_", (9056, 10480, 11360, 10480, 11420), "co59"),
    EtlSet("3", "C", "ETL3C_", (4800, 4800), "jis0201"),
    EtlSet("4", "C", "ETL4C", (6120,), "jis0201", 0, hiragana=True),
    EtlSet("5", "C", "ETL5C", (10608,), "jis0201", 0),
    EtlSet("6", "M", "ETL6C_", (13830,) * 11 + (5532,), "jis0201", 2, unlabeled=_BLANKS),
    EtlSet("7L", "M", "ETL7LC_", (9600, 7200), "jis0201", hiragana=True),
    EtlSet("7S", "M", "ETL7SC_", (9600, 7200), "jis0201", hiragana=True),
    EtlSet(
        "8B", "8B", "ETL8B2C", (51200, 51200, 50560), "jis0208",
        dummies=1, models={3: 956}, forms=Forms(956, 10, 160, by_character=True),
    ),
    EtlSet("8G", "8G", "ETL8G_", (4780,) * 32 + (0,), "jis0208", 2, models={33: 956}, forms=Forms(956, 10, 160)),
    EtlSet("9B", "9B", "ETL9B_", (121440,) * 5, "jis0208", dummies=1, models={5: 3036}, forms=_FORMS_9),
    EtlSet("9G", "9G", "ETL9G_", (12144,) * 50, "jis0208", 2, forms=_FORMS_9),
)  # fmt: skip
"""The sets by name, in official order."""

SAME_WRITERS = {
    "7S": ("7L", "ETL7S is by the same writers as ETL7L, on forms with small frames"),
    "8B": ("8G", "ETL8B is the same handwriting as ETL8G, in black and white"),
    "9B": ("9G", "ETL9B is ETL9G in black and white"),
}
"""Sets by the writers of another set, which has better images: that set, and the reason."""

PRINTED = "2"
"""The set of printed characters."""

TABLE = "euc_co59.dat"
"""File with the characters of the codes in the printed set."""

_PATTERNS = [
    *((name, f"ETL{name}(?:C[-_ ]?|[-_ ])0*([1-9][0-9]*)") for name in ("1", "2", "3", "6")),
    *((name, f"ETL{name}C?(?:[-_ ]0*(1))?") for name in ("4", "5")),
    *((name, f"ETL{name}C?[-_ ]?0*([1-9][0-9]*)") for name in ("7L", "7S")),
    ("8B", "ETL8(?:B?2C[-_ ]?|B[-_ ])0*([1-9][0-9]*)"),
    *((name, f"ETL{name}[-_ ]?0*([1-9][0-9]*)") for name in ("8G", "9B", "9G")),
]
"""Patterns of the file names of each set, without extension. The specification itself writes `ETL9G_01`, `ETL9G-01`
and `etl9g`; `ETL82C1` is the name that the package ETLCDB_data_reader gives to `ETL8B2C1`."""

_RENAMED = {"8": "8B", "9": "8G", "10": "9B", "11": "9G"}
"""Names that ETLCDB_data_reader gives to four sets: `ETL9/ETL9_01` is `ETL8G_01`. Others use them differently."""

_MOST_FILES = max(len(etl_set.counts) for etl_set in SETS.values())

_IMAGES = {
    ".png", ".jpg", ".jpeg", ".jfif", ".jp2", ".gif", ".bmp", ".tif", ".tiff", ".pgm", ".pbm", ".ppm", ".pnm", ".tga",
    ".webp", ".avif",
}  # fmt: skip
_PACKED = {
    ".gz", ".tgz", ".tar", ".bz2", ".xz", ".zst", ".z", ".7z", ".rar", ".lzh", ".lha", ".part", ".crdownload",
    ".download",
}  # fmt: skip
_FOREIGN = {
    ".txt", ".pdf", ".htm", ".html", ".md", ".csv", ".tsv", ".json", ".xml", ".log", ".md5", ".sha1", ".sha256", ".py",
    ".npy", ".npz", ".h5", ".hdf5", ".pkl", ".zip", *_IMAGES, *_PACKED,
}  # fmt: skip
"""Extensions of files that do not belong to the database."""


def file_of(name: str) -> tuple[str, int] | None:
    """Return the set and number of a file by its name; None if it is not in the database. Ignores case."""
    if not has_etl_prefix(name) or is_foreign(name):
        return None
    stem = PurePosixPath(name).stem
    for set_name, pattern in _PATTERNS:
        if found := re.fullmatch(pattern, stem, re.IGNORECASE):
            number = int(found[1] or 1)
            return (set_name, number) if number <= len(SETS[set_name].counts) else None
    found = re.fullmatch("ETL(8|9|10|11)[-_ ]0*([1-9][0-9]*)", stem, re.IGNORECASE)
    return (_RENAMED[found[1]], int(found[2])) if found and int(found[2]) <= _MOST_FILES else None


def is_foreign(name: str) -> bool:
    """Return whether a file has an extension of another kind: image, text or archive."""
    return PurePosixPath(name).suffix.lower() in _FOREIGN


def is_image(name: str) -> bool:
    """Return whether a file has the extension of an image."""
    return PurePosixPath(name).suffix.lower() in _IMAGES


def is_packed(name: str) -> bool:
    """Return whether a file has the extension of an archive other than .zip, of a compressed file or of a download."""
    return PurePosixPath(name).suffix.lower() in _PACKED


def is_info(name: str) -> bool:
    """Return whether a file is the description that each archive contains: `ETL9INFO`."""
    return re.match(r"ETL[0-9A-Z]*[-_ ]?INFO", name, re.IGNORECASE) is not None


def has_etl_prefix(name: str) -> bool:
    """Return whether a name begins with ETL and a digit, in upper or lower case."""
    return re.match("ETL[-_ ]?[1-9]", name, re.IGNORECASE) is not None


def why_unrecognized(name: str) -> str:
    """Return why a file whose name begins like those of the database is not read, and what to do."""
    if is_packed(name):
        return "is packed, or its download is incomplete; unpack it"
    if name.lower().endswith(".zip"):
        return "is an archive in an archive; unpack it"
    original = re.sub(r" ?\([0-9]+\)", "", name)
    if original != name and file_of(original):
        return f"has the name of a second download; remove it, or rename it to {original} if that is missing"
    if re.fullmatch("ETL7[-_ ]?[0-9]+", name, re.IGNORECASE):
        return (
            "belongs to ETL7L or ETL7S, and only the official name shows which: ETL7LC_1, ETL7LC_2, ETL7SC_1 or "
            "ETL7SC_2"
        )
    return "is not a name of the database"

"""The sets of the ETL Character Database: their files, official record counts, and file names."""

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from .records import RECORDS, RecordType


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
    writers: str = ""
    """Name of the writers that several sets share, and with it their groups; empty if no other set has them."""
    sheets_per_form: int = 0
    """Number of sheets of one form, which is a group; 0 if each sheet is a group."""

    @property
    def type(self) -> RecordType:
        """The record type."""
        return RECORDS[self.record]

    def file_name(self, number: int) -> str:
        """Return the official name of a file: `ETL9G_01`."""
        return f"{self.stem}{number:0{self.digits}d}" if self.digits else self.stem


def _sets(*sets: EtlSet) -> dict[str, EtlSet]:
    return {etl_set.name: etl_set for etl_set in sets}


SETS = _sets(
    EtlSet("1", "M", "ETL1C_", (11560,) * 6 + (11288, 11288, 11287, 11288, 11288, 11287, 4233), "jis0201", 2),
    EtlSet("2", "K", "ETL2_", (9056, 10480, 11360, 10480, 11420), "co59"),
    EtlSet("3", "C", "ETL3C_", (4800, 4800), "jis0201"),
    EtlSet("4", "C", "ETL4C", (6120,), "jis0201", 0, hiragana=True),
    EtlSet("5", "C", "ETL5C", (10608,), "jis0201", 0),
    EtlSet("6", "M", "ETL6C_", (13830,) * 11 + (5532,), "jis0201", 2),
    EtlSet("7L", "M", "ETL7LC_", (9600, 7200), "jis0201", hiragana=True, writers="7"),
    EtlSet("7S", "M", "ETL7SC_", (9600, 7200), "jis0201", hiragana=True, writers="7"),
    EtlSet(
        "8B", "8B", "ETL8B2C", (51200, 51200, 50560), "jis0208",
        dummies=1, models={3: 956}, writers="8", sheets_per_form=10,
    ),
    EtlSet("8G", "8G", "ETL8G_", (4780,) * 32 + (956,), "jis0208", 2, writers="8", sheets_per_form=10),
    EtlSet(
        "9B", "9B", "ETL9B_", (121440,) * 5, "jis0208",
        dummies=1, models={5: 3036}, writers="9", sheets_per_form=20,
    ),
    EtlSet("9G", "9G", "ETL9G_", (12144,) * 50, "jis0208", 2, writers="9", sheets_per_form=20),
)  # fmt: skip
"""The sets by name, in official order."""

SAME_HANDWRITING = {
    "7S": ("7L", "ETL7S is ETL7L made smaller"),
    "8B": ("8G", "ETL8B is the same handwriting as ETL8G, in black and white"),
    "9B": ("9G", "ETL9B is ETL9G in black and white"),
}
"""Sets whose handwriting another set has in better quality: that set, and the reason."""

PRINTED = "2"
"""The set of printed characters."""

TABLE = "euc_co59.dat"
"""File with the characters of the codes in the printed set."""

_PATTERNS = {
    **{name: f"ETL{name}(?:C[-_ ]?|[-_ ])0*([1-9][0-9]*)" for name in ("1", "2", "3", "6")},
    **{name: f"ETL{name}C?(?:[-_ ]0*(1))?" for name in ("4", "5")},
    **{name: f"ETL{name}C?[-_ ]?0*([1-9][0-9]*)" for name in ("7L", "7S")},
    "8B": "ETL8B(?:2C[-_ ]?|[-_ ])0*([1-9][0-9]*)",
    **{name: f"ETL{name}[-_ ]?0*([1-9][0-9]*)" for name in ("8G", "9B", "9G")},
}
"""Patterns of the file names of each set, without extension. The specification itself writes `ETL9G_01`, `ETL9G-01`
and `etl9g`."""

_FOREIGN = {
    ".txt", ".pdf", ".htm", ".html", ".md", ".csv", ".tsv", ".json", ".xml", ".log", ".md5", ".sha1", ".sha256", ".py",
    ".npy", ".npz", ".h5", ".hdf5", ".pkl", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".zst", ".z", ".7z", ".rar", ".lzh",
    ".zip", ".part", ".crdownload", ".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".pgm", ".pbm", ".webp",
}  # fmt: skip
"""Extensions of files that do not belong to the database."""


def file_of(name: str) -> tuple[str, int] | None:
    """Return the set and number of a file by its name; None if it is not in the database. Ignores case."""
    if not has_etl_prefix(name) or is_foreign(name):
        return None
    for set_name, pattern in _PATTERNS.items():
        found = re.fullmatch(pattern, PurePosixPath(name).stem, re.IGNORECASE)
        if found is not None:
            number = int(found[1] or 1)
            return (set_name, number) if number <= len(SETS[set_name].counts) else None
    return None


def is_foreign(name: str) -> bool:
    """Return whether a file has an extension of another kind: image, text or archive."""
    return PurePosixPath(name).suffix.lower() in _FOREIGN


def is_info(name: str) -> bool:
    """Return whether a file is the description that each archive contains: `ETL9INFO`."""
    return re.match(r"ETL[0-9A-Z]*[-_ ]?INFO", name, re.IGNORECASE) is not None


def has_etl_prefix(name: str) -> bool:
    """Return whether a name begins with ETL, in upper or lower case."""
    return name.upper().startswith("ETL")

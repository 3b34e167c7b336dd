"""The sets of the ETL Character Database: their files, how many records each has officially, what their names mean."""

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from .records import RECORDS, RecordType


@dataclass(frozen=True)
class EtlSet:
    """One set. Its files have numbers, from 1."""

    name: str
    """As the user says it: `9G`."""
    record: str
    """The record type, by name."""
    stem: str
    """A file's official name is this and its number, of `digits` digits at least (0 for none): `ETL9G_` and `01`."""
    counts: tuple[int, ...]
    """Official numbers of pictures, by file: without the dummy and the model pictures."""
    code: Literal["jis0201", "jis0208", "co59"]
    digits: int = 1
    hiragana: bool = False
    """Whether codes of katakana stand for hiragana."""
    dummies: int = 0
    """Records at the beginning of each file that are no pictures."""
    models: dict[int, int] = field(default_factory=dict)
    """Pictures of the models that writers were shown, at the end of files: how many, by file."""
    people: str = ""
    """Whose hands they are: sets of the same name share their groups. Empty for a set of its own."""
    sheets_of_form: int = 0
    """Sheets that one form filled in has; 0 where a sheet is a group by itself."""

    @property
    def type(self) -> RecordType:
        """Its record type."""
        return RECORDS[self.record]

    def file_name(self, number: int) -> str:
        """The official name of a file: `ETL9G_01`."""
        return f"{self.stem}{number:0{self.digits}d}" if self.digits else self.stem


def _sets(*sets: EtlSet) -> dict[str, EtlSet]:
    return {one.name: one for one in sets}


SETS = _sets(
    EtlSet("1", "M", "ETL1C_", (11560,) * 6 + (11288, 11288, 11287, 11288, 11288, 11287, 4233), "jis0201", 2),
    EtlSet("2", "K", "ETL2_", (9056, 10480, 11360, 10480, 11420), "co59"),
    EtlSet("3", "C", "ETL3C_", (4800, 4800), "jis0201"),
    EtlSet("4", "C", "ETL4C", (6120,), "jis0201", 0, hiragana=True),
    EtlSet("5", "C", "ETL5C", (10608,), "jis0201", 0),
    EtlSet("6", "M", "ETL6C_", (13830,) * 11 + (5532,), "jis0201", 2),
    EtlSet("7L", "M", "ETL7LC_", (9600, 7200), "jis0201", hiragana=True, people="7"),
    EtlSet("7S", "M", "ETL7SC_", (9600, 7200), "jis0201", hiragana=True, people="7"),
    EtlSet(
        "8B", "8B", "ETL8B2C", (51200, 51200, 50560), "jis0208",
        dummies=1, models={3: 956}, people="8", sheets_of_form=10,
    ),
    EtlSet("8G", "8G", "ETL8G_", (4780,) * 32 + (956,), "jis0208", 2, people="8", sheets_of_form=10),
    EtlSet(
        "9B", "9B", "ETL9B_", (121440,) * 5, "jis0208",
        dummies=1, models={5: 3036}, people="9", sheets_of_form=20,
    ),
    EtlSet("9G", "9G", "ETL9G_", (12144,) * 50, "jis0208", 2, people="9", sheets_of_form=20),
)  # fmt: skip
"""The sets by name, in order."""

SAME_HANDWRITING = {
    "7S": ("7L", "ETL7S is ETL7L made smaller"),
    "8B": ("8G", "ETL8B is the same handwriting as ETL8G, in black and white"),
    "9B": ("9G", "ETL9B is ETL9G in black and white"),
}
"""Sets of which another has the same handwriting, better: which, and why."""

PRINTED = "2"
"""The set that nobody wrote by hand."""

TABLE = "euc_co59.dat"
"""The file that says what the codes of the printed set mean."""

_PATTERNS = {
    **{name: f"ETL{name}(?:C[-_ ]?|[-_ ])0*([1-9][0-9]*)" for name in ("1", "2", "3", "6")},
    **{name: f"ETL{name}C?(?:[-_ ]0*(1))?" for name in ("4", "5")},
    **{name: f"ETL{name}C?[-_ ]?0*([1-9][0-9]*)" for name in ("7L", "7S")},
    "8B": "ETL8B(?:2C[-_ ]?|[-_ ])0*([1-9][0-9]*)",
    **{name: f"ETL{name}[-_ ]?0*([1-9][0-9]*)" for name in ("8G", "9B", "9G")},
}
"""What the files of each set are called, with an extension or without: the specification itself writes `ETL9G_01`,
`ETL9G-01` and `etl9g`."""

_FOREIGN = {
    ".txt", ".pdf", ".htm", ".html", ".md", ".csv", ".tsv", ".json", ".xml", ".log", ".md5", ".sha1", ".sha256", ".py",
    ".npy", ".npz", ".h5", ".hdf5", ".pkl", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".zst", ".z", ".7z", ".rar", ".lzh",
    ".zip", ".part", ".crdownload", ".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".pgm", ".pbm", ".webp",
}  # fmt: skip
"""Extensions of files that are none of the database's, whatever else they are called."""


def file_of(name: str) -> tuple[str, int] | None:
    """The set and number of the file that is called so, in any case; None where it is none of the database's."""
    if not claims_to_be_etl(name) or is_foreign(name):
        return None
    for set_name, pattern in _PATTERNS.items():
        found = re.fullmatch(pattern, PurePosixPath(name).stem, re.IGNORECASE)
        if found is not None:
            number = int(found[1] or 1)
            return (set_name, number) if number <= len(SETS[set_name].counts) else None
    return None


def is_foreign(name: str) -> bool:
    """Whether a file's extension says that it is something else: a picture, a text, an archive."""
    return PurePosixPath(name).suffix.lower() in _FOREIGN


def is_info(name: str) -> bool:
    """Whether it is the text that lies in each archive: `ETL9INFO`."""
    return re.match(r"ETL[0-9A-Z]*[-_ ]?INFO", name, re.IGNORECASE) is not None


def claims_to_be_etl(name: str) -> bool:
    """Whether a file's name says that it has to do with the database."""
    return name.upper().startswith("ETL")

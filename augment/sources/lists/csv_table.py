"""Reads .csv, .tsv and .txt files: encoding, separator, and rows without white space around their fields.

Python's `csv` parses the rows. Fields that contain the separator, quotes or line breaks are in double quotes
(RFC 4180); white space in them is kept.
"""

import codecs
import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TextIO

from ...errors import EpochbankError
from ...shared.progress import counted

_SEPARATORS = {".tsv": "\t,;", ".txt": "\t,; "}
_DEFAULT_SEPARATORS = ",;\t"

_SAMPLE = 20
"""Rows from which the columns are recognized, of up to `_MAX_SAMPLE` characters."""
_MAX_SAMPLE = 1 << 22

_MAX_FIELD = 1 << 26
"""Maximum length of a field: it may hold all pixels of an image, or a whole row if the separator is wrong."""

_MAX_ROW = 1 << 25
"""Maximum length of a row in characters: a row of pixels becomes objects that take many times its memory."""

_BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}

_OTHER_ENCODINGS = {"cp932": "Shift JIS", "gb18030": "GBK", "cp1252": "Latin-1"}


class CsvTable:
    """The rows of a file with one separator, below a header if it has one."""

    def __init__(self, path: Path, separator: str, header: list[str], *, has_header: bool):
        self.path, self.separator, self.header, self.has_header = path, separator, header, has_header
        self._stripped = 0

    @property
    def notes(self) -> list[str]:
        """Return a message for the user about the rows read so far, or none."""
        count = self._stripped
        return [f"white space around {counted(count, 'field')} of {self.path.name} was removed"] if count else []

    def rows(self) -> Iterator[tuple[str, list[str]]]:
        """Yield `line N` and the fields of each row that is not blank. Raises `EpochbankError` for invalid CSV."""
        self._stripped = 0
        rows = _parse(self.path, self.separator, strict=True)
        for line, row, raw in islice(rows, int(self.has_header), None):
            stripped, count = _strip(row, raw, self.separator)
            self._stripped += count
            yield f"line {line}", stripped


def samples(path: Path) -> Iterator[tuple[str, list[list[str]]]]:
    """Yield each separator with the first rows that it gives, if it gives more than one column."""
    for separator in _SEPARATORS.get(path.suffix.lower(), _DEFAULT_SEPARATORS):
        rows, length = list[list[str]](), 0
        for _, row, raw in islice(_parse(path, separator, strict=False), _SAMPLE):
            rows.append(_strip(row, raw, separator)[0])
            length += len(raw)
            if length > _MAX_SAMPLE and len(rows) > 1:  # A header, and a row of a large image.
                break
        if rows and len(rows[0]) > 1:
            yield separator, rows


def first_row(path: Path) -> list[str]:
    """Return the fields of the first row that is not blank, with the usual separator; [] if there is none."""
    separator = _SEPARATORS.get(path.suffix.lower(), _DEFAULT_SEPARATORS)[0]
    return next((row for _, row, _ in _parse(path, separator, strict=False)), [])


class _Lines:
    """Iterates over the lines of a file, and keeps those of the current record."""

    def __init__(self, file: TextIO):
        self._file, self._lines, self._length = file, list[str](), 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._file.readline(_MAX_ROW + 1 - self._length)
        if not line:
            raise StopIteration
        self._lines.append(line)
        self._length += len(line)
        if self._length > _MAX_ROW:
            raise csv.Error(f"the row has more than {_MAX_ROW:,} characters")
        return line

    def take(self) -> str:
        """Return the lines since the last call."""
        text = "".join(self._lines)
        self._lines.clear()
        self._length = 0
        return text


def _parse(path: Path, separator: str, *, strict: bool) -> Iterator[tuple[int, list[str], str]]:
    """Yield line number (from 1), fields and text of each row that is not blank.

    Raises `EpochbankError` for invalid CSV.
    """
    line, encoding = 1, _encoding(path)
    csv.field_size_limit(_MAX_FIELD)
    try:
        with open(path, encoding=encoding, newline="") as file:
            lines = _Lines(file)
            reader = csv.reader(lines, delimiter=separator, strict=strict, skipinitialspace=True)
            for row in reader:
                raw = lines.take()
                if any(map(str.strip, row)):
                    yield line, row, raw
                line = reader.line_num + 1
    except csv.Error as error:
        raise EpochbankError(
            f"{path}, line {line}, cannot be read as CSV: {error}. Put fields that contain quotes or line breaks in "
            "double quotes, and double the quotes in them."
        ) from error
    except UnicodeError as error:
        if encoding == "utf-16":
            raise EpochbankError(
                f"{path} begins like UTF-16, but line {line} or a later one is not: {error}. Save the file as UTF-8."
            ) from error
        raise _not_utf8(path) from error


def _encoding(path: Path) -> str:
    with open(path, "rb") as file:
        start = file.read(3)
    return next((name for mark, name in _BYTE_ORDER_MARKS.items() if start.startswith(mark)), "utf-8")


def _not_utf8(path: Path) -> EpochbankError:
    """Describe the first line that is not UTF-8. The decoder reads ahead, so it does not know the line."""
    number, reason, meant = 1, "unexpected end of data", ""
    with open(path, "rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_MAX_ROW), b""), start=1):  # noqa: B007  in the message
            try:
                line.decode()
            except UnicodeDecodeError as error:
                reason, meant = error.reason, _readable(line)
                break
    return EpochbankError(f"{path}, line {number}, is not valid UTF-8: {reason}{meant}. Save the file as UTF-8.")


def _readable(line: bytes) -> str:
    """Return the usual encoding that decodes a line, and its text in it; empty if there is none."""
    for encoding, name in _OTHER_ENCODINGS.items():
        try:
            text = line.decode(encoding).strip()
        except UnicodeDecodeError:
            continue
        if text.isprintable():
            return f"; in {encoding} ({name}) it reads {text[:60]!r}"
    return ""


def _strip(row: list[str], raw: str, separator: str) -> tuple[list[str], int]:
    """Return the fields without white space around those that are not quoted, and the number of changed fields."""
    if '"' in raw:
        quoted = _quoted(raw, separator)
        stripped = [
            field if place < len(quoted) and quoted[place] else field.strip() for place, field in enumerate(row)
        ]
        return stripped, sum(map(str.__ne__, stripped, row))
    stripped = list(map(str.strip, row))
    padded = separator != " " and (stripped != row or separator + " " in raw or raw.startswith(" "))
    return stripped, sum(map(str.__ne__, stripped, raw.rstrip("\r\n").split(separator))) if padded else 0


def _quoted(raw: str, separator: str) -> list[bool]:
    """Return, for each field of a record, whether it is in quotes."""
    flags: list[bool] = []
    at = 0
    while True:
        while separator != " " and raw.startswith(" ", at):
            at += 1
        flags.append(raw.startswith('"', at))
        if flags[-1]:
            at = _behind_quotes(raw, at)
        at = raw.find(separator, at) + 1
        if not at:
            return flags


def _behind_quotes(raw: str, start: int) -> int:
    """Return the position after the quoted field that begins at `start`."""
    at = start + 1
    while True:
        at = raw.find('"', at) + 1
        if not at:
            return len(raw)
        if not raw.startswith('"', at):
            return at
        at += 1

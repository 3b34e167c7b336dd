"""Sources in JSON: JSON Lines such as `metadata.jsonl` of Hugging Face, an array of objects, or COCO."""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from ...errors import EpochbankError
from ..base import Scan, SourceOptions, file_identity
from .coco import CocoTable
from .columns import find_roles, missing_columns
from .json_stream import begins_with_object, read_items, read_lines
from .source import ListScanner, Table

_SAMPLE = 20
"""Objects from which the columns are recognized."""

_LINE_SUFFIXES = {".jsonl", ".ndjson"}


class ObjectTable:
    """Objects in a file, each of which is a row. The columns are the keys of the first objects."""

    def __init__(self, path: Path, *, lines: bool):
        self.path, self._lines, self.notes = path, lines, list[str]()
        self.header: list[str] = []
        for _, one in islice(self._objects(), _SAMPLE):
            self.header += [key for key in one if key not in self.header]

    def rows(self) -> Iterator[tuple[str, Sequence[Any]]]:
        """Yield `line N` or `item N`, and the values of the columns; None for a value that is missing."""
        for where, one in self._objects():
            yield where, [one.get(key) for key in self.header]

    def _objects(self) -> Iterator[tuple[str, dict[str, Any]]]:
        numbered = read_lines(self.path) if self._lines else enumerate(item for _, item in read_items(self.path))
        for number, one in numbered:
            where = f"{'line' if self._lines else 'item'} {number}"
            if not isinstance(one, dict):
                raise EpochbankError(
                    f"{self.path}: {where} is {json.dumps(one, ensure_ascii=False)[:60]}; expected an object such as "
                    '{"file_name": "1.png", "label": "cat"}. Write one for each image.'
                )
            yield where, one


class JsonSource:
    """A .json or .jsonl file that lists images."""

    def __init__(self, path: Path, name: str, options: SourceOptions):
        self.path, self.name, self.options = path, name, options

    def identity(self) -> Any:
        """Return path, size and modification time of the file, and a digest of those of every image in it."""
        return ["json", *file_identity(self.path), self._scanner().digest()]

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """Read the list. Raises `EpochbankError` for invalid items, and if no image is found."""
        return self._scanner().scan(workspace)

    def _scanner(self) -> ListScanner:
        table = self._table()
        sample = [row for _, row in islice(table.rows(), _SAMPLE)]
        roles = find_roles(self.path, table.header, sample, self.options)
        if roles is None:
            raise missing_columns(self.path, table.header)
        return ListScanner(table, roles, self.options)

    def _table(self) -> Table:
        if self.path.suffix.lower() in _LINE_SUFFIXES or _has_object_in_first_line(self.path):
            return ObjectTable(self.path, lines=True)
        return CocoTable(self.path) if begins_with_object(self.path) else ObjectTable(self.path, lines=False)


def _has_object_in_first_line(path: Path) -> bool:
    """Return whether the first of several lines is a complete object, as in JSON Lines, which may be named .json."""
    with open(path, "rb") as file:
        line = file.readline(1 << 20)
        if not line.rstrip().endswith(b"}") or not file.readline(1 << 20).strip():
            return False
    try:
        return isinstance(json.loads(line.decode("utf-8-sig")), dict)
    except (ValueError, RecursionError):
        return False

"""What the fault campaigns share: a file with a line for each try, and a table on standard output."""

import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
"""Directory of the files of tries. They accumulate: a campaign that is run again adds to them."""


class Tries:
    """A file of JSON lines, one for each try. Several processes may append to it."""

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def add(self, **fields: Any) -> None:
        """Append a try, with the time (UTC) as `time`; one write, so that lines of several processes do not mix."""
        line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **fields}, default=str) + "\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    def read(self) -> list[dict[str, Any]]:
        """Return all tries of the file, the oldest first."""
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return `rows` as a Markdown table with `columns`, numbers right-aligned."""
    rows = list(rows)
    cells = [[_cell(row.get(column, "")) for column in columns] for row in rows]
    numeric = [all(isinstance(row.get(column, 0), int | float) for row in rows) for column in columns]
    widths = [max(len(column), 3, *(len(row[at]) for row in cells)) for at, column in enumerate(columns)]
    rules = ["-" * (width - 1) + (":" if right else "-") for width, right in zip(widths, numeric, strict=True)]

    def line(texts: Sequence[str]) -> str:
        padded = [
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(texts, widths, numeric, strict=True)
        ]
        return f"| {' | '.join(padded)} |"

    return "\n".join([line(columns), line(rules), *map(line, cells)])


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)

"""The table that `augment list` prints. Pure functions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..shared.progress import size

_WIDTH = 100
_HEAD = ("name", "recipe", "seed", "size", "classes", "epochs", "bytes", "date")
_RIGHT = {"seed", "classes", "epochs", "bytes"}


def list_lines(facts: Sequence[dict[str, Any]]) -> list[str]:
    """Return a table of sets, from the results of `info`, at most 100 columns wide.

    If a row is too wide, its name has a line of its own. Sets with missing or incomplete shards are marked.
    """
    rows = [_HEAD, *map(_row, facts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    rest = sum(widths[1:]) + 2 * (len(_HEAD) - 1)
    name_width = max((len(row[0]) for row in rows if len(row[0]) + rest <= _WIDTH), default=len(_HEAD[0]))
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if head in _RIGHT else cell.ljust(width)
            for head, cell, width in zip(_HEAD[1:], row[1:], widths[1:], strict=True)
        ]
        name = row[0]
        if len(name) > name_width:
            lines.append(name)
            name = ""
        lines.append("  ".join([name.ljust(name_width), *cells]).rstrip())
    return lines


def _row(facts: dict[str, Any]) -> tuple[str, ...]:
    height, width, channels = facts["shape"]
    return (
        Path(facts["path"]).name + ("  (damaged)" if facts["lost_shards"] else ""),
        facts["recipe"],
        str(facts["seed"]),
        f"{height}x{width}{'' if channels == 1 else ' RGB'}",
        f"{facts['classes']:,}",
        f"{len(facts['epochs']):,}",
        size(facts["bytes"]),
        facts["written"][:16].replace("T", " "),
    )

"""The table that `augment list` prints. Pure functions."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ..shared.progress import size

_WIDTH = 100
_HEAD = ("name", "recipe", "seed", "size", "classes", "epochs", "bytes", "age", "used", "runs")
_RIGHT = {"seed", "classes", "epochs", "bytes", "age", "used", "runs"}
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def list_lines(facts: Sequence[dict[str, Any]], now: datetime) -> list[str]:
    """Return a table of sets, from the results of `api.list_sets`, at most 100 columns wide.

    `age` is the time from the last write until `now`, `used` that from the last training, `runs` the number of runs. If
    a row is too wide, its name has a line of its own. Sets with missing or incomplete shards or with an unfinished
    refresh are marked, and tags are in brackets.
    """
    rows = [_HEAD, *(_row(one, now) for one in facts)]
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


def _row(facts: dict[str, Any], now: datetime) -> tuple[str, ...]:
    height, width, channels = facts["shape"]
    tags = f" [{', '.join(facts['tags'])}]" if facts["tags"] else ""
    marks = "  (damaged)" if facts["lost_shards"] else ""
    if facts["refresh"]:
        marks += "  (refresh running)" if facts["refresh"]["writer"] else "  (refresh unfinished)"
    return (
        Path(facts["path"]).name + tags + marks,
        facts["recipe"],
        str(facts["seed"]),
        f"{height}x{width}{'' if channels == 1 else ' RGB'}",
        f"{facts['classes']:,}",
        f"{len(facts['epochs']):,}",
        size(facts["bytes"]),
        _ago(facts["written"], now),
        "never" if facts["last_used"] is None else _ago(facts["last_used"], now),
        f"{len(facts['trainings']):,}",
    )


def _ago(then: str, now: datetime) -> str:
    """Return the time from `then` (ISO 8601 with time zone) until `now`: `12 d`, `3 h`, `5 min`, `0 min`."""
    seconds = max(0.0, (now - datetime.fromisoformat(then)).total_seconds())
    return next((f"{seconds // length:.0f} {unit}" for length, unit in _UNITS if seconds >= length), "0 min")

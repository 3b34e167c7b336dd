"""When a set was last trained on: `used.json` in its directory. Nothing depends on it except lists and clean-up."""

import json
from datetime import UTC, datetime
from pathlib import Path

from ..shared.atomic import write_text

NAME = "used.json"


def record_use(directory: Path, run: Path) -> None:
    """Record that the training `run` reads the set in `directory` now.

    A set on a read-only or full disk can be trained on all the same, so an `OSError` is ignored.
    """
    used = {"used": datetime.now(UTC).isoformat(timespec="seconds"), "run": str(run.absolute())}
    try:
        write_text(directory / NAME, json.dumps(used, ensure_ascii=False) + "\n")
    except OSError:  # `list` shows an earlier use then.
        return


def last_used(directory: Path) -> datetime | None:
    """Return when the set in `directory` was last trained on (UTC); None if that is not recorded."""
    try:
        found = datetime.fromisoformat(json.loads((directory / NAME).read_text(encoding="utf-8"))["used"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # Nothing depends on the file.
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)

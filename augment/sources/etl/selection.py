"""Selects the sets: those that the user names, or else all handwritten ones, without duplicates."""

import re
from collections.abc import Collection

from ...errors import EpochbankError
from ...shared.closest import did_you_mean
from .catalog import PRINTED, SAME_WRITERS, SETS


def choose_sets(named: str | None, available: Collection[str], where: str) -> tuple[list[str], list[str]]:
    """Return the names of the selected sets in official order, and notes on the sets that the default skips.

    Parameters
    ----------
    named
        The value of `--etl-sets`: names separated by commas, ignoring case, with or without `ETL`. `7` is 7L if it is
        available, else 7S. None for the default.
    available
        The sets that the source has.
    where
        The source, for error messages.

    Raises
    ------
    EpochbankError
        If sets are unknown, unavailable or by the same writers, or if there are none.
    """
    return _default(available, where) if named is None else (_named(named, available, where), [])


def _default(available: Collection[str], where: str) -> tuple[list[str], list[str]]:
    selected, notes = [], []
    for name in (name for name in SETS if name in available):
        better, why = SAME_WRITERS.get(name, ("", ""))
        if better in available:
            notes.append(f"skipped ETL{name}: {why}; select it with --etl-sets {name}")
        elif name == PRINTED:
            notes.append(f"skipped ETL{name}: it is printed, not handwritten; select it with --etl-sets {name}")
        else:
            selected.append(name)
    if not selected:
        raise EpochbankError(
            f"{where} holds only ETL{PRINTED}, which is printed, not handwritten. Select it with --etl-sets {PRINTED}.",
            usage=True,
        )
    return selected, notes


def _named(named: str, available: Collection[str], where: str) -> list[str]:
    words = [word for word in re.split(r"[,\s]+", named) if word]
    listed = ", ".join(name for name in SETS if name in available)
    selected = set()
    for word in words:
        name = re.sub(r"^ETL[-_]?", "", word.upper())
        name = next((seven for seven in ("7L", "7S") if seven in available), "7L") if name == "7" else name
        if name not in available:
            what = "is not available" if name in SETS else f"is not one of {', '.join(SETS)}"
            hint = "" if name in SETS else did_you_mean(name, SETS)
            raise EpochbankError(f"--etl-sets {named}: {word} {what}; {where} has {listed}.{hint}", usage=True)
        selected.add(name)
    if not selected:
        raise EpochbankError(f"--etl-sets {named!r} names no set; {where} has {listed}.", usage=True)
    for name, (better, why) in SAME_WRITERS.items():
        if {name, better} <= selected:
            raise EpochbankError(
                f"--etl-sets {named}: {why}, so a writer would be in several splits. "
                f"Name only one of {better} and {name}.",
                usage=True,
            )
    return [name for name in SETS if name in selected]

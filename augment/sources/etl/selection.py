"""Which sets are taken: those that the user names, else all, but no handwriting twice and nothing printed."""

import re
from collections.abc import Collection

from ...errors import EpochbankError
from .catalog import PRINTED, SAME_HANDWRITING, SETS


def choose_sets(named: str | None, there: Collection[str], where: str) -> tuple[list[str], list[str]]:
    """Names of sets, in order, and sentences on what was left out unasked.

    `named` is what `--etl-sets` says: names with commas between, in any case, with or without `ETL`; `7` is the larger
    of the two that are there. `there` are the sets that `where` has. Raises `EpochbankError`.
    """
    return _default(there, where) if named is None else (_named(named, there, where), [])


def _default(there: Collection[str], where: str) -> tuple[list[str], list[str]]:
    taken, notes = [], []
    for name in (name for name in SETS if name in there):
        better, why = SAME_HANDWRITING.get(name, ("", ""))
        if better in there:
            notes.append(f"ETL{name} left out: {why}; --etl-sets {name} takes it instead")
        elif name == PRINTED:
            notes.append(f"ETL{name} left out: it is printed, not written by hand; --etl-sets {name} takes it")
        else:
            taken.append(name)
    if not taken:
        raise EpochbankError(
            f"{where} holds ETL{PRINTED} alone, which is printed, not written by hand. Take it with --etl-sets "
            f"{PRINTED}.",
            words=True,
        )
    return taken, notes


def _named(named: str, there: Collection[str], where: str) -> list[str]:
    words = [word for word in re.split(r"[,\s]+", named) if word]
    listed = ", ".join(name for name in SETS if name in there)
    taken = set()
    for word in words:
        name = re.sub(r"^ETL[-_]?", "", word.upper())
        name = next((seven for seven in ("7L", "7S") if seven in there), "7L") if name == "7" else name
        if name not in there:
            what = "is not there" if name in SETS else f"is none of {', '.join(SETS)}"
            raise EpochbankError(f"--etl-sets {named}: {word} {what}; {where} has {listed}.", words=True)
        taken.add(name)
    if not taken:
        raise EpochbankError(f"--etl-sets {named!r} names no set; {where} has {listed}.", words=True)
    for name, (better, why) in SAME_HANDWRITING.items():
        if {name, better} <= taken:
            raise EpochbankError(
                f"--etl-sets {named}: {why}; with both, the same handwriting would stand on both sides of a split. "
                f"Name one of {better} and {name}.",
                words=True,
            )
    return [name for name in SETS if name in taken]

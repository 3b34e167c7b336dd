"""What is read of one file of the database, in one task: codes and hands of its pictures, no pixels."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .archives import Unreadable, bytes_of
from .catalog import EtlSet
from .places import Place
from .records import RecordType, values

_WINDOW = 16 << 20
"""Bytes of a file that are mapped at once: what was looked at leaves the memory again."""


@dataclass(frozen=True)
class Task:
    """Which file, and what is known of it."""

    etl_set: EtlSet
    number: int
    place: Place
    bare: Path
    """Where it is laid bare if it must be."""

    @property
    def official(self) -> int:
        """Its official number of pictures."""
        return self.etl_set.counts[self.number - 1]


@dataclass
class Harvest:
    """What a file holds: n pictures, one record after another."""

    path: Path
    offset: int = 0
    """Byte of `path` at which the file begins."""
    first: int = 0
    """The record of the first picture, from 0."""
    codes: list[int] = field(default_factory=list)
    """The different codes."""
    code: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint16))
    """uint16 (n,): index into `codes`."""
    hands: list[str | None] = field(default_factory=list)
    """The different groups, by name; None for one that cannot be told."""
    hand: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint32))
    """uint32 (n,): index into `hands`."""
    models: int = 0
    """Model pictures, left out."""
    bad: list[tuple[int | None, str]] = field(default_factory=list)
    """What cannot be used: a record, or None for the file; and why."""

    @property
    def unreadable(self) -> bool:
        """Whether the whole file cannot be used."""
        return any(record is None for record, _ in self.bad)


def harvest(task: Task) -> Harvest:
    """Read everything of a file but its pixels; what is wrong with it is told in the result.

    `OSError` where it cannot be laid bare.
    """
    kind, found = task.etl_set.type, Harvest(task.place.path)
    try:
        found.path, found.offset = bytes_of(task.place, task.bare)
        codes, hands = _columns(task, found)
    except Unreadable as error:
        task.bare.unlink(missing_ok=True)
        return Harvest(task.place.path, bad=[(None, str(error))])
    whole, rest = divmod(task.place.size, kind.size)
    if not task.place.size:
        found.bad.append((None, f"is empty; expected records of {kind.size:,} bytes"))
    elif rest:
        found.bad.append((whole, f"is cut off: {rest:,} of {kind.size:,} bytes"))
    different, code = np.unique(codes, return_inverse=True)
    found.codes, found.code = different.tolist(), code.astype(np.uint16)
    different, hand = np.unique(hands, return_inverse=True)
    found.hand = hand.astype(np.uint32)
    found.hands = [_hand_name(task.etl_set, hand) for hand in different.tolist()]
    return found


def _columns(task: Task, found: Harvest) -> tuple[np.ndarray, np.ndarray]:
    """Code (uint16) and hand (a number or text) of each picture; sets `first` and `models` of `found`."""
    kind, records = task.etl_set.type, task.place.size // task.etl_set.type.size
    found.first = min(task.etl_set.dummies, records)
    stop = records
    if task.number in task.etl_set.models:
        stop = min(records, found.first + task.official)
        found.models = records - stop
    codes, hands = [np.zeros(0, np.uint16)], []
    for window in _windows(found.path, found.offset, kind, found.first, stop):
        codes.append(values(window, kind.fields["code"]).astype(np.uint16))
        if "sheet" in kind.fields:
            hands.append(values(window, kind.fields["sheet"]))
        else:
            style, font = (values(window, kind.fields[name]) for name in ("style", "font"))
            hands.append(np.char.add(np.char.add(style, b" "), font))
    return np.concatenate(codes), np.concatenate(hands) if hands else np.zeros(0, np.uint64)


def _windows(path: Path, offset: int, kind: RecordType, start: int, stop: int) -> Iterator[np.ndarray]:
    """The records from `start` to `stop` in runs, uint8 (n, bytes), mapped one run at a time. Raises `Unreadable`."""
    step = max(1, _WINDOW // kind.size)
    for first in range(start, stop, step):
        shape = (min(step, stop - first), kind.size)
        try:
            yield np.memmap(path, np.uint8, "r", offset + first * kind.size, shape)
        except ValueError as error:
            raise Unreadable(f"became shorter while it was read: {error}. Give the same command again") from error
        except OSError as error:
            raise Unreadable(f"cannot be read: {error.strerror}") from error


def _hand_name(etl_set: EtlSet, hand: int | bytes) -> str | None:
    """The group of a picture; None for a sheet that belongs to no form."""
    name = f"ETL{etl_set.people or etl_set.name}"
    if isinstance(hand, bytes):
        return f"{name} {' '.join(hand.decode().split())}"
    if not etl_set.sheets_of_form:
        return f"{name} sheet {hand}"
    return f"{name} set {(hand - 1) // etl_set.sheets_of_form}" if hand else None

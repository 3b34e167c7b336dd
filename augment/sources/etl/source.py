"""The ETL Character Database as a source: what is taken of it, and what people should know of the rest."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import EpochbankError
from ...shared.progress import Progress
from ...shared.workers import on_all_cores
from ..base import Scan, SourceOptions
from .archives import Unreadable, bytes_of, check_space, must_be_laid_bare
from .catalog import SETS, TABLE, EtlSet
from .characters import GROUPS, jis0201, jis0208, pick, read_table
from .collect import Gathering
from .file_scan import Harvest, Task, harvest
from .places import Found, Place, find
from .report import faults, left_out, listed, partial_copies
from .selection import choose_sets

_LARGEST_TABLE = 1 << 20
"""Bytes of `euc_co59.dat` that are read: it has some thirty thousand."""

CharacterOf = Callable[[int], str | None]


class EtlSource:
    """A directory with files of the database, their `.zip` archives, or both; or one such archive or file."""

    def __init__(self, path: Path, name: str, options: SourceOptions):
        self.path, self.name, self.options = path, name, options
        self.picked = pick(options.characters)

    def identity(self) -> Any:
        """Path; and path below it, bytes and time of change of each file of the database and each archive."""
        return ["etl", str(self.path.resolve()), find(self.path).identity(self.path)]

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """Read codes and sheets of all pictures that are taken, on so many cores.

        What lies deflated in archives is laid bare in `workspace`. `EpochbankError` where nothing can be taken, where
        what is asked for is not there, and where there is no room.
        """
        found = find(self.path)
        if not found.files:
            raise EpochbankError(
                f"{self.path} holds no file of the ETL Character Database; expected files such as ETL9G_01, or .zip "
                f"archives of them.{faults(found.bad)}{_strange(found)}"
            )
        names, notes = choose_sets(self.options.etl_sets, {name for name, _ in found.files}, str(self.path))
        places = {key: _the_one(key, found.files[key], notes) for key in sorted(found.files) if key[0] in names}
        decoders = {name: _decoder(SETS[name], found, workspace) for name in names}
        check_space(places.values(), workspace)
        tasks = [
            Task(SETS[name], number, place, workspace / f"{name}-{number}") for (name, number), place in places.items()
        ]
        harvests = _harvest(tasks, jobs)
        gathering = Gathering(self.picked, found.bad)
        for task, one in zip(tasks, harvests, strict=True):
            gathering.add(task, one, decoders[task.etl_set.name])
        notes += partial_copies(tasks, harvests) + left_out(tasks, harvests, found) + self._unpicked(gathering)
        scan = gathering.scan(workspace, notes)
        if not len(scan.labels):
            raise EpochbankError(self._nothing(scan))
        return scan

    def _unpicked(self, gathering: Gathering) -> list[str]:
        """Sentences on what `--characters` left out, and on what it names in vain."""
        notes = []
        if gathering.unwanted:
            notes.append(f"pictures of other characters left out, as --characters says: {gathering.unwanted:,}")
        vain = sorted((self.picked.characters or frozenset()) - gathering.met)
        if vain:
            notes.append(f"of the characters that --characters names, these occur nowhere: {listed(vain)}")
        return notes

    def _nothing(self, scan: Scan) -> str:
        if self.options.characters is None:
            return f"{self.path} holds no picture that can be used.{faults(scan.bad)}"
        return (
            f"{self.path} has none of --characters {self.options.characters}; expected {', '.join(GROUPS)}, all, or "
            f"the characters themselves, of the sets that are taken.{faults(scan.bad)}"
        )


def _strange(found: Found) -> str:
    return f"\nNot understood: {listed(found.strange)}." if found.strange else ""


def _the_one(key: tuple[str, int], places: list[Place], notes: list[str]) -> Place:
    """The place that a file is taken from, an unpacked one before one in an archive; `EpochbankError` for two alike."""
    name = SETS[key[0]].file_name(key[1])
    unpacked = [place for place in places if place.member is None]
    if len(unpacked or places) > 1:
        shown = " and ".join(place.shown for place in unpacked or places)
        raise EpochbankError(f"{name} is there more than once: {shown}. Move all but one away.")
    if len(places) > 1:
        packed = listed([place.shown for place in places if place.member is not None])
        notes.append(f"{name} is taken from {unpacked[0].shown}, not from {packed}")
    return (unpacked or places)[0]


def _harvest(tasks: list[Task], jobs: int) -> list[Harvest]:
    """What each file holds, in order."""
    results: dict[int, Harvest] = {}
    packed = any(must_be_laid_bare(task.place) for task in tasks)
    with Progress("unpack" if packed else "scan", len(tasks), "files", quiet=not packed) as progress:
        for number, found in on_all_cores(harvest, tasks, len(tasks), jobs):
            results[number] = found
            progress.advance(1)
    return [results[number] for number in range(len(tasks))]


def _decoder(etl_set: EtlSet, found: Found, workspace: Path) -> CharacterOf:
    """The characters of a set's codes. `EpochbankError` where the printed set's table is missing."""
    if etl_set.code == "jis0208":
        return jis0208
    if etl_set.code == "jis0201":
        return partial(jis0201, hiragana=etl_set.hiragana)
    contents: dict[bytes, str] = {}
    for place in found.tables:
        contents.setdefault(_content(place, workspace), place.shown)
    if len(contents) != 1:
        what = f"{' and '.join(contents.values())} differ" if contents else f"there is no {TABLE} beside it"
        raise EpochbankError(
            f"ETL{etl_set.name} cannot be read: {what}; expected the one {TABLE} that comes with the database, which "
            f"says what its codes mean. Put it into the directory or the archive, or leave {etl_set.name} out of "
            "--etl-sets."
        )
    ((content, shown),) = contents.items()
    return read_table(content, shown).get


def _content(place: Place, workspace: Path) -> bytes:
    """All bytes of a table. `EpochbankError` where it cannot be read, or is too large to be one."""
    if place.size > _LARGEST_TABLE:
        raise EpochbankError(
            f"{place.shown} has {place.size:,} bytes; expected at most {_LARGEST_TABLE:,}. Take the file that comes "
            "with ETL2."
        )
    try:
        path, offset = bytes_of(place, workspace / TABLE)
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(place.size)
    except Unreadable as error:
        raise EpochbankError(f"{place.shown} {error}.") from error

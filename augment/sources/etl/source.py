"""The ETL Character Database as a source: selects sets and characters, and reports what it skips."""

from functools import partial
from pathlib import Path
from typing import Any

from ...errors import EpochbankError
from ...shared.progress import Progress, counted
from ...shared.workers import on_all_cores
from ..base import Scan, SourceOptions
from .archives import Unreadable, check_space, locate, needs_extraction
from .catalog import SETS, TABLE, EtlSet
from .characters import GROUPS, Decoder, jis0201, jis0208, parse_characters, read_table
from .collect import ScanCollector
from .file_scan import FileScan, Task, scan_file
from .groups import find_groups
from .identify import FileKey, identify_files
from .places import Found, Place, find_files
from .report import incomplete_copies, list_bad, list_left_out, list_names, place_notes, skipped
from .selection import choose_sets

_MAX_TABLE_SIZE = 1 << 20
"""Largest accepted size of `euc_co59.dat` in bytes. The official file has about thirty thousand."""

_VERSION = 2
"""Part of the identity: increased when the same files give other labels, groups or pixels than before."""


class EtlSource:
    """A directory with files of the database or their .zip archives, or a single file or archive."""

    def __init__(self, path: Path, name: str, options: SourceOptions):
        self.path, self.name, self.options = path, name, options
        self.wanted = parse_characters(options.characters)

    def identity(self) -> Any:
        """Return the path, and the relative path, size and modification time of each file and archive."""
        return ["etl", _VERSION, str(self.path.resolve()), find_files(self.path).identity(self.path)]

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """Read codes and sheets of all selected images with `jobs` processes.

        Compressed members of archives are extracted to `workspace`. Raises `EpochbankError` if no image can be used,
        if the requested sets or characters do not occur, or if the disk has too little space.
        """
        found = find_files(self.path)
        files = identify_files(found)
        if not files:
            raise EpochbankError(
                f"{self.path} holds no file of the ETL Character Database that can be read; expected files such as "
                f"ETL9G_01, or .zip archives of them.{list_left_out(found)}"
            )
        names, notes = choose_sets(self.options.etl_sets, {name for name, _ in files}, str(self.path))
        places = {key: _choose_place(key, files[key]) for key in sorted(files) if key[0] in names}
        notes += place_notes(files, places)
        decoders = {name: _decoder(SETS[name], found, workspace) for name in names}
        check_space(places.values(), workspace)
        tasks = [
            Task(SETS[name], number, place, workspace / f"{name}-{number}") for (name, number), place in places.items()
        ]
        scans = _scan_files(tasks, jobs)
        groups, form_notes = find_groups(tasks, scans)
        collector = ScanCollector(self.wanted, found.bad)
        for task, file_scan, file_groups in zip(tasks, scans, groups, strict=True):
            collector.add(task, file_scan, file_groups, decoders[task.etl_set.name])
        notes += incomplete_copies(tasks, scans) + form_notes + skipped(tasks, scans, found)
        notes += self._character_notes(collector)
        scan = collector.scan(workspace, notes)
        if not len(scan.labels):
            raise EpochbankError(self._no_images(scan))
        return scan

    def _character_notes(self, collector: ScanCollector) -> list[str]:
        """Describe images without a character, and what `--characters` skips and does not find."""
        notes = [
            f"skipped {counted(count, 'image')} of {name} {what}"
            for (name, what), count in collector.num_unlabeled.items()
        ]
        if collector.num_unwanted:
            notes.append(f"skipped {collector.num_unwanted:,} images of characters that --characters does not select")
        absent = sorted(self.wanted.characters - collector.found)
        if absent:
            notes.append(f"characters of --characters that do not occur: {list_names(absent)}")
        return notes

    def _no_images(self, scan: Scan) -> str:
        left_out = "".join(f"\n  {note}" for note in scan.notes if note.startswith("skipped"))
        if self.options.characters is None:
            return f"{self.path} holds no image that can be used.{list_bad(scan.bad)}{left_out}"
        return (
            f"{self.path} has no image of --characters {self.options.characters}; expected {', '.join(GROUPS)}, all, "
            f"or characters that occur in the selected sets.{list_bad(scan.bad)}{left_out}"
        )


def _choose_place(key: FileKey, places: list[Place]) -> Place:
    """Choose where to read a file, preferably unpacked. Raises `EpochbankError` if the choice is ambiguous."""
    unpacked = [place for place in places if place.member is None]
    if len(unpacked or places) > 1:
        listed = " and ".join(place.name for place in unpacked or places)
        raise EpochbankError(
            f"{SETS[key[0]].file_name(key[1])} exists more than once: {listed}. Remove all but one of them."
        )
    return (unpacked or places)[0]


def _scan_files(tasks: list[Task], jobs: int) -> list[FileScan]:
    """Scan all files; results in the order of `tasks`."""
    results: dict[int, FileScan] = {}
    extract = any(needs_extraction(task.place) for task in tasks)
    with Progress("unpack" if extract else "scan", len(tasks), "files", quiet=not extract) as progress:
        for number, scan in on_all_cores(scan_file, tasks, len(tasks), jobs):
            results[number] = scan
            progress.advance(1)
    return [results[number] for number in range(len(tasks))]


def _decoder(etl_set: EtlSet, found: Found, workspace: Path) -> Decoder:
    """Return the decoder of a set. Raises `EpochbankError` if the table of a set is missing."""
    if etl_set.code == "jis0208":
        return Decoder(jis0208)
    if etl_set.code == "jis0201":
        return Decoder(partial(jis0201, hiragana=etl_set.hiragana), etl_set.unlabeled)
    contents: dict[bytes, str] = {}
    for place in found.tables:
        entries = _read_whole(place, workspace).rstrip(b"\x1a").split()  # 0x1A ends text files of MS-DOS.
        contents.setdefault(b" ".join(entries), place.name)
    if len(contents) != 1:
        what = f"{' and '.join(contents.values())} differ" if contents else f"{TABLE} is missing"
        raise EpochbankError(
            f"ETL{etl_set.name} cannot be read: {what}; expected one {TABLE}, which comes with the database and maps "
            f"codes to characters. Put it into the directory or the archive, or omit {etl_set.name} from --etl-sets."
        )
    ((content, name),) = contents.items()
    return read_table(content, name)


def _read_whole(place: Place, workspace: Path) -> bytes:
    """Return the contents of a table. Raises `EpochbankError` if it is unreadable or too large."""
    if place.size > _MAX_TABLE_SIZE:
        raise EpochbankError(
            f"{place.name} has {place.size:,} bytes; expected at most {_MAX_TABLE_SIZE:,}. Use the file that comes "
            "with ETL2."
        )
    try:
        path, offset = locate(place, workspace / TABLE)
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(place.size)
    except Unreadable as error:
        raise EpochbankError(f"{place.name} {error}.") from error

"""Damage every file of a small set, byte by byte, and read it: `python faults/damage.py`, from the repository.

One byte is flipped (its lowest bit, all bits), 1 or 64 bytes are zeroed, or the file is cut off. Each time the file is
read in every way that serves images. A try is good if the damage is refused with an `EpochbankError` that names the
file; or if the same images are read, and `augment verify` finds the damage, or finds nothing because the byte is not
used. Other images, other exceptions, crashes and hangs are faults, and end the campaign with exit code 1.
"""

import multiprocessing
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click
import numpy as np

from common import RESULTS, Tries, table
from epochbank import open_set
from epochbank.api import generation
from epochbank.augment.errors import EpochbankError
from epochbank.augment.ingest.check_source import check_source
from epochbank.augment.ingest.source_file import open_source_file
from epochbank.augment.shared.pool import LocalPool
from epochbank.augment.store.description import read_description
from epochbank.augment.store.manifest import Entry, read_manifest
from epochbank.augment.store.shard_read import read_rejected, read_run
from epochbank.augment.store.split_file import read_group_names, read_split
from epochbank.augment.store.verify import Check, check_shard, verify
from epochbank.train.reading.chunk_table import ChunkTable

ROOT = Path(__file__).parents[1]
KINDS: dict[str, Callable[[bytes, int], bytes]] = {
    "lowest bit": lambda data, at: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :],
    "all bits": lambda data, at: data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :],
    "1 zero": lambda data, at: data[:at] + b"\0" + data[at + 1 :],
    "64 zeros": lambda data, at: data[:at] + bytes(min(64, len(data) - at)) + data[at + 64 :],
    "cut off": lambda data, at: data[:at],
}
"""Kinds of damage: what becomes of the contents at an offset."""
COLUMNS = ("file", "damage", "tries", "refused", "by verify", "unused", "faults")
_PATIENCE = 20.0
"""Seconds after which a try counts as a hang."""


@dataclass(frozen=True)
class Victim:
    """A file to damage."""

    name: str
    set: Path
    """Directory of the set, relative to the working directory."""
    file: Path
    """Relative to the working directory."""
    read: Callable[[Path, Path], Any]
    """Returns everything that is read of the set and the file; raises `EpochbankError` if it is damaged."""
    find: Callable[[Path, Path], bool]
    """Whether `augment verify` finds damage."""
    dense: bool
    """Whether every byte is damaged, or every `--step`-th one."""


def read_all(directory: Path, file: Path) -> Any:
    """Read what is known about a set, and its splits."""
    stored = open_set(directory)
    splits = [read_split(directory, split) for split in stored.num_images]
    columns = [column.tobytes() for one in splits for column in (one.row, one.label, one.group) if column is not None]
    return stored.description, stored.entries, stored.epochs, columns, read_group_names(directory)


def find_in_set(directory: Path, file: Path) -> bool:
    """Return whether the verification of the set finds a fault."""
    try:
        return bool(verify(directory, LocalPool(1)))
    except EpochbankError:
        return True


def _entry(directory: Path, file: Path) -> Entry:
    name = f"{file.parent.name}/{file.name}"
    return next(entry for entry in read_manifest(directory) if entry.file == name)


def read_shard(directory: Path, file: Path) -> Any:
    """Read a shard as training does, as `explain` does, and its rejected attempts."""
    entry, shape = _entry(directory, file), read_description(directory).shape
    chunks = ChunkTable(directory, [entry], shape)
    images = np.full((entry.num_images, *shape), 77, np.uint8)
    labels = np.full(entry.num_images, -7, np.int32)
    first = 0
    for number, count in enumerate(chunks.chunk_sizes.tolist()):
        chunks.read(number, images[first : first + count], labels[first : first + count])
        first += count
    again = read_run(directory, entry, entry.start, entry.stop)
    rejected, its_labels = read_rejected(directory, entry)
    # Rows have no checksum in a shard; only `verify` reads them.
    columns = (images, labels, *again[:2], rejected, its_labels)
    return [column.tobytes() for column in columns]


def find_in_shard(directory: Path, file: Path) -> bool:
    """Return whether the verification of the shard finds a fault."""
    entry, description = _entry(directory, file), read_description(directory)
    return bool(check_shard(Check(directory, entry, description.fingerprint, description.shape)))


def read_source(directory: Path, file: Path) -> Any:
    """Read all of a source file, as generation does."""
    source = open_source_file(file)
    columns = [source.column(name).tobytes() for name in ("label", "group")]
    origins = [source.origin(row) for row in range(source.num_images)]
    images = source.read(np.arange(source.num_images)).tobytes()
    return source.digest, source.class_names, source.group_names, columns, origins, images


def find_in_source(directory: Path, file: Path) -> bool:
    """Return whether the verification of the source file finds a fault."""
    try:
        check_source(open_source_file(file), 1, quiet=True)
    except EpochbankError:
        return True
    return False


def make_sets(work: Path) -> list[Victim]:
    """Make a set with each codec in the directory `work`, copy the oldest one, and return the files to damage."""
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (40, 8, 8), np.uint8)
    images[:, 2:6] //= 4
    np.savez(work / "a.npz", images=images, labels=np.arange(40) % 4, groups=np.arange(40) // 2)
    victims = []
    for codec in ("zstd", "lz4", "gzip", "none"):
        stored = generation.run(
            work / "a.npz", "handwriting", 2, sets=work / codec, codec=codec, jobs=1, shard_size=16, chunk_size=8,
            invert="no",
        ).directory.relative_to(work)  # fmt: skip
        victims.append(Victim(f"shard, {codec}", stored, stored / "epoch-0001/0000000000.h5", read_shard,
                              find_in_shard, dense=False))  # fmt: skip
    golden = shutil.copytree(next((ROOT / "tests/golden/format-1").glob("golden-*")), work / "golden" / "set")
    first = sorted(golden.glob("epoch-*/*.h5"))[0].relative_to(work)
    old = golden.relative_to(work)
    victims.append(Victim("shard of the first version", old, first, read_shard, find_in_shard, dense=False))
    victims += [
        Victim(name, stored, stored / name, read_all, find_in_set, dense=name != "split.h5")
        for name in ("set.json", "manifest.jsonl", "manifest.check", "split.h5")
    ]
    for name in sorted(path.name for path in (work / stored).glob("*.h5") if path.name != "split.h5")[:1]:
        victims.append(Victim("virtual dataset", stored, stored / name, read_all, find_in_set, dense=False))
    source = next((work / "none/sources").glob("*.h5")).relative_to(work)
    return [*victims, Victim("source file", stored, source, read_source, find_in_source, dense=False)]


def outcome(victim: Victim, expected: Any) -> str:
    """Return what reading the damaged file leads to: a column of the table, or a description of the fault."""
    try:
        found = victim.read(victim.set, victim.file)
    except EpochbankError as error:
        return "refused" if victim.file.name in str(error) or victim.set.name in str(error) else f"no file: {error}"
    except Exception as error:  # Anything else is a fault, and is reported.
        return f"{type(error).__name__}: {error}"
    if found != expected:
        return "other contents were read"
    try:
        return "by verify" if victim.find(victim.set, victim.file) else "unused"
    except Exception as error:
        return f"verify: {type(error).__name__}: {error}"


def damage(victim: Victim, work: Path, kind: str, offsets: list[int], results: Connection) -> None:
    """Damage a copy of the sets at each of `offsets`; send (offset, '') before each try, and the outcome after it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # No progress on the terminal.
    with tempfile.TemporaryDirectory(dir=work.parent) as temporary:
        os.chdir(shutil.copytree(work, Path(temporary) / "copy"))
        contents = victim.file.read_bytes()
        expected = victim.read(victim.set, victim.file)
        for at in offsets:
            changed = KINDS[kind](contents, at)
            if changed == contents:
                continue
            results.send((at, ""))
            victim.file.write_bytes(changed)
            results.send((at, outcome(victim, expected)))
        victim.file.write_bytes(contents)
        if victim.read(victim.set, victim.file) != expected:
            results.send((-1, "the restored file is read differently"))
        os.chdir(work)


def attempts(victim: Victim, work: Path, kind: str, offsets: list[int]) -> Iterator[tuple[int, str]]:
    """Yield each offset with its outcome. A process that crashes or hangs is replaced by another one."""
    fork = multiprocessing.get_context("fork")
    while offsets:
        receiver, sender = fork.Pipe(duplex=False)
        child = fork.Process(target=damage, args=(victim, work, kind, offsets, sender))
        child.start()
        sender.close()
        current = None
        try:
            while receiver.poll(_PATIENCE):
                at, text = receiver.recv()
                current = None if text else at
                if text:
                    yield at, text
            text = f"no answer for {_PATIENCE:g} s"
            child.kill()
        except EOFError:
            child.join()
            text = f"exit code {child.exitcode}"
        child.join()
        if current is None:
            if child.exitcode:
                yield -1, text
            return
        yield current, text
        offsets = [at for at in offsets if at > current]


def campaign(victim: Victim, work: Path, step: int, start: int, tries: Tries) -> list[dict[str, Any]]:
    """Damage a file in every way and return a row of the table for each kind of damage."""
    size, rows = (work / victim.file).stat().st_size, []
    for kind in KINDS:
        found: Counter[str] = Counter()
        for at, text in attempts(victim, work, kind, list(range(0 if victim.dense else start % step, size,
                                                                 1 if victim.dense else step))):  # fmt: skip
            good = text in COLUMNS
            found[text if good else "faults"] += 1
            if not good:
                tries.add(file=victim.name, damage=kind, offset=at, fault=text)
                click.echo(f"{victim.name}, {kind}, byte {at}: {text}", err=True)
        rows.append({"file": victim.name, "damage": kind, "tries": found.total(), **{c: found[c] for c in COLUMNS[3:]}})
        tries.add(**rows[-1])
    return rows


@click.command()
@click.option("--step", type=click.IntRange(1), default=5, show_default=True,
              help="Damage every STEP-th byte of HDF5 files; of other files every byte.")  # fmt: skip
@click.option("--start", type=click.IntRange(0), default=0, show_default=True, help="First byte of these.")
@click.option("--only", default="", help="Only files whose name contains this.")
def main(step: int, start: int, only: str) -> None:
    """Damage every file of a small set and read it."""
    tries = Tries(RESULTS / "damage.jsonl")
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary) / "work"
        work.mkdir()
        victims = [victim for victim in make_sets(work) if only in victim.name]
        rows = []
        for victim in victims:
            rows += campaign(victim, work, step, start, tries)
            click.echo(table(rows[-len(KINDS) :], COLUMNS))
    click.echo(table(rows, COLUMNS))
    total = sum(row["tries"] for row in rows)
    faults = sum(row["faults"] for row in rows)
    click.echo(f"{total:,} tries, {faults:,} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()

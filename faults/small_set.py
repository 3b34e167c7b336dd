"""A small set, the commands that write and read it, and what must be true after each of them has failed."""

import hashlib
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from click.testing import CliRunner

import epochbank
from epochbank.augment.cli import main as augment
from epochbank.augment.errors import EpochbankError
from epochbank.augment.ingest.source_file import open_source_file
from epochbank.augment.store.catalog import all_sets
from epochbank.augment.store.description import read_description
from epochbank.augment.store.digest import add, digest_of, to_hex
from epochbank.augment.store.manifest import Entry, published_epochs, read_manifest
from epochbank.augment.store.shard_read import read_chunks
from stages import trained

VOLATILE = {"log.jsonl", ".lock", "used.json", "out.txt"}
"""Files that differ from run to run."""

RUN_FILES = {f"run/{name}" for name in ("summary.json", "metrics.csv", "model.keras")}
"""Files of a training in `run/` that have times in them, and are compared without these."""


@dataclass(frozen=True)
class Stage:
    """A command, and what it needs."""

    name: str
    prepare: Callable[[Path], None]
    """Fill an empty directory with what the command needs."""
    words: Callable[[Path], list[str]]
    """Arguments of `augment` in that directory; the first word `stream` reads the set as a training does, and `train`
    runs that program."""
    writes: bool = True
    repeats: bool = True
    """Whether the command can be repeated after it has succeeded, and then changes nothing."""
    damaged: bool = False
    """Whether the set has damaged shards before the command."""
    workers: bool = False
    """Whether the calls of worker processes fail, instead of those of the command."""


def images(directory: Path) -> None:
    """Write `images.npz`: 40 images of strokes, 8 x 8, of four classes and 20 groups."""
    random = np.random.default_rng(1)
    pixels = random.integers(0, 256, (40, 8, 8), np.uint8)
    pixels[:, 2:6] //= 4
    np.savez(directory / "images.npz", images=pixels, labels=np.arange(40) % 4, groups=np.arange(40) // 2)


def run_words(directory: Path, epochs: int) -> list[str]:
    """Return the arguments of `augment run`."""
    return [
        "run", f"{directory}/images.npz", "--recipe", "handwriting", "--epochs", str(epochs), "--sets",
        f"{directory}/sets", "--jobs", "1", "--shard-size", "16", "--chunk-size", "8", "--invert", "no",
    ]  # fmt: skip


def only_set(directory: Path) -> Path:
    """Return the one set below `directory`."""
    return all_sets(directory / "sets")[-1]


def _run(directory: Path, epochs: int = 2) -> None:
    images(directory)
    _succeed(run_words(directory, epochs))


def _succeed(words: list[str]) -> None:
    result = CliRunner().invoke(augment, words)
    if result.exit_code:
        raise RuntimeError(f"augment {' '.join(words)}: {result.output}") from result.exception


def _damaged(directory: Path) -> None:
    _run(directory)
    stored = only_set(directory)
    first = stored / "epoch-0000/0000000000.h5"
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 255
    first.write_bytes(content)
    (stored / "epoch-0001/0000000016.h5").unlink()


def _littered(directory: Path) -> None:
    _run(directory)
    stored = only_set(directory)
    shutil.copy(stored / "epoch-0001/0000000000.h5", stored / "epoch-0001/0000000999.h5")
    (stored / "epoch-0000/.tmp-123456789012-0000000000.h5").write_bytes(b"x" * 99)
    (directory / "sets/sources/.tmp-17-other.h5").mkdir()
    (directory / "sets/sources/.tmp-17-other.h5/source.h5").write_bytes(b"x")
    shutil.copy(
        next((directory / "sets/sources").glob("images-*.h5")), directory / "sets/sources/unneeded-123456789012.h5"
    )
    (directory / "sets/begun-kanji-12345678").mkdir()
    (directory / "sets/begun-kanji-12345678/.lock").touch()


def _set_words(*words: str) -> Callable[[Path], list[str]]:
    """Return arguments of a command on the set; `{}` stands for the directory of all."""

    def arguments(directory: Path) -> list[str]:
        given = [word.replace("{}", str(directory)) for word in words]
        return [given[0], str(only_set(directory)), *given[1:]]

    return arguments


def _retagged(directory: Path) -> None:
    _run(directory, 1)
    _succeed(["tag", str(only_set(directory)), "first", "--sets", f"{directory}/sets"])


STAGES = [
    Stage("import", images, lambda at: ["import", f"{at}/images.npz", f"{at}/source.h5", "--jobs", "1"], repeats=False),
    Stage("run", images, lambda at: run_words(at, 1)),
    Stage("extension", lambda at: _run(at, 1), lambda at: run_words(at, 2)),
    Stage("refresh", _run, _set_words("refresh", "--epochs", "1", "--jobs", "1"), repeats=False),
    Stage("repair", _damaged, _set_words("repair", "--jobs", "1"), damaged=True),
    Stage("gc", _littered, lambda at: ["gc", "--yes", "--sets", f"{at}/sets"]),
    Stage("tag", _retagged, _set_words("tag", "second", "--sets", "{}/sets")),
    Stage("remove", lambda at: _run(at, 1), _set_words("remove", "--yes"), repeats=False),
    Stage("copy", lambda at: _run(at, 1), _set_words("copy", "{}/copied"), repeats=False),
    Stage(
        "export webdataset",
        lambda at: _run(at, 1),
        _set_words("export", "{}/out", "--format", "webdataset"),
        repeats=False,
    ),
    Stage("export npz", lambda at: _run(at, 1), _set_words("export", "{}/out", "--format", "npz"), repeats=False),
    Stage("verify", _run, _set_words("verify", "--jobs", "1"), writes=False),
    Stage("info", _run, _set_words("info", "--json"), writes=False),
    Stage("list", _run, lambda at: ["list", "--sets", f"{at}/sets", "--json"], writes=False),
    Stage("explain", _run, _set_words("explain", "1", "7", "--json"), writes=False),
    Stage("stream", _run, _set_words("stream"), writes=False),
]
"""In the order of a set's life. A stage whose command does not exist is omitted."""


def stages() -> Iterator[Stage]:
    """Yield the stages whose command exists."""
    for stage in STAGES:
        if stage.name.split()[0] in {*augment.commands, "extension", "stream"}:
            yield stage


def stream_set(directory: Path) -> str:
    """Return a digest of what two training epochs read of the set in `directory`."""
    from epochbank import open_set

    digest = hashlib.sha256()
    for pixels, labels in open_set(directory).batches(16, originals=0.5, epochs=2, threads=1):
        digest.update(pixels)
        digest.update(labels)
    return digest.hexdigest()


def state(directory: Path) -> dict[str, str]:
    """Return a digest of every file below `directory` by its path; directories are empty, what varies is omitted.

    A source file counts by the digests of its contents, a manifest by its last line on each shard, and a training in
    `run/` by its metrics, weights and results, once it is finished.
    """
    found = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if path.name in VOLATILE or ".tmp-" in name or name in RUN_FILES:
            continue
        if path.is_dir():
            found[name] = "directory"
        elif path.name == "manifest.jsonl":
            entries = sorted(map(str, read_manifest(path.parent)))
            found[name] = hashlib.sha256("\n".join(entries).encode()).hexdigest()
        elif path.name == "manifest.check":
            found[name] = "present"
        elif path.suffix == ".h5" and (path.parent.name == "sources" or path.name == "source.h5"):
            source = open_source_file(path)
            pixels = source.read(np.arange(source.num_images))
            found[name] = f"{source.digest} {source.columns} {source.origins} {hashlib.sha256(pixels).hexdigest()}"
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found | trained(directory / "run")


def epoch_digests(directory: Path) -> dict[int, str]:
    """Return the digest of each published epoch of a set by its number, computed from the images that it serves.

    Raises `EpochbankError` if anything cannot be read; and `WrongSet` if what is read is not what the manifest lists.
    """
    description = read_description(directory)
    entries = read_manifest(directory)
    epochs = {one.epoch: one.digest for one in published_epochs(entries, description.num_images["train"])}
    for entry in entries:
        served = _served(directory, entry)
        if served != entry.digest:
            raise WrongSet(f"{directory / entry.file} serves images with digest {served}, not {entry.digest}")
    return epochs


def _served(directory: Path, entry: Entry) -> str:
    digest = 0
    for start, (pixels, labels, rows) in read_chunks(directory, entry, entry.start, entry.stop):
        digest = add(digest, digest_of(start, pixels, labels, rows))
    return to_hex(digest)


class WrongSet(Exception):
    """A set that serves other images than it should."""


def wrong_in(directory: Path, expected: dict[int, str], *, damaged: bool = False) -> list[str]:
    """Return what is wrong with the sets and source files below `directory` after a command has failed.

    Parameters
    ----------
    directory
        Directory of the try.
    expected
        Digest of each stored epoch by its number.
    damaged
        Whether a set may have shards that are refused.
    """
    faults = []
    for stored in [path.parent for path in directory.rglob("set.json")]:
        if any(parent.name.startswith(".tmp-") for parent in (stored, *stored.parents)):
            continue
        try:
            wrong = {number: one for number, one in epoch_digests(stored).items() if expected.get(number) != one}
            if wrong:
                faults.append(f"WRONG: {stored.name} publishes {wrong}; expected {expected}")
        except EpochbankError as error:
            if not damaged:
                faults.append(f"unreadable: {error}")
        except WrongSet as error:
            faults.append(f"WRONG: {error}")
    return faults


def left_over(directory: Path) -> list[str]:
    """Return the temporary files below `directory`."""
    return [str(path.relative_to(directory)) for path in directory.rglob(".tmp-*")]


def published(directory: Path) -> dict[int, str]:
    """Return the digest of each stored epoch 0 to 5 of the small set, generated without faults in `directory`."""
    directory.mkdir()
    _run(directory, 6)
    facts = epochbank.info(only_set(directory))
    return {one["epoch"]: one["digest"] for one in facts["epochs"]}


@contextmanager
def problems_as_messages() -> Iterator[None]:
    """Turn the errors that a reader may raise into what the command line makes of them."""
    try:
        yield
    except (EpochbankError, OSError, MemoryError) as error:
        print(f"Error: {error or 'memory ran out'}", file=sys.stderr)
        raise SystemExit(1) from error
    except KeyboardInterrupt as error:
        raise SystemExit(130) from error

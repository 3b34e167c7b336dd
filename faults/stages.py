"""The commands that are killed, what each begins with, and what a folder must hold after a kill and after a resume."""

import csv
import hashlib
import io
import json
import re
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xxhash

import epochbank
from epochbank.api import generation
from epochbank.augment.errors import EpochbankError
from epochbank.augment.shared.atomic import TEMPORARY
from epochbank.augment.store.catalog import all_sets
from epochbank.train.feeding.augmented_set import open_set
from processes import answer_of, start

SIZE = ("--size", "16", "--shard-size", "12")
RUN = ("run", "digits", "--limit", "150", *SIZE)
"""The set of all stages: 110 training images, so 10 shards in an epoch."""
ORACLE_EPOCHS = 16
_MAY_DIFFER = {"log.jsonl", ".lock", "manifest.jsonl", "manifest.check", "used.json"}
"""Files with times, or with lines in the order in which shards were published."""


@dataclass(frozen=True)
class Stage:
    """A command, and the folder in which it runs."""

    name: str
    share: float
    """Part of all kills."""
    prepare: Callable[[Path], None]
    """Make the folder that the command begins with."""
    words: tuple[str, ...]
    program: str = "augment"
    has_jobs: bool = True
    done: str = ""
    """Regular expression of the message that refuses to repeat a command that was killed after its work was done."""
    damaged: bool = False
    """Whether the folder has a damaged set, which readers refuse, until the command ends."""
    keeps: bool = False
    """Temporary files may be there when SIGINT or SIGTERM ends the command: it continues from them, or removes them."""
    times: int = 1
    """Number of times that the command changes the folder again when it is repeated."""

    def command(self, folder: Path, jobs: int) -> list[str]:
        """Return the words of the command, or of the one that continues it in `folder`."""
        run = folder / "run"
        if self.program == "train":
            if (run / "config.json").exists():
                return ["fit", "--resume", "run"]
            return list(self.words)
        return [*self.words, "--jobs", str(jobs)] if self.has_jobs else list(self.words)


def do(folder: Path, *words: str, program: str = "augment") -> None:
    """Run a command undisturbed in a fork. Raises `RuntimeError` if it fails."""
    output = folder.parent / "prepare.txt"
    done = start(program, words, folder, output, forked=True)
    if done.wait(300) != 0:
        raise RuntimeError(f"{program} {' '.join(words)} ended with {done.code}: {done.text()[-2000:]}")


def _nothing(folder: Path) -> None:
    pass


def _set_of(epochs: int) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        do(folder, *RUN, "--epochs", str(epochs), "--jobs", "1", "--name", "it")

    return prepare


def _damage(folder: Path) -> None:
    _set_of(3)(folder)
    shards = sorted((folder / "sets").rglob("epoch-*/*.h5"))
    for number, shard in enumerate(shards):
        if number % 3 == 0:
            shard.unlink()
        elif number % 3 == 1:
            data = bytearray(shard.read_bytes())
            data[len(data) // 2] ^= 255
            shard.write_bytes(data)


def _litter(folder: Path) -> None:
    _set_of(2)(folder)
    directory = next((folder / "sets").glob("digits-*"))
    for number in range(12):
        shutil.copy(directory / "epoch-0000/0000000000.h5", directory / f"epoch-0001/{10**6 + number:010d}.h5")
        shutil.copy(directory / "epoch-0000/0000000000.h5", directory / f"epoch-0000/{TEMPORARY}{number:012x}-0.h5")
        shutil.copy(next((folder / "sets/sources").glob("*.h5")), folder / f"sets/sources/unused-{number}.h5")
    (directory / "epoch-0007").mkdir()
    shutil.copy(directory / "epoch-0000/0000000000.h5", directory / "epoch-0007/0000000000.h5")


def stages() -> dict[str, Stage]:
    """Return all stages that this version of the package has, by name."""
    from epochbank.augment.cli import main

    fit = ("fit", "it", "--run", "run", "--epochs", "2", "--batch-size", "32", "--checkpoint-steps", "1")
    found = [
        Stage("import", 0.12, _nothing, ("import", "digits", "d.h5", "--size", "16"), done="exists; expected a new"),
        Stage("generation", 0.22, _nothing, (*RUN, "--epochs", "3")),
        Stage("extension", 0.12, _set_of(2), (*RUN, "--epochs", "5")),
        Stage("refresh", 0.16, _set_of(3), ("refresh", "it", "--epochs", "2"), times=3),
        Stage("repair", 0.12, _damage, ("repair", "it"), damaged=True),
        Stage("gc", 0.06, _litter, ("gc", "--yes"), has_jobs=False, keeps=True),
        Stage("remove", 0.02, _set_of(2), ("remove", "it", "--yes"), has_jobs=False, done="no set", keeps=True),
        Stage("checkpointing", 0.08, _set_of(2), (*fit, "--deterministic"), "train", False, "is finished"),
    ]
    if "copy" in main.commands:
        found.append(Stage("copy", 0.06, _set_of(3), ("copy", "it", "copies/"), done="exists", keeps=True))
    if "export" in main.commands:
        found.append(Stage("export", 0.06, _set_of(2), ("export", "it", "exported"), done="exists"))
    return {stage.name: stage for stage in found}


def oracle(folder: Path) -> dict[int, str]:
    """Return the digests of the stored epochs 0 to `ORACLE_EPOCHS` - 1 as an undisturbed run in `folder` gives them.

    It runs in this process, so that its forks have the compiled code, and reads in a fork.
    """
    result = generation.run(
        "digits", epochs=ORACLE_EPOCHS, limit=150, size=(16, 16), shard_size=12, jobs=1, sets=folder / "sets"
    )
    code, answer = answer_of(
        lambda: json.dumps(_epochs(result.directory)).encode(), folder, folder / "output.txt", seconds=120
    )
    if code != 0:
        raise RuntimeError(f"the undisturbed set cannot be read: {(folder / 'output.txt').read_text()}")
    return {int(epoch): digest for epoch, digest in json.loads(answer).items()}


def _epochs(directory: Path) -> dict[int, str]:
    """Stream every published epoch of a set through `open_set`; return a digest of images and labels of each."""
    with_digests = {}
    stored = open_set(directory)
    for index, epoch in enumerate(stored.epochs):
        total = count = 0
        for images, labels in stored.batches(50, originals=0.0, first_epoch=index, epochs=1, threads=1):
            for image, label in zip(images, labels, strict=True):
                total += xxhash.xxh3_128_intdigest(image.tobytes() + int(label).to_bytes(4, "little"))
                count += 1
        with_digests[epoch] = f"{count}:{total % 2**128:032x}"
    return with_digests


def read_faults(folder: Path, expected: Mapping[int, str], *, damaged: bool) -> list[str]:
    """Open and stream every set below `folder` as a new reader does; return what is wrong, one sentence each."""
    faults = []
    for directory in {path.parent for path in folder.rglob("set.json") if TEMPORARY not in str(path)}:
        try:
            for epoch, digest in _epochs(directory).items():
                if digest != expected[epoch]:
                    faults.append(f"{directory.name}: epoch {epoch} has the digest {digest}, not {expected[epoch]}")
        except EpochbankError as error:
            if not damaged and "no published epoch" not in str(error):
                faults.append(f"a reader is refused: {error}")
    return faults


def end_faults(folder: Path, expected: Mapping[int, str]) -> list[str]:
    """Verify and stream every set below `folder`, and look for temporary files; return what is wrong."""
    faults = read_faults(folder, expected, damaged=False)
    for directory in all_sets(folder / "sets"):
        faults += [f"verify: {fault}" for fault in epochbank.verify(directory, jobs=1)]
    return faults + [f"left: {path.relative_to(folder)}" for path in folder.rglob(f"{TEMPORARY}*")]


def contents(folder: Path) -> dict[str, str]:
    """Return a digest of every file below `folder`, except of those that differ between two undisturbed runs."""
    found = {
        str(path.relative_to(folder)): _source(path) if _is_source(path) else _hash(path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and path.name not in _MAY_DIFFER and path.relative_to(folder).parts[0] != "run"
    }
    for path in folder.glob("sets/*/manifest.jsonl"):
        lines = sorted(path.read_text().splitlines())
        found[str(path.relative_to(folder))] = _hash("\n".join(lines).encode())
    return found | trained(folder / "run")


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _is_source(path: Path) -> bool:
    return path.suffix == ".h5" and (path.parent.name == "sources" or path.name == "d.h5")


def _source(path: Path) -> str:
    """Return a digest of all arrays in a source file, whose bytes contain times."""
    arrays: dict[str, str] = {}
    with h5py.File(path) as file:
        for name, item in file.items():
            data = item[()]
            arrays[name] = _hash(repr(data.tolist()).encode() if data.dtype == object else data.tobytes())
        arrays[""] = repr(sorted((name, str(value)) for name, value in file.attrs.items()))
    return _hash(repr(sorted(arrays.items())).encode())


def trained(run: Path) -> dict[str, str]:
    """Return what must be equal in two trainings: metrics, weights, results and the names of the files."""
    if not (run / "summary.json").exists():
        return {}
    with open(run / "metrics.csv", newline="") as file:
        rows = [
            {name: text for name, text in row.items() if re.fullmatch("epoch|loss|accuracy|val_.*", name)}
            for row in csv.DictReader(file)
        ]
    weights: dict[str, str] = {}

    def add(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            weights[name] = _hash(np.asarray(item[()]).tobytes())

    with zipfile.ZipFile(run / "model.keras") as file, h5py.File(io.BytesIO(file.read("model.weights.h5"))) as held:
        held.visititems(add)
    summary = json.loads((run / "summary.json").read_text())
    kept = {name: summary[name] for name in ("test", "validation", "epochs", "parameters")}
    return {
        "run metrics": json.dumps(rows), "run weights": json.dumps(weights), "run summary": json.dumps(kept),
        "run files": " ".join(sorted(path.name for path in run.iterdir() if path.name != ".lock")),
    }  # fmt: skip


def differences(found: Mapping[str, str], reference: Mapping[str, str]) -> list[str]:
    """Return up to five names whose contents differ."""
    names = sorted(name for name in {*found, *reference} if found.get(name) != reference.get(name))
    what = {(True, False): "is left over", (False, True): "is missing", (True, True): "differs"}
    return [f"{name} {what[name in found, name in reference]}" for name in names[:5]]

"""`augment copy`: what is published, verified at its place, and nothing half-done."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import epochbank
from conftest import glyphs
from epochbank import EpochbankError
from epochbank.api import generation
from epochbank.augment.cli import main
from epochbank.augment.exchange import copied_files
from epochbank.augment.exchange import copy as copy_module
from epochbank.augment.shared.lock import LOCK, writing
from epochbank.augment.store.manifest import first_epoch, read_manifest

SMALL: dict[str, Any] = {"jobs": 1, "shard_size": 20, "chunk_size": 5}


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source and its set of four epochs, of which the first is retired, each in four shards."""
    directory = tmp_path_factory.mktemp("sound")
    np.savez(directory / "a.npz", images=glyphs(100, (8, 8, 1)), labels=np.arange(100) % 4)
    stored = epochbank.generate(directory / "a.npz", epochs=4, sets=directory / "sets", **SMALL).path
    epochbank.refresh(stored, 1, jobs=1)
    return directory


@pytest.fixture
def here(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "here"))


def set_in(directory: Path) -> Path:
    return next((directory / "sets").glob("*/set.json")).parent


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def epochs_of(stored: Path) -> dict[int, str]:
    return {one["epoch"]: one["digest"] for one in epochbank.info(stored)["epochs"]}


def test_a_copy_is_the_same_set(here: Path) -> None:
    """Shards, splits, virtual datasets and the digests are the same; it is extended like the original."""
    stored, copy = set_in(here), here / "elsewhere/copy"
    result = call("copy", stored, copy, "--with-source", "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert "epochs       1 to 4" in result.stdout
    before, after = files(stored), files(copy)
    assert {name for name in before if name not in after} == {"log.jsonl"}
    assert {name for name in after if before[name] != after[name]} <= {"manifest.jsonl", "manifest.check"}
    assert epochs_of(copy) == epochs_of(stored)
    assert epochbank.verify(copy, jobs=1) == []
    for one in (stored, copy):
        epochbank.refresh(one, 1, jobs=1)
    assert list(epochs_of(copy)) == [2, 3, 4, 5]
    assert epochs_of(copy) == epochs_of(stored)
    (copy / read_manifest(copy)[-1].file).unlink()
    assert len(epochbank.repair(copy, jobs=1).repaired) == 1
    generation.run(here / "a.npz", epochs=5, sets=copy.parent, **SMALL)


def test_without_its_source_a_copy_is_trained_on(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what is missing, verifies, and streams; `refresh` says what to do if SOURCE is gone, too."""
    copy = here / "elsewhere/copy"
    monkeypatch.setattr("epochbank.augment.lifecycle.restore_source._resolved", lambda *words: None)
    assert epochbank.copy_set(set_in(here), copy, jobs=1).source_file is None
    shutil.rmtree(here / "sets")
    assert epochbank.verify(copy, jobs=1) == []
    assert len(list(epochbank.open_set(copy).batches(16, epochs=1))) > 0
    assert "is missing. The set can be trained on" in call("info", copy).stdout
    with pytest.raises(EpochbankError, match=r"no shard can be generated.*SOURCE was.*a\.npz"):
        epochbank.refresh(copy, 1, jobs=1)


def test_places(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory, also one that a slash names, gets the set by its name; nothing is overwritten."""
    stored = set_in(here)
    (here / "there").mkdir()
    assert epochbank.copy_set(stored, here / "there", jobs=1).directory == here / "there" / stored.name
    monkeypatch.chdir(here)
    assert call("copy", stored, "new/", "--jobs", 1).exit_code == 0
    assert (here / "new" / stored.name / "set.json").exists()
    for dest, message in (
        (here / "there", "exists; expected a new directory"),
        (here / "there" / stored.name, "is a set; expected a new directory"),
        (here / "a.npz", "exists; expected a new directory"),
        (stored / "inside", "is in the set that is copied"),
    ):
        with pytest.raises(EpochbankError, match=message):
            epochbank.copy_set(stored, dest, jobs=1)
    assert not list(here.rglob(".tmp-*"))


def test_some_epochs(here: Path) -> None:
    """The numbers stay, the copy continues them, and gaps are refused."""
    stored, copy = set_in(here), here / "copy"
    epochbank.copy_set(stored, copy, epochs="2-3", jobs=1)
    assert epochs_of(copy) == {number: digest for number, digest in epochs_of(stored).items() if number in (2, 3)}
    assert first_epoch(copy) == 2
    assert epochbank.verify(copy, jobs=1) == []
    assert not (copy / "epoch-0001").exists()
    for epochs, message in (("1,3", "have a gap"), ("0", "has no epoch 0"), ("none", "no epoch is selected")):
        with pytest.raises(EpochbankError, match=message):
            epochbank.copy_set(stored, here / "other", epochs=epochs, jobs=1)
    assert not (here / "other").exists()


def test_only_what_is_published_is_copied(here: Path) -> None:
    """Orphans, temporary files, an unfinished epoch and notes on use stay behind; names that are taken, too."""
    stored = set_in(here)
    epochbank.tag(stored, "mine")
    (stored / "epoch-0001/.tmp-aa-x").write_bytes(b"x")
    (stored / "epoch-0001/0000000777.h5").write_bytes(b"x")
    (stored / "notes.txt").write_text("x")
    file = next((here / "sets/sources").glob("*.h5"))
    limit = sum(path.stat().st_size for path in (here / "sets").rglob("*") if path.is_file()) + 12_000
    with pytest.raises(EpochbankError, match="--max-bytes"):
        generation.run(file, epochs=5, sets=here / "sets", max_bytes=limit, **SMALL)
    assert any(entry.epoch == 5 for entry in read_manifest(stored))
    first, second = (epochbank.copy_set(stored, here / "copies" / name, jobs=1) for name in "ab")
    names = set(files(first.directory))
    assert not names & {"notes.txt", "epoch-0001/0000000777.h5", "log.jsonl"}
    assert not any(name.startswith("epoch-0005") or ".tmp" in name for name in names)
    assert epochbank.info(first.directory)["tags"] == ["mine"]
    assert (epochbank.info(second.directory)["tags"], second.left_out) == ([], ["mine"])
    assert epochbank.verify(first.directory, jobs=1) == []


@pytest.mark.parametrize("how", ["flipped", "missing", "cut"])
def test_a_damaged_shard_is_refused(here: Path, how: str) -> None:
    """The message names the file and `repair`, and nothing is left; after the repair it works."""
    stored = set_in(here)
    shard = stored / read_manifest(stored)[-1].file
    data = bytearray(shard.read_bytes())
    data[2000] ^= 1
    if how == "missing":
        shard.unlink()
    else:
        shard.write_bytes(data if how == "flipped" else data[:-9])
    result = call("copy", stored, here / "copy", "--jobs", 1)
    assert result.exit_code == 1
    assert str(shard) in result.stderr
    assert "augment repair" in result.stderr
    assert sorted(path.name for path in here.iterdir()) == ["a.npz", "sets"]
    epochbank.repair(stored, jobs=1)
    assert call("copy", stored, here / "copy", "--jobs", 1).exit_code == 0


def test_what_was_written_is_read_back(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte that changes between writing and reading is found, and nothing is left."""
    write = copied_files._copy_shard

    def wrong(directory: Path, entry: Any, target: Path) -> None:
        write(directory, entry, target)
        if entry.epoch == 2:
            data = bytearray(target.read_bytes())
            data[-1] ^= 1
            target.write_bytes(data)

    monkeypatch.setattr(copied_files, "_copy_shard", wrong)
    with pytest.raises(EpochbankError, match="was removed, because its verification failed"):
        epochbank.copy_set(set_in(here), here / "copy", jobs=1)
    assert sorted(path.name for path in here.iterdir()) == ["a.npz", "sets"]


def test_an_interrupted_copy_is_continued(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk or Ctrl-C the shards so far stay, and the same command copies the rest; a damaged one again."""
    stored, copied = set_in(here), list[str]()
    write = copied_files._copy_shard

    def counted(directory: Path, entry: Any, target: Path) -> None:
        if len(copied) == limit[0]:
            raise limit[1]
        write(directory, entry, target)
        copied.append(entry.file)

    monkeypatch.setattr(copied_files, "_copy_shard", counted)
    limit: tuple[int, BaseException] = (4, OSError(28, "No space left on device"))
    with pytest.raises(EpochbankError, match=r"No space left on device\. 4 of 27 shards are in .*run the same command"):
        epochbank.copy_set(stored, here / "copy", jobs=1)
    limit = (7, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        epochbank.copy_set(stored, here / "copy", jobs=1)
    assert not (here / "copy").exists()
    (left,) = here.glob(".tmp-*")
    (left / copied[0]).write_bytes(b"damaged")
    (left / "epoch-0099").mkdir()
    (left / "epoch-0099/0000000000.h5").write_bytes(b"of another time")
    limit = (-1, KeyboardInterrupt())
    epochbank.copy_set(stored, here / "copy", jobs=1)
    assert len(copied) == len(read_manifest(stored)) + 1
    assert not list(here.glob(".tmp-*"))
    assert not (here / "copy/epoch-0099").exists()
    assert epochbank.verify(here / "copy", jobs=1) == []


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_after_sigkill_the_same_command_completes_the_copy(here: Path, share: float) -> None:
    """There is no copy, or all of it."""
    stored = set_in(here)
    code = (
        "import time, epochbank\n"
        "epochbank.copy_set\n"
        "from epochbank.augment.exchange import copied_files\n"
        "write = copied_files.copy_file\n"
        "def slow(*words):\n"
        "    time.sleep(0.02)\n"
        "    return write(*words)\n"
        "copied_files.copy_file = slow\n"
        "print('begins', flush=True)\n"
        f"epochbank.copy_set({str(stored)!r}, {str(here / 'copy')!r}, jobs=1)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(share * 0.6)
        process.send_signal(signal.SIGKILL)
    if (here / "copy").exists():
        assert epochbank.verify(here / "copy", jobs=1) == []
    else:
        epochbank.copy_set(stored, here / "copy", jobs=1)
    assert epochs_of(here / "copy") == epochs_of(stored)
    assert not list(here.glob(".tmp-*"))


def test_two_copies_to_one_place(here: Path) -> None:
    """The second says who copies, and does not disturb the first."""
    workspace = here / ".tmp-copy-copy"
    workspace.mkdir()
    with writing(workspace / LOCK), pytest.raises(EpochbankError, match=r"copy is being written by another run"):
        epochbank.copy_set(set_in(here), here / "copy", jobs=1)


def test_gc_removes_what_a_stopped_copy_left(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the copy runs, it stays."""
    stored, seen = set_in(here), list[list[str]]()
    publish = copy_module._publish

    def collecting(workspace: Path, target: Path) -> None:
        seen.append([one.path.name for one in epochbank.gc(here / "sets")[0]])
        publish(workspace, target)

    monkeypatch.setattr(copy_module, "_publish", collecting)
    epochbank.copy_set(stored, here / "sets/copy", jobs=1)
    assert seen == [[]]
    shutil.copytree(here / "sets/copy", here / "sets/.tmp-copy-other")
    assert [one.path.name for one in epochbank.gc(here / "sets")[0]] == [".tmp-copy-other"]


def test_a_source_file_of_the_user_is_found_by_the_copy(here: Path) -> None:
    """A set that was made from a source file elsewhere names it beside the copy, if it is copied with it."""
    file = next((here / "sets/sources").glob("*.h5")).rename(here / "mine.h5")
    stored = epochbank.generate(file, epochs=1, sets=here / "own", **SMALL).path
    copied = epochbank.copy_set(stored, here / "away/copy", with_source=True, jobs=1)
    assert copied.source_file == here / "away/sources/mine.h5"
    assert json.loads((copied.directory / "set.json").read_text())["source"]["path"] == "../sources/mine.h5"
    assert epochbank.info(copied.directory)["fingerprint"] == epochbank.info(stored)["fingerprint"]
    file.unlink()
    epochbank.refresh(copied.directory, 1, jobs=1)
    assert epochbank.verify(copied.directory, jobs=1) == []


def test_a_damaged_source_file_is_not_copied(here: Path) -> None:
    """The copy is refused, without a source file in its place."""
    file = next((here / "sets/sources").glob("*.h5"))
    data = bytearray(file.read_bytes())
    data[data.index(bytes(glyphs(1, (8, 8, 1)))) + 20] ^= 1
    file.write_bytes(data)
    with pytest.raises(EpochbankError, match="images were changed"):
        epochbank.copy_set(set_in(here), here / "away/copy", with_source=True, jobs=1)
    assert not (here / "away").exists()
    assert epochbank.copy_set(set_in(here), here / "away/copy", jobs=1).shards == 27

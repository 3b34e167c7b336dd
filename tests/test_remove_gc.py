"""`augment remove` and `augment gc`: what no set needs goes, and nothing that is written or read."""

import json
import os
import pickle
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import epochbank
from conftest import between_machines, glyphs
from epochbank import EpochbankError
from epochbank.augment.cli import main
from epochbank.augment.shared.lock import LOCK, writing
from epochbank.augment.shared.reading_lock import ReadingLock, unread
from epochbank.augment.store.catalog import all_sets
from epochbank.augment.store.usage import record_use


def call(*words: object, answer: str | None = None) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], input=answer)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sets of two sources."""
    directory = tmp_path_factory.mktemp("sound")
    for number in range(2):
        path = directory / f"{number}.npz"
        np.savez(path, images=glyphs(60, (8, 8, 1), seed=number), labels=np.arange(60) % 4)
        epochbank.generate(path, epochs=1, jobs=1, sets=directory / "sets")
    return directory / "sets"


@pytest.fixture
def sets(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "sets"))


def files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def litter(sets: Path) -> set[Path]:
    """Leave one of each kind of garbage, and return their paths."""
    first = all_sets(sets)[0]
    left = [
        first / "epoch-0000/0000000777.h5",
        first / "epoch-0009/0000000000.h5",
        first / "epoch-0000/.tmp-aa-0000000000.h5",
        sets / "sources/.tmp-bb-x.h5",
        sets / "sources/unneeded-0123456789ab.h5",
        sets / ".tmp-cc-removed/set.json",
        sets / "a-kanji-00000000/.lock",
    ]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(100))
    return {*left[:5], sets / ".tmp-cc-removed", sets / "a-kanji-00000000"}


def test_a_sound_directory_has_no_garbage(sets: Path) -> None:
    before = files(sets)
    assert epochbank.gc(sets, unused_for=1) == ([], [])
    assert "nothing to remove" in call("gc", "--sets", sets).stdout
    assert files(sets) == before


def test_exactly_the_garbage_is_listed_and_removed(sets: Path) -> None:
    """`--dry-run` removes nothing, `--yes` removes what was listed, and the sets stay sound."""
    before = files(sets)
    expected = litter(sets)
    littered = files(sets)
    listed = json.loads(call("gc", "--sets", sets, "--dry-run", "--json").stdout)
    assert {Path(one["path"]) for one in listed["found"]} == expected
    assert listed["removed"] == []
    assert all(one["bytes"] == 100 for one in listed["found"])
    assert files(sets) == littered
    result = call("gc", "--sets", sets, "--yes")
    assert result.exit_code == 0, result.output
    assert "7 items removed: 700 bytes" in result.stdout
    assert files(sets) == before
    assert not (sets / "a-kanji-00000000").exists()
    assert not (all_sets(sets)[0] / "epoch-0009").exists()
    assert all(epochbank.verify(one, jobs=1) == [] for one in all_sets(sets))


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_without_a_yes_nothing_is_removed(sets: Path, answer: str) -> None:
    """Neither no, nor nothing, nor the end of the input is a yes."""
    litter(sets)
    before = files(sets)
    for words in (("gc", "--sets", sets), ("remove", all_sets(sets)[0])):
        result = call(*words, answer=answer)
        assert result.exit_code == 1
        assert "nothing was removed" in result.stderr
    assert files(sets) == before


def test_remove_takes_one_set(sets: Path) -> None:
    """The other set and both source files stay; then `gc` removes the source that no set needs."""
    first, second = all_sets(sets)
    source = sets / "sources" / Path(json.loads((first / "set.json").read_text())["source"]["path"]).name
    assert call("remove", first.name, "--sets", sets, answer="y\n").exit_code == 0
    assert all_sets(sets) == [second]
    assert not list(sets.glob(".tmp-*"))
    assert source.exists()
    removed, notes = epochbank.gc(sets)
    assert ([one.path for one in removed], notes) == ([source], [])
    assert epochbank.verify(second, jobs=1) == []


def test_sets_that_are_written_or_read_stay(sets: Path) -> None:
    """The message says which; once they are free, the same command works."""
    litter(sets)
    first = all_sets(sets)[0]
    before = files(first)
    with writing(first / LOCK):
        assert "is being written" in call("remove", first, "--yes").stderr
        _, kept = epochbank.gc(sets)
    assert any("is being written" in note for note in kept)
    assert files(first) == before | {LOCK}
    open_set = epochbank.open_set(first)
    assert "is being read" in call("remove", first, "--yes").stderr
    _, kept = epochbank.gc(sets, unused_for=0)
    assert any("is being read" in note for note in kept)
    assert files(first) == before | {LOCK}
    del open_set
    assert epochbank.remove(first) > 0
    assert not first.exists()


def test_a_source_that_a_run_reads_stays(sets: Path) -> None:
    """A run locks its source before its set names it; an import locks its temporary file."""
    litter(sets)
    source = sets / "sources/unneeded-0123456789ab.h5"
    lock = ReadingLock(source)
    removed, kept = epochbank.gc(sets)
    assert source.exists()
    assert any(str(source) in note for note in kept)
    assert len(removed) == 6
    lock.close()
    assert [one.path for one in epochbank.gc(sets)[0]] == [source]


def test_an_unreadable_set_keeps_all_sources(sets: Path) -> None:
    """It may need any of them, and its shards look like orphans."""
    litter(sets)
    first = all_sets(sets)[0]
    (first / "set.json").write_text("{")
    found, notes = epochbank.gc(sets, dry_run=True)
    assert {one.kind for one in found} == {"temporary", "beginning"}
    assert any("All source files are kept" in note for note in notes)


def test_unused_sets_are_those_neither_trained_on_nor_written(sets: Path) -> None:
    """Of two old sets, one was trained on today."""
    first, second = all_sets(sets)
    long_ago = time.time() - 100 * 86400
    for directory in (first, second):
        for name in ("set.json", "manifest.jsonl"):
            os.utime(directory / name, (long_ago, long_ago))
    record_use(first, Path("runs/x"))
    assert epochbank.gc(sets, unused_for=101, dry_run=True)[0] == []
    found, _ = epochbank.gc(sets, unused_for=99, dry_run=True)
    assert {(one.kind, one.path) for one in found if one.kind == "set"} == {("set", second)}
    assert {one.kind for one in found} == {"set", "source"}
    epochbank.gc(sets, unused_for=99)
    assert all_sets(sets) == [first]


def test_a_killed_removal_leaves_no_half_of_a_set(sets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The set is gone at once; what is left of it is a temporary directory, which `gc` removes."""
    first, second = all_sets(sets)

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("epochbank.augment.lifecycle.remove.shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            epochbank.remove(first)
    assert all_sets(sets) == [second]
    assert {one.kind for one in epochbank.gc(sets)[0]} == {"temporary", "source"}
    assert not list(sets.glob(".tmp-*"))


def test_an_open_set_can_be_pickled(sets: Path) -> None:
    """A copy in another process locks the set again."""
    open_set = epochbank.open_set(all_sets(sets)[0])
    copy = pickle.loads(pickle.dumps(open_set))
    del open_set
    with pytest.raises(EpochbankError, match="is being read"):
        epochbank.remove(copy.path)
    del copy
    epochbank.remove(all_sets(sets)[0])


def test_a_reader_on_another_machine_keeps_a_set(sets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS locks files between machines, and directories within one; an exclusive lock needs a file open for writing."""
    between_machines(monkeypatch)
    stored = all_sets(sets)[0]
    reader = epochbank.open_set(stored)
    result = call("remove", stored, "--yes")
    assert result.exit_code == 1
    assert "is being read" in result.stderr
    again = pickle.loads(pickle.dumps(reader))
    del reader
    assert "is being read" in call("remove", stored, "--yes").stderr
    del again
    assert call("remove", stored, "--yes").exit_code == 0
    source = next((sets / "sources").glob("*.h5"))
    lock = ReadingLock(source)
    with pytest.raises(EpochbankError, match="is being read"), unread(source):
        pass
    lock.close()
    with unread(source):
        pass

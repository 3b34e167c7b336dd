"""`augment refresh` renews epochs without drawing anything twice, and the limits of a run hold."""

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import epochbank
from conftest import small_set
from epochbank import EpochbankError
from epochbank.api import generation
from epochbank.augment.cli import main
from epochbank.augment.console import Bytes
from epochbank.augment.generation import budget
from epochbank.augment.generation.publisher import Publisher
from epochbank.augment.shared.disk_space import Limits, bytes_below
from epochbank.augment.store import manifest
from epochbank.augment.store.manifest import Entry, ManifestWriter, first_epoch, read_manifest, retirement

SMALL: dict[str, Any] = {"jobs": 1, "shard_size": 20, "chunk_size": 5}


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source and its set of three epochs, each in five shards."""
    return small_set(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def here(sound: Path, tmp_path: Path) -> Path:
    """A copy of that directory."""
    return Path(shutil.copytree(sound, tmp_path / "copy"))


@pytest.fixture(scope="module")
def digests(sound: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The digest of each of the first eight epochs, as one run generates them."""
    sets = tmp_path_factory.mktemp("eight")
    return digests_of(epochbank.generate(sound / "a.npz", epochs=8, sets=sets, **SMALL).path)


def set_in(directory: Path) -> Path:
    return next((directory / "sets").glob("*/set.json")).parent


def digests_of(stored: Path) -> list[str]:
    return [one["digest"] for one in epochbank.info(stored)["epochs"]]


def numbers_of(stored: Path) -> list[int]:
    return [one["epoch"] for one in epochbank.info(stored)["epochs"]]


def folders(stored: Path) -> list[str]:
    return sorted(path.name for path in stored.glob("epoch-*") if path.is_dir())


def test_refresh_keeps_the_number_of_epochs(here: Path, digests: list[str]) -> None:
    """New epochs are those that a larger set would have; the files of the retired ones are gone."""
    stored = set_in(here)
    result = epochbank.refresh(stored, 2, jobs=1)
    assert (result.new, result.retired, result.left) == ([3, 4], [0, 1], False)
    assert numbers_of(stored) == [2, 3, 4]
    assert digests_of(stored) == digests[2:5]
    assert folders(stored) == ["epoch-0002", "epoch-0003", "epoch-0004"]
    assert epochbank.verify(stored, jobs=1) == []
    assert not (stored / "refresh.json").exists()
    assert "new          1 epoch: 5" in call("refresh", stored, "--jobs", 1).stdout
    assert digests_of(stored) == digests[3:6]


def test_all_epochs_are_renewed(here: Path, digests: list[str]) -> None:
    """As many new epochs as the set has; `tests/test_lifecycle_attacks.py` has the refusal of more."""
    stored = set_in(here)
    assert epochbank.refresh(stored, 3, jobs=1).new == [3, 4, 5]
    assert digests_of(stored) == digests[3:6]


def test_run_goes_on_after_retired_epochs(here: Path, digests: list[str]) -> None:
    """`--epochs` counts the epochs that a set has, and retired ones are never generated again."""
    stored, source = set_in(here), here / "a.npz"
    epochbank.refresh(stored, 1, jobs=1)
    assert generation.run(source, epochs=3, sets=here / "sets", **SMALL).log is None
    assert epochbank.plan(source, epochs=3, sets=here / "sets", **SMALL).shards == ()
    generation.run(source, epochs=5, sets=here / "sets", **SMALL)
    assert digests_of(stored) == digests[1:6]
    assert epochbank.explain(stored, 0, 3)["label"] >= 0


def test_a_retirement_is_an_appended_line(here: Path) -> None:
    """Published lines stay as they are, the last ones retire epochs, and damage to one is found."""
    stored = set_in(here)
    before = (stored / "manifest.jsonl").read_bytes()
    epochbank.refresh(stored, 1, jobs=1)
    after = (stored / "manifest.jsonl").read_bytes()
    assert after.startswith(before)
    assert json.loads(after.splitlines()[-1])["part"] == "retired"
    assert first_epoch(stored) == 1
    (stored / "manifest.jsonl").write_bytes(b"".join(after.splitlines(keepends=True)[:-1]))
    with pytest.raises(EpochbankError):
        read_manifest(stored)


@pytest.mark.parametrize("kept", range(0, 11, 2))
def test_an_interrupted_refresh_is_continued(
    here: Path, digests: list[str], kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After `kept` of ten shards, another `refresh` arrives at the same epochs, also with another --epochs."""
    stored, left = set_in(here), [kept]
    publish = Publisher._publish

    def interrupted(*arguments: Any, **keywords: Any) -> Any:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return publish(*arguments, **keywords)

    with monkeypatch.context() as patched:
        patched.setattr(Publisher, "_publish", interrupted)
        patched.setattr(manifest, "GROUP", 1)
        if kept < 10:
            with pytest.raises(KeyboardInterrupt):
                epochbank.refresh(stored, 2, jobs=1)
            assert len(numbers_of(stored)) == 3
            assert digests_of(stored) == digests[numbers_of(stored)[0] :][:3]
            assert not list(stored.rglob(".tmp-*"))
        else:
            epochbank.refresh(stored, 2, jobs=1)
    if kept < 10:
        result = call("refresh", stored, "--epochs", 7, "--jobs", 1)
        assert result.exit_code == 0, result.output
        assert "continues an interrupted refresh" in result.stderr
    assert digests_of(stored) == digests[2:5]
    assert epochbank.verify(stored, jobs=1) == []


def test_a_lost_shard_completes_no_epoch_twice(here: Path, digests: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard of a new epoch that is published again counts once, so the oldest epoch is not retired too early."""
    stored, publish, left = set_in(here), Publisher._publish, [2]

    def checked(*arguments: Any, **keywords: Any) -> Any:
        assert len(numbers_of(stored)) == 3
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return publish(*arguments, **keywords)

    monkeypatch.setattr(Publisher, "_publish", checked)
    monkeypatch.setattr(manifest, "GROUP", 1)
    with pytest.raises(KeyboardInterrupt):
        epochbank.refresh(stored, 1, jobs=1)
    (stored / "epoch-0003" / "0000000000.h5").unlink()
    left[0] = 99
    epochbank.refresh(stored, 1, jobs=1)
    assert left[0] == 95
    assert digests_of(stored) == digests[1:4]


def test_a_training_keeps_the_epochs_that_it_reads(here: Path) -> None:
    """An open set still reads retired epochs; a new one shows the new epochs, and the files go afterwards."""
    stored = set_in(here)
    open_set = epochbank.open_set(stored)
    stream = open_set.batches(16, epochs=3, originals=0)
    next(iter(stream))
    result = epochbank.refresh(stored, 3, jobs=1)
    assert result.left
    assert len(folders(stored)) == 6
    images = sum(len(batch[0]) for batch in open_set.batches(16, epochs=3, originals=0, first_epoch=0))
    assert images == 3 * open_set.num_images["train"]
    assert epochbank.open_set(stored).epochs == (3, 4, 5)
    assert numbers_of(stored) == [3, 4, 5]
    del open_set, stream
    assert not epochbank.refresh(stored, 1, jobs=1).left
    assert folders(stored) == ["epoch-0004", "epoch-0005", "epoch-0006"]


def test_an_epoch_without_a_published_one_is_refused(here: Path) -> None:
    stored = set_in(here)
    writer = ManifestWriter(stored)
    for epoch in range(3):
        writer.append(retirement(epoch))
    writer.close()
    with pytest.raises(EpochbankError, match="no published epoch to retire"):
        epochbank.refresh(stored, 1, jobs=1)


def test_a_damaged_goal_is_reported(here: Path) -> None:
    (set_in(here) / "refresh.json").write_text('{"stop": 4')
    with pytest.raises(EpochbankError, match=r"refresh\.json is damaged"):
        epochbank.refresh(set_in(here), 1, jobs=1)


# --- Limits ---------------------------------------------------------------------------------------------------


def test_max_bytes_is_never_exceeded(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on disk is measured after every file: it stays below the limit, and what was published stays."""
    sets, used = here / "sets", []
    limit = bytes_below(sets) + 25_000
    publish = Publisher._publish

    def measured(*arguments: Any, **keywords: Any) -> Any:
        used.append(bytes_below(sets))
        return publish(*arguments, **keywords)

    monkeypatch.setattr(Publisher, "_publish", measured)
    monkeypatch.setattr(manifest, "GROUP", 1)
    shards = len(read_manifest(set_in(here)))
    file = next((sets / "sources").glob("*.h5"))
    words = ("run", file, "--epochs", 9, "--jobs", 1, "--shard-size", 20, "--chunk-size", 5, "--sets", sets)
    result = call(*words, "--max-bytes", limit)
    assert result.exit_code == 1
    assert "(--max-bytes)" in result.stderr
    assert used, result.stderr
    assert max(used) <= limit
    assert bytes_below(sets) <= limit + 1000  # The line in the log of the set.
    assert len(read_manifest(set_in(here))) == shards + len(used)
    assert not list(sets.rglob(".tmp-*"))
    assert all("is unfinished" in fault for fault in epochbank.verify(set_in(here), jobs=1))
    counted = []
    monkeypatch.setattr(budget, "bytes_below", lambda path: counted.append(path) or bytes_below(path))
    assert call(*words, "--max-bytes", "1GB").exit_code == 0
    assert len(counted) == 1  # Far from the limit, not once for each shard.
    assert epochbank.verify(set_in(here), jobs=1) == []


def test_what_others_write_counts(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run fills the directory after the first shard, and the bytes on disk are due to be counted again."""
    sets = here / "sets"
    file = next((sets / "sources").glob("*.h5"))
    limit = bytes_below(sets) + 1_000_000
    publish = Publisher._publish

    def then_another(*arguments: Any, **keywords: Any) -> Any:
        result = publish(*arguments, **keywords)
        (sets / "other").write_bytes(bytes(1_000_000))
        return result

    monkeypatch.setattr(Publisher, "_publish", then_another)
    monkeypatch.setattr(budget, "_SECONDS", 0.0)
    monkeypatch.setattr(budget, "_FACTOR", 0)
    monkeypatch.setattr(manifest, "GROUP", 1)
    with pytest.raises(EpochbankError, match="1 of 5 shards of this run are kept"):
        generation.run(file, epochs=4, sets=sets, max_bytes=limit, **SMALL)


def test_what_is_published_counts_at_once(tmp_path: Path) -> None:
    """Also if the shards are larger than they were estimated, and the bytes on disk are not due to be counted again."""
    directory, published = tmp_path / "sets/a", 0
    directory.mkdir(parents=True)
    limited = budget.Budget(Limits(max_bytes=100_000), directory, {})
    entry = Entry("epoch", 0, 0, 1, 1, "none", "epoch-0000/0000000000.h5", 9_000, "0" * 32, "0" * 32)
    with suppress(EpochbankError):
        while published < 20:
            (directory / str(published)).write_bytes(bytes(entry.bytes))
            with limited.publishing([entry]):
                published += 1
    assert published == 11


def test_a_run_that_fits_exactly_is_not_refused(sound: Path, tmp_path: Path) -> None:
    """The limit is what the same run occupies without one."""
    epochbank.generate(sound / "a.npz", epochs=2, sets=tmp_path / "free", **SMALL)
    limit = bytes_below(tmp_path / "free")
    made = epochbank.generate(sound / "a.npz", epochs=2, sets=tmp_path / "limited", max_bytes=limit, **SMALL)
    assert made.epochs == (0, 1)


def test_keep_free_ends_a_refresh(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The free space, as a disk reports it, shrinks with each question; the refresh continues once there is room."""
    stored, free = set_in(here), [10**9]

    def shrinking(path: Path) -> Any:
        free[0] -= 10**7
        return shutil._ntuple_diskusage(10**10, 0, free[0])  # type: ignore[attr-defined]

    with monkeypatch.context() as patched:
        patched.setattr("epochbank.augment.shared.disk_space.shutil.disk_usage", shrinking)
        result = call("refresh", stored, "--epochs", 2, "--jobs", 1, "--keep-free", "930MB")
    assert result.exit_code == 1
    assert "930.0 MB of the disk of" in result.stderr
    assert len(numbers_of(stored)) == 3
    assert call("refresh", stored, "--jobs", 1, "--keep-free", 1).exit_code == 0
    assert numbers_of(stored) == [2, 3, 4]


def test_an_import_that_exceeds_a_limit_is_not_begun(sound: Path, tmp_path: Path) -> None:
    """100 images of 8 x 8 need 6,400 bytes at least."""
    with pytest.raises(EpochbankError, match=r"--max-bytes.*source file needs about 6\.4 kB"):
        generation.run(sound / "a.npz", epochs=1, sets=tmp_path / "sets", max_bytes=6000, **SMALL)
    assert bytes_below(tmp_path / "sets") == 0


def test_no_limit_is_exceeded_by_nothing(tmp_path: Path) -> None:
    assert not Limits()
    assert Limits().exceeded(tmp_path, 1e15) == ""
    assert Limits(max_bytes=10).exceeded(tmp_path, 10) == ""
    assert "--max-bytes" in Limits(max_bytes=10).exceeded(tmp_path, 11)
    assert "--keep-free" in Limits(keep_free=10**18).exceeded(tmp_path)


@pytest.mark.parametrize(
    ("text", "count"),
    [("17", 17), ("50GB", 50 * 10**9), ("1.5 TB", 15 * 10**11), ("2MiB", 2 << 20), ("3k", 3000), ("8 bytes", 8)],
)
def test_sizes_are_read(text: str, count: int) -> None:
    assert Bytes().convert(text, None, None) == count


@pytest.mark.parametrize("text", ["", "GB", "-1", "5 parsec", "1e9", "5BB"])
def test_other_sizes_are_refused(text: str) -> None:
    result = call("plan", "digits", "--keep-free", text)
    assert result.exit_code == 2
    assert "expected a number of bytes" in result.stderr

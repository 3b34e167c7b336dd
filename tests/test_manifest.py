"""The manifest, the digest and the split file: what is published, and that it is unchanged."""

import contextlib
import itertools
import json
import random as std_random
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epochbank.augment.errors import EpochbankError
from epochbank.augment.store.digest import add, digest_of, file_checksum, to_hex
from epochbank.augment.store.manifest import (
    Entry,
    ManifestWriter,
    first_epoch,
    published_epochs,
    read_manifest,
    retirement,
)
from epochbank.augment.store.split_file import SplitRows, group_name, read_by_class, read_split, write_split

few = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def entry(number: int = 0, split: str = "epoch", epoch: int = 0, num_images: int = 100) -> Entry:
    return Entry(
        split=split,
        epoch=epoch,
        start=number * num_images,
        num_images=num_images,
        chunk=64,
        codec="zstd",
        file=f"epoch-{epoch:04d}/{number * num_images:010d}.h5",
        bytes=1000 + number,
        checksum=f"{number:032x}",
        digest=f"{(number + 1) << 100:032x}",
    )


def as_stored(one: Entry) -> dict[str, Any]:
    """Return the fields of an entry by their keys in format 1."""
    keys = {"split": "part", "num_images": "images", "resampled": "redrawn"}
    return {keys.get(name, name): value for name, value in asdict(one).items()}


def write(directory: Path, *entries: Entry) -> Path:
    with contextlib.closing(ManifestWriter(directory)) as writer:
        for one in entries:
            writer.append(one)
    return directory / "manifest.jsonl"


# --- Reading and writing -----------------------------------------------------------------------------------


def test_nothing_is_published_without_a_manifest(tmp_path: Path) -> None:
    """A directory without a manifest has no published shards, and reading does not create a manifest."""
    assert read_manifest(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    write(tmp_path)
    assert read_manifest(tmp_path) == []


def test_entries_are_read_as_they_were_appended(tmp_path: Path) -> None:
    """Entries are read in order of publication, also if several writers appended them."""
    entries = [entry(number, epoch=number % 3) for number in (4, 0, 3, 1, 2)]
    for number, one in enumerate(entries):
        write(tmp_path, one)
        assert read_manifest(tmp_path) == entries[: number + 1]


def test_the_last_line_on_a_file_counts(tmp_path: Path) -> None:
    """A shard that was generated again with other bytes has a later line, which replaces the first one."""
    again = replace(entry(1), bytes=77, checksum="f" * 32)
    write(tmp_path, entry(0), entry(1), entry(2), again)
    assert read_manifest(tmp_path) == [entry(0), again, entry(2)]


@pytest.mark.parametrize("at", [0, 7, 20])
@pytest.mark.parametrize("recorded", [True, False])
def test_a_line_that_is_there_twice_hides_nothing(tmp_path: Path, at: int, recorded: bool) -> None:
    """A doubled line changes nothing, wherever it is; if a record says that another line is there, it is refused."""
    entries = [entry(number % 10, epoch=number // 10) for number in range(20)]
    path = write(tmp_path, *entries)
    lines = path.read_bytes().splitlines(keepends=True)
    if not recorded:
        (tmp_path / "manifest.check").unlink()
    for doubled in range(20):
        path.write_bytes(b"".join([*lines[:at], lines[doubled], *lines[at:]]))
        if recorded and at < 20 and doubled != at:
            with pytest.raises(EpochbankError, match=rf"line {at + 1} is damaged .*doubled.* remove manifest\.check"):
                read_manifest(tmp_path)
        elif recorded and at < 20:
            with pytest.raises(EpochbankError, match=rf"line {at + 2} is damaged .*doubled.* remove manifest\.check"):
                read_manifest(tmp_path)
        else:
            assert sorted(read_manifest(tmp_path), key=entries.index) == entries
            assert [one.epoch for one in published_epochs(read_manifest(tmp_path), 1000)] == [0, 1]


def test_a_doubled_line_brings_no_retired_epoch_back(tmp_path: Path) -> None:
    """The retirement of an epoch counts wherever it is, also if a line of its first shard follows."""
    write(tmp_path, entry(0), entry(0, epoch=1), retirement(0), entry(0))
    assert read_manifest(tmp_path) == [entry(0, epoch=1)]
    assert first_epoch(tmp_path) == 1


def test_two_lines_with_other_positions_are_refused(tmp_path: Path) -> None:
    """The epoch would have a gap, and would not be published any more."""
    path = write(tmp_path, entry(0), entry(1), replace(entry(0), num_images=50))
    with pytest.raises(EpochbankError) as caught:
        read_manifest(tmp_path)
    assert f"{path} lists epoch-0000/0000000000.h5 with 100 images and again with 50" in str(caught.value)


def test_the_manifest_has_one_line_per_shard(tmp_path: Path) -> None:
    """Each line is a JSON object with the keys of format 1, and appending one does not rewrite the others."""
    path = write(tmp_path, *(entry(number) for number in range(5)))
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [as_stored(entry(number)) for number in range(5)]
    before = path.read_bytes()
    write(tmp_path, entry(5))
    assert path.read_bytes().startswith(before)
    assert len(path.read_bytes()) - len(before) < 400


def test_an_entry_is_visible_after_append(tmp_path: Path) -> None:
    """Readers see an entry as soon as `append` has returned, while the writer is still open."""
    with contextlib.closing(ManifestWriter(tmp_path)) as writer:
        for number in range(3):
            writer.append(entry(number))
            assert read_manifest(tmp_path) == [entry(one) for one in range(number + 1)]


# --- After a power failure -----------------------------------------------------------------------------------


def test_a_truncated_last_line_is_ignored(tmp_path: Path) -> None:
    """The reader ignores an unpublished last line that is truncated anywhere, and the writer removes it."""
    path = write(tmp_path, entry(0), entry(1))
    published = (tmp_path / "manifest.check").read_bytes()
    write(tmp_path, entry(2))
    whole = path.read_bytes()
    line = len(whole.splitlines(keepends=True)[-1])
    for missing in (*range(1, line, 17), line - 1, line):
        path.write_bytes(whole[:-missing])
        (tmp_path / "manifest.check").write_bytes(published)
        assert read_manifest(tmp_path) == [entry(0), entry(1)]
        assert path.read_bytes() == whole[:-missing]
        write(tmp_path, entry(2))
        assert path.read_bytes() == whole, missing
        assert read_manifest(tmp_path) == [entry(0), entry(1), entry(2)]


@pytest.mark.parametrize(
    "tail",
    [
        b"\0" * 100,
        b"\0" * 100 + b"\n",
        b'{"part":"epoch","epoch":0\n',
        b'{"part":"epoch"}\n',
        b"\xff\xfe\n",
        b"5\n",
        b"\n",
        b'{"part":"epoch","epoch":0,"sta\0\0\0\0\n',
    ],
    ids=lambda tail: repr(tail[:16]),
)
def test_a_damaged_last_line_is_ignored(tmp_path: Path, tail: bytes) -> None:
    """The same is true of a last line that is complete but is not an entry."""
    path = write(tmp_path, entry(0), entry(1))
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    assert read_manifest(tmp_path) == [entry(0), entry(1)]
    write(tmp_path, entry(2))
    assert read_manifest(tmp_path) == [entry(0), entry(1), entry(2)]
    assert path.read_bytes().startswith(whole)


def test_a_truncated_only_line_is_ignored(tmp_path: Path) -> None:
    """The same is true if the first line is the last one."""
    path = tmp_path / "manifest.jsonl"
    for truncated in (b"", b"{", b'{"part":"epo', b"{}\n"):
        path.write_bytes(truncated)
        assert read_manifest(tmp_path) == []
    write(tmp_path, entry(0))
    assert read_manifest(tmp_path) == [entry(0)]


@pytest.mark.parametrize("line", [1, 2, 3])
@pytest.mark.parametrize(
    "damage",
    [b"\0" * 50, b'{"part":"epoch","epoch":0', b"", b"5", b'{"part":"epoch"}', b"\xff\xfe", b'{"unknown":1}', b"[]"],
    ids=lambda damage: repr(damage[:16]),
)
def test_a_damaged_middle_line_is_an_error(tmp_path: Path, line: int, damage: bytes) -> None:
    """A damaged line before the last one is an error with the number of the line and the fix."""
    path = write(tmp_path, *(entry(number) for number in range(4)))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line - 1] = damage + b"\n"
    path.write_bytes(b"".join(lines))
    before = path.read_bytes()
    for attempt in (lambda: read_manifest(tmp_path), lambda: ManifestWriter(tmp_path)):
        with pytest.raises(EpochbankError) as caught:
            attempt()
        assert str(caught.value).startswith(f"{path}, line {line} is damaged (")
        assert "expected one JSON object a line" in str(caught.value)
        assert "Restore the file" in str(caught.value)
        assert caught.value.exit_code == 1
    assert path.read_bytes() == before


def test_a_truncated_last_line_hides_no_damaged_line(tmp_path: Path) -> None:
    """A damaged line is an error even if the last line is truncated."""
    path = write(tmp_path, *(entry(number) for number in range(3)))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"damaged\n" + lines[2] + lines[2][:20])
    with pytest.raises(EpochbankError, match="line 2 is damaged"):
        read_manifest(tmp_path)


def test_a_line_that_does_not_fit_on_the_disk_is_removed(tmp_path: Path) -> None:
    """If the disk is full in the middle of a line, `append` raises and removes the part that was written."""
    resource = pytest.importorskip("resource")
    path = write(tmp_path, entry(0))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with contextlib.closing(ManifestWriter(tmp_path)) as writer:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 40, hard))
        try:
            with pytest.raises(OSError):  # noqa: PT011  The text depends on the system.
                writer.append(entry(1))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert read_manifest(tmp_path) == [entry(0)]
        writer.append(entry(2))
        writer.append(entry(3))
    assert read_manifest(tmp_path) == [entry(0), entry(2), entry(3)]


# --- Published epochs ----------------------------------------------------------------------------------------


@few
@given(
    num_images=st.integers(1, 500),
    cuts=st.lists(st.lists(st.integers(1, 499), max_size=6), min_size=1, max_size=4),
    data=st.data(),
)
def test_an_epoch_is_published_with_its_last_shard(num_images: int, cuts: list[list[int]], data: st.DataObject) -> None:
    """An epoch is published if its shards contain every training image, and not if one shard is missing."""
    epochs = []
    for number, inner in enumerate(cuts):
        edges = sorted({0, num_images, *(cut for cut in inner if cut < num_images)})
        epochs.append(
            [
                replace(entry(0, epoch=number * 3), start=low, num_images=high - low, bytes=high * 7 + number)
                for low, high in itertools.pairwise(edges)
            ]
        )
    others = [entry(0, split=split, num_images=num_images) for split in ("train", "validation", "test")]
    whole = data.draw(st.permutations([*others, *itertools.chain.from_iterable(epochs)]))
    published = published_epochs(whole, num_images)
    assert [one.epoch for one in published] == [number * 3 for number in range(len(cuts))]
    for one, shards in zip(published, epochs, strict=True):
        assert one.num_images == num_images
        assert one.bytes == sum(shard.bytes for shard in shards)
        assert one.digest == to_hex(sum(int(shard.digest, 16) for shard in shards) % 2**128)
    missing = data.draw(st.sampled_from(list(itertools.chain.from_iterable(epochs))))
    left = [one for one in whole if one is not missing]
    assert [one.epoch for one in published_epochs(left, num_images)] == [
        number * 3 for number in range(len(cuts)) if number * 3 != missing.epoch
    ]


def test_no_epoch_is_published_without_its_shards() -> None:
    """Without entries, or with entries of undistorted splits only, there is no published epoch."""
    assert published_epochs([], 100) == []
    assert published_epochs([entry(0, split="train")], 100) == []


# --- The digest ------------------------------------------------------------------------------------------------


def content(count: int, shape: tuple[int, int, int] = (5, 4, 1)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    images = random.integers(0, 256, (count, *shape), np.uint8)
    return images, random.integers(0, 9, count).astype(np.int32), random.permutation(count).astype(np.int64)


@few
@given(count=st.integers(0, 60), start=st.integers(0, 10**9), cuts=st.lists(st.integers(0, 60), max_size=6))
def test_digest_does_not_depend_on_shards(count: int, start: int, cuts: list[int]) -> None:
    """The digest does not depend on how positions are divided, or on the order in which digests are added."""
    images, labels, rows = content(count)
    edges = sorted({0, count, *(cut for cut in cuts if cut < count)})
    pieces = [
        digest_of(start + low, images[low:high], labels[low:high], rows[low:high])
        for low, high in itertools.pairwise(edges)
    ]
    std_random.Random(count).shuffle(pieces)
    assert add(*pieces) == digest_of(start, images, labels, rows)
    assert 0 <= add(*pieces) < 2**128


def test_digest_of_no_images_is_zero() -> None:
    """The digest of no images, and the sum of no digests, is 0."""
    assert digest_of(7, *content(0)) == 0
    assert add() == 0


def test_digest_covers_everything() -> None:
    """Any change of a pixel, a label, a row, a position or the order changes the digest."""
    images, labels, rows = content(10)
    seen = {digest_of(0, images, labels, rows), digest_of(1, images, labels, rows)}
    for number in range(10):
        pixel, label, row = images.copy(), labels.copy(), rows.copy()
        pixel[number, 4, 3, 0] ^= 1
        label[number] += 1
        row[number] += 1
        seen |= {
            digest_of(0, pixel, labels, rows),
            digest_of(0, images, label, rows),
            digest_of(0, images, labels, row),
        }
    swapped = np.r_[1, 0, 2:10]
    seen.add(digest_of(0, images[swapped], labels[swapped], rows[swapped]))
    seen.add(digest_of(0, images[swapped], labels, rows))
    seen.add(digest_of(0, images, labels, rows[swapped]))
    assert len(seen) == 2 + 30 + 3


def test_digest_does_not_depend_on_memory() -> None:
    """Strides, the integer type of labels and rows, and writability do not change the digest."""
    images, labels, rows = content(6, (5, 4, 3))
    expected = digest_of(3, images, labels, rows)
    spread = np.repeat(images, 2, axis=0)[::2]
    assert digest_of(3, spread, labels.astype(np.int64), rows.astype(np.int32)) == expected
    assert digest_of(3, np.asfortranarray(images), labels, rows) == expected
    read_only = images.copy()
    read_only.flags.writeable = False
    assert digest_of(3, read_only, labels, rows) == expected


def test_digest_follows_its_definition() -> None:
    """The digest is the sum of the XXH3-128 of position, row and label, as little-endian int64, and the image."""
    images, labels, rows = content(9)
    total = 0
    for number in range(9):
        head = b"".join(int(value).to_bytes(8, "little") for value in (40 + number, rows[number], labels[number]))
        total += xxhash.xxh3_128_intdigest(head + images[number].tobytes())
    assert digest_of(40, images, labels, rows) == total % 2**128


def test_golden() -> None:
    """The digests of stored sets must never change: these values are literals."""
    images = np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4, 1)
    digest = digest_of(5, images, np.array([1, 2, 3], np.int32), np.array([7, 8, 9], np.int64))
    assert to_hex(digest) == "2a497772bc100442716565139178ab1c"
    assert to_hex(0) == "0" * 32
    assert to_hex(2**128 - 1) == "f" * 32


def test_file_checksum(tmp_path: Path) -> None:
    """The checksum of a file of any size is the XXH3-128 of its bytes."""
    path = tmp_path / "file"
    for size in (0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_000_000):
        data = bytearray(np.random.default_rng(size).bytes(size))
        path.write_bytes(data)
        assert file_checksum(path) == xxhash.xxh3_128_hexdigest(bytes(data))
        assert len(file_checksum(path)) == 32
        if size:
            before = file_checksum(path)
            data[-1] ^= 1
            path.write_bytes(data)
            assert file_checksum(path) != before


# --- The split file ------------------------------------------------------------------------------------------


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def delete_datasets(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        for name in list(file):
            del file[name]


def replace_groups_by_datasets(path: Path) -> None:
    delete_datasets(path)
    with h5py.File(path, "r+") as file:
        file["train"], file["group_name"] = 1, 1


@pytest.mark.parametrize("damage", [Path.unlink, truncate, delete_datasets, replace_groups_by_datasets])
def test_a_damaged_split_file_is_an_error(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """Everything that reads split.h5 raises an error with its path and the fix if the file is missing or damaged."""
    rows = SplitRows(np.arange(6), np.arange(6) % 2, np.arange(6) % 3)
    write_split(tmp_path, {"train": rows}, ["a", "b", "c"], by_class=True)
    damage(tmp_path / "split.h5")
    for read in (
        lambda: read_split(tmp_path, "train"),
        lambda: read_by_class(tmp_path),
        lambda: group_name(tmp_path, 1),
    ):
        with pytest.raises(EpochbankError, match=r"split\.h5 cannot be read: .*Restore it from a copy"):
            read()

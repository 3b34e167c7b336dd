"""The manifest and the digest: what is published, and that it is what it was."""

import contextlib
import itertools
import json
import random as std_random
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epochbank.augment.errors import EpochbankError
from epochbank.augment.store.digest import add, digest_of, file_checksum, to_hex
from epochbank.augment.store.manifest import Entry, ManifestWriter, published_epochs, read_manifest

few = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def entry(number: int = 0, part: str = "epoch", epoch: int = 0, images: int = 100) -> Entry:
    return Entry(
        part=part,
        epoch=epoch,
        start=number * images,
        images=images,
        chunk=64,
        codec="zstd",
        file=f"epoch-{epoch:04d}/{number * images:010d}.h5",
        bytes=1000 + number,
        checksum=f"{number:032x}",
        digest=f"{(number + 1) << 100:032x}",
    )


def write(directory: Path, *entries: Entry) -> Path:
    with contextlib.closing(ManifestWriter(directory)) as writer:
        for one in entries:
            writer.append(one)
    return directory / "manifest.jsonl"


# --- Reading and writing -----------------------------------------------------------------------------------


def test_no_manifest_is_nothing_published(tmp_path: Path) -> None:
    """A directory without a manifest has nothing published, and reading makes none."""
    assert read_manifest(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    write(tmp_path)
    assert read_manifest(tmp_path) == []


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    """Entries come back as they were written, in order of publication, whatever runs wrote them."""
    entries = [entry(number, epoch=number % 3) for number in (4, 0, 3, 1, 2)]
    for number, one in enumerate(entries):
        write(tmp_path, one)
        assert read_manifest(tmp_path) == entries[: number + 1]
    write(tmp_path, *entries)
    assert read_manifest(tmp_path) == entries * 2


def test_one_line_for_every_shard(tmp_path: Path) -> None:
    """The file is one JSON object a line, with the fields of an entry: a line costs the same in a large set."""
    path = write(tmp_path, *(entry(number) for number in range(5)))
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [asdict(entry(number)) for number in range(5)]
    assert json.loads(lines[0]).keys() == {field.name for field in fields(Entry)}
    before = path.read_bytes()
    write(tmp_path, entry(5))
    assert path.read_bytes().startswith(before)
    assert len(path.read_bytes()) - len(before) < 400


def test_an_entry_is_there_as_soon_as_it_is_appended(tmp_path: Path) -> None:
    """Readers see an entry once `append` has returned, while the writer is still open."""
    with contextlib.closing(ManifestWriter(tmp_path)) as writer:
        for number in range(3):
            writer.append(entry(number))
            assert read_manifest(tmp_path) == [entry(one) for one in range(number + 1)]


# --- What a power cut leaves --------------------------------------------------------------------------------


def test_torn_last_line_does_not_exist(tmp_path: Path) -> None:
    """A last line cut off anywhere is ignored by the reader, who changes nothing, and cut away by the writer."""
    path = write(tmp_path, entry(0), entry(1), entry(2))
    whole = path.read_bytes()
    line = len(whole.splitlines(keepends=True)[-1])
    for missing in (*range(1, line, 17), line - 1, line):
        path.write_bytes(whole[:-missing])
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
def test_damaged_last_line_does_not_exist(tmp_path: Path, tail: bytes) -> None:
    """So it is with a last line that ends, but is no entry, as a power cut may leave it."""
    path = write(tmp_path, entry(0), entry(1))
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    assert read_manifest(tmp_path) == [entry(0), entry(1)]
    write(tmp_path, entry(2))
    assert read_manifest(tmp_path) == [entry(0), entry(1), entry(2)]
    assert path.read_bytes().startswith(whole)


def test_torn_only_line_does_not_exist(tmp_path: Path) -> None:
    """The very first line may be torn too."""
    path = tmp_path / "manifest.jsonl"
    for torn in (b"", b"{", b'{"part":"epo', b"{}\n"):
        path.write_bytes(torn)
        assert read_manifest(tmp_path) == []
    write(tmp_path, entry(0))
    assert read_manifest(tmp_path) == [entry(0)]


@pytest.mark.parametrize("line", [1, 2, 3])
@pytest.mark.parametrize(
    "damage",
    [b"\0" * 50, b'{"part":"epoch","epoch":0', b"", b"5", b'{"part":"epoch"}', b"\xff\xfe", b'{"unknown":1}', b"[]"],
    ids=lambda damage: repr(damage[:16]),
)
def test_damaged_middle_line_is_refused(tmp_path: Path, line: int, damage: bytes) -> None:
    """A line that is damaged before the last is no power cut's doing: refused, with its number and the remedy."""
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


def test_damaged_middle_line_is_refused_though_the_last_is_torn(tmp_path: Path) -> None:
    """A torn last line does not hide a damaged one before it."""
    path = write(tmp_path, *(entry(number) for number in range(3)))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"damaged\n" + lines[2] + lines[2][:20])
    with pytest.raises(EpochbankError, match="line 2 is damaged"):
        read_manifest(tmp_path)


def test_line_that_could_not_be_written_whole_is_told(tmp_path: Path) -> None:
    """Where the disk takes only part of a line, `append` raises, and the next line does not stick to the torn one."""
    resource = pytest.importorskip("resource")
    path = write(tmp_path, entry(0))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with contextlib.closing(ManifestWriter(tmp_path)) as writer:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 40, hard))
        try:
            with pytest.raises(OSError):  # noqa: PT011  the system's own text
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
    images=st.integers(1, 500),
    cuts=st.lists(st.lists(st.integers(1, 499), max_size=6), min_size=1, max_size=4),
    data=st.data(),
)
def test_an_epoch_is_published_when_its_last_shard_is(images: int, cuts: list[list[int]], data: st.DataObject) -> None:
    """An epoch counts once its shards hold every training picture, and not with one missing; by number."""
    epochs = []
    for number, inner in enumerate(cuts):
        edges = sorted({0, images, *(cut for cut in inner if cut < images)})
        epochs.append(
            [
                replace(entry(0, epoch=number * 3), start=low, images=high - low, bytes=high * 7 + number)
                for low, high in itertools.pairwise(edges)
            ]
        )
    others = [entry(0, part=part, images=images) for part in ("train", "validation", "test")]
    whole = data.draw(st.permutations([*others, *itertools.chain.from_iterable(epochs)]))
    published = published_epochs(whole, images)
    assert [one.epoch for one in published] == [number * 3 for number in range(len(cuts))]
    for one, shards in zip(published, epochs, strict=True):
        assert one.images == images
        assert one.bytes == sum(shard.bytes for shard in shards)
        assert one.digest == to_hex(sum(int(shard.digest, 16) for shard in shards) % 2**128)
    missing = data.draw(st.sampled_from(list(itertools.chain.from_iterable(epochs))))
    left = [one for one in whole if one is not missing]
    assert [one.epoch for one in published_epochs(left, images)] == [
        number * 3 for number in range(len(cuts)) if number * 3 != missing.epoch
    ]


def test_nothing_published() -> None:
    """No entries, or those of undistorted parts alone, make no epoch."""
    assert published_epochs([], 100) == []
    assert published_epochs([entry(0, part="train")], 100) == []


# --- The digest ------------------------------------------------------------------------------------------------


def content(count: int, shape: tuple[int, int, int] = (5, 4, 1)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    pictures = random.integers(0, 256, (count, *shape), np.uint8)
    return pictures, random.integers(0, 9, count).astype(np.int32), random.permutation(count).astype(np.int64)


@few
@given(count=st.integers(0, 60), start=st.integers(0, 10**9), cuts=st.lists(st.integers(0, 60), max_size=6))
def test_digest_does_not_depend_on_the_parting(count: int, start: int, cuts: list[int]) -> None:
    """However a run is cut, and in whatever order its pieces are added, the digest is the same."""
    pictures, labels, rows = content(count)
    edges = sorted({0, count, *(cut for cut in cuts if cut < count)})
    pieces = [
        digest_of(start + low, pictures[low:high], labels[low:high], rows[low:high])
        for low, high in itertools.pairwise(edges)
    ]
    std_random.Random(count).shuffle(pieces)
    assert add(*pieces) == digest_of(start, pictures, labels, rows)
    assert 0 <= add(*pieces) < 2**128


def test_digest_of_nothing_is_nothing() -> None:
    """No pictures add nothing."""
    assert digest_of(7, *content(0)) == 0
    assert add() == 0


def test_digest_covers_everything() -> None:
    """A pixel, a label, a row, a position or the order changed is another digest, and so is a moved byte."""
    pictures, labels, rows = content(10)
    seen = {digest_of(0, pictures, labels, rows), digest_of(1, pictures, labels, rows)}
    for number in range(10):
        pixel, label, row = pictures.copy(), labels.copy(), rows.copy()
        pixel[number, 4, 3, 0] ^= 1
        label[number] += 1
        row[number] += 1
        seen |= {
            digest_of(0, pixel, labels, rows),
            digest_of(0, pictures, label, rows),
            digest_of(0, pictures, labels, row),
        }
    swapped = np.r_[1, 0, 2:10]
    seen.add(digest_of(0, pictures[swapped], labels[swapped], rows[swapped]))
    seen.add(digest_of(0, pictures[swapped], labels, rows))
    seen.add(digest_of(0, pictures, labels, rows[swapped]))
    assert len(seen) == 2 + 30 + 3


def test_digest_does_not_depend_on_memory() -> None:
    """The values count: neither strides, nor the integer type of labels and rows."""
    pictures, labels, rows = content(6, (5, 4, 3))
    expected = digest_of(3, pictures, labels, rows)
    spread = np.repeat(pictures, 2, axis=0)[::2]
    assert digest_of(3, spread, labels.astype(np.int64), rows.astype(np.int32)) == expected
    assert digest_of(3, np.asfortranarray(pictures), labels, rows) == expected
    read_only = pictures.copy()
    read_only.flags.writeable = False
    assert digest_of(3, read_only, labels, rows) == expected


def test_digest_by_its_definition() -> None:
    """It is the sum of XXH3-128 of position, row and label, as little-endian int64, and the picture's bytes."""
    pictures, labels, rows = content(9)
    total = 0
    for number in range(9):
        head = b"".join(int(value).to_bytes(8, "little") for value in (40 + number, rows[number], labels[number]))
        total += xxhash.xxh3_128_intdigest(head + pictures[number].tobytes())
    assert digest_of(40, pictures, labels, rows) == total % 2**128


def test_golden() -> None:
    """The digests of stored sets stay what they are: a literal that no change may alter."""
    pictures = np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4, 1)
    digest = digest_of(5, pictures, np.array([1, 2, 3], np.int32), np.array([7, 8, 9], np.int64))
    assert to_hex(digest) == "2a497772bc100442716565139178ab1c"
    assert to_hex(0) == "0" * 32
    assert to_hex(2**128 - 1) == "f" * 32


def test_file_checksum(tmp_path: Path) -> None:
    """A file's checksum is the XXH3-128 of its bytes, however large it is, and changes with each of them."""
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

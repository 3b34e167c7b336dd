"""Compressing one chunk outside the HDF5 library: what HDF5's own filters read and write, and what damage does."""

from collections.abc import Iterator
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epochbank.augment.store.codec import CODECS, decode, encode

few = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])

REFUSALS = (ValueError, RuntimeError)

FILTERS: dict[str, list[dict[str, Any]]] = {
    "zstd": [dict(hdf5plugin.Zstd(clevel=level)) for level in (1, 3, 19)],
    "lz4": [dict(hdf5plugin.LZ4(nbytes=nbytes)) for nbytes in (0, 512, 4096, 1 << 20)],
    "gzip": [{"compression": "gzip", "compression_opts": level} for level in (1, 4, 9)],
    "none": [{}],
}
"""The filters as HDF5 programs set them: levels, and for LZ4 the bytes of a block."""

SHAPES = [(64, 64, 64, 1), (5, 33, 17, 3), (1, 28, 28, 1), (1, 1, 1, 1), (2, 1, 3, 1)]


def strokes(shape: tuple[int, ...]) -> np.ndarray:
    pictures = np.zeros(shape, np.uint8)
    for number, picture in enumerate(pictures):
        picture[number % shape[1]], picture[:, number % shape[2]] = 255, 128
    return pictures


def mixed(shape: tuple[int, ...]) -> np.ndarray:
    """Noise and nothing in turn: blocks that compress beside blocks that do not."""
    data = np.random.default_rng(2).integers(0, 256, shape, np.uint8)
    flat = data.reshape(-1)
    for start in range(0, len(flat), 1500):
        flat[start : start + 700] = 0
    return data


CONTENTS = {
    "black": lambda shape: np.zeros(shape, np.uint8),
    "strokes": strokes,
    "noise": lambda shape: np.random.default_rng(1).integers(0, 256, shape, np.uint8),
    "mixed": mixed,
}


@pytest.fixture
def file() -> Iterator[h5py.File]:
    """An HDF5 file in memory."""
    with h5py.File("memory", "w", driver="core", backing_store=False) as opened:
        yield opened


def test_codecs_are_the_four_of_the_command_line() -> None:
    """The codecs are those of `--codec`, by the numbers of their registered filters."""
    assert CODECS == {"zstd": 32015, "lz4": 32004, "gzip": 1, "none": None}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("codec", CODECS)
def test_round_trip(codec: str, content: str, shape: tuple[int, ...]) -> None:
    """What was encoded is decoded to the byte, incompressible data included, and is left alone."""
    data = CONTENTS[content](shape)
    before = data.copy()
    stored = encode(codec, data)
    assert isinstance(stored, bytes)
    assert np.array_equal(data, before)
    for held in (stored, bytearray(stored)):
        out = np.full_like(data, 77)
        decode(codec, held, out)
        assert np.array_equal(out, data)
    assert len(stored) <= data.nbytes + 64 + data.nbytes // 100
    if content == "black" and data.nbytes > 1000 and codec != "none":
        assert len(stored) < data.nbytes / 50


@few
@given(st.sampled_from(sorted(CODECS)), st.binary(min_size=1, max_size=3000), st.integers(1, 200))
def test_round_trip_of_anything(codec: str, head: bytes, times: int) -> None:
    """So is any content of any length."""
    data = np.frombuffer(head * times, np.uint8)
    out = np.empty_like(data)
    decode(codec, encode(codec, data), out)
    assert np.array_equal(out, data)


def test_encoding_is_the_same_twice() -> None:
    """The same data and codec give the same bytes."""
    for codec in CODECS:
        assert encode(codec, mixed((8, 64, 64, 1))) == encode(codec, mixed((8, 64, 64, 1)))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("codec", CODECS)
def test_plain_h5py_reads_what_is_encoded(file: h5py.File, codec: str, content: str, shape: tuple[int, ...]) -> None:
    """A chunk stored as it was encoded is read by h5py with the registered filter, whatever its settings."""
    data = CONTENTS[content](shape)
    for number, options in enumerate(FILTERS[codec]):
        dataset = file.create_dataset(str(number), shape, np.uint8, chunks=shape, **options)
        dataset.id.write_direct_chunk((0, 0, 0, 0), encode(codec, data))
        assert np.array_equal(dataset[()], data)
        assert np.array_equal(dataset[:1, 0], data[:1, 0])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("codec", CODECS)
def test_decodes_what_plain_h5py_wrote(file: h5py.File, codec: str, content: str, shape: tuple[int, ...]) -> None:
    """A chunk that h5py wrote through the filter, at any level and in any number of blocks, is decoded."""
    data = CONTENTS[content](shape)
    for number, options in enumerate(FILTERS[codec]):
        dataset = file.create_dataset(str(number), data=data, chunks=shape, **options)
        skipped, stored = dataset.id.read_direct_chunk((0, 0, 0, 0))
        assert skipped == 0
        out = np.full_like(data, 77)
        decode(codec, stored, out)
        assert np.array_equal(out, data), options


@pytest.mark.parametrize("codec", CODECS)
def test_content_that_just_does_not_compress(file: h5py.File, codec: str) -> None:
    """Where compressed and plain bytes are of the same number, or nearly so, both sides read them alike."""
    noise = np.random.default_rng(6).integers(0, 256, 200, np.uint8)
    lengths = set()
    for number in range(40):
        data = np.concatenate([noise, noise[20 : 20 + number], noise[::-1]])  # A repeat that saves ever more.
        stored, out = encode(codec, data), np.empty_like(data)
        lengths.add(len(stored) - data.nbytes)
        decode(codec, stored, out)
        assert np.array_equal(out, data)
        dataset = file.create_dataset(str(number), data.shape, np.uint8, chunks=data.shape, **FILTERS[codec][0])
        dataset.id.write_direct_chunk((0,), stored)
        assert np.array_equal(dataset[()], data)
    # LZ4 alone has 16 bytes of framing: at 16 its block is as long as the data, and must be the data.
    assert codec != "lz4" or {15, 16} <= lengths


@pytest.mark.parametrize("codec", CODECS)
def test_many_chunks_of_one_dataset(file: h5py.File, codec: str) -> None:
    """Chunk by chunk, a dataset goes both ways, the last chunk filled up as HDF5 does."""
    data, chunk = mixed((50, 28, 28, 1)), 16
    theirs = file.create_dataset("theirs", data=data, chunks=(chunk, 28, 28, 1), **FILTERS[codec][0])
    ours = file.create_dataset("ours", data.shape, np.uint8, chunks=(chunk, 28, 28, 1), **FILTERS[codec][0])
    read = np.empty((64, 28, 28, 1), np.uint8)
    for start in range(0, 50, chunk):
        _, stored = theirs.id.read_direct_chunk((start, 0, 0, 0))
        decode(codec, stored, read[start : start + chunk])
        ours.id.write_direct_chunk((start, 0, 0, 0), encode(codec, read[start : start + chunk]))
    assert np.array_equal(read[:50], data)
    assert np.array_equal(ours[()], data)


@pytest.mark.parametrize("codec", CODECS)
def test_decodes_in_place(codec: str) -> None:
    """The pictures go to their place in a larger array, and to no other."""
    data = mixed((4, 20, 20, 3))
    big = np.full((12, 20, 20, 3), 77, np.uint8)
    decode(codec, encode(codec, data), big[4:8])
    assert np.array_equal(big[4:8], data)
    assert np.all(big[:4] == 77)
    assert np.all(big[8:] == 77)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("content", ["strokes", "noise"])
@pytest.mark.parametrize("pictures", [1, 3, 5, 8])
def test_another_size_is_refused(codec: str, content: str, pictures: int) -> None:
    """A chunk that holds fewer or more bytes than there are places for is refused."""
    stored = encode(codec, CONTENTS[content]((4, 20, 20, 1)))
    with pytest.raises(REFUSALS):
        decode(codec, stored, np.empty((pictures, 20, 20, 1), np.uint8))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("content", ["strokes", "noise", "mixed"])
def test_truncated_chunk_is_refused(codec: str, content: str) -> None:
    """A chunk cut off anywhere is refused."""
    data = CONTENTS[content]((4, 20, 20, 1))
    stored = encode(codec, data)
    for length in {0, 1, 3, 4, 8, 11, 12, 15, 16, 17, *range(0, len(stored), 29), len(stored) - 1}:
        with pytest.raises(REFUSALS):
            decode(codec, stored[:length], np.empty_like(data))


@pytest.mark.parametrize("content", ["strokes", "noise", "mixed"])
def test_truncated_blocks_are_refused(file: h5py.File, content: str) -> None:
    """So is an LZ4 chunk of many blocks, cut off within a block or between two."""
    data = CONTENTS[content]((4, 20, 20, 1))
    dataset = file.create_dataset("blocks", data=data, chunks=data.shape, **hdf5plugin.LZ4(nbytes=256))
    _, stored = dataset.id.read_direct_chunk((0, 0, 0, 0))
    for length in range(len(stored)):
        with pytest.raises(REFUSALS):
            decode("lz4", stored[:length], np.empty_like(data))


@pytest.mark.parametrize("content", ["strokes", "noise", "mixed"])
@pytest.mark.parametrize("codec", ["zstd", "gzip"])
def test_damage_is_refused(codec: str, content: str) -> None:
    """Codecs with a checksum refuse a damaged chunk, or give the very data; never anything else."""
    data = CONTENTS[content]((4, 20, 20, 1))
    stored, random = encode(codec, data), np.random.default_rng(3)
    refused = 0
    for case in range(600):
        damaged = bytearray(stored)
        at = int(random.integers(len(stored) if case % 3 else min(20, len(stored))))
        damaged[at : at + 16] = random.bytes(len(damaged[at : at + 16]))
        out = np.zeros_like(data)
        try:
            decode(codec, damaged, out)
        except REFUSALS:
            refused += 1
        else:
            assert np.array_equal(out, data)
    assert refused > 580


@pytest.mark.parametrize("blocks", [0, 256])
@pytest.mark.parametrize("content", ["strokes", "noise", "mixed"])
def test_damaged_lz4_never_escapes(file: h5py.File, content: str, blocks: int) -> None:
    """LZ4 has no checksum: a damaged chunk may pass, but raises nothing unforeseen and writes nothing outside."""
    data = CONTENTS[content]((4, 20, 20, 1))
    dataset = file.create_dataset("blocks", data=data, chunks=data.shape, **hdf5plugin.LZ4(nbytes=blocks))
    stored, random = dataset.id.read_direct_chunk((0, 0, 0, 0))[1], np.random.default_rng(4)
    refused = 0
    for case in range(600):
        damaged = bytearray(stored)
        at = int(random.integers(len(stored) if case % 3 else 16))
        damaged[at : at + 4] = random.bytes(len(damaged[at : at + 4]))
        big = np.full((12, 20, 20, 1), 77, np.uint8)
        try:
            decode("lz4", damaged, big[4:8])
        except REFUSALS:
            refused += 1
        assert np.all(big[:4] == 77)
        assert np.all(big[8:] == 77)
    assert refused > 50


@pytest.mark.parametrize("codec", ["zstd", "lz4", "gzip"])
def test_bytes_of_another_codec_are_refused(codec: str) -> None:
    """A chunk of one codec is not taken for one of another."""
    data = strokes((4, 20, 20, 1))
    for other in CODECS.keys() - {codec}:
        with pytest.raises(REFUSALS):
            decode(codec, encode(other, data), np.empty_like(data))


def test_zstd_has_its_content_checksum() -> None:
    """A zstd frame carries the checksum of its content: the flag is set in its header (RFC 8878, 3.1.1.1.1)."""
    stored = encode("zstd", strokes((4, 20, 20, 1)))
    assert stored[:4] == b"\x28\xb5\x2f\xfd"
    assert stored[4] & 0b100

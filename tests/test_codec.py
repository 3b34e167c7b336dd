"""One contract for every codec in `CODECS`: it exchanges chunks with HDF5's filter and detects damage.

A new codec is tested as soon as it is in `CODECS`.
"""

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
every_codec = pytest.mark.parametrize("codec", CODECS)

ERRORS = (ValueError, RuntimeError)

WITHOUT_CHECKSUM = {"lz4", "none"}
"""Codecs that may decode a damaged chunk to other images. The shard's own checksum detects the damage."""

OTHER_SETTINGS: dict[str, list[dict[str, Any]]] = {
    "zstd": [dict(hdf5plugin.Zstd(clevel=level)) for level in (1, 3, 19)],
    "lz4": [dict(hdf5plugin.LZ4(nbytes=nbytes)) for nbytes in (256, 512, 4096, 1 << 20)],
    "gzip": [{"compression": "gzip", "compression_opts": level} for level in (1, 4, 9)],
}
"""Settings that other HDF5 programs may use: levels, and for LZ4 the bytes of a block."""

SHAPES = [(64, 64, 64, 1), (5, 33, 17, 3), (1, 28, 28, 1), (1, 1, 1, 1), (2, 1, 3, 1)]


def filters(codec: str) -> list[dict[str, Any]]:
    """Return arguments of `create_dataset`: the filter of the codec with default settings, then with others."""
    default = {} if CODECS[codec] is None else {"compression": CODECS[codec]}
    return [default, *OTHER_SETTINGS.get(codec, [])]


def strokes(shape: tuple[int, ...]) -> np.ndarray:
    images = np.zeros(shape, np.uint8)
    for number, image in enumerate(images):
        image[number % shape[1]], image[:, number % shape[2]] = 255, 128
    return images


def noise(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, shape, np.uint8)


def mixed(shape: tuple[int, ...]) -> np.ndarray:
    """Return alternating noise and zeros: some blocks compress and others do not."""
    data = np.random.default_rng(2).integers(0, 256, shape, np.uint8)
    flat = data.reshape(-1)
    for start in range(0, len(flat), 1500):
        flat[start : start + 700] = 0
    return data


def black(shape: tuple[int, ...]) -> np.ndarray:
    return np.zeros(shape, np.uint8)


CONTENTS = (black, strokes, noise, mixed)
every_content = pytest.mark.parametrize("content", CONTENTS)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


@pytest.fixture
def file() -> Iterator[h5py.File]:
    """Return an HDF5 file in memory."""
    with h5py.File("memory", "w", driver="core", backing_store=False) as opened:
        yield opened


def written_by_hdf5(file: h5py.File, data: np.ndarray, codec: str) -> list[bytes]:
    """Return `data` as HDF5 stores it in one chunk, once for each of `filters(codec)`."""
    chunks = []
    for number, options in enumerate(filters(codec)):
        dataset = file.create_dataset(f"{len(file)}-{number}", data=data, chunks=data.shape, **options)
        skipped, stored = dataset.id.read_direct_chunk((0,) * data.ndim)
        assert skipped == 0
        chunks.append(stored)
    return chunks


def decoded(codec: str, stored: bytes | bytearray, like: np.ndarray) -> np.ndarray:
    out = np.full_like(like, 77)
    decode(codec, stored, out)
    return out


def test_codecs_have_the_numbers_of_their_registered_filters() -> None:
    """Stored sets depend on these names and numbers."""
    assert CODECS == {"zstd": 32015, "lz4": 32004, "gzip": 1, "none": None}


@every_shape
@every_content
@every_codec
def test_round_trip(codec: str, content: Any, shape: tuple[int, ...]) -> None:
    """Encoded data is decoded exactly, does not grow by more than a header, and is not modified."""
    data = content(shape)
    before = data.copy()
    stored = encode(codec, data)
    assert isinstance(stored, bytes)
    assert np.array_equal(data, before)
    for buffer in (stored, bytearray(stored)):
        assert np.array_equal(decoded(codec, buffer, data), data)
    assert len(stored) <= data.nbytes + 64 + data.nbytes // 100
    if content is black and data.nbytes > 1000 and codec != "none":
        assert len(stored) < data.nbytes / 50


@few
@given(st.sampled_from(sorted(CODECS)), st.binary(min_size=1, max_size=3000), st.integers(1, 200))
def test_round_trip_of_any_bytes(codec: str, head: bytes, times: int) -> None:
    """Data of any content and length is decoded exactly."""
    data = np.frombuffer(head * times, np.uint8)
    assert np.array_equal(decoded(codec, encode(codec, data), data), data)


@every_codec
def test_encoding_is_deterministic(codec: str) -> None:
    """The same data gives the same bytes."""
    assert encode(codec, mixed((8, 64, 64, 1))) == encode(codec, mixed((8, 64, 64, 1)))


@every_shape
@every_content
@every_codec
def test_h5py_reads_encoded_chunks(file: h5py.File, codec: str, content: Any, shape: tuple[int, ...]) -> None:
    """h5py reads an encoded chunk with the registered filter, for any settings of the filter."""
    data = content(shape)
    for number, options in enumerate(filters(codec)):
        dataset = file.create_dataset(str(number), shape, np.uint8, chunks=shape, **options)
        dataset.id.write_direct_chunk((0, 0, 0, 0), encode(codec, data))
        assert np.array_equal(dataset[()], data)
        assert np.array_equal(dataset[:1, 0], data[:1, 0])


@every_shape
@every_content
@every_codec
def test_chunks_of_h5py_are_decoded(file: h5py.File, codec: str, content: Any, shape: tuple[int, ...]) -> None:
    """A chunk that h5py wrote with the registered filter, with any settings, is decoded."""
    data = content(shape)
    for stored in written_by_hdf5(file, data, codec):
        assert np.array_equal(decoded(codec, stored, data), data)


@every_codec
def test_data_that_hardly_compresses(file: h5py.File, codec: str) -> None:
    """Data that is as long compressed as uncompressed, or almost, is read by epochbank and by HDF5."""
    random = np.random.default_rng(6).integers(0, 256, 200, np.uint8)
    lengths = set()
    for number in range(40):
        data = np.concatenate([random, random[20 : 20 + number], random[::-1]])  # The repetition grows.
        stored = encode(codec, data)
        lengths.add(len(stored) - data.nbytes)
        assert np.array_equal(decoded(codec, stored, data), data)
        dataset = file.create_dataset(str(number), data.shape, np.uint8, chunks=data.shape, **filters(codec)[0])
        dataset.id.write_direct_chunk((0,), stored)
        assert np.array_equal(dataset[()], data)
    # LZ4 has 16 bytes of framing. At 16 its block is as long as the data, and must be stored uncompressed.
    assert codec != "lz4" or {15, 16} <= lengths


@every_codec
def test_many_chunks_of_one_dataset(file: h5py.File, codec: str) -> None:
    """A dataset is decoded and encoded chunk by chunk; its last chunk is padded, as HDF5 requires."""
    data, chunk = mixed((50, 28, 28, 1)), 16
    theirs = file.create_dataset("theirs", data=data, chunks=(chunk, 28, 28, 1), **filters(codec)[0])
    ours = file.create_dataset("ours", data.shape, np.uint8, chunks=(chunk, 28, 28, 1), **filters(codec)[0])
    read = np.empty((64, 28, 28, 1), np.uint8)
    for start in range(0, 50, chunk):
        _, stored = theirs.id.read_direct_chunk((start, 0, 0, 0))
        decode(codec, stored, read[start : start + chunk])
        ours.id.write_direct_chunk((start, 0, 0, 0), encode(codec, read[start : start + chunk]))
    assert np.array_equal(read[:50], data)
    assert np.array_equal(ours[()], data)


@every_codec
def test_decoding_into_a_part_of_an_array(codec: str) -> None:
    """Images are decoded into a slice of a larger array, and nothing else is written."""
    data = mixed((4, 20, 20, 3))
    big = np.full((12, 20, 20, 3), 77, np.uint8)
    decode(codec, encode(codec, data), big[4:8])
    assert np.array_equal(big[4:8], data)
    assert np.all(big[:4] == 77)
    assert np.all(big[8:] == 77)


@every_codec
@pytest.mark.parametrize("content", [strokes, noise])
@pytest.mark.parametrize("count", [1, 3, 5, 8])
def test_an_output_of_another_size_is_an_error(codec: str, content: Any, count: int) -> None:
    """A chunk with more or fewer bytes than the output array raises."""
    stored = encode(codec, content((4, 20, 20, 1)))
    with pytest.raises(ERRORS):
        decode(codec, stored, np.empty((count, 20, 20, 1), np.uint8))


@every_codec
@pytest.mark.parametrize("content", [strokes, noise, mixed])
def test_a_truncated_chunk_is_an_error(file: h5py.File, codec: str, content: Any) -> None:
    """A chunk that is truncated at any byte raises, whether encoded here or by HDF5 with any settings."""
    data = content((4, 20, 20, 1))
    for stored in (encode(codec, data), *written_by_hdf5(file, data, codec)):
        for length in range(len(stored)):
            with pytest.raises(ERRORS):
                decode(codec, stored[:length], np.empty_like(data))


@every_codec
@pytest.mark.parametrize("content", [strokes, noise, mixed])
def test_damage_never_escapes(file: h5py.File, codec: str, content: Any) -> None:
    """A damaged chunk raises no unexpected error and changes no other memory, also if HDF5 wrote it."""
    data, random = content((4, 20, 20, 1)), np.random.default_rng(4)
    for stored in (encode(codec, data), *written_by_hdf5(file, data, codec)[:2]):
        refused = 0
        for case in range(600):
            damaged = bytearray(stored)
            at = int(random.integers(len(stored) if case % 3 else 16))
            damaged[at : at + 4] = random.bytes(len(damaged[at : at + 4]))
            big = np.full((12, 20, 20, 1), 77, np.uint8)
            try:
                decode(codec, damaged, big[4:8])
            except ERRORS:
                refused += 1
            assert np.all(big[:4] == 77)
            assert np.all(big[8:] == 77)
        assert refused > 50 or codec == "none"


@pytest.mark.parametrize("codec", [codec for codec in CODECS if codec not in WITHOUT_CHECKSUM])
@pytest.mark.parametrize("content", [strokes, noise, mixed])
def test_damage_is_detected(codec: str, content: Any) -> None:
    """A codec with a checksum raises for a damaged chunk, or decodes exactly the original images."""
    data = content((4, 20, 20, 1))
    stored, random = encode(codec, data), np.random.default_rng(3)
    refused = 0
    for case in range(600):
        damaged = bytearray(stored)
        at = int(random.integers(len(stored) if case % 3 else min(20, len(stored))))
        damaged[at : at + 16] = random.bytes(len(damaged[at : at + 16]))
        out = np.zeros_like(data)
        try:
            decode(codec, damaged, out)
        except ERRORS:
            refused += 1
        else:
            assert np.array_equal(out, data)
    assert refused > 580


@every_codec
@pytest.mark.parametrize("other", CODECS)
def test_a_chunk_of_another_codec_is_an_error(codec: str, other: str) -> None:
    """A chunk that was encoded with one codec cannot be decoded with another."""
    data = strokes((4, 20, 20, 1))
    stored = encode(other, data)
    if codec == other:
        assert np.array_equal(decoded(codec, stored, data), data)
    else:
        with pytest.raises(ERRORS):
            decode(codec, stored, np.empty_like(data))


def test_zstd_frames_have_a_content_checksum() -> None:
    """The header of a zstd frame has the flag of the content checksum (RFC 8878, 3.1.1.1.1)."""
    stored = encode("zstd", strokes((4, 20, 20, 1)))
    assert stored[:4] == b"\x28\xb5\x2f\xfd"
    assert stored[4] & 0b100

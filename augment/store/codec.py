"""Compressing and decompressing one HDF5 chunk outside the HDF5 library, in the filters' own formats.

What `encode` makes is what HDF5's registered filter would store, so that any program with the filter
reads it; what `decode` takes is what any HDF5 program wrote. Sources of the formats:
zstd (32015): one frame, RFC 8878, here with its content checksum; LZ4 (32004): the HDF5 filter's
framing, github.com/HDFGroup/hdf5_plugins LZ4; gzip (1): a zlib stream, RFC 1950.
"""

import struct
import zlib

import numcodecs.lz4
import numcodecs.zstd
import numpy as np

CODECS = {"zstd": 32015, "lz4": 32004, "gzip": 1, "none": None}
"""Name of each codec -> number of its HDF5 filter."""

_ZSTD_LEVEL = 1
_GZIP_LEVEL = 1
_LZ4_HEADER = struct.Struct(">QII")  # decoded bytes, bytes of a block, stored bytes of the first block
_LZ4_LARGEST_BLOCK = 1 << 30


def encode(codec: str, data: np.ndarray) -> bytes:
    """Compress the contiguous array `data`, a whole chunk, with `codec` (a key of `CODECS`)."""
    if codec == "zstd":
        return numcodecs.zstd.compress(data, _ZSTD_LEVEL, True)
    if codec == "lz4":
        # numcodecs puts the decoded size before the block, in four bytes that the filter does without.
        block = memoryview(numcodecs.lz4.compress(data))[4:]
        stored = block if len(block) < data.nbytes else data.reshape(-1).data.cast("B")
        return _LZ4_HEADER.pack(data.nbytes, data.nbytes, len(stored)) + bytes(stored)
    if codec == "gzip":
        return zlib.compress(data.data, _GZIP_LEVEL)
    return data.tobytes()


def decode(codec: str, stored: bytes | bytearray, out: np.ndarray) -> None:
    """Decompress the `stored` bytes of a chunk into the contiguous array `out`, which they must fill exactly.

    zstd and LZ4 decode without the GIL. Raises `ValueError` or `RuntimeError` (the codecs' own) where
    `stored` is damaged or of another size.
    """
    if codec == "zstd":
        if (found := _zstd_bytes(stored)) != out.nbytes:
            raise ValueError(f"zstd chunk holds {found} bytes, not {out.nbytes}")
        numcodecs.zstd.decompress(stored, out)
    elif codec == "lz4":
        _decode_lz4(stored, out)
    elif codec == "gzip":
        _fill(out, _inflate(stored))
    else:
        _fill(out, stored)


def _zstd_bytes(stored: bytes | bytearray) -> int:
    """The decoded size that a frame's header states (RFC 8878, 3.1.1.1)."""
    flags = stored[4] if len(stored) > 4 else 0
    single = flags >> 5 & 1
    at = 5 + (1 - single) + (0, 1, 2, 4)[flags & 3]
    size = (single, 2, 4, 8)[flags >> 6]
    return int.from_bytes(stored[at : at + size], "little") + (256 if size == 2 else 0)


def _decode_lz4(stored: bytes | bytearray, out: np.ndarray) -> None:
    if len(stored) < _LZ4_HEADER.size:
        raise ValueError("LZ4 chunk is truncated")
    total, block_size, first = _LZ4_HEADER.unpack_from(stored)
    if total != out.nbytes:
        raise ValueError(f"LZ4 chunk holds {total} bytes, not {out.nbytes}")
    if block_size >= total and first < total <= _LZ4_LARGEST_BLOCK:
        # One block, as `encode` writes: give numcodecs the size before it that it expects.
        numcodecs.lz4.decompress(struct.pack("<I", total) + stored[_LZ4_HEADER.size :], out)
        return
    target, offset, at = out.reshape(-1).data.cast("B"), 12, 0
    while at < total:
        size = min(block_size, total - at)
        if offset + 4 > len(stored):
            raise ValueError("LZ4 chunk is truncated")
        (length,) = struct.unpack_from(">I", stored, offset)
        block = stored[offset + 4 : offset + 4 + length]
        whole = block if length == size else numcodecs.lz4.decompress(struct.pack("<I", size) + block)
        if len(whole) != size:
            raise ValueError(f"LZ4 block holds {len(whole)} bytes, not {size}")
        target[at : at + size] = whole
        offset, at = offset + 4 + length, at + size


def _inflate(stored: bytes | bytearray) -> bytes:
    try:
        return zlib.decompress(stored)
    except zlib.error as error:
        raise ValueError(f"gzip chunk is damaged: {error}") from error


def _fill(out: np.ndarray, data: bytes | bytearray) -> None:
    if len(data) != out.nbytes:
        raise ValueError(f"chunk holds {len(data)} bytes, not {out.nbytes}")
    out.reshape(-1).data.cast("B")[:] = data

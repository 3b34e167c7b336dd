"""Compressing and decompressing one HDF5 chunk outside the HDF5 library, in the filters' own formats.

What `encode` makes is what HDF5's registered filter would store, so that any program with the filter
reads it; what `decode` takes is what any HDF5 program wrote. Sources of the formats:
zstd (32015): one frame, RFC 8878, here with its content checksum; LZ4 (32004): the HDF5 filter's
framing, github.com/HDFGroup/hdf5_plugins LZ4; gzip (1): a zlib stream, RFC 1950.
"""

import struct

import numcodecs.lz4
import numcodecs.zstd
import numpy as np
from isal import igzip_lib, isal_zlib

CODECS = {"zstd": 32015, "lz4": 32004, "gzip": 1, "none": None}
"""Name of each codec -> number of its HDF5 filter."""

# zstd's fast levels leave literals as they are: a third faster both ways than level 1, for 2 to 7 % more bytes.
_ZSTD_LEVEL = -2
_GZIP_LEVEL = 1  # of isal's 0 to 3
_GZIP_WINDOW = 15  # zlib's wbits: a zlib header, the largest window
_LZ4_HEADER = struct.Struct(">QII")  # decoded bytes, bytes of a block, stored bytes of the first block
_LZ4_BLOCK = _LZ4_HEADER.size
_LZ4_SIZE = struct.Struct("<I")  # what numcodecs expects before a block: its decoded bytes
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
        return isal_zlib.compress(data.data, _GZIP_LEVEL)
    return data.tobytes()


def decode(codec: str, stored: bytes | bytearray | memoryview, out: np.ndarray) -> None:
    """Decompress the `stored` bytes of a chunk into the contiguous array `out`, which they must fill exactly.

    zstd, LZ4 and gzip decode without the GIL, gzip with a copy that holds it. `stored` may be overwritten where it
    can be written to. Raises
    `ValueError` or `RuntimeError` (the codecs' own) where it is damaged or of another size.
    """
    if codec == "zstd":
        if (found := _zstd_bytes(stored)) != out.nbytes:
            raise ValueError(f"zstd chunk holds {found} bytes, not {out.nbytes}")
        numcodecs.zstd.decompress(stored, out)
    elif codec == "lz4":
        _decode_lz4(stored, out)
    elif codec == "gzip":
        _fill(out, _inflate(stored, out.nbytes))
    else:
        _fill(out, stored)


def _zstd_bytes(stored: bytes | bytearray | memoryview) -> int:
    """The decoded size that a frame's header states (RFC 8878, 3.1.1.1)."""
    flags = stored[4] if len(stored) > 4 else 0
    single = flags >> 5 & 1
    at = 5 + (1 - single) + (0, 1, 2, 4)[flags & 3]
    size = (single, 2, 4, 8)[flags >> 6]
    return int.from_bytes(stored[at : at + size], "little") + (256 if size == 2 else 0)


def _decode_lz4(stored: bytes | bytearray | memoryview, out: np.ndarray) -> None:
    if len(stored) < _LZ4_BLOCK:
        raise ValueError("LZ4 chunk is truncated")
    total, block_size, first = _LZ4_HEADER.unpack_from(stored)
    if total != out.nbytes:
        raise ValueError(f"LZ4 chunk holds {total} bytes, not {out.nbytes}")
    if block_size >= total and first < total <= _LZ4_LARGEST_BLOCK:
        # One block, as `encode` writes. The field before it, read by now, makes room for its decoded size.
        held = memoryview(stored)
        if held.readonly:
            held = memoryview(bytearray(stored))
        _LZ4_SIZE.pack_into(held, _LZ4_BLOCK - _LZ4_SIZE.size, total)
        numcodecs.lz4.decompress(held[_LZ4_BLOCK - _LZ4_SIZE.size :], out)
        return
    target, offset, at = out.reshape(-1).data.cast("B"), 12, 0
    while at < total:
        size = min(block_size, total - at)
        if offset + 4 > len(stored):
            raise ValueError("LZ4 chunk is truncated")
        (length,) = struct.unpack_from(">I", stored, offset)
        block = bytes(stored[offset + 4 : offset + 4 + length])
        whole = block if length == size else numcodecs.lz4.decompress(_LZ4_SIZE.pack(size) + block)
        if len(whole) != size:
            raise ValueError(f"LZ4 block holds {len(whole)} bytes, not {size}")
        target[at : at + size] = whole
        offset, at = offset + 4 + length, at + size


def _inflate(stored: bytes | bytearray | memoryview, size: int) -> bytes:
    try:
        return isal_zlib.decompress(stored, _GZIP_WINDOW, size + 1)
    except igzip_lib.IsalError as error:  # type: ignore[misc]  # its stub says OSError, an instance
        raise ValueError(f"gzip chunk is damaged: {error}") from error


def _fill(out: np.ndarray, data: bytes | bytearray | memoryview) -> None:
    if len(data) != out.nbytes:
        raise ValueError(f"chunk holds {len(data)} bytes, not {out.nbytes}")
    out.reshape(-1).data.cast("B")[:] = data

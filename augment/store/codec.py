"""Compress and decompress one HDF5 chunk outside the HDF5 library, in the formats of HDF5's filters.

`encode` returns what HDF5's registered filter would store, so any program with the filter can read it. `decode` reads
what any HDF5 program wrote. Formats: zstd (filter 32015) is one frame of RFC 8878, written with a content checksum; LZ4
(filter 32004) has the framing of the HDF5 filter, github.com/HDFGroup/hdf5_plugins LZ4; gzip (filter 1) is a zlib
stream, RFC 1950.
"""

import struct

import numcodecs.lz4
import numcodecs.zstd
import numpy as np
from isal import igzip_lib, isal_zlib

CODECS = {"zstd": 32015, "lz4": 32004, "gzip": 1, "none": None}
"""Number of the HDF5 filter of each codec, by name."""

# The fast levels of zstd do not compress literals: a third faster in both directions than level 1, 2 to 7 % more bytes.
_ZSTD_LEVEL = -2
_GZIP_LEVEL = 1  # of isal's 0 to 3
_GZIP_WINDOW = 15  # zlib's wbits: a zlib header, the largest window
_LZ4_HEADER = struct.Struct(">QII")  # decoded bytes, bytes of a block, stored bytes of the first block
_LZ4_BLOCK = _LZ4_HEADER.size
_LZ4_SIZE = struct.Struct("<I")  # decoded bytes of a block, which numcodecs expects before the block
_LZ4_LARGEST_BLOCK = 1 << 30


def encode(codec: str, data: np.ndarray) -> bytes:
    """Compress the contiguous array `data`, a whole chunk, with `codec` (a key of `CODECS`)."""
    if codec == "zstd":
        return numcodecs.zstd.compress(data, _ZSTD_LEVEL, True)
    if codec == "lz4":
        # numcodecs writes the decoded size (4 bytes) before the block; the HDF5 filter does not.
        block = memoryview(numcodecs.lz4.compress(data))[4:]
        stored = block if len(block) < data.nbytes else data.reshape(-1).data.cast("B")
        return _LZ4_HEADER.pack(data.nbytes, data.nbytes, len(stored)) + bytes(stored)
    if codec == "gzip":
        return isal_zlib.compress(data.data, _GZIP_LEVEL)
    return data.tobytes()


def decode(codec: str, stored: bytes | bytearray | memoryview, out: np.ndarray) -> None:
    """Decompress a stored chunk into `out`.

    zstd, LZ4 and gzip release the GIL while they decode; gzip then copies once with the GIL held.

    Parameters
    ----------
    codec
        A key of `CODECS`.
    stored
        Bytes of the chunk. They may be overwritten if the buffer is writable.
    out
        Contiguous array. Its size must be exactly the decoded size of the chunk.

    Raises
    ------
    ValueError, RuntimeError
        If the chunk is damaged or its decoded size is not that of `out`. The codecs raise both types.
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
    """Return the decoded size that the header of a zstd frame states (RFC 8878, 3.1.1.1)."""
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
        # One block, as `encode` writes it. The decoded size overwrites the last header field, which was read above.
        writable = memoryview(stored)
        if writable.readonly:
            writable = memoryview(bytearray(stored))
        _LZ4_SIZE.pack_into(writable, _LZ4_BLOCK - _LZ4_SIZE.size, total)
        numcodecs.lz4.decompress(writable[_LZ4_BLOCK - _LZ4_SIZE.size :], out)
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
    except igzip_lib.IsalError as error:  # type: ignore[misc]  # Its stub declares an instance of OSError.
        raise ValueError(f"gzip chunk is damaged: {error}") from error


def _fill(out: np.ndarray, data: bytes | bytearray | memoryview) -> None:
    if len(data) != out.nbytes:
        raise ValueError(f"chunk holds {len(data)} bytes, not {out.nbytes}")
    out.reshape(-1).data.cast("B")[:] = data

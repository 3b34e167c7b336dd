"""TFRecord files and the `tf.train.Example` messages in them, without TensorFlow.

A record is its length (uint64), a checksum of the length, the data, and a checksum of the data, all in little endian
(`tensorflow/core/lib/io/record_writer`). A checksum is a masked CRC-32C. A message `Example` is encoded as protocol
buffers; `_Cursor` reads the few wire types that it has, and skips unknown fields.
"""

import os
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, BinaryIO

from ..errors import EpochbankError

Value = bytes | str | int | float | Sequence[bytes | str] | Sequence[int] | Sequence[float]
"""A value of a feature to encode: one value, or several of one type."""
Values = list[bytes] | list[int] | list[float]
"""The values of a decoded feature."""

MAX_RECORD = (1 << 31) - 1
"""Largest record in bytes: no message of protocol buffers is larger."""

_LENGTH, _CRC = struct.Struct("<Q"), struct.Struct("<I")
_MASK_DELTA = 0xA282EAD8
_VARINT, _FIXED_64, _BYTES, _GROUP, _END_GROUP, _FIXED_32 = range(6)
"""Wire types."""
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3
"""Fields of the message `Feature`."""
_MAX_LEVELS = 100
"""Groups within groups."""
_MAX_VALUES, _MAX_FEATURES = 1 << 22, 1 << 16
"""Most values and features of one message. Python's objects take many times the bytes of the message."""


class DamagedData(ValueError):
    """A record with a wrong checksum of its data but a valid length, so that the next record can be read."""

    def __init__(self, offset: int, end: int):
        super().__init__(f"the record at byte {offset} is damaged: the checksum of its data is wrong")
        self.end = end
        """Offset of the next record."""


def write_record(file: BinaryIO, data: bytes) -> None:
    """Append a record to a file. Raises `EpochbankError` if google-crc32c is not installed."""
    length = _LENGTH.pack(len(data))
    file.write(b"".join((length, _CRC.pack(_masked_crc(length)), data, _CRC.pack(_masked_crc(data)))))


def read_records(file: BinaryIO, *, max_size: int = MAX_RECORD) -> Iterator[bytes]:
    """Yield the data of each record from the current position of a file, which must be seekable, to its end.

    Raises
    ------
    ValueError
        For a damaged or truncated record, and for one of more than `max_size` bytes. The text has its offset.
    EpochbankError
        If google-crc32c is not installed.
    """
    offset, end = file.tell(), file.seek(0, os.SEEK_END)
    while offset < end:
        data = read_record(file, offset, end, max_size=max_size)
        yield data
        offset += record_size(len(data))


def read_record(file: BinaryIO, offset: int, end: int, *, max_size: int = MAX_RECORD) -> bytes:
    """Return the data of the record at `offset` of a file that ends at `end`.

    Raises as `read_records` does; `DamagedData` if the next record can be read.
    """
    file.seek(offset)
    head = file.read(_LENGTH.size + _CRC.size)
    if len(head) < _LENGTH.size + _CRC.size:
        raise ValueError(f"the file is truncated in the record at byte {offset}")
    length = _LENGTH.unpack_from(head)[0]
    if _CRC.unpack_from(head, _LENGTH.size)[0] != _masked_crc(head[: _LENGTH.size]):
        raise ValueError(f"the record at byte {offset} is damaged: the checksum of its length is wrong")
    if offset + record_size(length) > end:
        raise ValueError(f"the file is truncated in the record at byte {offset}")
    if length > max_size:
        raise ValueError(f"the record at byte {offset} has {length:,} bytes; expected at most {max_size:,}")
    data, checksum = file.read(length), file.read(_CRC.size)
    if len(data) + len(checksum) < length + _CRC.size:
        raise ValueError(f"the file is truncated in the record at byte {offset}")
    if _CRC.unpack(checksum)[0] != _masked_crc(data):
        raise DamagedData(offset, offset + record_size(length))
    return data


def record_size(length: int) -> int:
    """Return the bytes that a record of `length` bytes of data takes in a file."""
    return length + _LENGTH.size + 2 * _CRC.size


def encode_example(features: Mapping[str, Value]) -> bytes:
    """Return a serialized `tf.train.Example`, with the features in the order of their names.

    Text is encoded as UTF-8. Raises `ValueError` for integers beyond 64 bits, floats beyond 32 bits, and for a list of
    several types.
    """
    entries = []
    for name in sorted(features):
        try:
            entries.append(_field(1, _field(1, name.encode()) + _field(2, _feature(features[name]))))
        except (struct.error, OverflowError, ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"the feature {name!r} cannot be encoded: {error}") from error
    return _field(1, b"".join(entries))


def decode_example(data: bytes, names: Collection[str] | None = None) -> dict[str, Values]:
    """Return the features of a serialized `tf.train.Example`, and skip unknown fields.

    Parameters
    ----------
    data
        The message.
    names
        Features to decode; None for all. Others are left out.

    Raises
    ------
    ValueError
        If the message is damaged, or has more than 4,194,304 values or 65,536 features. The text says where.
    """
    found, budget = dict[str, Values](), _Budget()
    for features in _messages(_Cursor(memoryview(data)), 1):
        for entry in _messages(features, 1):
            name, feature = "", _Cursor(memoryview(b""))
            for number, wire in entry.fields():
                if number == 1 and wire == _BYTES:
                    name = entry.block().tobytes().decode()  # UnicodeDecodeError is a ValueError.
                elif number == 2 and wire == _BYTES:
                    feature = _Cursor(entry.block(), entry.start)
                else:  # No version of the message has other fields here, and libraries read them differently.
                    raise entry.damaged()
            if names is None or name in names:
                if len(found) >= _MAX_FEATURES:
                    raise ValueError(f"the message has more than {_MAX_FEATURES:,} features")
                found[name] = _values(feature, budget)
    return found


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(data)) + data


def _feature(value: Value) -> bytes:
    """Return the message `Feature`; an empty list has no type, and gives an empty message."""
    values: list[Any] = [value] if isinstance(value, bytes | str | int | float) else list(value)
    if not values:
        return b""
    if all(isinstance(one, bytes | str) for one in values):
        texts = (one.encode() if isinstance(one, str) else one for one in values)
        return _field(_BYTES_LIST, b"".join(_field(1, one) for one in texts))
    if all(isinstance(one, int) for one in values):
        numbers = struct.unpack(f"<{len(values)}Q", struct.pack(f"<{len(values)}q", *values))
        return _field(_INT64_LIST, _field(1, b"".join(map(_varint, numbers))))
    if all(isinstance(one, int | float) for one in values):
        return _field(_FLOAT_LIST, _field(1, struct.pack(f"<{len(values)}f", *values)))
    raise TypeError("expected bytes or text, integers, or floats, all of one type")


class _Budget:
    """Counts the values of a message, which are limited."""

    def __init__(self) -> None:
        self._left = _MAX_VALUES

    def take(self, count: int) -> None:
        """Raise `ValueError` if `count` more values are too many."""
        self._left -= count
        if self._left < 0:
            raise ValueError(f"the message has more than {_MAX_VALUES:,} values")


class _Cursor:
    """Reads the fields of a message. Every method raises `ValueError` for damaged data, with the offset."""

    def __init__(self, data: memoryview, start: int = 0):
        self._data, self._at, self._offset = data, 0, start
        self.start = 0
        """Offset, in the whole message, of what `block` returned last."""

    def fields(self) -> Iterator[tuple[int, int]]:
        """Yield number and wire type of each field, whose value must be taken or skipped before the next."""
        while self._at < len(self._data):
            yield self._tag()

    def _tag(self) -> tuple[int, int]:
        """Take number and wire type of a field."""
        tag = self.varint()
        number, wire = tag >> 3, tag & 7
        if not 0 < number < 1 << 29 or wire > _FIXED_32:
            raise self.damaged()
        return number, wire

    def varint(self) -> int:
        """Take an integer of up to 64 bits, without a sign."""
        value = 0
        for place, byte in enumerate(self._data[self._at : self._at + 10]):
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                self._at += place + 1
                return value & (1 << 64) - 1
        raise self.damaged()

    def varints(self) -> Iterator[int]:
        """Take integers up to the end."""
        while self._at < len(self._data):
            yield self.varint()

    def block(self) -> memoryview:
        """Take bytes with their length before them."""
        length = self.varint()
        self.start = self._offset + self._at
        return self.take(length)

    def take(self, size: int) -> memoryview:
        """Take `size` bytes."""
        if size > len(self._data) - self._at:
            raise self.damaged()
        self._at += size
        return self._data[self._at - size : self._at]

    def skip(self, number: int, wire: int) -> None:
        """Skip the value of a field."""
        groups: list[int] = []
        while True:
            if wire == _VARINT:
                self.varint()
            elif wire == _BYTES:
                self.take(self.varint())
            elif wire in (_FIXED_32, _FIXED_64):
                self.take(4 if wire == _FIXED_32 else 8)
            elif wire == _GROUP and len(groups) < _MAX_LEVELS:
                groups.append(number)
            elif wire != _END_GROUP or not groups or groups.pop() != number:
                raise self.damaged()
            if not groups:
                return
            number, wire = self._tag()

    def damaged(self) -> ValueError:
        """Return the error for damage at the current place."""
        return ValueError(f"the message is damaged at byte {self._offset + self._at}")


def _messages(message: _Cursor, wanted: int) -> Iterator[_Cursor]:
    """Yield the messages in the field `wanted` of a message."""
    for number, wire in message.fields():
        if number == wanted and wire == _BYTES:
            yield _Cursor(message.block(), message.start)
        else:
            message.skip(number, wire)


def _values(feature: _Cursor, budget: _Budget) -> Values:
    """Return the values of a message `Feature`. If it has several types, the last one counts."""
    kind, values = 0, list[Any]()
    for number, wire in feature.fields():
        if number not in (_BYTES_LIST, _FLOAT_LIST, _INT64_LIST) or wire != _BYTES:
            feature.skip(number, wire)
            continue
        if number != kind:
            kind, values = number, []
        values += _list(_Cursor(feature.block(), feature.start), kind, budget)
    return values


def _list(message: _Cursor, kind: int, budget: _Budget) -> Iterator[Any]:
    """Yield the values of a message `BytesList`, `FloatList` or `Int64List`; numbers may be packed or not."""
    for number, wire in message.fields():
        if number != 1:
            message.skip(number, wire)
        elif kind == _BYTES_LIST and wire == _BYTES:
            budget.take(1)
            yield message.block().tobytes()
        elif kind == _FLOAT_LIST and wire in (_BYTES, _FIXED_32):
            data = message.block() if wire == _BYTES else message.take(4)
            budget.take(len(data) // 4)
            if len(data) % 4:
                raise ValueError(f"the message is damaged at byte {message.start}: its floats are incomplete")
            yield from struct.unpack(f"<{len(data) // 4}f", data)
        elif kind == _INT64_LIST and wire in (_BYTES, _VARINT):
            numbers = _Cursor(message.block(), message.start).varints() if wire == _BYTES else [message.varint()]
            for value in numbers:
                budget.take(1)
                yield value - (1 << 64) if value >> 63 else value
        else:
            message.skip(number, wire)


def _masked_crc(data: bytes) -> int:
    """Return TensorFlow's checksum: the CRC-32C, rotated and offset, as it is stored beside data that may have CRCs."""
    crc = _crc32c()(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


@lru_cache(maxsize=1)
def _crc32c() -> Any:
    """Return the function that computes a CRC-32C. Raises `EpochbankError` if google-crc32c is not installed."""
    try:
        from google_crc32c import value
    except ImportError as error:
        raise EpochbankError(
            'TFRecord needs google-crc32c, which is not installed. Install it: pip install "epochbank[tfrecord]"'
        ) from error
    return value

"""TFRecord files and `tf.train.Example`, compared with TensorFlow's own."""

import io
import struct
import time
import tracemalloc
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epochbank.augment.errors import EpochbankError
from epochbank.augment.shared import tfrecord
from epochbank.augment.shared.tfrecord import decode_example, encode_example, read_records, write_record

tf = pytest.importorskip("tensorflow")

INT64 = st.integers(-(2**63), 2**63 - 1)
FLOAT32 = st.floats(width=32, allow_nan=False)
FEATURES = st.dictionaries(
    st.text(max_size=8),
    st.one_of(st.lists(st.binary(max_size=40), max_size=5), st.lists(INT64, max_size=5), st.lists(FLOAT32, max_size=5)),
    max_size=6,
)


def example(features: dict[str, list]) -> Any:
    """Make TensorFlow's message."""
    message = tf.train.Example()
    for name, values in features.items():
        feature = message.features.feature[name]
        for kind, to in ((bytes, "bytes_list"), (int, "int64_list"), (float, "float_list")):
            if values and isinstance(values[0], kind):
                getattr(feature, to).value.extend(values)
                break
    return message


def values_of(message: Any) -> dict[str, list]:
    """Return the values of TensorFlow's message."""
    found = {}
    for name, feature in message.features.feature.items():
        kind = feature.WhichOneof("kind")
        found[name] = list(getattr(feature, kind).value) if kind else []
    return found


def records(data: bytes, **options: int) -> list[bytes]:
    return list(read_records(io.BytesIO(data), **options))


def written(*data: bytes) -> bytes:
    file = io.BytesIO()
    for one in data:
        write_record(file, one)
    return file.getvalue()


@settings(deadline=None, max_examples=100)
@given(FEATURES)
def test_example_equals_that_of_tensorflow(features: dict[str, list]) -> None:
    """What we encode TensorFlow reads, and the other way round."""
    assert values_of(tf.train.Example.FromString(encode_example(features))) == features
    assert decode_example(example(features).SerializeToString()) == features
    assert decode_example(encode_example(features)) == features


def test_example_of_single_values_and_text() -> None:
    features = {"a": 7, "b": 0.5, "c": "亜", "d": b"\xff", "e": ["x", b"y"], "f": [1, 0.5]}
    expected = {"a": [7], "b": [0.5], "c": ["亜".encode()], "d": [b"\xff"], "e": [b"x", b"y"], "f": [1.0, 0.5]}
    assert values_of(tf.train.Example.FromString(encode_example(features))) == expected
    assert encode_example(features) == encode_example(dict(reversed(features.items())))


@pytest.mark.parametrize("value", [2**63, 1e300, [1, "a"], [b"a", 1], ["\ud800"], {}, [None]])
def test_values_that_have_no_encoding_are_refused(value: Any) -> None:
    if value == {}:
        assert decode_example(encode_example({"a": value})) == {"a": []}
        return
    with pytest.raises(ValueError, match="feature 'a' cannot be encoded"):
        encode_example({"a": value})


def test_unpacked_numbers_unknown_fields_and_groups() -> None:
    """Old writers do not pack numbers; other versions may add fields."""
    unpacked = b"\x1a\x04\x08\x05\x08\x7f"  # int64_list {value: 5, value: 127}
    floats = b"\x12\x05\x0d" + struct.pack("<f", 0.5)
    for feature, expected in ((unpacked, [5, 127]), (floats, [0.5]), (floats + unpacked, [5, 127])):
        entry = b"\x0a\x01a\x12" + bytes([len(feature)]) + feature
        unknown = b"\x50\x01" + b"\x5b\x08\x01\x5b\x5c\x5c" + b"\x65abcd" + b"\x69abcdefgh" + b"\x72\x02zz"
        features = b"\x0a" + bytes([len(entry)]) + entry + unknown
        data = unknown + b"\x0a" + bytes([len(features)]) + features
        assert decode_example(data) == {"a": expected} == values_of(tf.train.Example.FromString(data))


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.filter_too_much])
@given(FEATURES, st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=3), st.integers(0, 10**6))
def test_damaged_example_is_refused_or_read_as_tensorflow_reads_it(
    features: dict[str, list], changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(encode_example(features))
    for place, value in changes if data else ():
        data[place % len(data)] = value
    data = data[: cut % (2 * len(data) + 1)]
    try:
        found = decode_example(bytes(data))
    except ValueError:
        return
    try:
        expected = values_of(tf.train.Example.FromString(bytes(data)))
    except Exception:  # protobuf is stricter than we are with the fields that we skip
        return
    assert repr(found) == repr({name: expected[name] for name in found})
    assert found.keys() == expected.keys()


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=60))
def test_any_bytes_as_example(data: bytes) -> None:
    with suppress(ValueError):
        decode_example(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",  # a length of 2**63
        b"\x0a" + b"\xff" * 20,
        b"\x5b" * 100_000,  # groups without an end
        b"\x0a\x03\x0a\x01",
    ],
)
def test_damaged_example_neither_hangs_nor_allocates(data: bytes) -> None:
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(ValueError, match="damaged"):
        decode_example(data)
    assert time.perf_counter() - start < 1
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_number_of_values_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte in a message may become an object of 32 bytes."""
    monkeypatch.setattr(tfrecord, "_MAX_VALUES", 10)
    monkeypatch.setattr(tfrecord, "_MAX_FEATURES", 3)
    for values in ([1] * 11, [0.5] * 11, [b""] * 11):
        with pytest.raises(ValueError, match="more than 10 values"):
            decode_example(encode_example({"a": values}))
    with pytest.raises(ValueError, match="more than 3 features"):
        decode_example(encode_example(dict.fromkeys("abcd", 1)))
    many = encode_example({"a": [1] * 11, "b": 7})
    assert decode_example(many, {"b"}) == {"b": [7]}


def test_records_equal_those_of_tensorflow(tmp_path: Any) -> None:
    data = [b"", b"a", bytes(range(256)) * 300, np.random.default_rng(0).bytes(70_000)]
    path = tmp_path / "theirs.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for one in data:
            writer.write(one)
    assert written(*data) == path.read_bytes()
    assert records(path.read_bytes()) == data
    ours = tmp_path / "ours.tfrecord"
    ours.write_bytes(written(*data))
    assert list(tf.data.TFRecordDataset(str(ours)).as_numpy_iterator()) == data
    assert records(b"") == []


def test_every_changed_byte_of_a_record_is_found() -> None:
    data = written(b"first", b"second record")
    for place in range(len(data)):
        for change in (1, 0x80):
            damaged = bytearray(data)
            damaged[place] ^= change
            with pytest.raises(ValueError, match=r"record at byte (0|21)\b"):
                records(bytes(damaged))


def test_every_truncated_file_is_found() -> None:
    data = written(b"first", b"second record")
    for size in (*range(1, 21), *range(22, len(data))):
        with pytest.raises(ValueError, match="truncated in the record at byte " + ("0" if size < 21 else "21")):
            records(data[:size])
    assert records(data[:21]) == [b"first"]


def test_length_is_bounded_by_the_file_and_by_the_limit() -> None:
    """A length with a right checksum allocates nothing."""
    length = struct.pack("<Q", 1 << 40)
    head = length + struct.pack("<I", tfrecord._masked_crc(length))
    tracemalloc.start()
    with pytest.raises(ValueError, match="truncated"):
        records(head + b"abc")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    with pytest.raises(ValueError, match="record at byte 0 has 100 bytes; expected at most 99"):
        records(written(b"a" * 100), max_size=99)


def test_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    tfrecord._crc32c.cache_clear()
    try:
        with pytest.raises(EpochbankError, match=r'pip install "epochbank\[tfrecord\]"'):
            write_record(io.BytesIO(), b"a")
    finally:
        tfrecord._crc32c.cache_clear()

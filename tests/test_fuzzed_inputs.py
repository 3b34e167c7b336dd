"""Inputs that a fuzzer found to be faults once (`faults/fuzzed/`), and the valid inputs that it starts from."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from epochbank import EpochbankError

FAULTS = Path(__file__).parents[1] / "faults"
INPUTS = sorted((FAULTS / "fuzzed").glob("*/*"))
LIBRARIES = {"parquet": "pyarrow", "tfrecord": "google_crc32c", "checkpoint": "keras"}
"""Libraries that are not always installed, by the parser that needs them."""
ACCEPTED = ("manifest", "set.json", "split", "shard", "source-file", "etl", "etl-table", "etl-zip", "gnt", "gnt-zip",
            "csv", "json", "class-names", "idx", "zip", "npz", "npy", "mat", "hdf5", "parquet", "image", "webdataset",
            "tfrecord", "small-files")  # fmt: skip
"""Parsers whose first input is read without a refusal."""


@pytest.fixture(scope="module")
def fuzz() -> Iterator[Any]:
    """The module `faults/fuzz.py`, which needs no Atheris for this."""
    sys.path.insert(0, str(FAULTS))
    yield importlib.import_module("fuzz")
    sys.path.remove(str(FAULTS))


def test_inputs_are_kept() -> None:
    assert INPUTS


@pytest.mark.parametrize("path", INPUTS, ids=[f"{path.parent.name}-{path.stem}" for path in INPUTS])
def test_a_fault_that_was_fixed(fuzz: Any, path: Path, tmp_path: Path) -> None:
    """The input is read or refused."""
    parser = path.parent.name
    if parser in LIBRARIES:
        pytest.importorskip(LIBRARIES[parser])
    kind, trace = fuzz.attempt(fuzz.PARSERS[parser].parse, path.read_bytes(), tmp_path)
    assert not kind, trace


@pytest.mark.parametrize("parser", ACCEPTED)
def test_the_fuzzer_begins_with_valid_inputs(fuzz: Any, parser: str, tmp_path: Path) -> None:
    """A target that refused everything would find nothing."""
    if parser in LIBRARIES:
        pytest.importorskip(LIBRARIES[parser])
    first, *others = fuzz.PARSERS[parser].seeds()
    fuzz.PARSERS[parser].parse(first, tmp_path)
    for data in others:
        assert fuzz.attempt(fuzz.PARSERS[parser].parse, data, tmp_path) == ("", "")


def test_a_fault_is_told_from_a_refusal(fuzz: Any, tmp_path: Path) -> None:
    """A refusal is no fault; another exception is one, which is named by its type and place."""

    def refuse(data: bytes, folder: Path) -> None:
        raise EpochbankError("no")

    def fail(data: bytes, folder: Path) -> None:
        raise KeyError(data)

    assert fuzz.attempt(refuse, b"", tmp_path) == ("", "")
    assert fuzz.attempt(fail, b"", tmp_path)[0].startswith("KeyError")


def test_a_finding_is_minimized_and_kept_once(fuzz: Any, tmp_path: Path) -> None:
    """Of the inputs that fail in the same way, a short one is kept, with its traceback."""

    def fail(data: bytes, folder: Path) -> None:
        if b"x" in data:
            raise KeyError("x")

    parser = fuzz.Parser((), fail, list)
    watch = fuzz.Watch(parser, tmp_path, tmp_path)
    for data in (b"abc", b"abcxdefxg" * 50, b"x", b"another x"):
        watch.read(data)
    (kept,) = tmp_path.glob("*.input")
    assert kept.read_bytes() == b"x"
    assert "KeyError" in kept.with_suffix(".txt").read_text()

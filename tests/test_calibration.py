"""The estimate of a run, the log of what it took, and the profile of where the time went."""

import json
import re
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from conftest import glyphs
from epochbank.augment.cli import main
from epochbank.augment.generation.estimate import Estimate
from epochbank.augment.shared.profile import Profile

SMALL = ("--shard-size", "64", "--chunk-size", "16", "--jobs", "1")


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(main, list(map(str, words)))


def info_of(sets: Path) -> dict[str, Any]:
    return json.loads(invoke("info", "--sets", sets, "--json").stdout)


# --- Scheduling ----------------------------------------------------------------------------------------------


@given(shards=st.lists(st.floats(0.01, 10), min_size=1, max_size=60), jobs=st.integers(1, 20))
def test_shards_are_divided_among_workers(shards: list[float], jobs: int) -> None:
    """The time lies between that of even division and that plus the longest shard; the start counts once."""
    seconds = Estimate(jobs, 1.0, 0, shards).seconds
    even = sum(shards) / min(jobs, len(shards))
    assert 1 + max(even, max(shards)) - 1e-9 <= seconds <= 1 + even + max(shards) + 1e-9
    assert Estimate(1, 1.0, 0, shards).seconds == pytest.approx(1 + sum(shards))


def test_more_cores_than_shards_do_not_help() -> None:
    """Four shards take the same time on four cores and on forty."""
    estimate = Estimate(2, 0.0, 0, [1.0, 1.0, 1.0, 1.0])
    assert [estimate.seconds_on(cores) for cores in (1, 2, 3, 4, 40)] == [4, 2, 2, 1, 1]


# --- plan ----------------------------------------------------------------------------------------------------


def test_run_writes_what_plan_printed(npz: Path, tmp_path: Path) -> None:
    """`plan` writes nothing; `run` then writes exactly as many images and shards as `plan` printed."""
    before = set(tmp_path.rglob("*"))
    planned = invoke("plan", npz, "--sets", tmp_path / "sets", "--epochs", "8", *SMALL)
    assert planned.exit_code == 0, planned.output
    assert set(tmp_path.rglob("*")) == before
    assert "2,220 images in 38 shards, compiled engine" in planned.stdout  # 300, and eight times 240
    assert "cores     1: " in planned.stdout
    assert invoke("run", npz, "--sets", tmp_path / "sets", "--epochs", "8", *SMALL).exit_code == 0
    facts = info_of(tmp_path / "sets")
    (log,) = facts["runs"]
    assert (log["images"], log["shards"]) == (2220, facts["shards"]) == (2220, 38)
    assert log["took"]["bytes"] == facts["bytes"]
    again = invoke("plan", npz, "--sets", tmp_path / "sets", "--epochs", "8", *SMALL)
    assert "to write  nothing: the set is complete" in again.stdout


@pytest.mark.parametrize("codec", ["zstd", "none"])
@pytest.mark.parametrize("shard", [300, 10_000])
def test_bytes_are_estimated_within_a_tenth(tmp_path: Path, codec: str, shard: int) -> None:
    """The estimate holds for whole and partial chunks, and for many and few shards."""
    np.savez(tmp_path / "s.npz", images=glyphs(4_000), labels=np.arange(4_000) % 10)
    words = ["--epochs", "2", "--jobs", "1", "--codec", codec, "--shard-size", str(shard)]
    assert invoke("run", tmp_path / "s.npz", "--sets", tmp_path / "sets", *words).exit_code == 0
    (log,) = info_of(tmp_path / "sets")["runs"]
    assert log["estimate"]["bytes"] == pytest.approx(log["took"]["bytes"], rel=0.1)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with 17 MB left."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 10**12 - 17_000_000, 17_000_000))


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_set_too_large_for_the_disk_is_refused(npz: Path, tmp_path: Path, command: str) -> None:
    """The message has the bytes that are needed, those that are left, and the fix. No set is begun."""
    refused = invoke(command, npz, "--sets", tmp_path / "sets", "--epochs", "200", *SMALL, "--codec", "none")
    assert refused.exit_code == 1
    what = "the set and its source file" if command == "plan" else "the set"
    assert re.search(rf"Error: {what} needs \d\d\.\d MB and 16\.8 MB must stay free", refused.output)
    assert "has 17.0 MB left. Free space, choose another disk with --sets" in refused.output
    assert not list(tmp_path.rglob("epoch-*")) + list(tmp_path.rglob("set.json"))
    if command == "plan":
        assert "48,300 images" in refused.stdout


# --- The log -------------------------------------------------------------------------------------------------


def test_every_run_that_writes_appends_to_the_log(npz: Path, tmp_path: Path) -> None:
    """A run with nothing to do appends nothing. `run` prints the estimate and what the run took."""
    printed = invoke("run", npz, "--sets", tmp_path, "--epochs", "1", *SMALL).stdout
    assert "estimate     " in printed
    assert "took         " in printed
    invoke("run", npz, "--sets", tmp_path, "--epochs", "1", *SMALL)
    invoke("run", npz, "--sets", tmp_path, "--epochs", "3", *SMALL, "--engine", "pillow")
    facts = info_of(tmp_path)
    first, second = facts["runs"]
    assert (first["engine"], second["engine"]) == ("compiled", "pillow")
    assert (first["images"], second["images"]) == (540, 480)
    assert first["complete"]
    assert first["took"]["seconds"] > 0
    assert first["took"]["bytes"] + second["took"]["bytes"] == facts["bytes"]
    assert first["resampled"] + second["resampled"] == facts["resampled"]["images"]
    steps = {"read", "draw", "encode (zstd)", "sync", "filter: blur", "label check: blank images"}
    assert steps <= first["profile"].keys()


def test_a_missing_or_damaged_log_stops_nothing(npz: Path, tmp_path: Path) -> None:
    """An incomplete line is skipped. If the log cannot be written, the run warns and succeeds."""
    invoke("run", npz, "--sets", tmp_path, "--epochs", "1", *SMALL)
    log = next(tmp_path.glob("*/log.jsonl"))
    log.write_text(log.read_text() + '{"incomplete": \n')
    invoke("run", npz, "--sets", tmp_path, "--epochs", "2", *SMALL)
    assert len(info_of(tmp_path)["runs"]) == 2
    log.unlink()
    log.mkdir()
    result = invoke("run", npz, "--sets", tmp_path, "--epochs", "3", *SMALL)
    assert result.exit_code == 0
    assert "log.jsonl could not be written" in result.stderr
    assert len(info_of(tmp_path)["epochs"]) == 3


# --- The profile ---------------------------------------------------------------------------------------------


def test_the_profile_lists_every_step_and_operation(npz: Path, tmp_path: Path) -> None:
    """Each step and each operation of each stage has a line with the number of images that it processed."""
    printed = invoke("run", npz, "--sets", tmp_path, "--epochs", "2", *SMALL, "--profile").stdout
    table = printed[printed.index("where the time went") :].splitlines()
    rows = {line[:28].strip(): line[28:].split() for line in table if line}
    for operation in ("blur", "sharpen", "smooth"):
        assert f"filter: {operation}" in rows
    for step in ("order", "read", "draw", "digest", "encode (zstd)", "write", "sync", "label check: lost ink"):
        assert step in rows
    geometry = [int(rows[f"geometry: {operation}"][3]) for operation in ("rotate", "shear", "scale", "sine")]
    assert sum(geometry) == 480 + info_of(tmp_path)["resampled"]["attempts"]
    assert rows["encode (zstd)"][3] == "780"


def test_profiles_are_summed() -> None:
    """Seconds, images and totals are added step by step."""
    one, other = Profile({"a": 1.0}, {"a": 10}, 3.0), Profile({"a": 2.0, "b": 4.0}, {"a": 5, "b": 0}, 8.0)
    one.add(other)
    assert (one.seconds, one.images, one.total) == ({"a": 3.0, "b": 4.0}, {"a": 15, "b": 0}, 11.0)
    table = "\n".join(one.lines())
    assert "everything else" in table
    assert "36.4 %" in table  # b, 4 of 11

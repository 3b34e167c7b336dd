"""What a run will take, reckoned before it; what it took, in the set's log; where the time went."""

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

import epochbank.augment.generation.generate
from conftest import glyphs
from epochbank.augment.cli import main
from epochbank.augment.generation.calibration import Reckoning
from epochbank.augment.shared.profile import Profile

SMALL = ("--shard-size", "64", "--chunk-size", "16", "--jobs", "1")


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(main, list(map(str, words)))


def facts_of(sets: Path) -> dict[str, Any]:
    return json.loads(invoke("info", "--sets", sets, "--json").stdout)


def everything_below(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


# --- The schedule --------------------------------------------------------------------------------------------


@given(shards=st.lists(st.floats(0.01, 10), min_size=1, max_size=60), jobs=st.integers(1, 20))
def test_shards_are_shared_among_cores(shards: list[float], jobs: int) -> None:
    """No sooner than all cores busy to the end, no later than that and the longest shard; start once."""
    seconds = Reckoning(jobs, 1.0, 0, shards).seconds
    even = sum(shards) / min(jobs, len(shards))
    assert 1 + max(even, max(shards)) - 1e-9 <= seconds <= 1 + even + max(shards) + 1e-9
    assert Reckoning(1, 1.0, 0, shards).seconds == pytest.approx(1 + sum(shards))


def test_more_cores_than_shards_do_not_help() -> None:
    """Four shards take four cores as long as forty."""
    reckoned = Reckoning(2, 0.0, 0, [1.0, 1.0, 1.0, 1.0])
    assert [reckoned.seconds_on(cores) for cores in (1, 2, 3, 4, 40)] == [4, 2, 2, 1, 1]


# --- plan ----------------------------------------------------------------------------------------------------


def test_plan_writes_nothing_and_run_writes_what_it_said(npz: Path, tmp_path: Path) -> None:
    """Pictures and shards to the last, bytes within a tenth."""
    before = everything_below(tmp_path)
    told = invoke("plan", npz, "--sets", tmp_path / "sets", "--epochs", "8", *SMALL)
    assert told.exit_code == 0, told.output
    assert everything_below(tmp_path) == before
    assert "2,220 pictures in 38 shards, compiled engine" in told.stdout  # 300, and 240 eight times
    assert "cores     1: " in told.stdout
    assert invoke("run", npz, "--sets", tmp_path / "sets", "--epochs", "8", *SMALL).exit_code == 0
    facts = facts_of(tmp_path / "sets")
    (log,) = facts["runs"]
    assert (log["pictures"], log["shards"]) == (2220, facts["shards"]) == (2220, 38)
    assert log["took"]["bytes"] == facts["bytes"]
    again = invoke("plan", npz, "--sets", tmp_path / "sets", "--epochs", "8", *SMALL)
    assert "nothing: the set holds all of it" in again.stdout


@pytest.mark.parametrize("codec", ["zstd", "none"])
@pytest.mark.parametrize("shard", [300, 10_000])
def test_bytes_are_foretold_within_a_tenth(tmp_path: Path, codec: str, shard: int) -> None:
    """From a sample of them, whole chunks or not, many shards or few."""
    np.savez(tmp_path / "s.npz", images=glyphs(4_000), labels=np.arange(4_000) % 10)
    words = ["--epochs", "2", "--jobs", "1", "--codec", codec, "--shard-size", str(shard)]
    assert invoke("run", tmp_path / "s.npz", "--sets", tmp_path / "sets", *words).exit_code == 0
    (log,) = facts_of(tmp_path / "sets")["runs"]
    assert log["forecast"]["bytes"] == pytest.approx(log["took"]["bytes"], rel=0.1)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with 17 MB left."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 10**12 - 17_000_000, 17_000_000))


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("command", ["plan", "run"])
def test_what_the_disk_cannot_hold_is_refused_before_it_starts(npz: Path, tmp_path: Path, command: str) -> None:
    """What is needed, what is left, what to do; no set is begun."""
    refused = invoke(command, npz, "--sets", tmp_path / "sets", "--epochs", "200", *SMALL, "--codec", "none")
    assert refused.exit_code == 1
    what = "the set and its source file" if command == "plan" else "the set"
    assert re.search(rf"Error: {what} will take \d\d\.\d MB, and 16\.8 MB shall stay free", refused.output)
    assert "has 17.0 MB left. Free space, choose another place with --sets" in refused.output
    assert not list(tmp_path.rglob("epoch-*")) + list(tmp_path.rglob("set.json"))
    if command == "plan":
        assert "48,300 pictures" in refused.stdout


# --- The run's log -------------------------------------------------------------------------------------------


def test_every_run_leaves_a_line_with_forecast_and_facts(npz: Path, tmp_path: Path) -> None:
    """A line for each run that wrote; none for one that had nothing to do; people see the two side by side."""
    told = invoke("run", npz, "--sets", tmp_path, "--epochs", "1", *SMALL)
    assert "forecast     " in told.stdout
    assert "took         " in told.stdout
    invoke("run", npz, "--sets", tmp_path, "--epochs", "1", *SMALL)
    invoke("run", npz, "--sets", tmp_path, "--epochs", "3", *SMALL, "--engine", "pillow")
    facts = facts_of(tmp_path)
    first, second = facts["runs"]
    assert (first["engine"], second["engine"]) == ("compiled", "pillow")
    assert (first["pictures"], second["pictures"]) == (540, 480)
    assert first["complete"]
    assert first["took"]["seconds"] > 0
    assert first["took"]["bytes"] + second["took"]["bytes"] == facts["bytes"]
    assert {"read", "draw", "encode (zstd)", "sync", "filter: blur", "safety: blank pictures"} <= first[
        "profile"
    ].keys()


def test_an_interrupted_run_leaves_its_line_too(npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how much was done, and that it was not all."""
    made, real = [], epochbank.augment.generation.generate.make_shard

    def interrupted(job: Any) -> Any:
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(job)
        return real(job)

    monkeypatch.setattr(epochbank.augment.generation.generate, "make_shard", interrupted)
    assert invoke("run", npz, "--sets", tmp_path, "--epochs", "2", *SMALL).exit_code == 130
    (log,) = facts_of(tmp_path)["runs"]
    assert (log["complete"], log["shards"]) == (False, 3)


def test_nothing_depends_on_the_log(npz: Path, tmp_path: Path) -> None:
    """A torn line is passed over; a log that cannot be written is told, and the run succeeds."""
    invoke("run", npz, "--sets", tmp_path, "--epochs", "1", *SMALL)
    log = next(tmp_path.glob("*/log.jsonl"))
    log.write_text(log.read_text() + '{"torn": \n')
    invoke("run", npz, "--sets", tmp_path, "--epochs", "2", *SMALL)
    assert len(facts_of(tmp_path)["runs"]) == 2
    log.unlink()
    log.mkdir()
    told = invoke("run", npz, "--sets", tmp_path, "--epochs", "3", *SMALL)
    assert told.exit_code == 0
    assert "log.jsonl could not be written" in told.stderr
    assert len(facts_of(tmp_path)["epochs"]) == 3


# --- The profile ---------------------------------------------------------------------------------------------


def test_profile_says_where_the_time_went(npz: Path, tmp_path: Path) -> None:
    """A line for each step, and each operation of each stage, and how many pictures each was done to."""
    told = invoke("run", npz, "--sets", tmp_path, "--epochs", "2", *SMALL, "--profile").stdout
    table = told[told.index("where the time went") :].splitlines()
    rows = {line[:28].strip(): line[28:].split() for line in table if line}
    for operation in ("blur", "sharpen", "smooth"):
        assert f"filter: {operation}" in rows
    for step in ("order", "read", "draw", "digest", "encode (zstd)", "write", "sync", "safety: ink over the edge"):
        assert step in rows
    geometry = [int(rows[f"geometry: {operation}"][3]) for operation in ("rotate", "shear", "scale", "sine")]
    assert sum(geometry) == 480 + facts_of(tmp_path)["redrawn"]["attempts"]
    assert rows["encode (zstd)"][3] == "780"


def test_profiles_add_up() -> None:
    """Seconds, pictures and the whole."""
    one, other = Profile({"a": 1.0}, {"a": 10}, 3.0), Profile({"a": 2.0, "b": 4.0}, {"a": 5, "b": 0}, 8.0)
    one.add(other)
    assert (one.seconds, one.pictures, one.total) == ({"a": 3.0, "b": 4.0}, {"a": 15, "b": 0}, 11.0)
    table = "\n".join(one.lines())
    assert "everything else" in table
    assert "36.4 %" in table  # b, 4 of 11

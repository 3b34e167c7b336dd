"""`make overnight`, the command of the systemd unit in docs/how-to/overnight.md, and the status file."""

import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import epochbank
from conftest import glyphs
from epochbank import EpochbankError
from epochbank.augment.cli import main
from epochbank.augment.shared import status_file as status_module
from epochbank.augment.shared.progress import Progress
from epochbank.augment.shared.status_file import current_status, status_file

ROOT = Path(__file__).parents[1]
KEYS = ["state", "step", "done", "total", "unit", "rate", "expected_end", "started", "updated", "process", "host",
        "set", "error"]  # fmt: skip


def read(path: Path) -> dict[str, Any]:
    document = json.loads(path.read_text())
    assert list(document) == KEYS
    return document


@pytest.fixture
def source(tmp_path: Path) -> Path:
    np.savez(tmp_path / "a.npz", images=glyphs(60, (8, 8, 1)), labels=np.arange(60) % 4)
    return tmp_path / "a.npz"


def unit_command() -> list[str]:
    """Return the words of ExecStart in the unit of the documentation."""
    text = (ROOT / "docs/how-to/overnight.md").read_text()
    (unit,) = [block for block in re.findall(r"```ini\n(.*?)```", text, re.DOTALL) if "ExecStart" in block]
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(unit)
    return shlex.split(parser["Service"]["ExecStart"])


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_command_of_the_unit_renews_epochs(source: Path, tmp_path: Path) -> None:
    """It runs in the repository, writes the log and the status, and renews the epochs of the set that it names."""
    sets, venv = tmp_path / "sets", tmp_path / "venv"
    stored = epochbank.generate(source, epochs=2, jobs=1, sets=sets, name="baseline")
    venv.mkdir()
    (venv / "bin").symlink_to(Path(sys.executable).parent)
    (venv / ".ready").touch()
    words = unit_command()
    environment = {**os.environ, "VENV": str(venv), "SETS": str(sets), "JOBS": "1"}
    command = [shutil.which("make") or "", *words[1:]]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    log = (sets / "overnight.log").read_text()
    assert done.returncode == 0, done.stderr + log
    assert words[0] == "/usr/bin/make"
    assert [one["epoch"] for one in epochbank.info(stored)["epochs"]] == [2, 3]
    assert "retired      2 epochs: 0 to 1" in log
    status = read(sets / "status.json")
    assert (status["state"], status["done"], status["error"]) == ("done", status["total"], None)
    assert status["set"] == str(stored.path.absolute())


def test_a_run_keeps_its_status(source: Path, tmp_path: Path) -> None:
    """State, step and counts are those of the run; a directory is created for the file."""
    path = tmp_path / "new" / "status.json"
    made = epochbank.generate(source, epochs=2, jobs=1, sets=tmp_path / "sets", status=path)
    status = read(path)
    assert (status["state"], status["step"], status["unit"]) == ("done", "generate", "images")
    assert status["done"] == status["total"] == 60 + 2 * made.num_images["train"]
    assert status["rate"] > 0
    assert datetime.fromisoformat(status["started"]) <= datetime.fromisoformat(status["updated"])
    assert status["process"] == os.getpid()


def test_a_failure_is_in_the_status(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    words = ["run", str(source), "--sets", str(tmp_path / "sets"), "--jobs", "1", "--max-bytes", "5000",
             "--status", str(path)]  # fmt: skip
    assert CliRunner().invoke(main, words).exit_code == 1
    status = read(path)
    assert status["state"] == "failed"
    assert "(--max-bytes)" in status["error"]


@pytest.mark.parametrize(
    ("words", "said"),
    [(["run", "a.npz", "--recipe", "kanjo"], "kanjo"), (["refresh", "nope"], "nope"), (["run", "nope"], "nope")],
)
def test_wrong_words_are_in_the_status(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    """The status of the night before does not stay."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "status.json"
    path.write_text('{"state": "done"}')
    assert CliRunner().invoke(main, [*words, "--status", str(path)]).exit_code in (1, 2)
    status = read(path)
    assert status["state"] == "failed"
    assert said in status["error"]


@pytest.mark.parametrize(
    ("error", "state"),
    [(EpochbankError("full"), "failed"), (KeyboardInterrupt("stopped"), "interrupted"), (OSError("disk"), "failed")],
)
def test_the_state_says_how_the_work_ended(tmp_path: Path, error: BaseException, state: str) -> None:
    def work() -> None:
        with status_file(tmp_path / "s.json"):
            assert read(tmp_path / "s.json")["state"] == "running"
            raise error

    with pytest.raises(type(error)):
        work()
    assert (read(tmp_path / "s.json")["state"], read(tmp_path / "s.json")["error"]) == (state, str(error))
    assert current_status() is None


def test_the_file_is_current_and_complete_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that reads all the time sees only complete documents, and the count of the current step grows."""
    monkeypatch.setattr(status_module, "_SECONDS_BETWEEN_WRITES", 0.005)
    path, seen, ended = tmp_path / "s.json", [], threading.Event()

    def watch() -> None:
        while not ended.is_set():
            if path.exists():
                seen.append((read(path)["step"], read(path)["done"]))

    watcher = threading.Thread(target=watch)
    watcher.start()
    with status_file(path), Progress("count", 100, quiet=True) as progress:
        for _ in range(100):
            progress.advance(1)
            ended.wait(0.005)
    ended.set()
    watcher.join()
    assert len({done for _, done in seen}) > 5
    assert read(path)["done"] == 100
    assert read(path)["expected_end"] is not None

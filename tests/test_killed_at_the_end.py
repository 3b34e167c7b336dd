"""Commands that are killed just after they have published their work, before they have removed their workspace."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from epochbank.augment.cli import main

KILLED = """
import os, shutil, signal, sys
from epochbank.augment.cli import main

shutil.rmtree = lambda *args, **keywords: os.kill(os.getpid(), signal.SIGKILL)
main(sys.argv[1:])
"""
"""`augment` that is killed as it removes a directory."""


def killed(*words: str) -> None:
    """Run a command that is killed just before it ends."""
    done = subprocess.run([sys.executable, "-c", KILLED, *words], capture_output=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def augment(*words: str) -> Result:
    return CliRunner().invoke(main, words)


IMPORT = ("import", "digits", "d.h5", "--limit", "100", "--size", "16", "--jobs", "1")


@pytest.mark.parametrize("what", ["import", "export"])
def test_the_next_command_removes_the_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """The same command is refused, because the result is there and complete; it removes what the killed one left."""
    monkeypatch.chdir(tmp_path)
    words = IMPORT
    if what == "export":
        run = ("run", "digits", "--limit", "100", "--size", "16", "--epochs", "1", "--jobs", "1", "--name", "it")
        assert augment(*run).exit_code == 0
        words = ("export", "it", "exported", "--format", "npz", "--jobs", "1")
    killed(*words)
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".tmp-")]
    before = {path: path.read_bytes() for path in [tmp_path / "d.h5", *tmp_path.glob("exported/*")] if path.exists()}
    again = augment(*words)
    assert again.exit_code == 1, again.output
    assert "exists" in again.stderr
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".tmp-")]
    assert before == {path: path.read_bytes() for path in before}
    assert before


def test_a_workspace_in_use_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import that is refused because FILE exists removes no workspace that another import has locked."""
    monkeypatch.chdir(tmp_path)
    assert augment(*IMPORT).exit_code == 0
    workspace = tmp_path / ".tmp-0123456789abcdef01234567-d.h5"
    workspace.mkdir()
    descriptor = os.open(workspace, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        assert augment(*IMPORT).exit_code == 1
        assert workspace.exists()
    finally:
        os.close(descriptor)
    assert augment(*IMPORT).exit_code == 1
    assert not workspace.exists()


@pytest.mark.parametrize("again", [("remove", "it", "--yes"), ("run", "digits", "--limit", "60", "--jobs", "1")])
def test_the_next_command_finishes_a_removal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: tuple[str, ...]
) -> None:
    """A removal that was killed has renamed the set: it no longer exists, and its files go with the next command."""
    monkeypatch.chdir(tmp_path)
    run = ("run", "digits", "--limit", "100", "--size", "16", "--epochs", "1", "--jobs", "1", "--name", "it")
    assert augment(*run).exit_code == 0
    done = subprocess.run([sys.executable, "-c", KILLED, "remove", "it", "--yes"], capture_output=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert list(tmp_path.glob("sets/.tmp-*"))
    result = augment(*again)
    assert result.exit_code == (1 if again[0] == "remove" else 0), result.output
    assert not list(tmp_path.glob("sets/.tmp-*"))

"""Several imports beside each other: none destroys another's work, and no file of the user's is overwritten."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from conftest import between_machines, glyphs
from epochbank.augment.errors import EpochbankError
from epochbank.augment.ingest import workspace as workspaces
from epochbank.augment.ingest.importer import ImportOptions, import_source
from epochbank.augment.ingest.source_file import open_source_file
from epochbank.augment.ingest.workspace import publish_new, sweep_workspaces, workspace_for
from epochbank.augment.sources.find import open_source

WAITING = """
import sys, time
from pathlib import Path
from epochbank.augment.ingest.workspace import workspace_for
with workspace_for(Path(sys.argv[1])) as workspace:
    (workspace / "half").write_text("half a file")
    print(workspace, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process that imports to `o.h5`, and its workspace."""
    command = [sys.executable, "-c", WAITING, str(tmp_path / "o.h5")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def import_arrays(path: Path) -> None:
    source = path.with_name("a.npz")
    np.savez(source, images=glyphs(30), labels=np.arange(30) % 3)
    import_source(open_source(str(source)), path, ImportOptions(), 1, quiet=True)


def test_a_second_import_to_the_same_file_is_refused(tmp_path: Path, other: tuple[subprocess.Popen[str], Path]) -> None:
    """The message names the process and since when; the first import's files stay."""
    process, workspace = other
    with pytest.raises(EpochbankError, match=rf"another import \(process {process.pid} on .* since 20.*\). Wait"):
        import_arrays(tmp_path / "o.h5")
    assert (workspace / "half").read_text() == "half a file"
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".tmp-")] == [workspace]


def test_imports_to_other_files_do_not_disturb_each_other(
    tmp_path: Path, other: tuple[subprocess.Popen[str], Path]
) -> None:
    _, workspace = other
    import_arrays(tmp_path / "p.h5")
    sweep_workspaces(tmp_path)
    assert (workspace / "half").exists()
    assert open_source_file(tmp_path / "p.h5").num_images == 30


def test_what_a_killed_import_left_is_removed(tmp_path: Path, other: tuple[subprocess.Popen[str], Path]) -> None:
    """After a SIGKILL, the next import to that file removes the workspace and succeeds."""
    process, workspace = other
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert workspace.exists()
    (tmp_path / f".tmp-{'0' * 12}-o.h5").write_text("left by an earlier version")
    import_arrays(tmp_path / "o.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "o.h5"]


def test_a_file_that_appears_during_an_import_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of the user's is not overwritten, and nothing temporary is left."""
    publish = publish_new

    def appear(temporary: Path, path: Path) -> None:
        path.write_text("mine")
        publish(temporary, path)

    monkeypatch.setattr("epochbank.augment.ingest.importer.publish_new", appear)
    with pytest.raises(EpochbankError, match=r"o\.h5 appeared while the source was imported, and is kept"):
        import_arrays(tmp_path / "o.h5")
    assert (tmp_path / "o.h5").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "o.h5"]


def test_a_file_that_appears_before_an_import_begins_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another import has finished between the first look for the file and the lock: the source is not read."""
    np.savez(tmp_path / "a.npz", images=glyphs(30), labels=np.arange(30) % 3)
    source = open_source(str(tmp_path / "a.npz"))
    import_source(source, tmp_path / "o.h5", ImportOptions(), 1, quiet=True)
    before = (tmp_path / "o.h5").read_bytes()
    monkeypatch.setattr(type(source), "scan", lambda *_: pytest.fail("the source was read"))
    with pytest.raises(EpochbankError, match=r"o\.h5 exists; expected a new file"):
        import_source(source, tmp_path / "o.h5", ImportOptions(), 1, wait=True, quiet=True)
    assert (tmp_path / "o.h5").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "o.h5"]


@pytest.mark.parametrize("links", [True, False])
def test_publishing_never_replaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    """Not even a broken symbolic link is replaced, with or without hard links."""
    if not links:

        def unsupported(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", unsupported)
    (tmp_path / "new").write_text("new")
    (tmp_path / "old").write_text("old")
    (tmp_path / "broken").symlink_to("nowhere")
    for name in ("old", "broken"):
        with pytest.raises(FileExistsError):
            publish_new(tmp_path / "new", tmp_path / name)
    publish_new(tmp_path / "new", tmp_path / "fresh")
    assert (tmp_path / "fresh").read_text() == "new"
    assert (tmp_path / "old").read_text() == "old"
    assert (tmp_path / "broken").is_symlink()


def test_without_locks_no_workspace_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system without locks, nobody can tell what is in use, so it stays, and imports work."""

    def unsupported(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    left = tmp_path / ".tmp-00-p.h5"
    left.mkdir()
    import_arrays(tmp_path / "p.h5")
    assert left.exists()
    assert (tmp_path / "p.h5").exists()


def test_a_workspace_that_is_taken_before_it_is_locked_is_created_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another import may remove a workspace between its creation and its lock."""
    flock, removed = fcntl.flock, []

    def late(descriptor: int, how: int) -> None:
        if not removed:
            removed.append(next(tmp_path.glob(".tmp-*")))
            removed[0].rmdir()
        flock(descriptor, how)

    monkeypatch.setattr(workspaces.fcntl, "flock", late)
    with workspace_for(tmp_path / "o.h5") as workspace:
        assert workspace != removed[0]
        assert workspace.is_dir()


def test_locks_between_machines_that_share_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS locks no directory between machines; an import on another one neither removes a workspace nor writes too."""
    between_machines(monkeypatch)
    with workspace_for(tmp_path / "o.h5") as workspace:
        assert not workspaces.remove_if_unused(workspace)
        with pytest.raises(EpochbankError, match="is being written by another import"):
            workspace_for(tmp_path / "o.h5").__enter__()
        assert workspace.is_dir()
    left = tmp_path / ".tmp-000000000000-o.h5"
    left.mkdir()
    (left / "owner").touch()
    assert workspaces.remove_if_unused(left)


def test_many_imports_to_one_file_at_once(tmp_path: Path) -> None:
    """Of four processes, one or more publish nothing but a whole file; the others say why they did not."""
    np.savez(tmp_path / "a.npz", images=glyphs(300), labels=np.arange(300) % 3)
    words = [sys.executable, "-m", "epochbank.augment", "import", "a.npz", "o.h5", "--jobs", "1"]
    running = [
        subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    begun = time.monotonic()
    results = [process.communicate(timeout=60) for process in running]
    assert time.monotonic() - begun < 60
    codes = [process.returncode for process in running]
    assert codes.count(0) == 1, results
    for code, (_, error) in zip(codes, results, strict=True):
        if code:
            assert "being written by another import" in error or "appeared while" in error or "exists" in error
            assert "Traceback" not in error
    assert open_source_file(tmp_path / "o.h5").num_images == 300
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "o.h5"]

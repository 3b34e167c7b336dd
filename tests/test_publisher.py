"""Shards are published in groups; a kill, a power failure or a full disk in the middle of one loses nothing."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import epochbank
from epochbank import EpochbankError
from epochbank.augment.generation.budget import Budget
from epochbank.augment.generation.estimate import Estimate
from epochbank.augment.generation.publisher import Publisher
from epochbank.augment.generation.run_log import RunLog
from epochbank.augment.shared.disk_space import Limits
from epochbank.augment.shared.profile import Profile
from epochbank.augment.store import manifest
from epochbank.augment.store.manifest import Entry, ManifestWriter, read_manifest, shard_file, unlisted

NAMES = ("manifest.jsonl", "manifest.check")


def entry(number: int) -> Entry:
    """Return shard `number`; each epoch has ten."""
    epoch, start = number // 10, number % 10 * 100
    name = shard_file("epoch", epoch, start)
    return Entry("epoch", epoch, start, 100, 64, "zstd", name, 5, f"{number:032x}", f"{number:032x}")


def make(directory: Path, numbers: range) -> list[tuple[Path, Entry, Profile]]:
    """Write the temporary files of shards."""
    made = []
    for number in numbers:
        one = entry(number)
        temporary = (directory / one.file).with_name(f".tmp-{number}")
        temporary.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text("shard")
        made.append((temporary, one, Profile()))
    return made


def publish(
    directory: Path, numbers: range, published: Callable[[Entry], Any] = print, log: RunLog | None = None
) -> RunLog:
    """Publish shards in as large groups as possible, as `augment run` does."""
    log = log or RunLog("compiled", Estimate(1, 0.0, 0, []))
    with contextlib.closing(ManifestWriter(directory)) as writer:
        publisher = Publisher(directory, writer, {}, Budget(Limits(), directory, {}), log, published)
        for made in make(directory, numbers):
            publisher.add(made)
        while publisher.publish_ready():
            pass
    return log


class Calls:
    """The renames, writes and syncs of this process, as `(call, name of the file or directory)`."""

    def __init__(self, patched: pytest.MonkeyPatch, before: Callable[[int, str, str], Any] = print):
        """`before` is called with the number, the name and the file of each call before it is made."""
        self.made: list[tuple[str, str]] = []
        fsync, replace, write = os.fsync, os.replace, manifest._write

        def note(call: str, path: str) -> None:
            self.made.append((call, Path(path).name))
            before(len(self.made), call, path)

        def syncing(descriptor: int) -> None:
            note("sync", str(Path(f"/proc/self/fd/{descriptor}").readlink()))
            fsync(descriptor)

        def renaming(self: Path, target: Path) -> Path:
            note("rename", str(target))
            replace(self, target)
            return target

        def writing(file: Any, data: bytes) -> None:
            note("write", file.name)
            write(file, data)

        patched.setattr(os, "fsync", syncing)
        patched.setattr(Path, "replace", renaming)
        patched.setattr(manifest, "_write", writing)


def test_a_group_is_synced_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are renamed, then directories, lines and checksums are synced, in this order and once for the group."""
    publish(tmp_path, range(1))
    make(tmp_path, range(1, 20))
    with monkeypatch.context() as patched:
        calls = Calls(patched)
        publish(tmp_path, range(1, 20))
    made = calls.made[calls.made.index(("rename", "0000000100.h5")) :]
    assert [call for call, _ in made[:19]] == ["rename"] * 19
    assert sorted(made[19:21]) == [("sync", "epoch-0000"), ("sync", "epoch-0001")]
    assert made[21:] == [(call, name) for name in NAMES for call in ("write", "sync")]
    assert read_manifest(tmp_path) == [entry(number) for number in range(20)]


def test_a_group_is_bounded(tmp_path: Path) -> None:
    """The first shard of a set is published alone, and at most 64 are published together afterwards."""
    sizes: list[int] = []
    append = ManifestWriter.append
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ManifestWriter, "append", lambda self, *new: (sizes.append(len(new)), append(self, *new)))
        log = publish(tmp_path, range(150))
    assert sizes == [1, 64, 64, 21]
    assert log.shards == 150
    assert len(read_manifest(tmp_path)) == 150


def kill_at(number: int, count: int, *_: str) -> None:
    """Kill this process at call `number`."""
    if count == number:
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.timeout(120)
def test_a_kill_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL before each rename, write and sync: what is listed is complete, and the same shards can follow."""
    number, ended = 0, False
    while not ended:
        number += 1
        directory = tmp_path / str(number)
        directory.mkdir()
        child = os.fork()
        if not child:
            with contextlib.suppress(BaseException):
                Calls(monkeypatch, partial(kill_at, number))
                publish(directory, range(6))
                publish(directory, range(6, 12))
                os._exit(0)
            os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        ended = code == 0
        assert code in (0, -signal.SIGKILL)
        listed = read_manifest(directory)
        assert listed == [entry(one) for one in range(len(listed))]
        assert all((directory / one.file).read_text() == "shard" for one in listed)
        publish(directory, range(len(listed), 12))
        assert read_manifest(directory) == [entry(one) for one in range(12)]
    assert number > 20


@pytest.mark.parametrize("size", [16, 512, 4096])
def test_a_power_failure_in_a_group(tmp_path: Path, size: int) -> None:
    """Zeros in place of any block of the lines, or of the checksums, hide the lines that are not complete."""
    publish(tmp_path, range(3))
    before = [(tmp_path / name).stat().st_size for name in NAMES]
    publish(tmp_path, range(3, 20))
    whole = [(tmp_path / name).read_bytes() for name in NAMES]
    lines = [len(line) for line in whole[0].splitlines(keepends=True)]
    for which in (0, 1):
        for at in range(before[which] // size * size, len(whole[which]), 7 * size if size < 100 else size):
            low, high = max(at, before[which]), min(at + size, len(whole[which]))
            damaged = whole[which][:low] + bytes(high - low) + whole[which][high:]
            (tmp_path / NAMES[which]).write_bytes(damaged)
            if which == 0:  # Checksums are written after the lines are on the disk.
                (tmp_path / NAMES[1]).write_bytes(whole[1][: before[1]])
                kept = sum(sum(lines[: count + 1]) <= low for count in range(20))
            else:
                (tmp_path / NAMES[0]).write_bytes(whole[0])
                kept = 20
            assert read_manifest(tmp_path) == [entry(number) for number in range(kept)]
            publish(tmp_path, range(kept, 20))
            assert [(tmp_path / name).read_bytes() for name in NAMES] == whole


def test_zeros_elsewhere_are_damage(tmp_path: Path) -> None:
    """Zeros in a line that has a checksum, or before the last group of a set, are no power failure."""
    publish(tmp_path, range(150))
    whole = [(tmp_path / name).read_bytes() for name in NAMES]
    (tmp_path / NAMES[0]).write_bytes(whole[0].replace(b'"chunk":64', bytes(10), 1))
    with pytest.raises(EpochbankError, match="line 1 is damaged"):
        read_manifest(tmp_path)
    (tmp_path / NAMES[0]).write_bytes(whole[0])
    (tmp_path / NAMES[1]).write_bytes(whole[1][:700] + bytes(70) + whole[1][770:])
    with pytest.raises(EpochbankError, match=r"manifest\.check, line 11 is damaged"):
        read_manifest(tmp_path)
    lines = whole[0].splitlines(keepends=True)
    lines[20] = bytes(100) + b"\n"
    (tmp_path / NAMES[0]).write_bytes(b"".join(lines))
    (tmp_path / NAMES[1]).write_bytes(whole[1][:700])
    with pytest.raises(EpochbankError, match="line 21 is damaged"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_in_a_group(tmp_path: Path, name: str) -> None:
    """The lines that fit are published and counted; the others are not, and the next run lists them."""
    resource = pytest.importorskip("resource")
    publish(tmp_path, range(3))
    line = (tmp_path / "manifest.jsonl").stat().st_size // 3
    log = RunLog("compiled", Estimate(1, 0.0, 0, []))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    directory = tmp_path if name == "manifest.jsonl" else tmp_path / "small"
    if name == "manifest.check":
        directory.mkdir()
        publish(directory, range(3))
    limits = {"manifest.jsonl": 3 * line + 4 * line + 40, "manifest.check": 3 * 70 + 4 * 70 + 40}
    write = manifest._write

    def limited(file: Any, data: bytes) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limits[name] if file.name.endswith(name) else soft, hard))
        try:
            write(file, data)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(manifest, "_write", limited)
        with pytest.raises(OSError, match=name):
            publish(directory, range(3, 13), log=log)
    listed = 7 if name == "manifest.jsonl" else 13
    assert read_manifest(directory) == [entry(number) for number in range(listed)]
    assert log.shards == listed - 3
    assert len(unlisted(directory, read_manifest(directory))) == 13 - listed
    publish(directory, range(listed, 13))
    assert read_manifest(directory) == [entry(number) for number in range(13)]


def test_a_failing_rename_in_a_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shards before it are published and counted, and no further one is renamed."""
    publish(tmp_path, range(1))
    log = RunLog("compiled", Estimate(1, 0.0, 0, []))

    def failing(_: int, call: str, path: str) -> None:
        if call == "rename" and path.endswith("0000000400.h5"):
            raise OSError(5, "Input/output error", path)

    with monkeypatch.context() as patched:
        Calls(patched, failing)
        with pytest.raises(OSError, match="Input/output"):
            publish(tmp_path, range(1, 9), log=log)
    assert read_manifest(tmp_path) == [entry(number) for number in range(4)]
    assert log.shards == 3
    assert not unlisted(tmp_path, read_manifest(tmp_path))


def test_what_waits_is_published_together(tmp_path: Path) -> None:
    """A run on a disk with a slow sync publishes several shards at a time, and the set is that of a usual run."""
    words: Any = {"epochs": 3, "limit": 100, "size": (8, 8), "shard_size": 8, "jobs": 1}
    usual = epochbank.generate("digits", sets=tmp_path / "usual", **words)
    groups: list[int] = []
    original = Publisher._publish

    def slow(self: Publisher, group: list) -> None:
        groups.append(len(group))
        original(self, group)
        time.sleep(0.05)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Publisher, "_publish", slow)
        grouped = epochbank.generate("digits", sets=tmp_path / "grouped", **words)
    assert groups[0] == 1
    assert max(groups) > 1
    assert sum(groups) == len(read_manifest(grouped.path))
    assert epochbank.verify(grouped.path, jobs=1) == []
    digests = [[one["digest"] for one in epochbank.info(made.path)["epochs"]] for made in (usual, grouped)]
    assert digests[0] == digests[1]

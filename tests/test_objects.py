"""Sets in object stores: copied there and back, listed, verified; two writers, lost answers, and stores that fail."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import epochbank
from conftest import small_set
from epochbank import EpochbankError
from epochbank.api import generation
from epochbank.augment.cli import main
from epochbank.augment.lifecycle import refresh as refreshing
from epochbank.augment.store.manifest import Entry, ManifestWriter, first_epoch, read_manifest
from epochbank.augment.store.objects import publisher
from epochbank.augment.store.objects.bucket import Bucket
from epochbank.augment.store.objects.cache import ShardCache, default_cache
from epochbank.augment.store.objects.layout import shard_object
from epochbank.augment.store.objects.mirror import Mirror
from epochbank.augment.store.objects.probe import check_conditional_writes
from epochbank.augment.store.objects.publisher import LocalRun
from epochbank.augment.store.objects.remote_sets import open_mirror
from epochbank.augment.store.objects.urls import url_of
from object_server import ObjectServer

pytest.importorskip("obstore")
pytestmark = pytest.mark.timeout(240)


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of two epochs, each in four shards."""
    directory = small_set(tmp_path_factory.mktemp("sound"), epochs=2)
    return next((directory / "sets").glob("*/set.json")).parent


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EPOCHBANK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(publisher, "_SECONDS_BETWEEN_SEGMENTS", 0.05)
    return tmp_path / "cache"


def digests(name: str | Path) -> dict[int, str]:
    return {one["epoch"]: one["digest"] for one in epochbank.info(name)["epochs"]}


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("s3://bucket/sets/", "s3://bucket/sets"), (Path("s3://bucket/sets"), "s3://bucket/sets"),
        ("file:///data//sets", "file:///data/sets"), (Path("file:///data/sets"), "file:///data/sets"),
        ("gs://b", "gs://b"), ("az://b/c", "az://b/c"), ("sets", None), ("s3", None), (None, None),
    ],
)  # fmt: skip
def test_urls_are_recognized_also_as_paths(given: object, url: str | None) -> None:
    """Options that are paths turn `//` into `/`; the URL is the same."""
    assert url_of(given) == url


@pytest.mark.parametrize("scheme", ["s3", "file"])
def test_a_set_is_copied_there_and_back(sound: Path, tmp_path: Path, scheme: str, server: ObjectServer) -> None:
    """`info`, `list` and `verify` show the same set; the copy of the copy has the same digests."""
    sets = "s3://bucket/sets" if scheme == "s3" else f"file://{tmp_path}/store/sets"
    result = call("copy", sound, f"{sets}/")
    assert result.exit_code == 0, result.output
    url = f"{sets}/{sound.name}"
    assert f"set          {url}" in result.stdout
    facts = json.loads(call("info", url, "--json").stdout)
    assert facts["path"] == url
    assert (facts["shards"], facts["lost_shards"]) == (len(read_manifest(sound)), 0)
    assert digests(url) == digests(sound)
    listed = call("list", "--sets", sets)
    assert listed.exit_code == 0, listed.output
    assert sound.name in listed.stdout
    assert epochbank.info(sound.name, sets=sets)["path"] == url
    assert epochbank.info(sets=sets)["path"] == url
    verified = call("verify", url, "--jobs", 1)
    assert verified.exit_code == 0, verified.output
    back = call("copy", url, tmp_path / "back/", "--jobs", 1)
    assert back.exit_code == 0, back.output
    assert digests(tmp_path / "back") == digests(sound)
    assert epochbank.verify(tmp_path / "back", jobs=1) == []
    with epochbank_shard(url) as shard:
        assert shard.is_file()


def epochbank_shard(url: str) -> AbstractContextManager[Path]:
    directory = open_mirror(url)
    return ShardCache(default_cache()).held(directory, Bucket(url), read_manifest(directory)[0])


def test_a_copy_is_continued_without_uploading_again(
    sound: Path, server: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy whose upload is refused lists nothing false; the next one uploads only what is missing."""
    url, entries = f"s3://bucket/{sound.name}", read_manifest(sound)
    server.refused = re.compile(entries[-1].checksum)
    result = call("copy", sound, url)
    assert result.exit_code == 1
    assert "was refused" in result.output
    assert "credentials" in result.output
    listed = len(read_manifest(open_mirror(url)))
    assert listed < len(entries)
    server.refused = None
    uploaded = sum(count for name, count in server.requests.items() if name.startswith("PUT ") and "/shards/" in name)
    assert call("copy", sound, url).exit_code == 0
    after = sum(count for name, count in server.requests.items() if name.startswith("PUT ") and "/shards/" in name)
    assert after - uploaded <= 2
    assert digests(url) == digests(sound)
    lost = f"bucket/{sound.name}/{shard_object(entries[3])}"
    del server.objects[lost]
    (fault,) = epochbank.verify(url, jobs=1)
    assert "does not exist" in fault
    assert call("copy", sound, url).exit_code == 0
    assert lost in server.objects
    assert epochbank.verify(url, jobs=1) == []


def test_a_changed_object_is_found(sound: Path, server: ObjectServer) -> None:
    """`verify` reads what is in the store, also if the cache has the shard; segments that were changed are refused."""
    url, entry = f"s3://bucket/{sound.name}", read_manifest(sound)[2]
    epochbank.copy_set(sound, url)
    with epochbank_shard(url):
        pass
    name = f"bucket/{sound.name}/{shard_object(read_manifest(sound)[0])}"
    server.objects[name] = server.objects[name][:-1] + b"x"
    (fault,) = epochbank.verify(url, jobs=1)
    assert "was changed: its checksum" in fault
    assert "s3://" in fault
    shutil.rmtree(os.environ["EPOCHBANK_CACHE"])
    (name,) = (one for one in server.names("/manifest/") if entry.checksum.encode() in server.objects[one])
    server.objects[name] = server.objects[name].replace(entry.checksum.encode(), b"0" * 32)
    with pytest.raises(EpochbankError, match=r"\.jsonl is damaged: its checksum is wrong"):
        epochbank.info(url)


def test_readers_trust_no_listing_and_fetch_only_new_segments(sound: Path, server: ObjectServer) -> None:
    """An open mirror asks for the last known segment and for those that follow."""
    url = f"s3://bucket/{sound.name}"
    epochbank.copy_set(sound, url)
    epochbank.info(url)
    before = server.requests.copy()
    epochbank.info(url)
    new = server.requests - before
    known = len(server.names("/manifest/"))
    assert new[f"GET bucket/{sound.name}/manifest/{known:010d}.jsonl"] == 1
    assert new[f"GET bucket/{sound.name}/manifest/{known + 1:010d}.jsonl"] == 1
    assert all(not name.startswith("GET bucket?") for name in new)
    assert not any("/split.h5" in name for name in new)


def test_of_two_writers_one_wins_and_the_other_says_so(sound: Path, tmp_path: Path, server: ObjectServer) -> None:
    """The number of a segment is the fence: the slower writer ends, and nothing of the faster one is lost."""
    url = f"s3://bucket/{sound.name}"
    epochbank.copy_set(sound, url, epochs="0")
    writers = [Mirror(tmp_path / name, Bucket(url)) for name in ("one", "two")]
    for one in writers:
        one.pull()
    line = (sound / "manifest.jsonl").read_bytes().splitlines(keepends=True)[-1]
    writers[0].publish("a" * 32, [line])
    with pytest.raises(EpochbankError, match="is being written by another run"):
        writers[1].publish("b" * 32, [line])
    segments = server.names("/manifest/")
    assert b"a" * 32 in server.objects[segments[-1]]
    assert server.objects[segments[-1]].endswith(line)


@pytest.mark.parametrize("fault", ["lost_answers", "conflicts", "errors"])
def test_a_write_whose_answer_was_lost_is_no_other_writer(server: ObjectServer, fault: str) -> None:
    """S3 may answer 412 to a second attempt of one's own, 409 to simultaneous writes, and 503."""
    bucket = Bucket("s3://bucket/here")
    setattr(server, fault, 2)
    assert bucket.create("a", b"mine")
    assert server.objects["bucket/here/a"] == b"mine"
    assert not bucket.create("a", b"another's")


def test_a_store_that_overwrites_silently_is_refused(sound: Path, server: ObjectServer) -> None:
    """Nothing is written to it, and the message names the store and the reason."""
    server.conditional = False
    result = call("copy", sound, "s3://bucket/sets/")
    assert result.exit_code == 1
    assert "ignores conditional writes" in result.output
    assert "s3://bucket/sets" in result.output
    assert server.names() == []
    server.conditional = True
    check_conditional_writes(Bucket("s3://bucket/sets"))
    assert server.names() == []


def test_a_dead_store_ends_in_one_sentence(server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection, a store that does not answer, and a set that is not there: no traceback, no hang."""
    result = call("info", "s3://bucket/none")
    assert result.exit_code == 1
    assert "there is no set at s3://bucket/none" in result.output
    monkeypatch.setenv("EPOCHBANK_OBJECTS_TIMEOUT", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    begun = time.monotonic()
    result = call("info", "s3://bucket/none")
    assert result.exit_code == 1
    assert "reading s3://bucket/none/set.json failed" in result.output
    assert "Check the URL, the endpoint and the network" in result.output
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    server.seconds = 10
    result = call("info", "s3://bucket/none")
    assert result.exit_code == 1
    assert "failed" in result.output
    assert time.monotonic() - begun < 15


def test_a_missing_directory_is_not_created(tmp_path: Path) -> None:
    """Reading a `file://` URL writes nothing there."""
    for words in (("info", f"file://{tmp_path}/none/set"), ("list", "--sets", f"file://{tmp_path}/none")):
        result = call(*words)
        assert result.exit_code == 1, result.output
    assert not (tmp_path / "none").exists()


SMALL = {"jobs": 1, "shard_size": 20, "chunk_size": 5}


def shard_puts(server: ObjectServer) -> int:
    return sum(count for name, count in server.requests.items() if name.startswith("PUT ") and "/shards/" in name)


def test_a_run_writes_to_a_store_and_is_extended_from_another_machine(
    sound: Path, tmp_path: Path, server: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digests are those of a local run, local shards are removed, and nothing is uploaded twice."""
    source = sound.parents[1] / "a.npz"
    stored = epochbank.generate(source, epochs=1, sets="s3://bucket/sets", **SMALL)
    url = f"s3://bucket/sets/{sound.name}"
    assert digests(url) == {0: digests(sound)[0]}
    assert epochbank.verify(url, jobs=1) == []
    assert not list((tmp_path / "cache/writing").rglob("[0-9]*.h5"))
    puts = shard_puts(server)
    assert puts == len(read_manifest(stored.path))
    assert generation.run(source, epochs=1, sets="s3://bucket/sets", **SMALL).log is None
    assert shard_puts(server) == puts
    monkeypatch.setenv("EPOCHBANK_CACHE", str(tmp_path / "another machine"))
    result = call(
        "run", source, "--epochs", 2, "--sets", "s3://bucket/sets", "--jobs", 1, "--shard-size", 20, "--chunk-size", 5
    )
    assert result.exit_code == 0, result.output
    assert f"Next: train fit {url}" in result.stdout
    assert digests(url) == digests(sound)
    assert shard_puts(server) == puts + 5
    assert {entry.checksum for entry in read_manifest(open_mirror(url))} == {
        entry.checksum for entry in read_manifest(sound)
    }
    refreshed = call("refresh", url, "--epochs", 1, "--jobs", 1)
    assert refreshed.exit_code == 0, refreshed.output
    assert list(digests(url)) == [1, 2]


def test_a_failed_upload_ends_the_run_which_is_continued(sound: Path, tmp_path: Path, server: ObjectServer) -> None:
    """What was made is kept locally, and published by the next run without being made or uploaded again."""
    source, checksum = sound.parents[1] / "a.npz", read_manifest(sound)[5].checksum
    server.refused = re.compile(checksum)
    with pytest.raises(EpochbankError, match=r"was refused.*shards of this run are kept"):
        epochbank.generate(source, epochs=2, sets="s3://bucket/sets", **SMALL)
    url = f"s3://bucket/sets/{sound.name}"
    assert len(read_manifest(open_mirror(url))) < len(read_manifest(sound))
    server.refused = None
    epochbank.generate(source, epochs=2, sets="s3://bucket/sets", **SMALL)
    assert digests(url) == digests(sound)
    counts = [count for name, count in server.requests.items() if name.startswith("PUT ") and "/shards/" in name]
    assert sorted(counts)[-2] == 1


def test_a_killed_run_is_continued(sound: Path, tmp_path: Path, server: ObjectServer) -> None:
    """A run that is killed while it uploads is continued, and the set has the digests of a local run."""
    source, url = sound.parents[1] / "a.npz", f"s3://bucket/sets/{sound.name}"
    server.seconds = 0.05
    words = [sys.executable, "-m", "epochbank.augment", "run", source, "--epochs", 2, "--sets", "s3://bucket/sets",
             "--jobs", 1, "--shard-size", 20, "--chunk-size", 5]  # fmt: skip
    process = subprocess.Popen(list(map(str, words)), stderr=subprocess.DEVNULL)
    until = time.monotonic() + 50
    while len(server.names("/shards/")) < 3 and time.monotonic() < until:
        time.sleep(0.02)
    process.kill()
    process.wait()
    server.seconds = 0.0
    listed = server.names("/manifest/")
    assert len(server.names("/shards/")) < len(read_manifest(sound)), listed
    epochbank.generate(source, epochs=2, sets="s3://bucket/sets", **SMALL)
    assert digests(url) == digests(sound)
    assert epochbank.verify(url, jobs=1) == []


def test_gc_removes_what_no_manifest_lists(sound: Path, server: ObjectServer) -> None:
    """Only objects that are a day old; a run that writes at the same time ends, because its segment is taken."""
    url = f"s3://bucket/sets/{sound.name}"
    epochbank.copy_set(sound, url)
    prefix = f"bucket/sets/{sound.name}"
    for name, age in (("old", 2 * 86400), ("new", 3600)):
        key = f"{prefix}/shards/epoch-0000/0000000000-{name}.h5"
        server.objects[key], server.modified[key] = b"cut off", time.time() - age
    for key in server.names("/shards/"):
        if "new" not in key:
            server.modified[key] = time.time() - 2 * 86400
    writer = Mirror(open_mirror(url), Bucket(url))
    writer.pull()
    found, notes = epochbank.gc("s3://bucket/sets", dry_run=True)
    assert ([one.path for one in found], notes) == ([f"s3://{prefix}/shards/epoch-0000/0000000000-old.h5"], [])
    done = call("gc", "--sets", "s3://bucket/sets", "--yes")
    assert done.exit_code == 0, done.output
    assert "1 item removed" in done.stdout
    assert [name.rpartition("-")[2] for name in server.names("old|new")] == ["new.h5"]
    with pytest.raises(EpochbankError, match="is being written by another run"):
        writer.publish("a" * 32, [b"line\n"])
    assert epochbank.verify(url, jobs=1) == []
    assert digests(url) == digests(sound)


def test_what_cannot_be_done_in_a_store_is_refused(sound: Path, server: ObjectServer) -> None:
    """A command that would change the mirror instead of the set changes nothing."""
    url = f"s3://bucket/{sound.name}"
    epochbank.copy_set(sound, url)
    before = dict(server.objects)
    for words in (("tag", url, "best"), ("repair", url), ("remove", url, "--yes"), ("refresh", url, "--cancel"),
                  ("gc", "--sets", "s3://bucket", "--unused-for", 3), ("copy", url, "s3://bucket/other"),
                  ("copy", sound, "s3://bucket/b", "--with-source")):  # fmt: skip
        done = call(*words)
        assert done.exit_code == 2, (words, done.output)
        assert "s3://bucket" in done.output
    assert server.objects == before
    assert digests(url) == digests(sound)


def test_two_runs_at_once(sound: Path, tmp_path: Path, server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two machines that generate the same set, one ends with an error, and the set is complete."""
    source = sound.parents[1] / "a.npz"
    server.seconds = 0.02
    words = [sys.executable, "-m", "epochbank.augment", "run", source, "--epochs", 2, "--sets", "s3://bucket/sets",
             "--jobs", 1, "--shard-size", 20, "--chunk-size", 5]  # fmt: skip
    processes = [
        subprocess.Popen(
            list(map(str, words)), stderr=subprocess.PIPE, text=True,
            env={**os.environ, "EPOCHBANK_CACHE": str(tmp_path / name)},
        )
        for name in ("one", "two")
    ]  # fmt: skip
    outputs = [process.communicate(timeout=90)[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert 0 in codes, outputs
    for code, output in zip(codes, outputs, strict=True):
        assert code == 0 or "is being written by another run" in output
        assert "Traceback" not in output
    assert digests(f"s3://bucket/sets/{sound.name}") == digests(sound)


@pytest.fixture
def stored(sound: Path, tmp_path: Path) -> str:
    """URL of a copy of the set in a `file://` store."""
    assert call("copy", sound, f"file://{tmp_path}/store/").exit_code == 0
    return f"file://{tmp_path}/store/{sound.name}"


def test_a_mirror_is_completed_after_an_interrupted_update(stored: str) -> None:
    """Copies of segments without their lines in the manifest: the next update writes the lines."""
    directory = open_mirror(stored)
    whole = read_manifest(directory)
    for name in ("manifest.jsonl", "manifest.check"):
        path = directory / name
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))
    assert len(read_manifest(directory)) == 3
    assert read_manifest(open_mirror(stored)) == whole


def test_a_copy_that_no_reader_would_accept_is_refused(sound: Path, stored: str, tmp_path: Path) -> None:
    """The same set in shards of another size would list positions twice, for ever."""
    source = sound.parents[1] / "a.npz"
    other = epochbank.generate(source, epochs=2, sets=tmp_path / "other", **{**SMALL, "shard_size": 15})
    result = call("copy", other.path, stored)
    assert result.exit_code == 1, result.output
    assert "in shards of another size" in result.stderr
    assert "Copy the set to another URL" in result.stderr
    assert digests(stored) == digests(sound)


def test_a_set_that_was_deleted_in_the_store_is_written_again(sound: Path, tmp_path: Path) -> None:
    """What this machine remembers of the deleted set is not taken for what is in the store."""
    url = f"file://{tmp_path}/store"
    source = sound.parents[1] / "a.npz"
    epochbank.generate(source, epochs=2, sets=url, **SMALL)
    shutil.rmtree(tmp_path / "store")
    epochbank.generate(source, epochs=2, sets=url, **SMALL)
    assert epochbank.verify(f"{url}/{sound.name}", jobs=1) == []
    assert digests(f"{url}/{sound.name}") == digests(sound)


def test_lines_that_a_power_failure_damaged_do_not_end_a_run(sound: Path, tmp_path: Path) -> None:
    """Zeros in the last lines of the local manifest, which have no checksums yet: their shards are made again."""
    url = f"file://{tmp_path}/store"
    source = sound.parents[1] / "a.npz"
    epochbank.generate(source, epochs=1, sets=url, **SMALL)
    (path,) = default_cache().glob("writing/*/*/manifest.jsonl")
    with open(path, "ab") as file:
        file.write(b"\0" * 300 + b"\n")
    epochbank.generate(source, epochs=2, sets=url, **SMALL)
    assert epochbank.verify(f"{url}/{sound.name}", jobs=1) == []
    assert digests(f"{url}/{sound.name}") == digests(sound)


@contextmanager
def stopped_before_uploads() -> Iterator[None]:
    """Stop a run in the block when it has made all shards and uploaded none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalRun, "published", lambda self, *_: None)
        patch.setattr(LocalRun, "finish", lambda self: (_ for _ in ()).throw(EpochbankError("stopped")))
        with pytest.raises(EpochbankError, match="stopped"):
            yield


@pytest.fixture
def interrupted(sound: Path, server: ObjectServer) -> str:
    """URL of a set whose two epochs were generated by a run that was stopped before it uploaded any shard."""
    with stopped_before_uploads():
        epochbank.generate(sound.parents[1] / "a.npz", epochs=2, sets="s3://bucket/sets", **SMALL)
    assert shard_puts(server) == 0
    return f"s3://bucket/sets/{sound.name}"


def workspace() -> Path:
    (path,) = default_cache().glob("writing/*/*/manifest.jsonl")
    return path.parent


def test_a_refresh_keeps_what_waits_for_its_upload(
    sound: Path, interrupted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An epoch is retired while its shards are still being uploaded: their files stay until then."""
    upload, retire, retired = publisher._upload, refreshing._Retiring.published, threading.Event()

    def upload_late(bucket: Bucket, entry: Entry, path: Path) -> None:
        assert entry.epoch or entry.split != "epoch" or retired.wait(60)
        upload(bucket, entry, path)

    def note(self: refreshing._Retiring, entry: Entry, manifest: ManifestWriter) -> None:
        retire(self, entry, manifest)
        if first_epoch(workspace()) == 1:
            retired.set()

    monkeypatch.setattr(publisher, "_upload", upload_late)
    monkeypatch.setattr(refreshing._Retiring, "published", note)
    epochbank.refresh(interrupted, 1, jobs=1)
    assert list(digests(interrupted)) == [1, 2]
    assert digests(interrupted)[1] == digests(sound)[1]
    assert epochbank.verify(interrupted, jobs=1) == []
    assert not list(workspace().rglob("[0-9]*.h5"))


@pytest.mark.parametrize("fault", ["missing", pytest.param("changed", marks=pytest.mark.long)])
def test_what_the_workspace_lost_is_generated_again(
    sound: Path, interrupted: str, server: ObjectServer, fault: str
) -> None:
    """A file that is not the one in the local manifest is never published, and nothing is retired without it."""
    path = workspace() / "epoch-0001/0000000020.h5"
    if fault == "missing":
        path.unlink()
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    epochbank.refresh(interrupted, 1, jobs=1)
    assert digests(interrupted)[1] == digests(sound)[1]
    assert list(digests(interrupted)) == [1, 2]
    assert epochbank.verify(interrupted, jobs=1) == []
    assert len(server.names("/epoch-0001/0000000020-")) == 1


@pytest.mark.long
def test_nothing_is_retired_before_its_replacement_is_listed(sound: Path, server: ObjectServer) -> None:
    """A stopped refresh has lost a new shard: until it is generated again, the store keeps the old epoch."""
    url = f"s3://bucket/sets/{sound.name}"
    epochbank.generate(sound.parents[1] / "a.npz", epochs=2, sets="s3://bucket/sets", **SMALL)
    with stopped_before_uploads():
        epochbank.refresh(url, 1, jobs=1)
    (workspace() / "epoch-0002/0000000000.h5").unlink()
    mirror = Mirror(workspace(), Bucket(url))
    mirror.pull()
    with pytest.raises(EpochbankError, match=r"2 lines .* were not published, .* epoch-0002/0000000000.h5 are missing"):
        LocalRun(mirror).finish()
    assert list(digests(url)) == [0, 1]
    epochbank.refresh(url, 1, jobs=1)
    assert list(digests(url)) == [1, 2]
    assert epochbank.verify(url, jobs=1) == []


@pytest.mark.long
def test_an_interrupted_refresh_that_another_machine_has_overtaken_is_forgotten(
    sound: Path, tmp_path: Path, server: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its goal, which only this machine knows, does not fit the epochs in the store any more."""
    url = f"s3://bucket/sets/{sound.name}"
    epochbank.copy_set(sound, url)
    with stopped_before_uploads():
        epochbank.refresh(url, 1, jobs=1)
    with monkeypatch.context() as patch:
        patch.setenv("EPOCHBANK_CACHE", str(tmp_path / "another machine"))
        epochbank.refresh(url, 2, jobs=1)
    assert list(digests(url)) == [2, 3]
    epochbank.refresh(url, 1, jobs=1)
    assert list(digests(url)) == [3, 4]
    assert epochbank.verify(url, jobs=1) == []

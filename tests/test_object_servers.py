"""Sets on servers of others: `moto_server`, which honors conditional writes, and `s3rver`, which does not.

`moto_server` must be on the PATH, for example by `pipx install 'moto[server]'`. `s3rver` needs Node.js. npm installs it
into a temporary directory, or once into the directory that `EPOCHBANK_TEST_NPM` names.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import epochbank
from conftest import small_set
from epochbank.augment.cli import main
from epochbank.augment.store.objects.bucket import Bucket

pytest.importorskip("obstore")
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

S3RVER = "s3rver@3.7.1"


def use_server(monkeypatch: pytest.MonkeyPatch, url: str, cache: Path, key: str, secret: str) -> None:
    for name, value in (("AWS_ENDPOINT_URL", url), ("AWS_ACCESS_KEY_ID", key), ("AWS_SECRET_ACCESS_KEY", secret),
                        ("AWS_REGION", "us-east-1"), ("EPOCHBANK_CACHE", str(cache))):  # fmt: skip
        monkeypatch.setenv(name, value)


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    if shutil.which("moto_server") is None:
        pytest.skip("moto_server is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    use_server(monkeypatch, url, tmp_path / "cache", "a", "b")
    with subprocess.Popen(["moto_server", "-p", str(port)], stderr=subprocess.DEVNULL) as server:
        for _ in range(300):
            try:
                urllib.request.urlopen(urllib.request.Request(f"{url}/bucket", method="PUT"), timeout=5)
                break
            except OSError:
                time.sleep(0.2)
        yield url
        server.terminate()


@pytest.fixture
def s3rver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The directory in which the server keeps its objects, with the empty bucket `bucket`."""
    program = s3rver_program(Path(os.environ.get("EPOCHBANK_TEST_NPM", tmp_path / "npm")))
    data = tmp_path / "data"
    data.mkdir()
    words = [program, "-d", data, "-a", "127.0.0.1", "-p", "0", "--configure-bucket", "bucket"]
    with (
        open(tmp_path / "s3rver.log", "wb") as log,
        subprocess.Popen(list(map(str, words)), stdout=log, stderr=log) as server,
    ):
        try:
            monkeypatch.setenv("EPOCHBANK_OBJECTS_TIMEOUT", "10")
            url = f"http://{address_in(tmp_path / 's3rver.log')}"
            use_server(monkeypatch, url, tmp_path / "cache", "S3RVER", "S3RVER")
            yield data
        finally:
            server.terminate()


def s3rver_program(folder: Path) -> Path:
    """Return the program of s3rver in `folder`, and install it there if it is missing; skip the test if that fails."""
    program = folder / "node_modules/.bin/s3rver"
    if program.exists():
        return program
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("s3rver needs Node.js and npm, which are not installed")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), S3RVER],
            capture_output=True, text=True, timeout=240,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm has not installed {S3RVER} within 240 s")
    if done.returncode or not program.exists():
        pytest.skip(f"npm cannot install {S3RVER}: {done.stderr.strip()[-200:]}")
    return program


def address_in(log: Path) -> str:
    for _ in range(300):
        found = re.search(r"listening on (\S+:\d+)", log.read_text())
        if found:
            return found[1]
        time.sleep(0.1)
    raise AssertionError(f"s3rver has not started: {log.read_text()}")


def test_a_server_that_overwrites_silently_is_refused(s3rver: Path, tmp_path: Path) -> None:
    """`run` and `copy` end with one sentence, and leave nothing on the server and no shard in the cache."""
    small_set(tmp_path, epochs=1)
    local = epochbank.open_set(sets=tmp_path / "sets").path
    bucket = Bucket("s3://bucket")
    for data in (b"first", b"second"):  # This is why it must be refused.
        assert bucket.create("object", data)
    assert bucket.get("object") == b"second"
    bucket.delete("object")
    for words in (["run", tmp_path / "a.npz", "--epochs", 1, "--jobs", 1, "--sets", "s3://bucket/prefix"],
                  ["copy", local, "s3://bucket/prefix/"], ["copy", local, "s3://bucket/prefix/name"]):  # fmt: skip
        done = CliRunner().invoke(main, list(map(str, words)))
        assert done.exit_code == 1, done.output
        assert "ignores conditional writes (If-None-Match)" in done.stderr
        assert "s3://bucket/prefix" in done.stderr
    assert list(bucket.listed("")) == []
    assert [path for path in s3rver.rglob("*") if path.is_file()] == []
    assert not list((tmp_path / "cache").rglob("set.json"))


def test_two_machines_generate_the_same_set_and_a_third_one_streams_it(moto: str, tmp_path: Path) -> None:
    """One of two runs at once ends with an error or finds the set complete; all batches are those of a local set."""
    small_set(tmp_path, epochs=2)
    local = epochbank.open_set(sets=tmp_path / "sets")
    words = [sys.executable, "-m", "epochbank.augment", "run", tmp_path / "a.npz", "--epochs", 2,
             "--sets", "s3://bucket/sets", "--jobs", 1, "--shard-size", 20, "--chunk-size", 5]  # fmt: skip
    runs = [
        subprocess.Popen(
            list(map(str, words)), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
            env={**os.environ, "EPOCHBANK_CACHE": str(tmp_path / name)},
        )
        for name in ("one", "two")
    ]  # fmt: skip
    outputs = [run.communicate(timeout=300)[1] for run in runs]
    assert 0 in [run.returncode for run in runs], outputs
    for run, output in zip(runs, outputs, strict=True):
        assert run.returncode == 0 or "is being written by another run" in output
        assert "Traceback" not in output
    url = f"s3://bucket/sets/{local.path.name}"
    assert epochbank.verify(url, jobs=1) == []
    remote = epochbank.open_set(url, cache=tmp_path / "cache", cache_size=10**8)
    for ours, theirs in zip(local.batches(32, epochs=2), remote.batches(32, epochs=2), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    epochbank.refresh(url, 1, jobs=1)
    assert [one["epoch"] for one in epochbank.info(url)["epochs"]] == [1, 2]

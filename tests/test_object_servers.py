"""Sets on servers of others. `moto_server` must be on the PATH, for example by `pipx install 'moto[server]'`."""

import os
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

import epochbank
from conftest import small_set

pytest.importorskip("obstore")
pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("moto_server") is None, reason="moto_server is not installed"),
]


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    for name, value in (("AWS_ENDPOINT_URL", url), ("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b"),
                        ("AWS_REGION", "us-east-1"), ("EPOCHBANK_CACHE", str(tmp_path / "cache"))):  # fmt: skip
        monkeypatch.setenv(name, value)
    with subprocess.Popen(["moto_server", "-p", str(port)], stderr=subprocess.DEVNULL) as server:
        for _ in range(300):
            try:
                urllib.request.urlopen(urllib.request.Request(f"{url}/bucket", method="PUT"), timeout=5)
                break
            except OSError:
                time.sleep(0.2)
        yield url
        server.terminate()


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

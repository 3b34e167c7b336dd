"""Sets from a Dask cluster are those of a local run; dying and wrong workers do not change that."""

import re
import signal
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

import epochbank
from dask_cluster import Cluster, cluster, finish, wait_for
from epochbank.augment.cli import main
from epochbank.augment.store.manifest import read_manifest

pytestmark = pytest.mark.timeout(240)

OTHER_VERSION = "import epochbank\nepochbank.__version__ = '0.0.9'\n"


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two workers, one of them with two threads; and the set of a local run in `local`."""
    with cluster(tmp_path_factory.mktemp("dask")) as made:
        made.start_worker("one")
        made.start_worker("two", threads=2)
        made.local(sets="local", epochs=4)
        yield made


@pytest.mark.long
def test_a_run_gives_the_same_images(dask: Cluster) -> None:
    """With one and with two threads a worker, and a manifest without duplicates."""
    run = dask.begin(sets="sets-plain", epochs=4)
    output = finish(run)
    assert run.returncode == 0, output
    assert re.search(r"\d Dask workers? with \d threads?", output), output
    assert dask.digests("sets-plain") == dask.digests("local")
    assert not dask.temporary()


@pytest.mark.long
def test_verify_and_repair(dask: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged shard is found, generated again on the cluster, and all images are recomputed there."""
    monkeypatch.syspath_prepend(dask.folder)
    (path,) = (dask.folder / "local").glob("*/set.json")
    damaged = path.parent / "epoch-0001" / "0000000032.h5"
    before = damaged.read_bytes()
    damaged.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    words = {"scheduler": str(dask.file), "trust": True}
    (fault,) = epochbank.verify(path.parent, **words)
    assert str(damaged) in fault
    assert epochbank.repair(path.parent, **words).repaired == ["epoch-0001/0000000032.h5"]
    assert damaged.read_bytes() == before
    assert epochbank.verify(path.parent, deep=True, share=1.0, **words) == []
    assert not list(path.parent.glob(".tmp-*"))


@pytest.mark.long
def test_refresh(dask: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new epochs are those that a longer local run generates, and the oldest ones are retired."""
    monkeypatch.syspath_prepend(dask.folder)
    run = dask.begin(sets="sets-refresh", epochs=2)
    output = finish(run)
    assert run.returncode == 0, output
    (path,) = (dask.folder / "sets-refresh").glob("*/set.json")
    words = [
        "refresh",
        str(path.parent),
        "--epochs",
        "2",
        "--backend",
        "dask",
        "--scheduler",
        str(dask.file),
        "--trust",
    ]
    result = CliRunner().invoke(main, [*words, "--shard-size", "32", "--chunk-size", "16"])
    assert result.exit_code == 0, result.output
    assert re.search(r"\d Dask workers? with \d threads?", result.output), result.output
    found = {entry.file: entry.digest for entry in read_manifest(path.parent) if entry.split == "epoch"}
    assert {file.split("/")[0] for file in found} == {"epoch-0002", "epoch-0003"}
    (local,) = (dask.folder / "local").glob("*/set.json")
    assert found == {entry.file: entry.digest for entry in read_manifest(local.parent) if entry.file in found}
    assert not list(path.parent.rglob(".tmp-*"))


@pytest.mark.long
def test_a_killed_worker_and_one_of_another_version(dask: Cluster) -> None:
    """The tasks of the killed process are done again; the one that joins late with another version gets none."""
    folder = dask.folder / "other-version"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(OTHER_VERSION)
    run = dask.begin(sets="sets-killed", epochs=4)
    wait_for(lambda: dask.published("sets-killed") > 1, "the first shards")
    dask.signal("two", signal.SIGKILL)
    dask.start_worker("old", python_path=folder)
    output = finish(run)
    assert run.returncode == 0, output
    assert dask.digests("sets-killed") == dask.digests("local")
    assert not dask.temporary()
    dask.stop("one")
    dask.stop("two")
    refused = dask.begin(sets="sets-refused")
    output = finish(refused)
    assert refused.returncode == 1, output
    expected = f"epochbank is 0.0.9; expected {epochbank.__version__}, as in this process."
    assert f"{expected} No other worker is available." in output
    assert output.count("0.0.9; expected") == 2, output  # When it is refused, and at the end.
    assert "tcp://127.0.0.1:" in output
    assert not dask.temporary()
    dask.local(sets="sets-refused", epochs=4)
    assert dask.digests("sets-refused") == dask.digests("local")

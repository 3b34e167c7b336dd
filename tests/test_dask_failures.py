"""What ends on a Dask cluster: workers, the scheduler, the command. Nothing is lost, and nothing waits forever."""

import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from dask_cluster import Cluster, cluster, finish, wait_for
from epochbank.augment.cli import main

pytestmark = pytest.mark.timeout(300)


def refusal(*words: str) -> str:
    """Return the message of an `augment run` that is refused."""
    result = CliRunner().invoke(main, ["run", "digits", "--limit", "50", *words])
    assert result.exit_code == 2, result.output
    return " ".join(result.output.split())


def test_options_that_contradict_each_other_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "--backend dask needs a scheduler; expected its address" in refusal("--backend", "dask")
    both = refusal("--backend", "local", "--scheduler", "tcp://a:1")
    assert "--scheduler tcp://a:1 applies only to --backend dask" in both
    for wrong in ("http://a:8787", "10.0.0.1:8786", "scheduler.txt"):
        assert f"--scheduler {wrong} is invalid; expected tcp://HOST:PORT" in refusal("--scheduler", wrong)
    assert "--patience" in refusal("--scheduler", "tcp://a:1", "--patience", "0")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'epochbank[cluster]'" in refusal("--scheduler", "tcp://a:1")
    assert not list(tmp_path.iterdir())


def test_a_scheduler_that_cannot_be_reached_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At an address where nothing listens, and in a file that does not appear or is something else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("epochbank.augment.shared.dask_client._SECONDS_TO_CONNECT", 1.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    (tmp_path / "other.json").write_text("[]")
    for scheduler, text in (
        (address, f"the Dask scheduler at {address} cannot be reached"),
        ("none.json", "the file of the Dask scheduler, none.json, cannot be read: No such file"),
        ("other.json", "the file of the Dask scheduler, other.json, cannot be read: it is not the JSON that Dask"),
    ):
        result = CliRunner().invoke(main, ["run", "digits", "--limit", "50", "--scheduler", scheduler])
        assert result.exit_code == 1, result.output
        assert text in " ".join(result.output.split())


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler, and the set of a local run."""
    with cluster(tmp_path_factory.mktemp("dask")) as made:
        made.local(sets="local", epochs=4)
        yield made


@pytest.fixture
def dask(scheduler: Cluster) -> Iterator[Cluster]:
    """The cluster without workers, before each test."""
    yield scheduler
    scheduler.stop_workers()


@pytest.mark.long
def test_a_task_that_kills_its_workers_ends_the_run(dask: Cluster) -> None:
    """The message names its shard, although others are queued beside it; without the fault the run continues."""
    for name in ("one", "two"):
        dask.start_worker(name, DEADLY="1")
    run = dask.begin(sets="sets-deadly", recipe="deadly", epochs=1)
    output = finish(run)
    assert run.returncode == 1, output
    assert "3 Dask worker processes ended one after the other while they ran the same task" in output
    (shard,) = re.findall(r"same task, (\S+\.h5);", output)
    assert "on 127.0.0.1" in output
    assert not dask.temporary()
    dask.local(sets="sets-deadly", recipe="deadly", epochs=1)
    assert any(one.split()[0] == str(Path(shard).relative_to(Path(shard).parents[1])) for one in
               dask.digests("sets-deadly"))  # fmt: skip


@pytest.mark.long
def test_a_stopped_worker_does_not_stop_the_run(dask: Cluster) -> None:
    """Its tasks are sent to another process at the end; continued, it works again in the next run."""
    dask.start_worker("one")
    dask.start_worker("two")
    run = dask.begin(sets="sets-stopped", epochs=4)
    wait_for(lambda: dask.published("sets-stopped") > 2, "the first shards")
    dask.signal("two", signal.SIGSTOP)
    output = finish(run)
    assert run.returncode == 0, output
    assert dask.digests("sets-stopped") == dask.digests("local")
    dask.signal("two", signal.SIGCONT)
    run = dask.begin(sets="sets-continued", epochs=4)
    output = finish(run)
    assert run.returncode == 0, output
    assert dask.digests("sets-continued") == dask.digests("local")
    wait_for(lambda: not dask.temporary(), "the end of what the stopped worker did")


@pytest.mark.long
def test_an_interrupted_run_continues(dask: Cluster) -> None:
    """Ctrl-C: exit code 130; the workers stop what they do, remove it, and are free for the same command."""
    dask.start_worker("three", threads=2)
    run = dask.begin(sets="sets-interrupted", epochs=4)
    wait_for(lambda: dask.published("sets-interrupted") > 1, "the first shards")
    run.send_signal(signal.SIGINT)
    output = finish(run)
    assert run.returncode == 130, output
    assert "shards of this run are kept. Run the same command to continue." in output
    wait_for(lambda: not dask.temporary(), "the end of what the workers did")
    run = dask.begin(sets="sets-interrupted", epochs=4)
    output = finish(run)
    assert run.returncode == 0, output
    assert dask.digests("sets-interrupted") == dask.digests("local")


@pytest.mark.long
def test_without_workers_the_run_waits_for_its_patience(dask: Cluster) -> None:
    """A worker that joins late is admitted; without any, the run ends."""
    run = dask.begin("--patience", "5", sets="sets-none")
    output = finish(run)
    assert run.returncode == 1, output
    assert "has had no usable worker for" in output
    assert "the limit is --patience 5. Start workers" in output
    run = dask.begin(sets="sets-late", epochs=4)
    dask.start_worker("late")
    output = finish(run)
    assert run.returncode == 0, output
    assert dask.digests("sets-late") == dask.digests("local")


@pytest.mark.long
def test_a_dead_scheduler_leaves_a_set_that_continues(dask: Cluster) -> None:
    """The error is about the connection, not about writing; a local run completes the set to the same digests."""
    dask.start_worker("one")
    run = dask.begin(sets="sets-scheduler", epochs=4)
    wait_for(lambda: dask.published("sets-scheduler") > 1, "the first shards")
    dask.stop("scheduler")
    output = finish(run)
    assert run.returncode == 1, output
    assert "the connection to the Dask scheduler at tcp://127.0.0.1:" in output
    assert "writing to" not in output
    assert "shards of this run are kept" in output
    dask.local(sets="sets-scheduler", epochs=4)
    assert dask.digests("sets-scheduler") == dask.digests("local")

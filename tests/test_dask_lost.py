"""Schedulers that stop, workers beyond their time limit, and results that are lost, on a real Dask cluster."""

import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from dask_cluster import Cluster, cluster, finish, wait_for

pytestmark = [pytest.mark.timeout(300), pytest.mark.long]

ENDS_AFTER_WRITING = """
import functools, os, signal, sys

if "spawn_main" in " ".join(sys.orig_argv):  # The worker process, not its nanny.
    from epochbank.augment.generation import shard_job

    make_shard = shard_job.make_shard

    @functools.wraps(make_shard)
    def make_and_end(job):
        made = make_shard(job)
        try:
            os.close(os.open(os.environ["ONCE"], os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return made
        os.kill(os.getpid(), signal.SIGKILL)

    shard_job.make_shard = make_and_end
"""
ENDS_BEFORE_SENDING = """
import functools, os, signal, sys

if "spawn_main" in " ".join(sys.orig_argv):
    from distributed.worker import Worker

    get_data, calls = Worker.get_data, []

    @functools.wraps(get_data)
    async def get_data_or_end(self, *arguments, **keywords):
        calls.append(arguments)
        if len(calls) == 4:  # Results of shards: the first call is for the handshake.
            try:
                os.close(os.open(os.environ["ONCE"], os.O_CREAT | os.O_EXCL))
                os.kill(os.getpid(), signal.SIGKILL)
            except FileExistsError:
                pass
        return await get_data(self, *arguments, **keywords)

    Worker.get_data = get_data_or_end
"""


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler that drops workers after some seconds without a heartbeat, and the set of a local run."""
    folder = tmp_path_factory.mktemp("dask")
    with cluster(folder, DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="8s") as made:
        made.local(sets="local", epochs=4)
        yield made


@pytest.fixture
def dask(scheduler: Cluster) -> Iterator[Cluster]:
    """The cluster without workers, before each test."""
    yield scheduler
    scheduler.stop_workers()


@pytest.mark.parametrize("code", [ENDS_AFTER_WRITING, ENDS_BEFORE_SENDING])
def test_a_worker_ends_after_its_shard_is_written(dask: Cluster, tmp_path: Path, code: str) -> None:
    """Before its answer is sent, or while it is fetched: the shard is generated again, and listed once."""
    (tmp_path / "sitecustomize.py").write_text(code)
    once = tmp_path / "once"
    dask.start_worker("ends", python_path=tmp_path, ONCE=str(once))
    sets = f"sets-{tmp_path.name}"
    run = dask.begin(sets=sets, epochs=4)
    output = finish(run)
    assert run.returncode == 0, output
    assert once.exists()
    assert dask.digests(sets) == dask.digests("local")
    assert not dask.temporary()


def test_a_worker_that_the_scheduler_gave_up_is_replaced(dask: Cluster) -> None:
    """The only worker stops for longer than the limit of the scheduler; its nanny starts another process."""
    dask.start_worker("stops")
    run = dask.begin(sets="sets-given-up", epochs=4)
    wait_for(lambda: dask.published("sets-given-up") > 1, "the first shards")
    dask.signal("stops", signal.SIGSTOP)
    wait_for(lambda: "failed to heartbeat" in (dask.folder / "scheduler" / "log").read_text(), "the scheduler")
    with suppress(ProcessLookupError):
        dask.signal("stops", signal.SIGCONT)
    output = finish(run)
    assert run.returncode == 0, output
    assert dask.digests("sets-given-up") == dask.digests("local")
    assert not dask.temporary()


def test_a_scheduler_that_stops(dask: Cluster) -> None:
    """It continues after longer than the limit for its answers: so does the run. If it does not, the run ends."""
    dask.start_worker("one")
    run = dask.begin(sets="sets-paused", epochs=4)
    wait_for(lambda: dask.published("sets-paused") > 1, "the first shards")
    dask.signal("scheduler", signal.SIGSTOP)
    time.sleep(12)
    dask.signal("scheduler", signal.SIGCONT)
    output = finish(run)
    assert run.returncode == 0, output
    assert dask.digests("sets-paused") == dask.digests("local")
    run = dask.begin("--patience", "5", sets="sets-stopped", epochs=4)
    wait_for(lambda: dask.published("sets-stopped") > 1, "the first shards")
    dask.signal("scheduler", signal.SIGSTOP)
    try:
        output = finish(run, 90)
    finally:
        dask.signal("scheduler", signal.SIGCONT)
    assert run.returncode == 1, output
    assert re.search(r"has not answered for \d+ s; the limit is --patience 5\.", output), output
    assert "shards of this run are kept" in output
    dask.local(sets="sets-stopped", epochs=4)
    assert dask.digests("sets-stopped") == dask.digests("local")

"""The batch scripts of examples/slurm, on a real SLURM with one node."""

import json
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from dask_cluster import Cluster, wait_for
from slurm_node import Node, slurm_node, unavailable

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(unavailable() is not None, reason=str(unavailable())),
]

EXAMPLES = Path(__file__).parents[1] / "examples/slurm"
AUGMENT, TRAIN = EXAMPLES / "augment.sbatch", EXAMPLES / "train.sbatch"
WORDS = ("glyphs.npz", "--recipe", "slow.toml", "--shard-size", "32", "--chunk-size", "16")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("slurm")


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Cluster:
    """A source and a slow recipe. Its scheduler is not started: each job starts one."""
    return Cluster(folder)


@pytest.fixture(scope="module")
def node(folder: Path) -> Iterator[Node]:
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    with slurm_node(PYTHONPATH=path, KERAS_BACKEND="jax") as node:
        yield node


def log(folder: Path, job: str) -> str:
    return (folder / f"slurm-{job}.out").read_text()


def test_a_job_makes_the_shards_of_a_local_run(node: Node, cluster: Cluster, folder: Path) -> None:
    job = node.submit(AUGMENT, *WORDS, "--epochs", "2", "--sets", "sets", cwd=folder)
    assert node.end(job) == ["COMPLETED"], log(folder, job)
    assert log(folder, job).count("Start Nanny") == 2
    cluster.local(sets="local")
    assert cluster.digests("sets") == cluster.digests("local")
    assert not list(folder.glob("scheduler-*.json"))


def test_a_job_is_queued_again_before_its_time_limit(node: Node, cluster: Cluster, folder: Path) -> None:
    """The set needs more than the time that the script leaves of three minutes; the next attempts continue."""
    words = ("--epochs", "130", "--sets", "limited")
    job = node.submit(AUGMENT, *WORDS, *words, options=("--time=3",), cwd=folder)
    node.begin_again(job)
    assert "shards of this run are kept" in log(folder, job)
    kept = cluster.published("limited")
    assert kept > 0
    # The rest is as slow: the next attempt gets the time to do it.
    node.run("scontrol", "update", f"JobId={job}", "TimeLimit=30")
    assert node.end(job, 400) == ["COMPLETED"], log(folder, job)
    assert cluster.published("limited") == len(set(cluster.digests("limited"))) > kept


def test_a_canceled_job_ends(node: Node, cluster: Cluster, folder: Path) -> None:
    """The script does not queue a job again that its user cancels; the set stays resumable."""
    job = node.submit(AUGMENT, *WORDS, "--epochs", "40", "--sets", "canceled", cwd=folder)
    wait_for(lambda: cluster.published("canceled") > 2, "the first shards")
    node.run("scancel", job)
    assert node.end(job) == ["CANCELLED"]
    assert "shards of this run are kept" in log(folder, job)


def test_the_tasks_of_an_array_make_one_set_per_seed(node: Node, folder: Path) -> None:
    """Both import the same source at the same time."""
    job = node.submit(AUGMENT, *WORDS, "--epochs", "1", "--sets", "array", options=("--array=3-4",), cwd=folder)
    assert node.end(job) == ["COMPLETED", "COMPLETED"], log(folder, f"{job}_3") + log(folder, f"{job}_4")
    seeds = [json.loads(path.read_text())["identity"]["seed"] for path in folder.glob("array/*/set.json")]
    assert sorted(seeds) == [3, 4]


def test_two_jobs_for_one_set(node: Node, cluster: Cluster, folder: Path) -> None:
    """Without --wait, the second job ends; with it, it waits, and adds what is missing."""
    words = (*WORDS, "--sets", "shared")
    first = node.submit(AUGMENT, *words, "--epochs", "10", cwd=folder)
    wait_for(lambda: cluster.published("shared") > 2, "the first shards")
    refused = node.submit(AUGMENT, *words, "--epochs", "11", cwd=folder)
    waiting = node.submit(AUGMENT, *words, "--epochs", "11", "--wait", cwd=folder)
    assert node.end(refused) == ["FAILED"]
    assert "--wait" in log(folder, refused)
    assert node.end(first) == node.end(waiting) == ["COMPLETED"], log(folder, waiting)
    cluster.local(sets="alone", epochs=11)
    assert cluster.digests("shared") == cluster.digests("alone")


@pytest.mark.skipif(find_spec("jax") is None, reason="no JAX; `make test-backends` installs it")
def test_two_ranks_train_and_are_queued_again(node: Node, cluster: Cluster, folder: Path) -> None:
    cluster.local(sets="training", epochs=1)
    (path,) = (folder / "training").glob("*/set.json")
    words = (str(path.parent), "runs/first", "--epochs", "30", "--batch-size", "32")
    job = node.submit(TRAIN, *words, options=("--cpus-per-task=2",), cwd=folder)
    rows = folder / "runs/first/metrics.csv"
    wait_for(lambda: rows.exists() and rows.read_text().count("\n") > 2, "the first epochs", 200)
    node.run("scancel", "--signal=USR1", "--batch", job)
    node.begin_again(job)
    assert node.end(job, 300) == ["COMPLETED"], log(folder, job)
    assert "resumes in epoch" in log(folder, job)
    summary = json.loads((folder / "runs/first/summary.json").read_text())
    assert rows.read_text().count("\n") == 1 + summary["epochs"] > 4

"""The resources of examples/kubernetes fit together, and their commands work on this machine."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from dask_cluster import Cluster, wait_for

yaml = pytest.importorskip("yaml")

EXAMPLE = Path(__file__).parents[1] / "examples/kubernetes/augment.yaml"


@pytest.fixture(scope="module")
def resources() -> dict[str, dict[str, Any]]:
    return {one["kind"]: one for one in yaml.safe_load_all(EXAMPLE.read_text())}


def pods(resources: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the pods of the scheduler, of a worker and of the job."""
    cluster = resources["DaskCluster"]["spec"]
    return [cluster["scheduler"]["spec"], cluster["worker"]["spec"], resources["Job"]["spec"]["template"]["spec"]]


def test_all_pods_have_the_same_image_user_and_paths(resources: dict[str, dict[str, Any]]) -> None:
    first, *others = pods(resources)
    claim = resources["PersistentVolumeClaim"]["metadata"]["name"]
    assert first["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim
    for pod in others:
        assert (pod["volumes"], pod["securityContext"]) == (first["volumes"], first["securityContext"])
        for name in ("image", "volumeMounts"):
            assert pod["containers"][0][name] == first["containers"][0][name]


def test_the_job_uses_the_service_of_the_scheduler(resources: dict[str, dict[str, Any]]) -> None:
    """The operator names the service after the cluster, and labels the pods with its name."""
    name = resources["DaskCluster"]["metadata"]["name"]
    service = resources["DaskCluster"]["spec"]["scheduler"]["service"]
    assert f"tcp://{name}-scheduler:{service['ports'][0]['port']}" in pods(resources)[2]["containers"][0]["args"]
    labels = {"dask.org/cluster-name": name}
    assert service["selector"] == labels | {"dask.org/component": "scheduler"}
    policy = resources["NetworkPolicy"]["spec"]
    assert policy["podSelector"]["matchLabels"] == labels
    sources = [one["podSelector"]["matchLabels"] for one in policy["ingress"][0]["from"] if "podSelector" in one]
    assert sources == [labels, resources["Job"]["spec"]["template"]["metadata"]["labels"]]


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_commands_make_a_set(resources: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """The commands run as written, except for the addresses, the source and the directory of the sets."""
    scheduler, worker, job = (pod["containers"][0] for pod in pods(resources))
    assert [one["args"][0] for one in (scheduler, worker, job)] == ["dask", "dask", "augment"]
    cluster = Cluster(tmp_path)
    try:
        cluster.start("scheduler", *scheduler["args"][1:], "--host", "127.0.0.1", "--port", "0",
                      "--scheduler-file", str(cluster.file))  # fmt: skip
        wait_for(cluster.file.exists, "the scheduler")
        address = json.loads(cluster.file.read_text())["address"]
        words = ["worker-1" if one == "$(DASK_WORKER_NAME)" else one for one in worker["args"][1:]]
        given = {one["name"]: one["value"] for one in worker["env"]}
        environment = given | {"DASK_SCHEDULER_ADDRESS": address, "NUMBA_CACHE_DIR": str(tmp_path / "numba")}
        cluster.start("worker", *words, **environment)
        changed = {"/data/sets": "sets", "100": "1"}
        words = [changed.get(one, address if one.startswith("tcp:") else one) for one in job["args"][3:]]
        assert "1 Dask worker with 1 thread" in cluster.local(*words)
        cluster.local(sets="local", epochs=1)
        assert cluster.digests() == cluster.digests("local")
    finally:
        cluster.stop_all()
        shutil.rmtree(tmp_path / "numba", ignore_errors=True)

"""examples/slurm/augment.sbatch, with stand-ins for srun and scontrol."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dask_cluster import SECONDS, finish, wait_for

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

SCRIPT = Path(__file__).parents[1] / "examples/slurm/augment.sbatch"
STAND_INS = {
    "srun": 'while [[ "$1" == --* ]]; do shift; done\nexec "$@"\n',
    "scontrol": 'echo "$@" > scontrol.log\n',
}


def begin(folder: Path, job: int) -> subprocess.Popen:
    """Begin the batch script as the job `job`."""
    commands = folder / "bin"
    commands.mkdir(exist_ok=True)
    for name, text in STAND_INS.items():
        (commands / name).write_text(f"#!/bin/bash\n{text}")
        (commands / name).chmod(0o755)
    path = os.pathsep.join([str(commands), str(Path(sys.executable).parent), os.environ["PATH"]])
    words = ["digits", "--limit", "300", "--size", "16", "--epochs", "20", "--shard-size", "20"]
    with open(folder / f"log-{job}", "wb") as log:
        return subprocess.Popen(
            ["bash", SCRIPT, *words], cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            env=os.environ | {"PATH": path, "SLURM_JOB_ID": str(job), "USER": "me"}, start_new_session=True,
        )  # fmt: skip


def published(folder: Path) -> int:
    return sum(path.read_text().count("\n") for path in folder.glob("sets/*/manifest.jsonl"))


def test_a_job_is_queued_again_and_continues(tmp_path: Path) -> None:
    """SIGTERM, as before the time limit, stops the run, which is queued again; the next job completes the set."""
    jobs = [begin(tmp_path, 1)]
    try:
        wait_for(lambda: published(tmp_path) > 2, "the first shards")
        jobs[0].send_signal(signal.SIGTERM)
        finish(jobs[0])
        log = (tmp_path / "log-1").read_text()
        assert jobs[0].returncode == 128 + signal.SIGTERM, log
        assert "shards of this run are kept" in log
        assert (tmp_path / "scontrol.log").read_text() == "requeue 1\n"
        jobs.append(begin(tmp_path, 2))
        finish(jobs[1])
        assert jobs[1].returncode == 0, (tmp_path / "log-2").read_text()
        assert not list(tmp_path.glob("scheduler-*.json"))
    finally:
        for job in jobs:
            if job.poll() is None:
                os.killpg(job.pid, signal.SIGKILL)
                job.wait(SECONDS)

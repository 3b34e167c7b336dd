"""A real SLURM cluster of one node for the tests: munged, slurmctld and slurmd on this machine."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dask_cluster import SECONDS, wait_for

CPUS = 6
"""CPUs of the node, as SLURM sees it. It starts this many tasks on any number of real cores."""
PROGRAMS = ["munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "scancel", "sinfo"]
CONFIGURATION = """
ClusterName=epochbank
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
GresTypes=gpu
SlurmdParameters=config_overrides
KillWait=10
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=1000000 Gres=gpu:2
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
DEVICES = "Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n"
"""Two GPUs for SLURM, which does not open their files."""


def unavailable() -> str | None:
    """Return why the node cannot be started, or None."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
    missing = [name for name in PROGRAMS if not shutil.which(name, path=path)]
    if missing:
        return f"no {', '.join(missing)}; on Debian: apt install munge slurm-client slurmctld slurmd"
    return "the daemons of SLURM need root" if os.geteuid() else None


class Node:
    """SLURM on this machine, with its files in `folder`. Its path is short, because a Unix socket is there."""

    def __init__(self, folder: Path, environment: dict[str, str]):
        self.folder = folder
        self._daemons: list[subprocess.Popen] = []
        self.environment = os.environ | environment
        path = [str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"]
        self.environment |= {
            "PATH": os.pathsep.join(path),
            "SLURM_CONF": str(folder / "slurm.conf"),
            "USER": "root",
        }

    def start(self) -> None:
        """Start the daemons, and wait until the node takes jobs."""
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        text = CONFIGURATION.format(folder=self.folder, host=socket.gethostname(), ports=_free_ports(2), cpus=CPUS)
        (self.folder / "slurm.conf").write_text(text)
        (self.folder / "gres.conf").write_text(DEVICES)
        (self.folder / "munge.key").write_bytes(os.urandom(128))
        (self.folder / "munge.key").chmod(0o600)
        files = [f"--{name}-file={self.folder}/munge.{name}" for name in ("key", "pid", "seed", "log")]
        self._start("munged", "--foreground", "--force", f"--socket={self.folder}/munge.socket", *files)
        wait_for((self.folder / "munge.socket").exists, "munged")
        self._start("slurmctld", "-D")
        self._start("slurmd", "-D")
        wait_for(lambda: "idle" in self._call("sinfo", "--noheader", "--format=%T").stdout, "the node")

    def stop(self) -> None:
        """Cancel all jobs, and end the daemons."""
        try:
            if len(self._daemons) == 3:
                self._call("scancel", "--me")
                wait_for(lambda: not self._call("squeue", "--noheader").stdout, "the end of the jobs")
        finally:
            for daemon in reversed(self._daemons):
                daemon.terminate()
                daemon.wait(SECONDS)

    def run(self, *command: str, cwd: Path | None = None) -> str:
        """Run a command of SLURM; return what it printed."""
        done = self._call(*command, cwd=cwd)
        assert done.returncode == 0, f"{command}: {done.stderr}{self._logs()}"
        return done.stdout

    def submit(self, script: Path, *words: str, options: tuple[str, ...] = (), cwd: Path) -> str:
        """Submit a batch script with two tasks on this node; return the number of the job."""
        size = ("--parsable", "--nodes=1", "--ntasks-per-node=2")
        return self.run("sbatch", *size, *options, str(script), *words, cwd=cwd).strip()

    def states(self, job: str) -> list[str]:
        """Return the state of a job, or the states of the tasks of an array."""
        described = self.run("scontrol", "--oneliner", "show", "job", job)
        return [word.removeprefix("JobState=") for word in described.split() if word.startswith("JobState=")]

    def begin_again(self, job: str) -> None:
        """Wait until a job is queued again, and begin it; SLURM itself would do that two minutes later."""
        wait_for(lambda: "Restarts=0" not in self.run("scontrol", "show", "job", job), f"job {job} to be queued again")

        def begun() -> bool:
            # This has no effect while the job still ends, and postpones the start if it is repeated too soon.
            self._call("scontrol", "update", f"JobId={job}", "StartTime=now")
            time.sleep(5)
            return self.states(job) == ["RUNNING"]

        wait_for(begun, f"job {job} to begin again", 300)

    def end(self, job: str, seconds: float = SECONDS) -> list[str]:
        """Wait until a job has ended; return its states."""
        going = {"PENDING", "RUNNING", "COMPLETING"}
        return wait_for(lambda: (now := self.states(job)) and not going & set(now) and now, f"job {job}", seconds)

    def _start(self, *command: str) -> None:
        with open(self.folder / f"{command[0]}.log", "wb") as log:
            daemon = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.environment
            )
        self._daemons.append(daemon)

    def _call(self, *command: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
        return subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, check=False, env=self.environment, timeout=SECONDS
        )

    def _logs(self) -> str:
        return "".join(f"\n{log.name}:\n{log.read_text()[-2000:]}" for log in sorted(self.folder.glob("*.log")))


def _free_ports(number: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in listeners]
    for one in listeners:
        one.close()
    return ports


@contextmanager
def slurm_node(**environment: str) -> Iterator[Node]:
    """Yield a node that takes jobs, with further variables in their environment."""
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        node = Node(Path(folder), environment)
        try:
            node.start()
            yield node
        finally:
            node.stop()

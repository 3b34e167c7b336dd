"""Which processes train one model together: read from the options and from the environment of a launcher. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ...augment.errors import EpochbankError

_FIRST_PORT, _PORTS = 61440, 4096
"""Ports from which one is chosen by the number of a SLURM job, as in `jax.distributed`."""


@dataclass(frozen=True)
class Processes:
    """The place of this process among those that train one model."""

    rank: int | None
    world_size: int | None
    address: str | None
    """`host:port` at which rank 0 listens."""
    local_rank: int | None = None
    """Number of this process among those of its node, which selects its GPU; None if the launcher does not set it."""
    torchrun: bool = False
    """Whether `torchrun` listens at the address."""


def find_processes(
    environment: Mapping[str, str],
    rank: int | None = None,
    world_size: int | None = None,
    coordinator: str | None = None,
) -> Processes | None:
    """Return the place of this process; None if it trains alone.

    The options `--rank`, `--world-size` and `--coordinator` take precedence over the variables of Keras
    (`KERAS_DISTRIBUTION_*`), of `torchrun` (`RANK`, `WORLD_SIZE`, `MASTER_ADDR`, `MASTER_PORT`) and of SLURM's `srun`,
    in this order. World size 1 means alone. `check_processes` says whether something is missing.

    Raises
    ------
    EpochbankError
        If a variable is not a number, or a rank is given without a world size.
    """
    found = _from_keras(environment) or _from_torchrun(environment) or _from_slurm(environment)
    if (world_size or (1 if found is None else found.world_size)) == 1:
        if rank is not None or coordinator is not None:
            raise EpochbankError(
                f"{'--rank' if coordinator is None else '--coordinator'} with world size 1; expected the number of "
                "processes that train one model. Add --world-size N.",
                usage=True,
            )
        return None
    found = found or Processes(None, None, None)
    given = {"rank": rank, "world_size": world_size, "address": coordinator}
    found = replace(found, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    return found if coordinator is None else replace(found, torchrun=False)


def check_processes(found: Processes) -> None:
    """Raise `EpochbankError` if rank, world size or address are missing or out of range."""
    if found.rank is None or found.address is None:
        missing = "--rank K" if found.rank is None else "--coordinator HOST:PORT"
        raise EpochbankError(
            f"{found.world_size} processes train one model, but {missing} is missing; expected the rank of this "
            "process, and where rank 0 listens. Add the option, or start the processes with torchrun or srun.",
            usage=True,
        )
    if not 0 <= found.rank < (found.world_size or 0):
        raise EpochbankError(
            f"rank {found.rank} with world size {found.world_size}; expected a rank from 0 to world size - 1, such as "
            "`--rank 0 --world-size 4` for the first of four processes.",
            usage=True,
        )
    host, colon, port = found.address.rpartition(":")
    if not (host and colon and port.isdigit() and 0 < int(port) < 65536):
        raise EpochbankError(f"coordinator {found.address!r}; expected HOST:PORT, such as node1:29500.", usage=True)


def tensorflow_workers(environment: Mapping[str, str]) -> int:
    """Return the number of workers in `TF_CONFIG`; 1 without it."""
    try:
        cluster = json.loads(environment.get("TF_CONFIG", "{}"))["cluster"]
        return max(1, len(cluster.get("worker", ())) + len(cluster.get("chief", ())))
    except (ValueError, KeyError, TypeError, AttributeError):
        return 1


def first_host(nodes: str) -> str:
    """Return the first host of a list of SLURM: `node001` of `node[001-004,7],other`."""
    found = re.match(r"([^,\[]*)(?:\[([^-,\]]+))?", nodes)
    return "".join(part or "" for part in found.groups()) if found else nodes


def _from_keras(environment: Mapping[str, str]) -> Processes | None:
    addresses = environment.get("KERAS_DISTRIBUTION_JOB_ADDRESSES", "").split(",")
    size = _number(environment, "KERAS_DISTRIBUTION_NUM_PROCESSES") or (len(addresses) if len(addresses) > 1 else None)
    rank = _number(environment, "KERAS_DISTRIBUTION_PROCESS_ID")
    return None if size is None else Processes(rank, size, addresses[0] or None)


def _from_torchrun(environment: Mapping[str, str]) -> Processes | None:
    size = _number(environment, "WORLD_SIZE")
    host, port = environment.get("MASTER_ADDR"), environment.get("MASTER_PORT")
    if size is None or not host or not port:
        return None
    local = _number(environment, "LOCAL_RANK")
    return Processes(
        _number(environment, "RANK"), size, f"{host}:{port}", local, torchrun="TORCHELASTIC_RUN_ID" in environment
    )


def _from_slurm(environment: Mapping[str, str]) -> Processes | None:
    # A batch script itself has SLURM_NTASKS, but only the tasks of `srun` have the numbers of their step.
    size, job = _number(environment, "SLURM_STEP_NUM_TASKS"), _number(environment, "SLURM_JOB_ID")
    if size is None or job is None:
        return None
    host = first_host(environment.get("SLURM_STEP_NODELIST", "")) or "127.0.0.1"
    local = _number(environment, "SLURM_LOCALID")
    return Processes(_number(environment, "SLURM_PROCID"), size, f"{host}:{_FIRST_PORT + job % _PORTS}", local)


def _number(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name)
    if not text:
        return None
    if not text.isdigit():
        raise EpochbankError(
            f"{name}={text!r} in the environment; expected a number. Correct the variable, or unset it."
        )
    return int(text)

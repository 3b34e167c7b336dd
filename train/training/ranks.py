"""The processes that train one model together: started on JAX or torch, synchronized, and ended together."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import keras

from ...augment.console import notify
from ...augment.errors import EpochbankError
from ...augment.shared.signals import Interrupted
from .backend import hidden
from .processes import Processes, check_processes, tensorflow_workers
from .rank_channel import Channel, Loss, connect

_JOIN_SECONDS = 300
"""Seconds in which all processes must have been started."""
_SECONDS_BETWEEN_LOOKUPS = 1.0
_SECONDS_TO_END = 5.0
"""Seconds after the loss of another process in which this one may end normally; then it is ended."""
_COLLECTIVE_TIMEOUT = timedelta(minutes=30)


class Ranks:
    """The place of this process among those that train one model; alone by default."""

    def __init__(self, rank: int = 0, world_size: int = 1):
        self.rank, self.world_size = rank, world_size
        self.run: Path | None = None
        """The run directory, once there is something to resume."""
        self.stopping = False
        """Whether all ranks stop now, after a signal to one of them."""
        self.trained = False
        """Whether rank 0 does not need the others any more."""
        self._channel: Channel | None = None
        self._code = 1
        self._reported = False

    @property
    def leads(self) -> bool:
        """Whether this process writes the run directory and prints the progress."""
        return self.rank == 0

    @property
    def several(self) -> bool:
        """Whether there are other processes."""
        return self.world_size > 1

    @property
    def on_torch(self) -> bool:
        """Whether there are other processes, and this package must keep their models equal."""
        return self.several and keras.backend.backend() == "torch"

    def gather(self, value: Any) -> list[Any]:
        """Return the `value` (JSON) of every rank. All ranks must call this at the same point."""
        return [value] if self._channel is None else self._channel.gather(value)

    def any(self, value: bool) -> bool:
        """Return whether `value` is true on any rank."""
        return any(self.gather(value))

    def say(self, text: str) -> None:
        """Print a message for the user, once for all ranks."""
        if self.leads:
            notify(text)

    def connect(self, channel: Channel) -> None:
        """Use `channel` from now on."""
        self._channel = channel

    def wait_for_end(self) -> None:
        """Wait until rank 0 has finished the run. All ranks call this at the end."""
        try:
            if self._channel is not None:
                self._channel.gather("finished", seconds=None)
        except EpochbankError:
            if not self.leads:
                raise

    def lost(self, loss: Loss) -> None:
        """End this process soon, because `loss` was lost and a collective operation may never return."""
        if self.leads and self.trained:
            return
        # JAX aborts the process at once, with other messages, if its coordinator was lost.
        seconds = 0.0 if loss.rank == 0 and keras.backend.backend() == "jax" else _SECONDS_TO_END
        self._end_within(seconds, self.explain(loss))

    def explain(self, loss: Loss) -> str:
        """Return the message for the user about the loss of a rank."""
        again = "the same command" if self.run is None else f"train fit --resume {self.run}"
        return (
            f"{str(loss).rstrip('.')}. The {self.world_size} processes train one model, so rank {self.rank} ended, "
            f"too. Fix the problem, then start all of them again with: {again}"
        )

    @contextmanager
    def together(self) -> Iterator[None]:
        """End normally together with the other ranks, or with an error if one of them is lost."""
        if self._channel is None:
            yield
            return
        try:
            yield
        except EpochbankError as error:
            self._code = error.exit_code
            if self._channel.loss is not None:  # The loss has caused this error.
                raise self._as_error(self._channel.loss) from error
            self._leave(str(error))
            raise
        except KeyboardInterrupt as error:
            self._code = error.exit_code if isinstance(error, Interrupted) else 130
            if self.stopping:
                self._leave_in_order()
            else:
                self._leave("interrupted by a signal")
            raise
        except Exception as error:
            # The collective operations of both frameworks fail with exceptions of many types.
            loss = self._channel.wait_for_loss(_SECONDS_TO_END / 2)
            if loss is not None:
                raise self._as_error(loss) from error
            self._leave(f"{type(error).__name__}: {error}")
            raise
        else:
            self._leave_in_order()

    def _leave_in_order(self) -> None:
        assert self._channel is not None
        self.trained = True
        stop = _stop_jax if keras.backend.backend() == "jax" else _stop_torch
        if not self.leads:  # The coordination service of rank 0 must end last.
            stop()
        self.wait_for_end()
        if self.leads:
            stop()
        self._channel.leave()

    def _leave(self, reason: str) -> None:
        assert self._channel is not None
        self._reported = True
        self._channel.leave(reason)
        self._end_within(_SECONDS_TO_END, None)  # The frameworks wait for the other processes at exit.

    def _as_error(self, loss: Loss) -> EpochbankError:
        self._reported = True
        return EpochbankError(self.explain(loss))

    def _end_within(self, seconds: float, text: str | None) -> None:
        def end() -> None:
            time.sleep(seconds)
            if text is not None and not self._reported:
                notify(f"Error: {text}")
            os._exit(self._code)

        threading.Thread(target=end, daemon=True, name="end").start()


@contextmanager
def without_distribution() -> Iterator[None]:
    """Let this process create Keras variables without the others: under a distribution all of them must do it."""
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


def start_ranks(processes: Processes | None, *, join_seconds: int = _JOIN_SECONDS) -> Ranks:
    """Connect the processes of one training, and return the place of this one.

    On JAX this sets `keras.distribution`, under which a model must be built. On torch it starts `torch.distributed`.

    Raises
    ------
    EpochbankError
        On TensorFlow, or if a process does not join within `join_seconds`.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow" and (processes is not None or tensorflow_workers(os.environ) > 1):
        raise EpochbankError(
            "several processes on TensorFlow: MultiWorkerMirroredStrategy fails in the `fit` of Keras 3 (keras issue "
            "20585). Set KERAS_BACKEND=jax or torch, write a custom loop with `to_tf_dataset(rank=, world_size=)`, or "
            "train alone with --world-size 1.",
            usage=True,
        )
    if processes is None:
        return Ranks()
    check_processes(processes)
    assert processes.rank is not None
    assert processes.world_size is not None
    ranks = Ranks(processes.rank, processes.world_size)
    try:
        wait_for_name(processes.address or "", join_seconds)
        share = (_start_jax if backend == "jax" else _start_torch)(processes, join_seconds)
    except (RuntimeError, ValueError, OSError) as error:
        text = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise EpochbankError(
            f"rank {ranks.rank} of {ranks.world_size} on {socket.gethostname()} could not join the others at "
            f"{processes.address} ({text}). Check that all processes were started within {join_seconds} s of each "
            "other, each with another rank, and that their nodes reach this address."
        ) from error
    ranks.connect(connect(ranks.rank, ranks.world_size, share, ranks.lost, seconds=float(join_seconds)))
    ranks.say(f"{ranks.world_size} processes train one model")
    return ranks


def wait_for_name(address: str, seconds: float) -> None:
    """Wait until the host in `address` (`host:port`) has an address; JAX would wait without a message.

    Raises `socket.gaierror`, an `OSError`, if it has none after `seconds`.
    """
    until, said = time.monotonic() + seconds, False
    while True:
        try:
            host, _, port = address.rpartition(":")
            socket.getaddrinfo(host.strip("[]"), port)  # Brackets: an address of IPv6.
            return
        except socket.gaierror as error:
            if time.monotonic() > until:
                raise
            if not said:
                notify(f"waiting until the host of rank 0 can be resolved, {address}: {error.strerror}")
            said = True
            time.sleep(_SECONDS_BETWEEN_LOOKUPS)


def _start_jax(processes: Processes, seconds: int) -> Callable[[str], str]:
    import jax
    import numpy as np
    from jax.experimental import multihost_utils

    if processes.torchrun:
        raise EpochbankError(
            "Keras runs on jax, but torchrun starts processes for torch. Use srun, or start each process with --rank, "
            "--world-size and --coordinator.",
            usage=True,
        )
    # Otherwise JAX aborts all processes after 100 s, without our message.
    jax.config.update("jax_enable_recoverability", True)
    jax.distributed.initialize(
        processes.address,
        processes.world_size,
        processes.rank,
        local_device_ids=_own_device(processes.local_rank, os.environ.get("CUDA_VISIBLE_DEVICES")),
        cluster_detection_method="deactivate",
        initialization_timeout=seconds,
    )
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))

    def share(text: str) -> str:
        sent = np.zeros(4096, np.uint8)
        encoded = text.encode()
        sent[: len(encoded)] = np.frombuffer(encoded, np.uint8)
        with hidden(1):  # Gloo prints its connections.
            return bytes(multihost_utils.broadcast_one_to_all(sent)).rstrip(b"\0").decode()

    return share


def _own_device(local_rank: int | None, visible: str | None) -> list[int] | None:
    """Return the GPU of this process among those of its node; None for all that the launcher lets it see."""
    if local_rank is None or (visible is not None and len(visible.split(",")) <= local_rank):
        return None
    return [local_rank]


def _start_torch(processes: Processes, seconds: int) -> Callable[[str], str]:
    import torch
    from torch import distributed

    has_gpus = torch.cuda.is_available()
    if has_gpus:
        torch.cuda.set_device((processes.local_rank or 0) % torch.cuda.device_count())
    store = None
    if not processes.torchrun:
        assert processes.address is not None
        host, _, port = processes.address.rpartition(":")
        store = distributed.TCPStore(
            host, int(port), processes.world_size, processes.rank == 0, timeout=timedelta(seconds=seconds)
        )
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if has_gpus else "gloo",
        store=store,  # None: the one of torchrun.
        rank=-1 if store is None else processes.rank,
        world_size=-1 if store is None else processes.world_size,
        timeout=_COLLECTIVE_TIMEOUT,
    )

    def share(text: str) -> str:
        texts = [text]
        distributed.broadcast_object_list(texts, src=0)
        return texts[0]

    return share


def _stop_jax() -> None:
    import jax

    jax.distributed.shutdown()


def _stop_torch() -> None:
    from torch import distributed

    distributed.destroy_process_group()

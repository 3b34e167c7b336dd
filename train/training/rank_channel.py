"""A channel between the processes that train one model. It exchanges small values and detects processes that ended.

All other ranks connect to rank 0. Each line is a JSON object. The collective operations of the frameworks do not name a
process that died and may never return, so each rank also sends a heartbeat every few seconds.
"""

import json
import queue
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ...augment.errors import EpochbankError

_HELLO_SECONDS = 10.0
_LONGEST_HELLO = 4096
_GATHER_SECONDS = 1800.0
"""Maximum duration of a collective operation."""


@dataclass(frozen=True)
class Timing:
    """Seconds without a message after which a rank counts as lost, and seconds between heartbeats."""

    silence: float = 60.0
    beat: float = 5.0


_TIMING = Timing()


@dataclass
class _Peer:
    rank: int
    host: str
    connection: socket.socket
    received: "queue.Queue[Any]" = field(default_factory=queue.Queue)
    """Values; None after the last one."""
    sending: threading.Lock = field(default_factory=threading.Lock)
    reported: str | None = None
    """The error that the rank sent before it ended."""
    gone: bool = False
    """Whether the rank disconnected normally."""

    def send(self, message: dict[str, Any]) -> None:
        """Send a message; the reader notices if the connection is broken."""
        with self.sending, suppress(OSError):
            self.connection.sendall(json.dumps(message).encode() + b"\n")


@dataclass(frozen=True)
class Loss:
    """A rank that ended although the others needed it."""

    rank: int
    host: str
    reason: str

    def __str__(self) -> str:
        return f"rank {self.rank} on {self.host} {self.reason}"


class Channel:
    """The connections of one rank: of rank 0 to all others, of the others to rank 0."""

    def __init__(self, rank: int, peers: Mapping[int, _Peer], on_loss: Callable[[Loss], None], timing: Timing):
        """Watch `peers`. A thread calls `on_loss` once, with the first rank that is lost."""
        self.rank, self._peers, self._on_loss, self._timing = rank, dict(peers), on_loss, timing
        self.loss: Loss | None = None
        """The first rank that was lost."""
        self._lock = threading.Lock()
        self._ended = threading.Event()
        for peer in self._peers.values():
            threading.Thread(target=self._read, args=(peer,), daemon=True, name=f"rank {peer.rank}").start()
        threading.Thread(target=self._beat, daemon=True, name="ranks").start()

    def gather(self, value: Any, *, seconds: float | None = _GATHER_SECONDS) -> list[Any]:
        """Return the `value` (JSON) of every rank, by rank. All ranks must call this.

        Raises `EpochbankError` if a rank is lost, or does not call this within `seconds`; None for no limit.
        """
        if self.rank:
            self._peers[0].send({"value": value})
            return self._take(self._peers[0], seconds)
        values = [value, *(self._take(self._peers[rank], seconds) for rank in sorted(self._peers))]
        for peer in self._peers.values():
            peer.send({"value": values})
        return values

    def wait_for_loss(self, seconds: float) -> Loss | None:
        """Return the first rank that was lost, after at most `seconds`."""
        deadline = time.monotonic() + seconds
        while self.loss is None and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.loss

    def leave(self, error: str | None = None) -> None:
        """Disconnect from the other ranks, normally or with an error that they report."""
        self._ended.set()
        for peer in self._peers.values():
            peer.send({"bye": True} if error is None else {"error": error})
            with suppress(OSError):
                peer.connection.shutdown(socket.SHUT_WR)

    def _take(self, peer: _Peer, seconds: float | None) -> Any:
        try:
            # The reader puts None after `silence` seconds without a message at the latest.
            value = peer.received.get(timeout=seconds)
        except queue.Empty:
            raise EpochbankError(
                f"rank {peer.rank} on {peer.host} is running, but did not reach the same step within {seconds:g} s. "
                "Check what it waits for, such as a file system that does not respond."
            ) from None
        if value is None:
            peer.received.put(None)
            raise EpochbankError(str(self.wait_for_loss(1.0) or Loss(peer.rank, peer.host, "has ended already")))
        return value["value"]

    def _read(self, peer: _Peer) -> None:
        reason = "ended without a message, as after a kill"
        try:
            peer.connection.settimeout(self._timing.silence)
            with peer.connection, peer.connection.makefile("rb") as lines:
                for line in lines:
                    self._receive(peer, json.loads(line))
        except TimeoutError:
            reason = f"did not answer for {self._timing.silence:g} s"
        except (OSError, ValueError) as error:
            reason = f"is unreachable ({error})"
        if not peer.gone:
            self._lose(Loss(peer.rank, peer.host, reason if peer.reported is None else f"ended: {peer.reported}"))
        peer.received.put(None)

    def _receive(self, peer: _Peer, message: dict[str, Any]) -> None:
        if "value" in message:
            peer.received.put(message)
        elif "lost" in message:
            self._lose(Loss(*message["lost"]))
            peer.received.put(None)
        elif "error" in message:
            peer.reported = str(message["error"])
        elif "bye" in message:
            peer.gone = True

    def _lose(self, loss: Loss) -> None:
        with self._lock:
            if self.loss is not None or self._ended.is_set():
                return
            self.loss = loss
        for peer in self._peers.values():
            if self.rank == 0 and peer.rank != loss.rank:
                peer.send({"lost": [loss.rank, loss.host, loss.reason]})
            peer.received.put(None)  # Wakes a rank that waits for another one.
        self._on_loss(loss)

    def _beat(self) -> None:
        while not self._ended.wait(self._timing.beat):
            for peer in self._peers.values():
                peer.send({"beat": True})


def connect(
    rank: int,
    world_size: int,
    share: Callable[[str], str],
    on_loss: Callable[[Loss], None],
    *,
    seconds: float = 300.0,
    timing: Timing = _TIMING,
) -> Channel:
    """Connect all ranks and return the channel.

    `share` returns on every rank the text that rank 0 calls it with. Raises `EpochbankError` if a rank does not connect
    within `seconds`.
    """
    deadline = time.monotonic() + seconds
    if rank == 0:
        with socket.create_server(("", 0), backlog=world_size) as server:
            token = secrets.token_hex(16)
            share(json.dumps({"hosts": _own_names(), "port": server.getsockname()[1], "token": token}))
            peers = _accept(server, token, world_size, deadline)
    else:
        offer = json.loads(share(""))
        peers = {0: _reach(offer, rank, deadline)}
    return Channel(rank, peers, on_loss, timing)


def _accept(server: socket.socket, token: str, world_size: int, deadline: float) -> dict[int, _Peer]:
    peers: dict[int, _Peer] = {}
    while len(peers) < world_size - 1:
        missing = sorted(set(range(1, world_size)) - set(peers))
        left = deadline - time.monotonic()
        server.settimeout(max(0.1, left))
        try:
            if left <= 0:
                raise TimeoutError
            connection, _ = server.accept()
        except TimeoutError:
            raise EpochbankError(
                f"rank {', '.join(map(str, missing))} of {world_size} did not connect to rank 0 on "
                f"{socket.gethostname()}. Check that all processes were started and that the nodes reach each other."
            ) from None
        hello = _hello(connection)
        if hello.get("token") == token and hello.get("rank") in missing:
            peers[hello["rank"]] = _Peer(hello["rank"], str(hello.get("host")), connection)
        else:  # A connection of another program.
            connection.close()
    return peers


def _hello(connection: socket.socket) -> dict[str, Any]:
    connection.settimeout(_HELLO_SECONDS)
    text = b""
    try:
        # Byte by byte, because the reader needs everything after the line.
        while len(text) < _LONGEST_HELLO and (byte := connection.recv(1)) not in (b"", b"\n"):
            text += byte
        hello = json.loads(text)
    except (OSError, ValueError):
        return {}
    return hello if isinstance(hello, dict) else {}


def _reach(offer: dict[str, Any], rank: int, deadline: float) -> _Peer:
    error: OSError | None = None
    while error is None or time.monotonic() < deadline:
        for host in offer["hosts"]:
            try:
                connection = socket.create_connection((host, offer["port"]), timeout=_HELLO_SECONDS)
            except OSError as failed:
                error = failed
                continue
            peer = _Peer(0, offer["hosts"][0], connection)
            peer.send({"token": offer["token"], "rank": rank, "host": socket.gethostname()})
            return peer
        time.sleep(0.5)
    raise EpochbankError(
        f"rank {rank} on {socket.gethostname()} cannot reach rank 0 at {' or '.join(offer['hosts'])}, port "
        f"{offer['port']} ({error}). Check that the nodes reach each other on all ports."
    )


def _own_names() -> list[str]:
    """Return the name and the addresses of this host, the most useful for other hosts first."""
    names = [socket.gethostname()]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # Sends nothing, but selects the address of the default route.
        names.append(probe.getsockname()[0])
    with suppress(OSError):
        names += socket.gethostbyname_ex(names[0])[2]
    return list(dict.fromkeys([*names, "127.0.0.1"]))

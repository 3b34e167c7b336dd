"""Random sequences of run, refresh, kill, damage, repair, copy, gc, tag and training, from several processes.

A Hypothesis state machine compares a set with a model of what must be there. What each epoch contains is known from a
set that nothing disturbed, because a stored image is a pure function of its epoch and position.
"""

import fcntl
import json
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import epochbank
from command_server import CommandServer, Outcome
from epochbank import AugmentedSet, EpochbankError
from epochbank.augment.shared.lock import LOCK, writing
from epochbank.augment.store.manifest import read_manifest

SOURCE: dict[str, Any] = {"source": "digits", "limit": 60, "seed": 3}
SHARDS: dict[str, Any] = {"jobs": 1, "shard_size": 20, "chunk_size": 8}
LAST = 14
"""Epochs of the undisturbed set: no sequence goes beyond."""
MOST = 4
"""Epochs that a set has at most."""
TAGS = ("first", "second")
NUMBERS = st.integers(0, (1 << 20) - 1)
DAMAGES = st.tuples(st.sampled_from(("flip", "cut", "remove")), NUMBERS, st.integers(1, 255))
"""What is done to a file, the byte that it is done to, and the bits that are flipped."""


@dataclass(frozen=True)
class Reference:
    """The undisturbed set."""

    start: Path
    """A directory of sets with one set of two epochs, to copy."""
    digests: list[str]
    """Of each epoch."""
    images: list[np.ndarray]
    """Images and labels of each epoch, sorted, uint8 (n, bytes)."""
    originals: np.ndarray


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    directory = tmp_path_factory.mktemp("reference")
    epochbank.generate(epochs=2, sets=directory / "start", **SOURCE, **SHARDS)
    whole = epochbank.generate(epochs=LAST, sets=directory / "whole", **SOURCE, **SHARDS)
    return Reference(
        directory / "start",
        [one["digest"] for one in epochbank.info(whole)["epochs"]],
        [content(whole, "epoch", epoch) for epoch in range(LAST)],
        content(whole, "train"),
    )


def content(stored: AugmentedSet, split: str, epoch: int = 0) -> np.ndarray:
    """Return the images of a split or epoch with their labels, sorted."""
    table = stored.table(split, epoch)
    chunks = []
    for number, count in enumerate(table.chunk_sizes.tolist()):
        images, labels = np.empty((count, *stored.shape), np.uint8), np.empty(count, np.int32)
        table.read(number, images, labels)
        chunks.append((images, labels))
    return in_order(chunks)


def in_order(batches: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return images with their labels as rows of bytes, sorted: equal if each image comes equally often."""
    rows = np.concatenate([np.hstack([images.reshape(len(images), -1), labels[:, None]]) for images, labels in batches])
    return rows[np.lexsort(rows.T)]


def set_in(sets: Path) -> Path:
    return next(sets.glob("*/set.json")).parent


class Training:
    """A process that trains: an open set, of which it reads one epoch after another, in two halves."""

    def __init__(self, stored: AugmentedSet):
        self.stored, self.epoch = stored, 0
        self.damaged = False
        """Whether a file was damaged while it was read."""
        self._batches: Iterator[Any] | None = None
        self._seen: list[Any] = []

    def advance(self, reference: Reference) -> None:
        """Read half an epoch, and check a whole one: each image once, as it must be."""
        try:
            if self._batches is None:
                self._batches = self.stored.batches(8, originals=0, first_epoch=self.epoch, epochs=1, threads=1)
                self._seen = [next(self._batches) for _ in range(2)]
                return
            self._seen += list(self._batches)
        except EpochbankError:
            assert self.damaged, "a training could not read what it had opened"
            self._batches, self.damaged = None, False
            return
        shown = self.stored.epochs[self.epoch % len(self.stored.epochs)]
        np.testing.assert_array_equal(in_order(self._seen), reference.images[shown])
        self._batches, self.epoch, self.damaged = None, self.epoch + 1, False


class LivingSet(RuleBasedStateMachine):
    """The model: the published epochs `first` to `stop` - 1, tags, copies, and what is being read."""

    server: CommandServer
    reference: Reference

    @initialize(trains=st.booleans())
    def begin(self, trains: bool) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="living-"))
        self.sets = Path(shutil.copytree(self.reference.start, self.root / "sets"))
        self.set = set_in(self.sets)
        self.first, self.stop = 0, 2
        self.killed = False
        """Whether a command was killed since the last one that completed the set."""
        self.tags: set[str] = set()
        self.unsure_tags: set[str] = set()
        self.copies: dict[Path, list[int]] = {}
        self.trainings: list[Training] = []
        if trains:
            self.begin_training()

    def teardown(self) -> None:
        if not hasattr(self, "root"):
            return
        try:
            self.settle()
            for copy, epochs in self.copies.items():
                assert self.call("verify", copy, jobs=1).value == []
                assert self.published(copy) == epochs
            self.trainings.clear()
            assert self.call("gc", self.sets).done
            assert not list(self.root.rglob(".tmp-*"))
            assert sorted(path.name for path in self.set.glob("epoch-*") if path.is_dir()) == [
                f"epoch-{epoch:04d}" for epoch in range(self.first, self.stop)
            ]
        finally:
            shutil.rmtree(self.root, ignore_errors=True)

    # --- Commands -------------------------------------------------------------------------------------------------

    @rule(epochs=st.integers(1, MOST), kill_at=st.none() | st.integers(1, 85))
    def run(self, epochs: int, kill_at: int | None) -> None:
        """`augment run`: extend the set."""
        if self.first + epochs > LAST:
            return
        outcome = self.call("run", epochs=epochs, sets=self.sets, kill_at=kill_at, **SOURCE, **SHARDS)
        self.adopt(outcome, self.first, max(self.stop, self.first + epochs))

    @rule(epochs=st.integers(1, 2), kill_at=st.none() | st.integers(1, 130))
    def refresh(self, epochs: int, kill_at: int | None) -> None:
        """`augment refresh`: renew epochs, or continue an interrupted refresh."""
        first, stop = self.goal(epochs)
        if stop > LAST:
            return
        self.adopt(self.call("refresh", self.set, epochs, jobs=1, kill_at=kill_at), first, stop)

    @rule(kill_at=st.none() | st.integers(1, 12))
    def gc(self, kill_at: int | None) -> None:
        """`augment gc`: nothing that is published or read goes."""
        self.adopt(self.call("gc", self.sets, kill_at=kill_at), self.first, self.stop, completes=False)

    @rule(tag=st.sampled_from(TAGS), remove=st.booleans(), kill_at=st.none() | st.integers(1, 9))
    def tag(self, tag: str, remove: bool, kill_at: int | None) -> None:
        """`augment tag`."""
        outcome = self.call("tag", self.set, tag, remove=remove, sets=self.sets, kill_at=kill_at)
        if outcome.killed:
            self.unsure_tags.add(tag)
            return
        if tag not in self.unsure_tags:
            assert bool(outcome.error) == (remove and tag not in self.tags), outcome
        self.unsure_tags.discard(tag)
        (self.tags.discard if remove else self.tags.add)(tag)

    @precondition(lambda self: len(self.copies) < 2)
    @rule(kill_at=st.none() | st.integers(1, 110))
    def copy(self, kill_at: int | None) -> None:
        """`augment copy`: a copy is complete or does not exist."""
        destination = self.root / f"copy-{len(self.copies)}"
        outcome = self.call("copy_set", self.set, destination, jobs=1, kill_at=kill_at)
        if outcome.killed:
            assert not destination.exists() or self.published(destination) == self.expected()
            outcome = self.call("copy_set", self.set, destination, jobs=1) if not destination.exists() else outcome
        assert not outcome.error + outcome.trace, outcome
        self.copies[destination] = self.expected()
        self.check_content(destination)

    @rule(
        one=st.sampled_from(("run", "refresh", "gc", "repair", "verify")),
        other=st.sampled_from(("run", "refresh", "gc", "repair", "copy")),
    )
    def at_once(self, one: str, other: str) -> None:
        """Two commands in two processes: each works, or is refused and names the process that works."""
        goal = max(self.stop + 2, self.goal(1)[1] + 1)
        if goal > LAST:
            return
        commands: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
            "run": (("run",), {"epochs": self.stop - self.first + 1, "sets": self.sets, **SOURCE, **SHARDS}),
            "refresh": (("refresh", self.set, 1), {"jobs": 1}),
            "gc": (("gc", self.sets), {}),
            "repair": (("repair", self.set), {"jobs": 1}),
            "verify": (("verify", self.set), {"jobs": 1}),
            "copy": (("copy_set", self.set, self.root / "beside"), {"jobs": 1}),
        }
        before = (self.first, self.stop)
        waiting = [self.server.start(*commands[name][0], **commands[name][1]) for name in (one, other)]
        outcomes = [wait() for wait in waiting]
        for outcome in outcomes:
            assert not outcome.trace, outcome.trace
            assert not outcome.error or "being written by another run (process" in outcome.error, outcome.error
        assert any(outcome.done for outcome in outcomes), outcomes
        self.observe()
        assert self.first >= before[0]
        assert before[1] <= self.stop <= goal
        assert self.stop - self.first >= before[1] - before[0]
        if (self.root / "beside").exists():
            assert self.call("verify", self.root / "beside", jobs=1).value == []
            shutil.rmtree(self.root / "beside")
        self.killed = True  # A refused command may have left a goal.

    # --- Readers --------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.trainings) < 2)
    @rule()
    def begin_training(self) -> None:
        """Open the set, in this process."""
        training = Training(epochbank.open_set(self.set))
        assert list(training.stored.epochs) == self.expected()
        self.trainings.append(training)

    @precondition(lambda self: self.trainings)
    @rule(number=st.integers(0, 1))
    def train(self, number: int) -> None:
        """Read half an epoch of what the training opened, also if it was retired since."""
        self.trainings[number % len(self.trainings)].advance(self.reference)

    @precondition(lambda self: self.trainings)
    @rule()
    def end_training(self) -> None:
        """Close a set; what it read may go now."""
        self.trainings.pop(0)

    # --- Damage ---------------------------------------------------------------------------------------------------

    @rule(number=NUMBERS, damage=DAMAGES, kill_at=st.none() | st.integers(1, 20))
    def damage_shard(self, number: int, damage: tuple[str, int, int], kill_at: int | None) -> None:
        """A damaged shard is found, never served, and repaired with the same images."""
        self.settle()
        entries = read_manifest(self.set)
        entry = entries[number % len(entries)]
        self.damage(self.set / entry.file, *damage)
        assert [fault for fault in self.faults() if entry.file in fault]
        self.read_or_refuse()
        outcome = self.call("repair", self.set, jobs=1, kill_at=kill_at)
        if outcome.killed:
            self.read_or_refuse()
            outcome = self.call("repair", self.set, jobs=1)
        assert outcome.done, outcome
        assert self.faults() == []
        self.check_content(self.set)

    @rule(
        damage=DAMAGES,
        name=st.sampled_from(("manifest.jsonl", "manifest.check", "split.h5", "set.json", "source", "virtual")),
    )
    def damage_file(self, damage: tuple[str, int, int], name: str) -> None:
        """Damage to a small file, or to the source file, is found or harmless, and never served."""
        self.settle()
        places = {"source": self.sets / "sources/*.h5", "virtual": self.set / "epoch-*.h5"}
        path = next(iter(sorted(self.root.glob(str(places.get(name, self.set / name).relative_to(self.root))))), None)
        if path is None:  # A set without virtual datasets.
            return
        before = path.read_bytes()
        self.damage(path, *damage)
        harmless = name in ("manifest.check", "virtual") or (name == "source" and damage[0] == "remove")
        assert self.faults() or harmless
        self.read_or_refuse()
        if name == "source":  # The next run imports the source again, or is refused.
            self.extend_or_refuse()
        else:
            outcome = self.call("repair", self.set, jobs=1)
            assert not outcome.trace, outcome.trace
        if self.faults():
            path.write_bytes(before)
        assert self.faults() == []
        self.check_content(self.set)

    def extend_or_refuse(self) -> None:
        """Generate one more epoch with what is there."""
        epochs = self.stop - self.first + 1
        if epochs > MOST or self.stop >= LAST:
            return
        outcome = self.call("run", epochs=epochs, sets=self.sets, **SOURCE, **SHARDS)
        assert not outcome.trace, outcome.trace
        if outcome.done:
            self.stop += 1
        self.check_content(self.set)

    def damage(self, path: Path, how: str, place: int, change: int) -> None:
        """Flip bits of a byte of a file, cut it off, or remove it."""
        contents = bytearray(path.read_bytes())
        path.unlink()  # A training may have it open.
        at = place % len(contents)
        contents[at] ^= change
        if how != "remove":
            path.write_bytes(contents if how == "flip" else contents[:at])
        for training in self.trainings:
            training.damaged = True

    def read_or_refuse(self) -> None:
        """Open the set and read all of it: right, or refused."""
        try:
            stored = epochbank.open_set(self.set)
            contents = [content(stored, "epoch", epoch) for epoch in stored.epochs]
            originals = content(stored, "train")
        except EpochbankError:
            return
        assert list(stored.epochs) == self.expected(), "an epoch is gone, and nothing says so"
        for epoch, found in zip(stored.epochs, contents, strict=True):
            np.testing.assert_array_equal(found, self.reference.images[epoch])
        np.testing.assert_array_equal(originals, self.reference.originals)

    # --- The model ------------------------------------------------------------------------------------------------

    @invariant()
    def agrees(self) -> None:
        """What is published is what the model has, and a training can read all that it has opened."""
        if hasattr(self, "root"):
            assert self.published(self.set) == self.expected()
            for training in self.trainings:
                for epoch in training.stored.epochs:
                    np.testing.assert_array_equal(
                        content(training.stored, "epoch", epoch), self.reference.images[epoch]
                    )

    def call(self, name: str, *arguments: Any, **keywords: Any) -> Outcome:
        outcome = self.server.call(name, *arguments, **keywords)
        assert not outcome.trace, f"{name}: {outcome.trace}"
        return outcome

    def expected(self) -> list[int]:
        return list(range(self.first, self.stop))

    def published(self, directory: Path) -> list[int]:
        """Return the published epochs of a set, after comparing their digests."""
        found = epochbank.info(directory)["epochs"]
        assert [one["digest"] for one in found] == [self.reference.digests[one["epoch"]] for one in found]
        return [one["epoch"] for one in found]

    def observe(self) -> None:
        """Take over which epochs are published: consecutive ones."""
        found = self.published(self.set)
        self.first, self.stop = found[0], found[-1] + 1
        assert found == self.expected()

    def goal(self, epochs: int) -> tuple[int, int]:
        """Return the epochs from and to which a refresh of `epochs` leads, after the goal of an interrupted one."""
        path = self.set / "refresh.json"
        if path.exists():
            goal = json.loads(path.read_text())
            return max(self.first, goal["first"]), max(self.stop, goal["stop"])
        return self.first + epochs, self.stop + epochs

    def adopt(self, outcome: Outcome, first: int, stop: int, *, completes: bool = True) -> None:
        """Expect the epochs `first` to `stop` - 1 after a command; after a kill, what lies between is right as well."""
        assert not outcome.error, outcome.error
        if outcome.done:
            self.first, self.stop = first, stop
            self.killed = self.killed and not completes
            return
        before, self.killed = (self.first, self.stop), True
        self.observe()
        assert before[0] <= self.first <= first
        assert before[1] <= self.stop <= stop
        assert self.stop - self.first >= before[1] - before[0], "a kill left the set with fewer epochs"
        self.check_content(self.set)

    def check_content(self, directory: Path) -> None:
        """Read every published image."""
        stored = epochbank.open_set(directory)
        for epoch in stored.epochs:
            np.testing.assert_array_equal(content(stored, "epoch", epoch), self.reference.images[epoch])
        np.testing.assert_array_equal(content(stored, "train"), self.reference.originals)

    def faults(self) -> list[str]:
        """Return what `augment verify` finds."""
        outcome = self.call("verify", self.set, jobs=1)
        assert not outcome.killed, "verify crashed"
        return [outcome.error] if outcome.error else outcome.value

    def settle(self) -> None:
        """Complete what kills interrupted: the set is sound then."""
        if (self.set / "refresh.json").exists():
            first, stop = self.goal(1)
            self.adopt(self.call("refresh", self.set, jobs=1), first, stop)
        unfinished = {entry.epoch for entry in read_manifest(self.set) if entry.split == "epoch"} - {*self.expected()}
        if unfinished:
            stop = max(unfinished) + 1
            outcome = self.call("run", epochs=stop - self.first, sets=self.sets, **SOURCE, **SHARDS)
            self.adopt(outcome, self.first, stop)
        if self.killed:
            assert self.call("gc", self.sets).done
            self.killed = False
        assert self.faults() == []


def machine(server: CommandServer, reference: Reference) -> type[LivingSet]:
    """Return the machine with what all its examples share."""
    return type("LivingSet", (LivingSet,), {"server": server, "reference": reference})


@pytest.fixture(scope="module")
def server() -> Iterator[CommandServer]:
    with CommandServer() as started:
        yield started


def check(kind: type[LivingSet], examples: int, steps: int, **options: Any) -> None:
    case = kind.TestCase
    case.settings = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # What happens at once in two processes is not the same when it is tried again.
        **options,
    )  # fmt: skip
    case("runTest").runTest()


@pytest.mark.long
def test_a_set_survives_what_happens_to_it(server: CommandServer, reference: Reference) -> None:
    check(machine(server, reference), examples=4, steps=14, derandomize=True, database=None)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_set_survives_what_happens_to_it_for_long(server: CommandServer, reference: Reference) -> None:
    check(machine(server, reference), examples=150, steps=30)


def test_a_process_that_has_just_taken_the_lock_is_named(tmp_path: Path) -> None:
    """Between the lock and the record of its holder is a moment in which the file is empty."""
    lock = tmp_path / LOCK
    with open(lock, "wb", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        timer = threading.Timer(0.2, lambda: file.write(b'{"process": 17, "host": "here", "since": "now"}'))
        timer.start()
        with pytest.raises(EpochbankError, match="process 17 on here"), writing(lock):
            pass
        timer.join()

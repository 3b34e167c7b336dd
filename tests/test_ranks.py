"""Several processes train one model: how they are found, kept in step and ended. Those of torch and JAX are real."""

import csv
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from click.testing import CliRunner

import epochbank
from conftest import NOTHING, numbered, numbers
from epochbank import AugmentedSequence, EpochbankError, open_set
from epochbank.train.cli import main as train
from epochbank.train.training import ranks as ranks_module
from epochbank.train.training.best_model import best_epoch
from epochbank.train.training.processes import (
    Processes,
    check_processes,
    find_processes,
    first_host,
    tensorflow_workers,
)
from epochbank.train.training.rank_channel import Channel, Loss, Timing, connect

BACKEND = keras.backend.backend()
TORCHRUN = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "node1", "MASTER_PORT": "29500", "LOCAL_RANK": "1"}
QUICK = Timing(silence=5, beat=0.1)
SRUN = {
    "SLURM_JOB_ID": "5000",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NODELIST": "node[003-004]",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
}


# Which processes there are


@pytest.mark.parametrize(
    ("environment", "given", "found"),
    [
        ({}, {}, None),
        (TORCHRUN, {}, Processes(1, 2, "node1:29500", 1)),
        (TORCHRUN | {"TORCHELASTIC_RUN_ID": "x"}, {}, Processes(1, 2, "node1:29500", 1, torchrun=True)),
        (SRUN, {}, Processes(3, 4, "node003:62344", 1)),
        (SRUN, {"world_size": 1}, None),
        # A batch script that runs no `srun` is one process, although the job has several tasks.
        ({"SLURM_JOB_ID": "5000", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, {}, None),
        (
            {"KERAS_DISTRIBUTION_JOB_ADDRESSES": "a:1,b:2", "KERAS_DISTRIBUTION_PROCESS_ID": "1"},
            {},
            Processes(1, 2, "a:1"),
        ),
        ({}, {"rank": 0, "world_size": 2, "coordinator": "a:1"}, Processes(0, 2, "a:1")),
        (SRUN, {"coordinator": "a:1"}, Processes(3, 4, "a:1", 1)),
        ({"MASTER_ADDR": "a", "MASTER_PORT": "1", "WORLD_SIZE": "1", "RANK": "0"}, {}, None),
    ],
)
def test_processes_are_found(environment: dict[str, str], given: dict[str, Any], found: Processes | None) -> None:
    """Options come first; then Keras' variables, torchrun and srun."""
    assert find_processes(environment, **given) == found


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rank": 1}, "--rank with world size 1; .* Add --world-size N"),
        ({"world_size": 4}, "4 processes train one model, but --rank K is missing"),
        ({"rank": 1, "world_size": 4}, "--coordinator HOST:PORT is missing"),
        ({"rank": 4, "world_size": 4, "coordinator": "a:1"}, "rank 4 with world size 4; expected a rank from 0"),
        ({"rank": 0, "world_size": 4, "coordinator": "a"}, "coordinator 'a'; expected HOST:PORT"),
    ],
)
def test_incomplete_processes_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(EpochbankError, match=message):
        check_processes(find_processes({}, **given) or Processes(None, None, None))


def test_an_unknown_host_of_rank_0_is_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """Its name may become known later, as that of a pod does."""
    known = [False, False, True, False]

    def later(host: str, port: str) -> None:
        assert (host, port) == ("node1", "29500")
        if not known.pop(0):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(ranks_module, "_SECONDS_BETWEEN_LOOKUPS", 0.0)
    monkeypatch.setattr(socket, "getaddrinfo", later)
    ranks_module.wait_for_name("node1:29500", 60)
    assert capsys.readouterr().err.count("waiting until the host of rank 0 can be resolved, node1:29500: ") == 1
    with pytest.raises(socket.gaierror):
        ranks_module.wait_for_name("node1:29500", -1)


def test_first_host_and_workers_of_tensorflow() -> None:
    assert [first_host(nodes) for nodes in ("n1", "n1,n2", "n[001-4],m", "n[007,9]", "")] == [
        "n1", "n1", "n001", "n007", ""
    ]  # fmt: skip
    assert tensorflow_workers({"TF_CONFIG": '{"cluster": {"worker": ["a:1", "b:1"]}}'}) == 2
    assert [tensorflow_workers({"TF_CONFIG": text}) for text in ("{}", "no JSON", '{"cluster": 1}')] == [1, 1, 1]
    assert tensorflow_workers({}) == 1


# The channel, with ranks in threads


def channels(count: int, first: Timing = QUICK, others: Timing = QUICK) -> tuple[list[Channel], list[tuple[int, Loss]]]:
    """Return the connected channels of `count` ranks, and the list to which their losses are added.

    `first` is the timing of rank 0.
    """
    offered: list[str] = []
    ready = threading.Event()
    found: dict[int, Channel] = {}
    losses: list[tuple[int, Loss]] = []

    def share(text: str) -> str:
        if text:
            offered.append(text)
            ready.set()
        assert ready.wait(10)
        return offered[0]

    def join(rank: int) -> None:
        timing = others if rank else first
        found[rank] = connect(rank, count, share, lambda loss: losses.append((rank, loss)), seconds=10, timing=timing)

    threads = [threading.Thread(target=join, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return [found[rank] for rank in range(count)], losses


def gathered(ranks: list[Channel], values: list[Any]) -> list[Any]:
    """What each rank gathers."""
    results: dict[int, Any] = {}

    def gather(rank: int) -> None:
        results[rank] = ranks[rank].gather(values[rank])

    threads = [threading.Thread(target=gather, args=(rank,)) for rank in range(len(ranks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return [results[rank] for rank in range(len(ranks))]


def test_ranks_exchange_values_and_leave() -> None:
    ranks, losses = channels(3)
    assert gathered(ranks, ["a", None, {"c": [1.5]}]) == [["a", None, {"c": [1.5]}]] * 3
    for channel in ranks:
        channel.leave()
    time.sleep(0.3)
    assert not losses


@pytest.mark.parametrize(
    ("lost", "error", "words"),
    [(1, None, "ended without a message"), (0, None, "ended without a message"), (2, "no space left", "no space left")],
)
def test_a_lost_rank_is_named_to_all_others(lost: int, error: str | None, words: str) -> None:
    """Ranks that wait for values raise; the others hear of it, too."""
    ranks, losses = channels(3)
    if error is not None:
        ranks[lost].leave(error)
    ranks[lost]._ended.set()  # A process that died tells nobody.
    for peer in ranks[lost]._peers.values():
        with suppress(OSError):  # The others have closed it, after a rank that said that it leaves.
            peer.connection.shutdown(socket.SHUT_RDWR)
    left = [channel for channel in ranks if channel.rank != lost]
    for channel in left:
        loss = channel.wait_for_loss(5)
        assert loss is not None
        assert (loss.rank, loss.host) == (lost, socket.gethostname() if lost else loss.host)
        assert words in loss.reason
        with pytest.raises(EpochbankError, match=f"rank {lost} on .*{words}"):
            channel.gather(1)
    assert {rank for rank, _ in losses} - {lost} == {channel.rank for channel in left}


def test_a_silent_rank_is_lost() -> None:
    """A rank that sends no sign of life, as when it is stopped or the network is cut."""
    ranks, losses = channels(2, Timing(silence=0.5, beat=0.1), Timing(silence=10, beat=10))
    loss = ranks[0].wait_for_loss(5)
    assert loss is not None
    assert loss.reason == "did not answer for 0.5 s"
    while not losses:  # The test has a time limit.
        time.sleep(0.05)


def test_strangers_and_missing_ranks() -> None:
    """A connection without the token is closed; if a rank does not come, the error says which."""
    offers: list[dict[str, Any]] = []

    def share(text: str) -> str:
        offers.append(json.loads(text))
        with socket.create_connection(("127.0.0.1", offers[0]["port"])) as stranger:
            stranger.sendall(b'{"token": "guess", "rank": 1}\n')
        return text

    with pytest.raises(EpochbankError, match="rank 1, 2 of 3 did not connect to rank 0"):
        connect(0, 3, share, lambda loss: None, seconds=0.5)


# Iterators


@pytest.mark.parametrize("kind", ["batches", "sequence", "to_tf_dataset"])
@pytest.mark.parametrize("framework", ["torch.distributed", "jax"])
def test_iterators_read_the_part_of_their_rank(
    kind: str, framework: str, numbered_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without being asked, if the framework is initialized; explicit numbers take precedence."""
    if kind == "to_tf_dataset":
        pytest.importorskip("tensorflow")
    stored_set = open_set(numbered_set)

    def shown(**options: int) -> list[int]:
        if kind == "sequence":
            data = AugmentedSequence(stored_set, 64, 0, **options)
            batches = [data[number] for number in range(len(data))]
            data.close()
        elif kind == "batches":
            batches = list(stored_set.batches(64, 0, epochs=1, **options))
        else:
            batches = [(images.numpy(), labels) for images, labels in stored_set.to_tf_dataset(64, 0, **options)]
        return [number for images, _ in batches for number in numbers(images).tolist()]

    everything = sorted(shown())
    parts = []
    for rank in range(3):
        here = {
            "torch.distributed": SimpleNamespace(
                is_available=lambda: True, is_initialized=lambda: True, get_rank=lambda rank=rank: rank,
                get_world_size=lambda: 3,
            ),
            "jax": SimpleNamespace(
                distributed=SimpleNamespace(is_initialized=lambda: True), process_index=lambda rank=rank: rank,
                process_count=lambda: 3,
            ),
        }  # fmt: skip
        with monkeypatch.context() as patch:
            patch.delitem(sys.modules, "torch.distributed", raising=False)
            patch.setitem(sys.modules, framework, here[framework])
            parts.append(shown())
            assert sorted(shown(rank=0, world_size=1)) == everything
    assert sorted(parts[0] + parts[1] + parts[2]) == everything
    assert min(map(len, parts)) >= 266


# `train fit`


@pytest.fixture(scope="module")
def numbered_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of 800 training images that have their number in two pixels, and the module of a model beside it."""
    directory = tmp_path_factory.mktemp("numbered")
    np.savez(directory / "n.npz", images=numbered(1000), labels=np.arange(1000) % 5)
    (directory / "nothing.toml").write_text(NOTHING)
    made = epochbank.generate(
        directory / "n.npz", recipe=directory / "nothing.toml", epochs=2, sets=directory / "sets", jobs=1,
        shard_size=100, chunk_size=10, validation=0.1, test=0.1,
    )  # fmt: skip
    (directory / "small_model.py").write_text(MODEL)
    return made.path


MODEL = """
import keras
from keras import layers

def build(shape, classes):
    return keras.Sequential([keras.Input(shape), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(16),
                             layers.BatchNormalization(), layers.Dropout(0.2), layers.Dropout(0.1, seed=3),
                             layers.Dense(classes)])
"""
OPTIONS = ("--model", "small_model:build", "--originals", "0", "--batch-size", "32", "--epochs", "3", "--deterministic")


def start(set_path: Path, rank: int, record: Path, words: tuple[object, ...], where: str, number: int,
          environment: dict[str, str]) -> subprocess.Popen:  # fmt: skip
    script = str(Path(__file__).parent / "ranks_fit.py")
    return subprocess.Popen(
        [sys.executable, script, str(record), where, str(number), "fit", *map(str, words)],
        cwd=set_path.parents[1],
        env={**os.environ, "KERAS_BACKEND": BACKEND, "PYTHONPATH": str(set_path.parents[1]), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def fit_together(
    set_path: Path, directory: Path, *words: object, rank: int = 0, where: str = "", number: int = 0
) -> tuple[list[int], list[str]]:
    """Run two processes of `train fit`; `rank` sends itself a signal. Return their exit codes and outputs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    started = [
        start(
            set_path, one, directory / f"rank{one}.json",
            (*words, "--rank", one, "--world-size", 2, "--coordinator", address),
            where, number if one == rank else 0, {},
        )
        for one in (0, 1)
    ]  # fmt: skip
    try:
        outputs = [process.communicate(timeout=240)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    return [process.returncode for process in started], outputs


def records(directory: Path) -> list[dict[str, Any]]:
    return [json.loads((directory / f"rank{rank}.json").read_text()) for rank in (0, 1)]


def results(run: Path) -> tuple[list[dict[str, str]], dict[str, bytes], Any]:
    """The reproducible columns of metrics.csv, the arrays of model.keras, and the evaluation on test."""
    with open(run / "metrics.csv", newline="") as file:
        rows = [{name: text for name, text in row.items() if not name.startswith(("data_", "queue_"))}
                for row in csv.DictReader(file)]  # fmt: skip
    found: dict[str, bytes] = {}
    with zipfile.ZipFile(run / "model.keras") as model, h5py.File(io.BytesIO(model.read("model.weights.h5"))) as held:
        held.visititems(lambda name, item: found.update({name: item[()].tobytes()} if hasattr(item, "dtype") else {}))
    return rows, found, json.loads((run / "summary.json").read_text())["test"]


several = pytest.mark.skipif(BACKEND == "tensorflow", reason="Keras trains on several processes on torch and JAX")


@pytest.fixture(scope="module")
def together(numbered_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `run`, an uninterrupted run of two processes, and what they read."""
    directory = tmp_path_factory.mktemp("together")
    codes, outputs = fit_together(numbered_set, directory, numbered_set, *OPTIONS, "--run", directory / "run")
    assert codes == [0, 0], outputs
    assert "2 processes train one model" in outputs[0]
    assert "epoch 3/3" in outputs[0]
    assert "epoch" not in outputs[1]
    return directory


@several
def test_two_processes_train_one_model(numbered_set: Path, together: Path) -> None:
    """Each image is shown once per epoch by one of them (on JAX in full batches), and their weights are equal."""
    first, second = records(together)
    assert first["weights"] == second["weights"]
    shown = 400 if BACKEND == "torch" else 384
    for epoch in ("0", "1", "2"):
        one, other = first["read"][epoch], second["read"][epoch]
        assert len(one) == len(set(one)) == len(other) == len(set(other)) == shown
        assert not set(one) & set(other)
    config, summary = (json.loads((together / "run" / name).read_text()) for name in ("config.json", "summary.json"))
    assert (config["rank"], config["world_size"]) == (0, 2)
    assert summary["test"]["images"] == 100
    rows = results(together / "run")[0]
    # The statistics with which an epoch is validated are those that are saved.
    if BACKEND == "torch":
        losses = [{name: float(row[name]) for name in ("val_accuracy", "val_loss")} for row in rows]
        best = best_epoch(losses)
        assert best is not None
        assert losses[best]["val_loss"] == pytest.approx(summary["validation"]["loss"], abs=1e-5)


@several
def test_killed_and_stopped_ranks_resume_to_the_same_result(numbered_set: Path, together: Path, tmp_path: Path) -> None:
    """SIGKILL of one rank ends the other with words; SIGTERM to one stops both at the same step."""
    run = tmp_path / "run"
    words = (numbered_set, *OPTIONS, "--checkpoint-steps", 5, "--run", run)
    codes, outputs = fit_together(numbered_set, tmp_path, *words, rank=1, where="1:8", number=signal.SIGKILL)
    assert codes == [1, -9], outputs
    assert f"rank 1 on {socket.gethostname()} ended without a message" in outputs[0]
    assert f"start all of them again with: train fit --resume {run}" in outputs[0]
    resume = ("--resume", run, "--trust")
    codes, outputs = fit_together(numbered_set, tmp_path, *resume, rank=1, where="2:3", number=signal.SIGTERM)
    assert codes == [143, 143], outputs
    assert "resumes in epoch 2, after 5 of" in outputs[0]
    assert f"Resume with: train fit --resume {run}" in outputs[0]
    codes, outputs = fit_together(numbered_set, tmp_path, *resume)
    assert codes == [0, 0], outputs
    assert "resumes in epoch 3, after 10 of" in outputs[0]
    assert results(run) == results(together / "run")
    assert [one["weights"] for one in records(tmp_path)] == [one["weights"] for one in records(together)]


@several
def test_the_death_of_rank_0_ends_the_others(numbered_set: Path, tmp_path: Path) -> None:
    """Also on JAX, which would abort with messages of its own."""
    words = (numbered_set, *OPTIONS, "--run", tmp_path / "run")
    codes, outputs = fit_together(numbered_set, tmp_path, *words, rank=0, where="0:4", number=signal.SIGKILL)
    assert codes[0] == -9
    assert codes[1] == 1, outputs[1]
    assert "Error: rank 0 on" in outputs[1]
    assert f"train fit --resume {tmp_path / 'run'}" in outputs[1]


@several
def test_another_number_of_processes_is_refused(numbered_set: Path, together: Path, tmp_path: Path) -> None:
    """A run of two processes is not continued by one, and an error of rank 0 ends the other."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text((together / "run" / "config.json").read_text())
    refused = CliRunner().invoke(train, ["fit", "--resume", str(run), "--trust"])
    assert refused.exit_code == 2
    assert "is trained by 2 processes, but 1 would continue it" in refused.stderr
    codes, outputs = fit_together(numbered_set, tmp_path, numbered_set, *OPTIONS, "--run", run)
    assert codes == [1, 1], outputs
    assert "rank 0 on" in outputs[1]
    assert "Choose another --run directory" in outputs[0]


@pytest.mark.skipif(BACKEND != "torch", reason="torchrun is for torch")
def test_torchrun_starts_the_processes(numbered_set: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--"]
    done = subprocess.run(
        [*command, "epochbank.train", "fit", str(numbered_set), *OPTIONS, "--run", str(tmp_path / "run")],
        cwd=numbered_set.parents[1], env={**os.environ, "PYTHONPATH": "."}, capture_output=True, text=True, timeout=240,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2 processes train one model" in done.stderr
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["epochs"] == 3


@pytest.mark.skipif(BACKEND != "tensorflow", reason="this is refused on TensorFlow only")
@pytest.mark.parametrize("words", [["--world-size", "2"], ["--world-size", "2", "--rank", "1"], []])
def test_tensorflow_is_refused(words: list[str], numbered_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason and the fix are in the message, with options and with TF_CONFIG."""
    if not words:
        monkeypatch.setenv(
            "TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}'
        )
    refused = CliRunner().invoke(train, ["fit", str(numbered_set), *words])
    assert refused.exit_code == 2
    assert "MultiWorkerMirroredStrategy fails in the `fit` of Keras 3 (keras issue 20585)" in refused.stderr
    assert "KERAS_BACKEND=jax or torch" in refused.stderr
    assert "to_tf_dataset(rank=, world_size=)" in refused.stderr


@pytest.mark.long
@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.distribute needs TensorFlow")
def test_a_custom_loop_on_two_workers_of_tensorflow(numbered_set: Path) -> None:
    """MultiWorkerMirroredStrategy with `to_tf_dataset`: each image once per epoch, and equal weights."""
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(f"127.0.0.1:{free.getsockname()[1]}")
    script = str(Path(__file__).parent / "tensorflow_workers.py")
    started = [
        subprocess.Popen(
            [sys.executable, script, str(numbered_set)],
            env={
                **os.environ,
                "TF_CONFIG": json.dumps({"cluster": {"worker": ports}, "task": {"type": "worker", "index": index}}),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=240) for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], outputs
    first, second = (json.loads(out.splitlines()[-1]) for out, _ in outputs)
    assert first["weights"] == second["weights"]
    assert first["weights"] != 0
    for one, other in zip(first["epochs"], second["epochs"], strict=True):
        assert len(one) == len(other) == 400
        assert len({*one, *other}) == 800

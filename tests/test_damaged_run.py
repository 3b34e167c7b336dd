"""A run directory with damaged files, or with files of a stranger: refused by name, or the same run."""

import copy
import io
import json
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import epochbank
from conftest import glyphs
from epochbank.augment.errors import EpochbankError
from epochbank.train.cli import main
from epochbank.train.training import fit as fit_module
from epochbank.train.training import resume as resume_module
from epochbank.train.training.checkpoint_state import check_state
from epochbank.train.training.evaluate import load_best
from epochbank.train.training.history import read_history
from epochbank.train.training.run_list import list_runs
from epochbank.train.training.snapshot import Snapshot, build_state, read_snapshot, write_snapshot

STATE: dict[str, Any] = {
    "epoch": 2, "batch": 3, "ended": False, "seconds": 1.5,
    "rows": [{"epoch": epoch, "loss": 0.5, "accuracy": 0.9, "val_loss": 0.6, "val_accuracy": 0.8} for epoch in (0, 1)],
    "random": ["00ff"], "stored_epochs": [0, 1, 0],
}  # fmt: skip
"""The state of a run of four epochs with ten steps each."""

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def small_model() -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(2)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    build_state(model, 2)
    return model


def refusal(action: Callable[[], object]) -> str:
    """Return the message with which `action` refuses its files; '' if it accepts them."""
    try:
        action()
    except EpochbankError as error:
        return str(error)
    return ""


def restored(path: Path, model: keras.Model) -> Snapshot:
    """Restore `model` from the checkpoint `path`, as resuming does."""
    snapshot = read_snapshot(path)
    check(path, snapshot.state)
    snapshot.restore(model)
    snapshot.restore_metrics(model)
    return snapshot


def check(path: Path, state: dict[str, Any]) -> None:
    check_state(path, state, epochs=4, steps=lambda epoch: 10)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every value in a JSON document."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def replaced(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return a copy of `document` with another value at one place."""
    if not path:
        return value
    document = copy.deepcopy(document)
    at = document
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return document


# --- checkpoint.npz -------------------------------------------------------------------------------------------------


def test_a_flipped_byte_of_a_checkpoint_is_found(tmp_path: Path) -> None:
    """With any byte flipped, the checkpoint is refused by name, or gives the same state and variables."""
    path, model = tmp_path / "checkpoint.npz", small_model()
    write_snapshot(path, model, STATE)
    sound, expected = path.read_bytes(), read_snapshot(path)
    refused = 0
    rng = random.Random(0)
    for at in sorted(rng.sample(range(len(sound)), 400)):
        damaged = bytearray(sound)
        damaged[at] ^= rng.choice([1, 0x80, 0xFF])
        path.write_bytes(damaged)
        message = refusal(lambda: restored(path, model))
        refused += bool(message)
        if message:
            assert str(path) in message
        else:
            snapshot = read_snapshot(path)
            assert snapshot.state == expected.state
            for group, arrays in expected.arrays.items():
                assert all(np.array_equal(a, b) for a, b in zip(snapshot.arrays[group], arrays, strict=True))
    assert refused > 200


@settings(deadline=None, max_examples=60)
@given(where=st.sampled_from(sorted(places(STATE), key=repr)), value=JSON)
def test_crafted_state_of_a_checkpoint(where: tuple[Any, ...], value: Any) -> None:
    """The state with another value at any place is refused, or has the types and lengths that training needs."""
    state = replaced(STATE, where, value)
    if not isinstance(state, dict):
        return  # `read_snapshot` refuses it.
    message = refusal(lambda: check(Path("checkpoint.npz"), state))
    if message:
        assert "checkpoint.npz is damaged" in message
    else:
        assert 0 <= state["epoch"] == len(state["rows"]) <= 4
        assert 0 <= state["batch"] < 10
        assert all(isinstance(one, str) for one in state.get("random", []))


@pytest.mark.parametrize("epoch", [0, 4])
def test_states_at_the_ends_are_accepted(epoch: int) -> None:
    rows = [dict(STATE["rows"][0], epoch=at) for at in range(epoch)]
    state = STATE | {"epoch": epoch, "batch": 0, "rows": rows, "stored_epochs": [0] * epoch}
    check(Path("c"), state | {"ended": epoch == 4})
    del state["stored_epochs"]
    check(Path("c"), state)


@pytest.fixture(scope="module")
def built() -> keras.Model:
    return small_model()


@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_crafted_members_of_a_checkpoint(
    built: keras.Model, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A checkpoint whose list of variables or arrays were changed is refused by name, or fits the model."""
    path = tmp_path_factory.mktemp("c") / "checkpoint.npz"
    write_snapshot(path, built, STATE)
    with np.load(path) as file:
        members = dict(file)
    state = json.loads(members["state"].tobytes())
    if data.draw(st.booleans()):
        state = replaced(state, data.draw(st.sampled_from(sorted(places(state), key=repr))), data.draw(JSON))
        members["state"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
    else:
        name = data.draw(st.sampled_from(sorted(members)))
        shapes = [np.zeros((4, 3)), np.zeros(3, np.int8), np.zeros((), "U3"), np.zeros((2, 0)), np.zeros(7, "V4")]
        members[name] = data.draw(st.sampled_from(shapes))
    np.savez(path, **members)
    message = refusal(lambda: restored(path, built))
    assert not message or str(path) in message


def test_a_checkpoint_that_explodes_is_refused(tmp_path: Path) -> None:
    """Compressed members could be a thousand times larger than the file."""
    path = tmp_path / "checkpoint.npz"
    np.savez_compressed(path, state=np.zeros(10_000_000, np.uint8))
    with pytest.raises(EpochbankError, match="larger than the file"):
        read_snapshot(path)


# --- config.json, metrics.csv, model.keras --------------------------------------------------------------------------


class Reached(Exception):
    """The training would begin now."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory that can be resumed, as far as is read before Keras makes the model."""
    directory = tmp_path_factory.mktemp("run")
    np.savez(directory / "a.npz", images=glyphs(100, (8, 8, 1)), labels=np.arange(100) % 4)
    made = epochbank.generate(directory / "a.npz", epochs=2, sets=directory / "sets", jobs=1)
    options = fit_module.FitOptions(epochs=4, batch_size=16)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fit_module, "run_training", lambda model, data, options, run, *_: data.stream.close())
        fit_module.fit(made, options, directory / "r")
    return directory / "r"


def resume(run: Path) -> None:
    """Resume a run up to the point at which the model is made. Raises `Reached` there."""

    def prepare(*arguments: Any) -> Any:
        raise Reached

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(resume_module, "prepare", prepare)
        resume_module.resume(run)


def test_the_sound_run_is_resumed(run: Path) -> None:
    with pytest.raises(Reached):
        resume(run)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_crafted_config(run: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """config.json with another value at any place is refused with a message, or training begins."""
    copied = Path(shutil.copytree(run, tmp_path_factory.mktemp("c") / "r"))
    config = json.loads((copied / "config.json").read_text())
    where = data.draw(st.sampled_from(sorted((one for one in places(config) if len(one) < 3), key=repr)))
    (copied / "config.json").write_text(json.dumps(replaced(config, where, data.draw(JSON))))
    with pytest.raises((EpochbankError, Reached)):
        resume(copied)
    facts, faults = list_runs(copied.parent)
    assert len(facts) + len(faults) == 1
    for words in (["evaluate", copied], ["predict", copied, "x.png"], ["fit", "--resume", copied]):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("epochbank.train.training.backend.start_backend", lambda *_: (_ for _ in ()).throw(Reached))
            result = CliRunner().invoke(main, list(map(str, words)))
        assert result.exit_code in (1, 2), (words, result.output, result.exception)
        assert isinstance(result.exception, SystemExit | Reached), (words, result.exception)


def test_flipped_config(run: Path, tmp_path: Path) -> None:
    """With a byte of config.json flipped, the run is refused with a message, or training begins."""
    copied = Path(shutil.copytree(run, tmp_path / "r"))
    sound = (copied / "config.json").read_bytes()
    rng = random.Random(0)
    for at in range(0, len(sound), 3):
        damaged = bytearray(sound)
        damaged[at] ^= 1 << rng.randrange(8)
        (copied / "config.json").write_bytes(damaged)
        with pytest.raises((EpochbankError, Reached)):
            resume(copied)


def test_flipped_metrics(tmp_path: Path) -> None:
    """metrics.csv with a byte flipped is refused by name, or has numbers under the names that the report needs."""
    path = tmp_path / "metrics.csv"
    sound = b"epoch,accuracy,loss,val_accuracy,val_loss\n0,0.5,1.25,0.75,1.5\n1,0.75,0.5,0.875,0.25\n"
    for at in range(len(sound)):
        for bit in (1, 4, 0x80):
            damaged = bytearray(sound)
            damaged[at] ^= bit
            path.write_bytes(damaged)
            message = refusal(lambda: read_history(tmp_path))
            if message:
                assert str(path) in message
            else:
                history = read_history(tmp_path)
                assert {"loss", "accuracy"} <= set(history)
                assert len({len(column) for column in history.values()}) == 1


def test_flipped_model(tmp_path: Path) -> None:
    """model.keras with a byte flipped is refused by name, or gives the same weights."""
    model = small_model()
    model.save(tmp_path / "model.keras")
    sound = (tmp_path / "model.keras").read_bytes()
    expected = [np.asarray(one) for one in model.variables]
    rng = random.Random(0)
    for at in sorted(rng.sample(range(len(sound)), 120)):
        damaged = bytearray(sound)
        damaged[at] ^= 1 << rng.randrange(8)
        (tmp_path / "model.keras").write_bytes(damaged)
        message = refusal(lambda: load_best(model, tmp_path))
        if message:
            assert "model.keras" in message
        else:
            for one, value in zip(model.variables, expected, strict=True):
                assert np.array_equal(np.asarray(one), value)


def test_crafted_weights(tmp_path: Path) -> None:
    """A model file without weights, or with those of another model, is refused."""
    model = small_model()
    for name, content in (("config.json", b"{}"), ("model.weights.h5", b"nothing"), ("model.weights.h5", b"")):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as file:
            file.writestr(name, content)
        (tmp_path / "model.keras").write_bytes(buffer.getvalue())
        with pytest.raises(EpochbankError, match=r"model\.keras"):
            load_best(model, tmp_path)

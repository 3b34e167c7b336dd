"""What a worker process of a cluster is refused for."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conftest import small_set
from epochbank.augment.errors import EpochbankError
from epochbank.augment.generation import handshake
from epochbank.augment.generation.handshake import SetHandshake, ask
from epochbank.augment.generation.set_inputs import SetReference, load_inputs, reference_to
from epochbank.augment.generation.stored_spec import locate_stored


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> SetReference:
    """A reference to a small set."""
    (path,) = small_set(tmp_path_factory.mktemp("set"), epochs=1).glob("sets/*/set.json")
    location = locate_stored(path.parent)
    assert location.description is not None
    return reference_to(path.parent, location.description, location.spec)


def temporary(reference: SetReference) -> list[Path]:
    return list(reference.directory.glob(".tmp-*"))


@pytest.mark.parametrize("engine", ["pillow", "compiled", None])
@pytest.mark.parametrize("writes", [True, False])
def test_a_process_like_this_one_is_admitted(reference: SetReference, engine: str | None, writes: bool) -> None:
    """Also twice; nothing is left in the set."""
    with SetHandshake(reference, engine, writes=writes) as asked:
        assert len(temporary(reference)) == writes
        for _ in range(2):
            assert asked.fault(ask(asked.question)) == ""
    assert not temporary(reference)


@pytest.mark.parametrize(
    ("where", "value", "fault"),
    [
        ("__version__", "0.0.1", "epochbank is 0.0.1; expected "),
        ("_version", lambda module: "9.9" if module == "PIL" else "1", "NumPy is 1; expected "),
        ("_read", lambda path: "no such file", "directory of the set is no such file; expected "),
    ],
)
def test_a_process_that_differs_is_refused(
    reference: SetReference, monkeypatch: pytest.MonkeyPatch, where: str, value: Any, fault: str
) -> None:
    """The reason is the first difference."""
    with SetHandshake(reference, "pillow") as asked:
        with monkeypatch.context() as changed:
            changed.setattr(handshake, where, value)
            answer = ask(asked.question)
        assert fault in asked.fault(answer)
    assert not temporary(reference)


def test_other_pixels_and_another_source_are_refused(reference: SetReference) -> None:
    """An engine that computes other pixels, and a source file that the process does not see."""
    with SetHandshake(reference, "pillow") as asked:
        answer = ask(asked.question)
        facts = {name: "0" * 32 if name == "digest of 8 images" else value for name, value in answer.facts.items()}
        assert "digest of 8 images is 00000000" in asked.fault(replace(answer, facts=facts))
        elsewhere = replace(reference, source=reference.source.with_name("none.h5"))
        assert "none.h5 cannot be opened: No such file" in asked.fault(
            ask(replace(asked.question, reference=elsewhere))
        )
        other = replace(reference, fingerprint="0" * 64)
        assert "has the fingerprint" in asked.fault(ask(replace(asked.question, reference=other)))
    assert not temporary(reference)


def test_a_process_whose_files_are_not_seen_here_is_refused(reference: SetReference) -> None:
    """It reads the file of the run, for example through a cache, and writes elsewhere."""
    with SetHandshake(reference, "pillow") as asked:
        assert "the file that it wrote into" in asked.fault(replace(ask(asked.question), written="../.tmp-1"))
        assert "the file that it wrote into" in asked.fault(replace(ask(asked.question), written=""))
        for path in temporary(reference):
            if path != asked.lease:
                path.unlink()


def test_a_late_answer_leaves_no_file(reference: SetReference) -> None:
    with SetHandshake(reference, "pillow") as asked:
        pass
    assert "no such file" in asked.fault(ask(asked.question))
    assert not temporary(reference)


def test_inputs_are_loaded_once_until_a_file_changes(reference: SetReference) -> None:
    inputs = load_inputs(reference)
    assert load_inputs(replace(reference)) is inputs
    source = reference.source.read_bytes()
    reference.source.write_bytes(source)
    assert load_inputs(reference) is not inputs
    with pytest.raises(EpochbankError, match="expected 00000"):
        load_inputs(replace(reference, fingerprint="0" * 64))

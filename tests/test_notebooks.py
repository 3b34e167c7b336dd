"""The example notebooks: stored with outputs that suit their code, and executable by anyone."""

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples/notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def execute() -> ModuleType:
    """The module examples/notebooks/execute.py."""
    spec = importlib.util.spec_from_file_location("execute_notebooks", ROOT / "examples/notebooks/execute.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def kinds(notebook: dict[str, Any]) -> list[list[str]]:
    """Return the kinds of the outputs of each code cell. Short work prints a line; longer work displays one."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [[kind for output in cell["outputs"] if (kind := kind_of(output)) != "text/plain"] for cell in cells]


def kind_of(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream":
        return "text/plain"
    return max(output["data"], key=["text/plain", "text/html", "image/png"].index)


def test_there_are_two_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["handwriting-by-writers", "quick-start"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_stored_outputs_are_complete_and_small(path: Path, execute: ModuleType) -> None:
    """Every cell was executed in order, without an error or a message on standard error, and shows no local path."""
    text = path.read_text(encoding="utf-8")
    assert execute.faults_of(text) == []
    assert sum(map(len, kinds(json.loads(text)))) >= 6
    assert execute.faults_of(text.replace("epochs", "e" * 100_000)) != []


@pytest.mark.parametrize(
    ("output", "fault"),
    [
        ({"output_type": "stream", "name": "stdout", "text": ["/home/me/a\n"]}, "a path of this machine: /home/me/a"),
        ({"output_type": "stream", "name": "stderr", "text": "warning"}, "printed 'warning' on standard error"),
        ({"output_type": "error", "ename": "ValueError"}, "ended with ValueError"),
        ({"output_type": "display_data", "data": {"text/html": f"<p>{sys.prefix}</p>"}}, "shows a path"),
        ({"output_type": "display_data", "data": {"image/png": "/tmp/tmp/", "text/plain": "x"}}, None),
        ({"output_type": "display_data", "data": {"text/html": '<img src="data:image/webp;base64,/tmp/a">'}}, None),
    ],
)  # fmt: skip
def test_what_should_not_be_stored_is_found(execute: ModuleType, output: dict[str, Any], fault: str | None) -> None:
    cell = {"cell_type": "code", "execution_count": 1, "outputs": [output]}
    faults = execute.faults_of(json.dumps({"cells": [cell]}))
    assert len(faults) == (fault is not None)
    assert fault is None or fault in faults[0]


def test_lines_of_tensorflow_about_the_machine_are_removed(execute: ModuleType) -> None:
    cleaned: Callable[[dict[str, Any]], dict[str, Any] | None] = execute.cleaned
    noise = (
        "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
        "I0000 00:00:1796061447.607269    8371 cudart_stub.cc:31] Could not find cuda drivers on your machine\n"
        "E0000 00:00:1796061452.863454    8371 cuda_platform.cc:52] failed call to cuInit\n\n"
    )
    output = {"output_type": "stream", "name": "stderr", "text": noise}
    assert cleaned(dict(output)) is None
    kept = cleaned({**output, "text": noise + "UserWarning: x\n"})
    assert kept is not None
    assert kept["text"] == "UserWarning: x\n"


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_what_is_stored(path: Path, execute: ModuleType) -> None:
    """Each cell gives as many cards and images as are stored, and nothing that should not be stored."""
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    done = execute.executed(path)
    assert execute.faults_of(json.dumps(done)) == []
    assert kinds(done) == kinds(json.loads(path.read_text(encoding="utf-8")))

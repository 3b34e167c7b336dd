"""A real kernel of Jupyter: progress is one output per task, and an interrupt ends generation and training cleanly."""

import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import glyphs
from epochbank.augment.shared.atomic import TEMPORARY

pytest.importorskip("ipykernel")
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


class Kernel:
    """A kernel in a working directory."""

    def __init__(self, folder: Path):
        from jupyter_client.manager import KernelManager

        self._manager = KernelManager(kernel_name="python3")
        # With the variable of pytest, the kernel does not show what is written to the descriptors 1 and 2.
        environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        self._manager.start_kernel(cwd=str(folder), env=environment)
        self._client = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=120)

    def run(self, code: str, interrupt_at: str | None = None) -> tuple[Counter[str], str]:
        """Run a cell; return how many outputs of each kind it has, and all that it shows.

        The kernel is interrupted when an output matches the regular expression `interrupt_at`.
        """
        request, counts, shown = self._client.execute(code), Counter[str](), ""
        while True:
            message: dict[str, Any] = self._client.get_iopub_msg(timeout=300)
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            counts[kind] += 1
            text = content.get("text") or content.get("data", {}).get("text/plain", "")
            text += "\n".join(content.get("traceback", []))
            shown += text + "\n"
            if interrupt_at is not None and re.search(interrupt_at, text):
                interrupt_at = None
                time.sleep(0.3)
                self._manager.interrupt_kernel()
            if kind == "status" and content["execution_state"] == "idle":
                return counts, shown

    def close(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    np.savez(tmp_path / "a.npz", images=glyphs(2000, (32, 32, 1)), labels=np.arange(2000) % 6)
    started = Kernel(tmp_path)
    yield started
    started.close()


def test_generation_and_training_are_interrupted_and_continued(kernel: Kernel, tmp_path: Path) -> None:
    generate = "found = epochbank.generate('a.npz', 'handwriting', {}, jobs=2, shard_size=500)"
    counts, shown = kernel.run("import epochbank; " + generate.format(400), r"generate: .*\([1-9]\d* %\)")
    assert "Interrupted: " in shown
    assert "Run the same command to continue" in shown
    assert "Traceback" not in shown
    assert counts["display_data"] <= 3  # Import, calibration, generation.
    assert counts["update_display_data"] > 0
    assert not list(tmp_path.rglob(f"{TEMPORARY}*"))
    counts, shown = kernel.run("print(len(epochbank.open_set().epochs))")
    epochs = int(shown)
    assert 0 < epochs < 400
    counts, shown = kernel.run(generate.format(epochs + 2) + "; print(found.epochs[-1], epochbank.verify(jobs=1))")
    assert f"{epochs + 1} []" in shown
    counts, shown = kernel.run("run = epochbank.fit(found, epochs=30, run='mine', seed=1)", "epoch 2/30: ")
    assert "Stopping after this step and writing a checkpoint" in shown
    assert "Stopped: Resume with: train fit --resume mine" in shown
    assert counts["display_data"] == 1
    counts, shown = kernel.run("run = epochbank.open_run('mine'); print(run)")
    assert "unfinished" in shown
    counts, shown = kernel.run("run = epochbank.resume(run)", "epoch 4/30: ")
    assert "mine resumes in epoch" in shown
    assert "epoch 3/30: loss" in shown
    assert "Stopped: " in shown
    counts, shown = kernel.run("print(epochbank.open_run('mine').num_epochs)")
    assert int(shown) >= 3

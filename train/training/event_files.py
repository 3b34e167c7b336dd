"""A run in TensorBoard: the event files in a run directory, in the form that `torch.utils.tensorboard` writes, too."""

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...augment.shared.atomic import make_directory, no_follow, refuse_links
from .tracker import Outcome, Settings


class TensorBoardRun:
    """Event files in `tensorboard/` of the run directory.

    TensorBoard discards the epochs that a killed session logged after its last checkpoint: they are trained again.
    """

    def __init__(self, run: Path, settings: Settings, resumed: int):
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb
        from tensorboard.plugins.text.summary_v2 import text_pb

        self._directory = run / "tensorboard"
        self._files: dict[str, Any] = {}
        self.place = f"tensorboard --logdir {self._directory}"
        self.epochs = resumed if any(self._directory.rglob("events.out.tfevents.*")) else 0
        if self.epochs == 0:
            table = ["| setting | value |", "|---|---|"]
            table += ["| {} | {} |".format(name, str(value).replace("|", "\\|")) for name, value in settings.items()]
            self._write("", 0, text_pb("settings", "\n".join(table)))
            self._write("", 0, hparams_pb(settings))
            self._flush()

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Write scalars `epoch_NAME`, those of the validation in a folder of their own."""
        for name, value in metrics.items():
            folder = "validation" if name.startswith("val_") else "train"
            self._scalar(folder, f"epoch_{name.removeprefix('val_')}", epoch, value)
        self._flush()

    def log_results(self, epochs: int, results: Mapping[str, float]) -> None:
        """Write one scalar for each result."""
        for name, value in results.items():
            self._scalar("", name, epochs, value)
        self._flush()

    def close(self, outcome: Outcome) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()

    def _scalar(self, folder: str, tag: str, step: int, value: float) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._write(folder, step, Summary(value=[Summary.Value(tag=tag, simple_value=float(value))]))

    def _write(self, folder: str, step: int, summary: Any) -> None:
        self._event(self._file(folder), step=step, summary=summary)

    def _file(self, folder: str) -> Any:
        """Return the file of this session in `folder`; its first event discards what was logged from there on."""
        from tensorboard.compat.proto.event_pb2 import SessionLog

        if folder not in self._files:
            directory = self._directory / folder
            refuse_links(path for path in (self._directory, directory) if path.exists())
            make_directory(directory)
            name = f"events.out.tfevents.{time.time_ns() / 1e9:.6f}.{socket.gethostname()}.{os.getpid()}"
            file = self._files[folder] = open(directory / name, "xb", opener=no_follow)  # noqa: SIM115
            self._event(file, file_version="brain.Event:2")
            self._event(file, step=self.epochs, session_log=SessionLog(status=SessionLog.START))
        return self._files[folder]

    def _event(self, file: Any, **values: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        RecordWriter(file).write(Event(wall_time=time.time(), **values).SerializeToString())

    def _flush(self) -> None:
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())

"""How progress is shown: a bar on a terminal, a bar in a notebook, otherwise a line every ten seconds."""

import time
from collections.abc import Callable
from typing import Protocol

from .notebook import NotebookLine, in_notebook
from .streams import is_terminal, write_message

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_UPDATES = 0.25

State = Callable[[int, float], str]
"""Returns the text for the number of items that are done and the seconds since the start."""


class Bar(Protocol):
    """What shows progress."""

    label: str
    """What is done."""

    def start(self) -> None:
        """Begin to show progress."""

    def update(self, done: int) -> None:
        """Show that `done` items are done."""

    def stop(self, summary: str, failed: bool) -> None:
        """Show the end, in one sentence."""


def bar_for(label: str, total: int | None, state: State) -> Bar:
    """Return the bar that suits the place where standard error, or the output of the cell, is shown."""
    if in_notebook():
        return NotebookBar(label, total, state)
    return TerminalBar(label, total, state) if is_terminal() else Lines(label, total, state)


class TerminalBar:
    """A bar of Rich, which is imported only for a terminal."""

    def __init__(self, label: str, total: int | None, state: State):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
        from rich.text import Text

        class Column(ProgressColumn):
            def render(self, task: Task) -> Text:
                return Text(state(int(task.completed), task.elapsed or 0.0))

        columns = TextColumn("{task.description}"), BarColumn(bar_width=16), Column()
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._task = self._progress.add_task(label, total=total)
        self.label = label

    def start(self) -> None:
        """Show the bar."""
        self._progress.start()

    def update(self, done: int) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=done, description=self.label)

    def stop(self, summary: str, failed: bool) -> None:
        """Leave the bar as it is."""
        self._progress.stop()


class NotebookBar:
    """A bar in the output of a cell. It appears after a moment; at the end, one line of text is left."""

    def __init__(self, label: str, total: int | None, state: State):
        self.label, self._total, self._state = label, total, state
        self._line = NotebookLine()
        self._start = self._last = time.monotonic()

    def start(self) -> None:
        """Start the clock."""
        self._start = self._last = time.monotonic()

    def update(self, done: int) -> None:
        """Move the bar, a few times per second."""
        now = time.monotonic()
        if now - self._last >= SECONDS_BETWEEN_UPDATES:
            self._last = now
            text = f"{self.label}: {self._state(done, now - self._start)}"
            self._line.show(text, done / self._total if self._total else None)

    def stop(self, summary: str, failed: bool) -> None:
        """Replace the bar with the summary."""
        if self._line.shown:
            self._line.show(summary)
        elif not failed:
            write_message(summary)


class Lines:
    """A line of text on standard error every ten seconds, and one at the end."""

    def __init__(self, label: str, total: int | None, state: State):
        self.label, self._state = label, state
        self._start = self._last = time.monotonic()

    def start(self) -> None:
        """Do nothing."""

    def update(self, done: int) -> None:
        """Print a line if it is time."""
        now = time.monotonic()
        if now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            write_message(f"{self.label}: {self._state(done, now - self._start)}")

    def stop(self, summary: str, failed: bool) -> None:
        """Print the summary, unless an error is printed."""
        if not failed:
            write_message(summary)

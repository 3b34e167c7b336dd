"""The kernel of a notebook: whether this process is one, and a line in the output of a cell that is updated in place.

Rich and tqdm need ipywidgets to update an output. Here the display protocol of IPython does so, which Jupyter, VS Code,
Colab and nbconvert understand, and which leaves plain text in the saved notebook.
"""

import html
import sys
from typing import Any

_BAR = (
    '<div style="display: flex; align-items: center; gap: 0.8em; font-family: var(--jp-code-font-family, monospace); '
    'font-size: var(--jp-code-font-size, 13px)"><progress max="1" value="{share:.4f}" '
    'style="width: 12em; flex: none"></progress><span>{text}</span></div>'
)


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook. IPython is not imported to find out."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


class NotebookLine:
    """A line of text in the output of the cell that runs when it is shown first."""

    def __init__(self) -> None:
        self._handle: Any = None

    @property
    def shown(self) -> bool:
        """Whether the line is in the output."""
        return self._handle is not None

    def show(self, text: str, share: float | None = None) -> None:
        """Show `text` in place of what is there; with `share`, from 0 to 1, behind a bar."""
        data = {"text/plain": text}
        if share is not None:
            data["text/html"] = _BAR.format(share=min(max(share, 0.0), 1.0), text=html.escape(text))
        if self._handle is None:
            from IPython.display import display

            self._handle = display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)

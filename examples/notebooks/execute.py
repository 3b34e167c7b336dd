"""Execute the example notebooks and store their outputs.

    python examples/notebooks/execute.py                      # all of them
    python examples/notebooks/execute.py quick-start.ipynb    # one

It needs `pip install 'epochbank[train,notebook]'`. Each notebook runs in an empty directory, in a kernel of this
Python. What TensorFlow prints about the machine is removed from the outputs. Any other output on standard error, an
error, a path of this machine, or a file of more than 500 kB ends the script, and the notebook stays as it was.
"""

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
LARGEST = 500_000
"""Most bytes of a notebook."""
_MACHINE = re.compile(
    r"WARNING: All log messages before absl|I\d{4} |E\d{4} .*cuda|To enable the following instructions|\s*$"
)
"""Beginnings of lines of TensorFlow about the machine, on standard error."""
_PATH = re.compile(r"/(tmp|root|home|Users|var/folders)/[\w./-]*")
"""A path of the machine."""
_TIMEOUT = 1800
"""Most seconds of a cell."""


def main(names: list[str]) -> None:
    """Execute the notebooks with these names, by default all of them."""
    for path in [FOLDER / name for name in names] or sorted(FOLDER.glob("*.ipynb")):
        notebook = executed(path)
        text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        faults = faults_of(text)
        if faults:
            sys.exit(f"{path.name} was executed, but not stored: " + "; ".join(faults))
        path.write_text(text, encoding="utf-8")
        print(f"{path.name}: {len(text.encode()) / 1000:.0f} kB")


def executed(path: Path) -> dict[str, Any]:
    """Return a notebook with the outputs of its execution in an empty directory."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory(prefix="notebook-") as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=_TIMEOUT, kernel_name="python3", resources=resources).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # Times.
        if cell.cell_type == "code":
            cell.outputs = [output for output in map(cleaned, merged(cell.outputs)) if output is not None]
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def merged(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return outputs with neighboring texts of one stream in one output, as Jupyter stores them."""
    done: list[dict[str, Any]] = []
    for output in outputs:
        if done and output["output_type"] == "stream" == done[-1]["output_type"] and output["name"] == done[-1]["name"]:
            done[-1]["text"] += output["text"]
        else:
            done.append(output)
    return done


def cleaned(output: dict[str, Any]) -> dict[str, Any] | None:
    """Return an output without lines about the machine or a second copy of an image; None if nothing is left."""
    if output["output_type"] == "stream" and output["name"] == "stderr":
        lines = output["text"].splitlines(keepends=True)
        output["text"] = "".join(line for line in lines if not _MACHINE.match(line))
        return output if output["text"] else None
    if "image/png" in output.get("data", {}):
        output["data"].pop("image/jpeg", None)  # Pillow gives both.
    return output


def faults_of(text: str) -> list[str]:
    """Return what must not be in the text of a stored notebook, one sentence each."""
    count = len(text.encode())
    faults = [f"it has {count:,} bytes; expected {LARGEST:,} at most"] if count > LARGEST else []
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    if [cell["execution_count"] for cell in cells] != [*range(1, len(cells) + 1)]:
        faults.append("its cells were not executed once each, in order")
    for number, cell in enumerate(cells, 1):
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                faults.append(f"cell {number} ended with {output['ename']}")
            shown = text_of(output)
            if output.get("name") == "stderr":
                faults.append(f"cell {number} printed {shown.strip()[:200]!r} on standard error")
            found = _PATH.search(shown)
            if found or sys.prefix in shown:
                faults.append(f"cell {number} shows a path of this machine: {found[0] if found else sys.prefix}")
    return faults


def text_of(output: dict[str, Any]) -> str:
    """Return the text that an output shows, without its images."""
    texts = [data for kind, data in output.get("data", {}).items() if kind.startswith("text/")]
    return "\n".join(re.sub(r"base64,[^\"]*", "", "".join(text)) for text in [output.get("text", ""), *texts])


if __name__ == "__main__":
    main(sys.argv[1:])

"""Write the report of a run."""

import shlex
from pathlib import Path
from typing import Any

from ....augment.shared.html.page import check_page, write_page
from ..reproduce import command, final_argument
from ..run_record import RunRecord, read_run
from .evaluation import evaluation_content
from .facts import data_rows, machine_rows, numbers, set_rows, setting_rows

REPORT = "report.html"
_FOLDER = Path(__file__).parent
_EPOCHS = 200
"""Number of epochs up to which the page has a table of them."""
_COLUMNS = {
    "loss": ("loss", 1),
    "val_loss": ("validation loss", 1),
    "accuracy": ("accuracy, %", 100),
    "val_accuracy": ("validation accuracy, %", 100),
    "data_wait": ("data wait, s", 1),
}


def write_run_report(run: Path, out: Path | None = None) -> Path:
    """Write the report of the run in the directory `run` as one HTML file, and return its path.

    Parameters
    ----------
    run
        A run directory. The report needs neither Keras nor the set. What a run of an earlier version of epochbank does
        not record is left out, and so is what an unfinished run does not have yet.
    out
        The file; None for `report.html` in the run directory. A page that epochbank wrote is replaced.

    Raises
    ------
    EpochbankError
        If `run` is not a run directory or is damaged, Jinja2 is not installed, or `out` exists and is not such a page.
    """
    path = run / REPORT if out is None else out
    check_page(path)
    write_page(path, _FOLDER, "run_report.html.j2", context(read_run(run)), ["run_report.js"])
    return path


def context(record: RunRecord) -> dict[str, Any]:
    """Return the variables of the template."""
    from .charts import curves, data_wait

    history, evaluated = record.history, next(iter(record.evaluations.values()), None)
    changed, defaults = setting_rows(record)
    final = record.options.final
    return {
        "record": record,
        "place": shlex.quote(str(record.path)),
        "numbers": numbers(record),
        "curves": curves(history) if history else [],
        "wait": data_wait(history) if history else None,
        "epochs": _epochs(history),
        "data_rows": data_rows(record),
        "evaluation": None if evaluated is None else evaluation_content(evaluated, record.class_names),
        "set_rows": set_rows(record),
        "changed": changed,
        "defaults": defaults,
        "machine_rows": machine_rows(record),
        "command": command(record),
        "processes": record.options.world_size or 1,
        "final_file": None if final is None or not final_argument(final).endswith(".toml") else final_argument(final),
    }


def _epochs(history: dict[str, list[float]]) -> dict[str, Any] | None:
    """Return the columns and rows of the table of epochs; None if there are none, or too many."""
    count = len(history.get("loss", ()))
    if not 0 < count <= _EPOCHS:
        return None
    names = [name for name in _COLUMNS if name in history]
    rows = [[f"{_COLUMNS[name][1] * history[name][epoch]:.4g}" for name in names] for epoch in range(count)]
    return {"columns": [_COLUMNS[name][0] for name in names], "rows": rows}

"""Write a comparison as one HTML page."""

from pathlib import Path
from typing import Any

from ....augment.shared.html.page import write_page
from ....augment.shared.progress import duration
from .comparison import Comparison
from .text import p_text, percent, points

_FOLDER = Path(__file__).parent


def write_comparison(comparison: Comparison, out: Path) -> None:
    """Write a comparison as an HTML file, which needs no other file and no network.

    Raises `EpochbankError` if Jinja2 is not installed, or `out` exists and is not a page that epochbank wrote.
    """
    write_page(out, _FOLDER, "compare.html.j2", context(comparison), ["compare.js"])


def context(comparison: Comparison) -> dict[str, Any]:
    """Return the variables of the template."""
    from .charts import curves, intervals, styles

    return {
        "comparison": comparison,
        "styles": styles(comparison),
        "results": [
            {
                "accuracy": percent(result.accuracy),
                "interval": f"{100 * result.low:.2f} to {100 * result.high:.2f}",
                "seconds": -1 if record.seconds is None else record.seconds,
                "epochs": (record.summary or {}).get("epochs", "-"),
                "set": record.set_name,
            }
            for record, result in zip(comparison.records, comparison.results, strict=True)
        ],
        "intervals": intervals(comparison),
        "curves": curves(comparison),
        "data": _data(comparison),
        "duration": duration,
        "percent": percent,
        "points": points,
        "p_text": p_text,
    }


def _data(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the classes that changed, for the script."""
    return [
        {
            "first": comparison.names[changes.first],
            "second": comparison.names[changes.second],
            "classes": [
                [comparison.records[changes.first].class_names[one.label], one.images, one.before, one.after,
                 one.fixed, one.broken]
                for one in changes.classes
            ],
        }
        for changes in comparison.changes
    ]  # fmt: skip

"""The charts of docs/performance.md, drawn from the output of `stream.py --json`.

python benchmarks/charts.py stream.json docs     # docs/streaming.png, docs/streaming-bytes.png
"""

import json
import math
from pathlib import Path
from typing import Any

import click
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

_KINDS = {
    "epochbank, shuffled in windows": "#c8442f",
    "epochbank, whole chunks shuffled": "#f0a27f",
    "peer, shuffled throughout": "#3b6ea5",
    "peer, shuffled in windows": "#8fb4d9",
    "peer, not shuffled": "#b9bec5",
}
_COLUMN = 0.25
"""Points closer than this on the x axis (share of the raw pixels) share a column of names."""
_LINE = 0.105
"""Height of a name on the y axis, in decades."""


@click.command()
@click.argument("measured", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def main(measured: Path, folder: Path) -> None:
    """Draw the charts of MEASURED, a file of `stream.py --json`, into FOLDER."""
    try:
        # Older files name the shuffling of images "pictures".
        result = json.loads(measured.read_text().replace(", pictures", ", images"))
        height, width = result["shape"][:2]
        rows = [row for row in result["contenders"] if row["reported"]]
        what = f"{result['images']:,} images of {height} x {width}, warm cache, two threads or workers"
    except (ValueError, KeyError, TypeError) as error:
        raise click.ClickException(f"{measured} is not an output of `stream.py --json` ({error!r})") from error
    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    for name, figure in (("streaming", _bars(rows, what)), ("streaming-bytes", _scatter(rows, what))):
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=150, bbox_inches="tight")
        plt.close(figure)
        click.echo(path)


def _kind(row: dict[str, Any]) -> str:
    shuffled = {
        "yes": "shuffled throughout",
        "window": "shuffled in windows",
        "chunks": "whole chunks shuffled",
        "no": "not shuffled",
    }
    return f"{'epochbank' if row['peer'] == 'epochbank' else 'peer'}, {shuffled[row['shuffled']]}"


def _bars(rows: list[dict[str, Any]], what: str) -> Any:
    """Draw images per second, the fastest at the top."""
    rows = sorted(rows, key=lambda row: row["median"])
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.32 * len(rows)))
    axes.barh(
        [row["name"] for row in rows], [row["median"] for row in rows], color=[_KINDS[_kind(row)] for row in rows]
    )
    for at, row in enumerate(rows):
        axes.annotate(f"{row['median']:,.0f}", (row["median"], at), (4, 0), textcoords="offset points", va="center")
    axes.margins(y=0.01)
    axes.set_xlim(0, 1.15 * rows[-1]["median"])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.set_major_locator(plt.MaxNLocator(6))
    axes.set_xlabel("images/s, median")
    axes.tick_params(axis="y", length=0)
    axes.set_title(what, loc="left", fontsize=10)
    _legend(axes, rows, "lower right")
    return figure


def _scatter(rows: list[dict[str, Any]], what: str) -> Any:
    """Draw images per second (logarithmic) over bytes on disk, with names in columns to the right of the points."""
    figure, axes = plt.subplots(figsize=(8, 6))
    axes.set_yscale("log")
    for column in _columns(rows):
        right = max(row["bytes_ratio"] for row in column) + 0.06
        for row, height in zip(column, _spread([row["median"] for row in column]), strict=True):
            point = row["bytes_ratio"], row["median"]
            line = {"arrowstyle": "-", "color": "#999999", "linewidth": 0.6, "shrinkA": 1, "shrinkB": 4}
            axes.annotate(row["name"], point, (right, height), va="center", fontsize=9, arrowprops=line)
            axes.scatter(*point, s=42, color=_KINDS[_kind(row)], zorder=3)
    axes.set_xlim(0, max(row["bytes_ratio"] for row in rows) + 0.5)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("bytes on disk, relative to the raw pixels")
    axes.set_ylabel("images/s, median")
    axes.grid(axis="y", color="#eeeeee", zorder=0)
    axes.set_title(what, loc="left", fontsize=10)
    _legend(axes, rows, "center left")
    return figure


def _columns(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Group rows whose points share a column of names, each from the slowest to the fastest."""
    columns: list[list[dict[str, Any]]] = []
    for row in sorted(rows, key=lambda row: row["bytes_ratio"]):
        if columns and row["bytes_ratio"] - columns[-1][-1]["bytes_ratio"] < _COLUMN:
            columns[-1].append(row)
        else:
            columns.append([row])
    return [sorted(column, key=lambda row: row["median"]) for column in columns]


def _spread(rates: list[float]) -> list[float]:
    """Return the heights of the names of increasing rates: close to them, and at least a line apart."""
    groups: list[tuple[list[float], float]] = []  # logarithms of the rates, and the center of their names
    for rate in rates:
        members = [math.log10(rate)]
        middle = members[0]
        while groups and middle - _LINE * len(members) / 2 < groups[-1][1] + _LINE * len(groups[-1][0]) / 2:
            members = groups.pop()[0] + members
            middle = sum(members) / len(members)
        groups.append((members, middle))
    return [
        10 ** (middle + _LINE * (at - (len(members) - 1) / 2))
        for members, middle in groups
        for at in range(len(members))
    ]


def _legend(axes: Any, rows: list[dict[str, Any]], place: str) -> None:
    kinds = [kind for kind in _KINDS if any(_kind(row) == kind for row in rows)]
    handles = [plt.Rectangle((0, 0), 1, 1, color=_KINDS[kind]) for kind in kinds]
    axes.legend(handles, kinds, loc=place, frameon=False, fontsize=9)


if __name__ == "__main__":
    main()

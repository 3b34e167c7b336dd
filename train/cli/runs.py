"""Commands on runs: `train runs`, `report` and `compare`."""

import json
from pathlib import Path
from typing import Any

import click

from ...augment.console import Choice, notify
from ...augment.errors import EpochbankError
from .group import main
from .options import batch_size_option, json_option, trust_option


@main.command()
@click.option("--runs", type=click.Path(path_type=Path), default="runs", help="Directory of the runs.")
@json_option
def runs(runs: Path, as_json: bool) -> None:
    """List the runs, the newest last.

    Print the set, model, accuracy on the test split (or validation, if there is no test split), number of epochs, and
    start time of each run.

    \b
    Example:
      train runs
    """
    from ..training.run_list import list_runs, run_lines, to_json

    facts, faults = list_runs(runs)
    if as_json:
        click.echo(json.dumps(to_json(facts), indent=2, ensure_ascii=False))
    elif facts:
        click.echo("\n".join(run_lines(facts)))
    elif not faults:
        click.echo(f"There is no run in {runs}/. Create one: train fit")
    if faults:
        raise EpochbankError("\n".join(faults))


@main.command()
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE",
              help="Path of the HTML file.  [default: report.html in the run directory]")  # fmt: skip
@click.option("--evaluate", is_flag=True,
              help="First evaluate the model again and store its predictions in the run directory, for runs of earlier "
              "versions of epochbank. This needs the set.")  # fmt: skip
@click.option("--open", "open_it", is_flag=True, help="Show the report in the web browser.")
@batch_size_option
@trust_option
def report(run: Path | None, out: Path | None, open_it: bool, **options: Any) -> None:
    """Write the report of a run as one HTML file.

    RUN is a run directory or its name in runs/; the default is the newest run in runs/. `train fit` writes this report,
    too. It has the learning curves, the confusions and worst mistakes with their images, the accuracy of each class,
    the set, the settings, the machine, and the command that repeats the training.

    \b
    Examples:
      train report
      train report --open
      train report runs/digits-kanji-1f2e3d4c-20260101-120000 --out report.html
      train report runs/old --evaluate
    """
    from ...api import training_runs
    from ...augment.shared.html.page import show_page
    from ..training.run_directory import choose_run

    written = training_runs.report_run(choose_run(run), out, **options)
    click.echo(f"{written} written")
    if open_it:
        show_page(written)


@main.command()
@click.argument("runs", metavar="RUN RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--split", type=Choice(["validation", "test"]),
              help="Split to compare on.  [default: test, or validation if a run was not tested]")  # fmt: skip
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Also write the comparison as a page.")
@json_option
def compare(runs: tuple[Path, ...], split: str | None, html: Path | None, as_json: bool) -> None:
    """Compare runs: settings, accuracies, classes.

    RUN is a run directory or its name in runs/. Print the accuracies with 95 % confidence intervals (Wilson), the
    settings that differ, McNemar's exact test between runs on the same images (p-values of several pairs adjusted by
    Holm's method), and which classes each run classifies better or worse than the first one. Runs that differ in the
    seed only have a mean and a standard error. The page also has the learning curves.

    \b
    Examples:
      train compare runs/first runs/second
      train compare runs/seed-* --html compared.html
      train compare runs/first runs/second --json
    """
    from ...api import training_runs
    from ..training.compare.text import lines

    comparison = training_runs.comparison(runs, html, split=split)
    for note in comparison.notes:
        notify(note)
    if as_json:
        click.echo(json.dumps(comparison.to_json(), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(lines(comparison)))
    if html is not None:
        notify(f"{html} written")

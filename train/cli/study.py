"""How many stored epochs suffice: `train study`."""

import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

import click

from ...augment.errors import EpochbankError
from .group import main
from .options import (
    final_option,
    json_option,
    learning_rate_option,
    model_option,
    originals_option,
    precision_option,
    sets_option,
    threads_option,
    training_batch_size_option,
)


@main.command()
@click.argument("source", metavar="SET|SOURCE", type=click.Path())
@click.option("--epochs-stored", default="1,2,4,8,16", metavar="N,N,...",
              help="Numbers of stored epochs to compare; 0 for originals only.")  # fmt: skip
@click.option("--fresh/--no-fresh", default=True,
              help="Also train with another stored epoch in each training epoch, as if images were distorted while "
              "training.")  # fmt: skip
@final_option
@click.option("--seeds", type=click.IntRange(1), default=3,
              help="Number of training runs, with seeds 0, 1, and so on, for each number of stored "
              "epochs.")  # fmt: skip
@click.option("--tolerance", type=click.FloatRange(0), default=0.2,
              help="Difference in accuracy that does not matter, in percentage points.")  # fmt: skip
@model_option
@click.option("--epochs", type=click.IntRange(1), default=30, help="Number of training epochs.")
@training_batch_size_option
@originals_option
@learning_rate_option
@precision_option
@threads_option
@click.option("--recipe", default="kanji", metavar="NAME|FILE", help="Recipe, if a SOURCE is given.")
@click.option("--jobs", type=click.IntRange(1), help="Worker processes that generate.  [default: one per core]")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR",
              help="Directory of the study.  [default: studies/SET]")  # fmt: skip
@click.option("--trust", is_flag=True,
              help="Execute the code that the set's recipe names. Only for sets that you trust.")  # fmt: skip
@sets_option
@json_option
def study(source: str, epochs_stored: str, as_json: bool, **options: Any) -> None:
    """Find out how many stored epochs suffice.

    Generate the stored epochs that are missing, train a model on each number of them, and compare the accuracies with
    those of fresh distortion in each training epoch. All training runs have the same number of steps. If the command is
    interrupted, run it again to continue. DIR gets a directory for each run, results.json and results.png.

    \b
    Examples:
      train study digits --epochs-stored 1,2 --epochs 4 --seeds 2
      train study sets/digits-kanji-1f2e3d4c --final characters
    """
    from ...api import studies

    try:
        numbers = [int(number) for number in epochs_stored.split(",")]
    except ValueError:
        raise EpochbankError(
            f"--epochs-stored {epochs_stored}; expected whole numbers separated by commas, such as 1,2,4.", usage=True
        ) from None
    with redirect_stdout(sys.stderr) if as_json else nullcontext():  # Standard output is for the JSON.
        result = studies.study(source, numbers, **options)
    if as_json:
        click.echo((result.directory / "results.json").read_text(encoding="utf-8"), nl=False)
        return
    click.echo("\n".join(result.table))
    click.echo("\n" + " ".join([result.verdict, *result.caveats]))
    click.echo(f"plot       {result.directory / 'results.png'}")

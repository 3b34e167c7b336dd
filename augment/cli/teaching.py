"""Labels of a teacher: `augment teach`."""

import json
from typing import Any

import click

from .group import main
from .options import json_option, sets_option


@main.command()
@click.argument("name", metavar="SET", type=click.Path())
@click.option("--model", required=True, metavar="RUN|FILE", type=click.Path(),
              help="The teacher: a run of `train fit`, or a model that Keras saved (.keras).")  # fmt: skip
@click.option("--name", "teacher", metavar="NAME",
              help="Name of the teacher in the set.  [default: that of the run or file]")  # fmt: skip
@click.option("--top", type=click.IntRange(1),
              help="Number of classes to store for each image, the most probable ones.  [default: 10, or as "
              "before]")  # fmt: skip
@click.option("--batch-size", type=click.IntRange(1), default=256,
              help="Images to read and classify at a time; it does not change the labels.")  # fmt: skip
@click.option("--trust", is_flag=True,
              help="Import the module of the run's model, if that is a function. Only for runs that you "
              "trust.")  # fmt: skip
@sets_option
@json_option
def teach(name: str, as_json: bool, **keywords: Any) -> None:
    """Store what a trained model predicts for every image of a set, for distillation.

    The probabilities of the most probable classes are written for the stored epochs and the undistorted training
    images, 4 bytes for each class and image (6 with more than 65,536 classes). `train fit --teacher NAME` trains on
    them. If the command is interrupted, run it again to continue; after `augment run` or `augment refresh`, run it
    again to add the labels of the new epochs.

    \b
    Examples:
      augment teach sets/digits-kanji-1f2e3d4c --model runs/digits-kanji-1f2e3d4c-20260101-120000 --name cnn
      augment teach baseline --model big.keras --top 5
    """
    from ...api.teaching import teach as write_labels

    result = write_labels(name, **keywords)
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=2))
        return
    click.echo("\n".join(result.lines()))
    click.echo(f"\nNext: train fit {result.directory} --teacher {result.name}")

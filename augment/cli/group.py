"""The group that all commands of `augment` belong to."""

import click

from ... import __version__
from ..console import HELP, Commands


@click.group(cls=Commands, context_settings=HELP)
@click.version_option(__version__, prog_name="epochbank")
def main() -> None:
    """Augment a labeled image set once, overnight, on all cores; train on it as often as you like.

    \b
    Start here:
      augment preview digits --out preview.png
      augment run digits --epochs 5
      train fit
    """

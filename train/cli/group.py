"""The group that all commands of `train` belong to."""

import click

from ... import __version__
from ...augment.console import HELP, Commands


@click.group(cls=Commands, context_settings=HELP)
@click.version_option(__version__, prog_name="epochbank")
def main() -> None:
    """Train on a set that `augment run` generated, at the speed of the GPU.

    \b
    Start here:
      augment run digits --epochs 5
      train fit
      train evaluate
    """

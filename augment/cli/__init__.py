"""The command line of stage 1. It parses arguments, calls the functions of `epochbank.api`, and prints the results.

Each command imports what it needs, so that `--help` is fast.
"""

from . import contents, exchange, generation, lifecycle, sources, teaching, verification, views  # noqa: F401
from .group import main

__all__ = ["main"]

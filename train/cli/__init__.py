"""The command line of stage 2: it translates arguments into calls, and results into text.

Each command imports the modules that it needs, so that `--help` is fast.
"""

from . import bench, fitting, models, runs, study  # noqa: F401
from .group import main

__all__ = ["main"]

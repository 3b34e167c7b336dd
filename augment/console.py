"""What both command lines share: faults as messages with exit codes, and words apart from results.

Exit codes: 0, 1 (the data or the machine), 2 (the words), 130 (interrupted; 143 by SIGTERM).
"""

import errno
import sys
from typing import Any

import click

from .errors import EpochbankError

HELP = {"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 100}
"""Context settings of both command lines."""


_REMEDIES = {
    errno.ENOSPC: "Nothing half-written is left. Free some space, then give the same command again.",
    errno.EACCES: "Give this user the right to, or choose another place.",
}


class Commands(click.Group):
    """A group of commands in which no foreseeable fault ends in a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; the one place where faults become messages and exit codes."""
        try:
            return super().invoke(ctx)
        except EpochbankError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_code)
        except OSError as error:
            remedy = _REMEDIES.get(
                error.errno or 0, "Mend it, or choose another place; then give the same command again."
            )
            click.echo(f"Error: {error}. {remedy}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt as error:
            say(f"\nInterrupted. {str(error) or 'Nothing half-done is left; give the same command again.'}")
            ctx.exit(getattr(error, "exit_code", 130))


def say(text: str) -> None:
    """Tell people something, apart from results: on standard error."""
    print(text, file=sys.stderr, flush=True)

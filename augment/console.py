"""What both command lines share: errors as messages with exit codes, old option names, and messages to the user.

Exit codes: 0; 1 for a problem with the data or the machine; 2 for wrong arguments; 130 after Ctrl-C, 143 after SIGTERM,
129 after SIGHUP; 141 if the program that reads standard output has ended.
"""

import errno
import io
import re
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any

import click
from click.exceptions import Exit

from .errors import EpochbankError
from .shared.closest import did_you_mean
from .shared.signals import number_of, raising
from .shared.streams import discard, open_closed_streams, write_message

HELP = {"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 100}
"""Context settings of both command lines."""

_FIXES = {
    errno.ENOSPC: "No incomplete file is left; free some space, then run the command again.",
    errno.ENOMEM: "No incomplete file is left; use fewer --jobs or raise the memory limit, then run the command again.",
    errno.EMFILE: "Raise the limit of open files (`ulimit -n`), then run the command again.",
    errno.EACCES: "Give this user the permission, or choose another directory.",
}

_NO_THREAD = "can't start new thread"
"""Python's message in a `RuntimeError` if there is no memory for a thread, or too many processes."""

_NO_LIBRARY = "failed to map segment from shared object"
"""End of the message in an `ImportError` if there is no memory for a library."""

_RENAMED = {"--mix": ("--originals",), "--shard": ("--rank", "--world-size")}
"""New names of options that were renamed; the old name works in this release. `--shard K/N` became two options."""

_SPELLINGS = {"colour": "color", "grey": "gray"}
"""British spellings, which are accepted in options and in their values."""


def american(text: str) -> str:
    """Return `text` with `colour` and `grey` spelled `color` and `gray`."""
    for british, spelled in _SPELLINGS.items():
        text = text.replace(british, spelled)
    return text


class Command(click.Command):
    """A command that also accepts the old names of its options, and prints the new ones."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Replace old option names in `args`, then parse them."""
        return super().parse_args(ctx, with_new_names(args, self.params))


def with_new_names(args: Sequence[str], params: Sequence[click.Parameter]) -> list[str]:
    """Return `args` with old names of the options in `params` replaced, and print each new name once.

    Values of options, and everything after `--`, stay as they are.
    """
    options = {name: option for option in params if isinstance(option, click.Option) for name in option.opts}
    renamed: list[str] = []
    printed: set[str] = set()
    left = list(args)
    while left and left[0] != "--":
        word = left.pop(0)
        name, equals, value = word.partition("=")
        if name not in options and american(name) in options:
            name = american(name)
            word = name + equals + value
        new = [] if name in options else [new for new in _RENAMED.get(name, ()) if new in options]
        if new and name not in printed:
            notify(f"{name} is now called {' and '.join(new)}; the old name works in this release only")
            printed.add(name)
        takes_next = not equals and bool(left) and (bool(new) or (name in options and not options[name].is_flag))
        if not new:
            renamed += [word, left.pop(0)] if takes_next else [word]
        elif equals or takes_next:
            values = (value if equals else left.pop(0)).split("/", len(new) - 1)
            renamed += [part for pair in zip_longest(new, values, fillvalue="") for part in pair]
        else:
            renamed.append(new[0])
    return renamed + left


class Bytes(click.ParamType):
    """A number of bytes: `500GB`, `1.5 TB`, `200 MiB`, or a plain number."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the bytes. kB, MB, GB and TB are powers of 1000; KiB, MiB, GiB and TiB powers of 1024."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?)b?|b|bytes)?", value.strip().lower())
        if found is None:
            self.fail(f"{value!r}; expected a number of bytes, such as 500GB, 1.5TB or 200MiB", param, ctx)
        number, unit, binary = found.groups()
        return round(float(number) * (1024 if binary else 1000) ** ("kmgt".index(unit) + 1 if unit else 0))


class Choice(click.Choice):
    """A choice that also accepts British spellings and old names of its values, and suggests the closest value.

    It prints the new name of an old one.
    """

    def __init__(
        self, choices: Sequence[str], old: Mapping[str, str] | None = None, similar: Mapping[str, str] | None = None
    ):
        """Take the choices, their old names, and the choice to suggest for words that are spelled otherwise."""
        super().__init__(choices)
        self._old, self._similar = old or {}, similar or {}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the choice that `value` names."""
        if value in self._old:
            notify(f"{value} is now called {self._old[value]}; the old name works in this release only")
            value = self._old[value]
        if isinstance(value, str) and value not in self.choices and american(value) in self.choices:
            value = american(value)
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            meant = self._similar.get(str(value), str(value))
            self.fail(f"{error.message}{did_you_mean(meant, self.choices)}", param, ctx)


class Commands(click.Group):
    """A group of commands that turns every foreseeable problem into a message, never a traceback."""

    command_class = Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that `args` begin with; suggest the closest one if there is none."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            ctx.fail(f"No such command {name!r}.{did_you_mean(name, self.commands)}")
        return super().resolve_command(ctx, args)

    def main(self, *args: Any, **keywords: Any) -> Any:
        """Run the command line. Streams and signals are set up before anything else, so before a file is touched."""
        open_closed_streams()
        with raising():
            return super().main(*args, **keywords)

    def make_context(self, *args: Any, **keywords: Any) -> click.Context:
        """Parse the arguments of the group. `--help` and `--version` print their text here."""
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # Paths need not be UTF-8; JSON stays valid.
        with _problems_as_messages():
            return super().make_context(*args, **keywords)

    def invoke(self, ctx: click.Context) -> Any:
        """Parse the arguments of the command, and run it."""
        with _problems_as_messages(), _future_warnings_as_messages():
            return super().invoke(ctx)


@contextmanager
def _problems_as_messages() -> Iterator[None]:
    """Turn exceptions into messages and exit codes; the one place that does."""
    try:
        yield
    except EpochbankError as error:
        notify(f"Error: {error}")
        raise Exit(error.exit_code) from error
    except BrokenPipeError as error:  # The program that reads the output has ended, and needs no message.
        discard(sys.stdout)
        raise Exit(141) from error
    except OSError as error:
        discard(sys.stdout)
        fix = _FIXES.get(error.errno or 0, "Fix the problem or choose another directory, then run the command again.")
        notify(f"Error: {error}. {fix}")
        raise Exit(1) from error
    except (MemoryError, RuntimeError, ImportError) as error:
        if not isinstance(error, MemoryError) and not str(error).endswith((_NO_THREAD, _NO_LIBRARY)):
            raise
        discard(sys.stdout)
        notify(f"Error: memory ran out ({str(error) or type(error).__name__}). {_FIXES[errno.ENOMEM]}")
        raise Exit(1) from error
    except KeyboardInterrupt as error:
        number = number_of(error)
        what = "Interrupted" if number == signal.SIGINT else f"Interrupted by {signal.Signals(number).name}"
        notify(f"\n{what}. {str(error) or 'No incomplete file is left; run the command again.'}")
        raise Exit(128 + number) from error


@contextmanager
def _future_warnings_as_messages() -> Iterator[None]:
    """Print a `FutureWarning`, such as that of an old name, without the line of code that it is about."""
    before = warnings.formatwarning

    def formatted(message: Warning | str, category: type[Warning], *rest: Any, **keywords: Any) -> str:
        return f"{message}\n" if category is FutureWarning else before(message, category, *rest, **keywords)

    warnings.formatwarning = formatted
    try:
        yield
    finally:
        warnings.formatwarning = before


def ask(question: str, yes: bool) -> None:
    """Ask `question` unless `yes`; raise `EpochbankError` if the answer is no, or there is none."""
    try:
        if yes or click.confirm(question, err=True):
            return
    except click.Abort:
        pass
    raise EpochbankError("nothing was removed, because the answer was not yes. --yes answers it in scripts.")


def notify(text: str) -> None:
    """Print a message for the user on standard error, apart from the results."""
    write_message(text)

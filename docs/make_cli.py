"""Write docs/cli.md from the help texts of both command lines. `--print` prints it instead."""

import sys
from pathlib import Path

import click

import epochbank.augment.cli
import epochbank.train.cli
from epochbank.augment.console import HELP

_EXIT_CODES = """## Exit codes

Both commands print results on standard output, and notes, progress and errors on standard error.

| Code | Meaning |
|---|---|
| 0 | The command did what it was asked to do. |
| 1 | The cause is in the data or the machine: a damaged file, a full disk, a missing package. |
| 2 | The arguments are wrong: an unknown option or name, a value out of range, options that exclude each other. |
| 130 | Ctrl-C. Nothing incomplete is left, and the message says how to continue. |
| 129, 143 | SIGHUP, SIGTERM; otherwise as 130. |
| 141 | The program that reads the output has ended, as in `augment list \\| head -1`. |

A mistyped name gets a suggestion: "Did you mean kanji?" The spellings `grey` and `colour` are accepted for
`gray` and `color`.
"""


def reference() -> str:
    """Return the reference as Markdown."""
    sections = ["# Command line\n\nGenerated from the help texts by `make docs`; do not edit.\n", _EXIT_CODES]
    for name, group in (("augment", epochbank.augment.cli.main), ("train", epochbank.train.cli.main)):
        sections.append(f"## {name}\n\n{_help(group, name)}")
        sections += [
            f"### {name} {sub}\n\n{_help(group.commands[sub], f'{name} {sub}')}" for sub in sorted(group.commands)
        ]
    return "\n".join(sections)


def _help(command: click.Command, name: str) -> str:
    settings = {**HELP, "terminal_width": 100}
    return f"```\n{command.get_help(click.Context(command, info_name=name, **settings))}\n```\n"


if __name__ == "__main__":
    if "--print" in sys.argv:
        print(reference(), end="")
    else:
        Path(__file__).with_name("cli.md").write_text(reference())

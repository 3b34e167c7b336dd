"""Write docs/cli.md from the help texts of both command lines. `--print` prints it instead."""

import sys
from pathlib import Path

import click

import epochbank.augment.cli
import epochbank.train.cli


def reference() -> str:
    """Return the reference as Markdown."""
    sections = ["# Command line\n\nGenerated from the help texts by `make docs`; do not edit.\n"]
    for name, group in (("augment", epochbank.augment.cli.main), ("train", epochbank.train.cli.main)):
        sections.append(f"## {name}\n\n{_help(group, name)}")
        sections += [
            f"### {name} {sub}\n\n{_help(group.commands[sub], f'{name} {sub}')}" for sub in sorted(group.commands)
        ]
    return "\n".join(sections)


def _help(command: click.Command, name: str) -> str:
    settings = {**epochbank.augment.cli.HELP, "terminal_width": 100}
    return f"```\n{command.get_help(click.Context(command, info_name=name, **settings))}\n```\n"


if __name__ == "__main__":
    if "--print" in sys.argv:
        print(reference(), end="")
    else:
        Path(__file__).with_name("cli.md").write_text(reference())

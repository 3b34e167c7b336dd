"""Code blocks of the documentation, and how a test runs them: in one process, on small data."""

import gc
import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from click.testing import CliRunner

import epochbank.augment.cli
import epochbank.train.cli
from epochbank.augment.shared.reading_lock import ReadingLock

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
GROUPS = {"augment": epochbank.augment.cli.main, "train": epochbank.train.cli.main}
RUN, DATA = {"sh", "python", "toml"}, {"text", "ini"}
"""Languages of blocks that are run, and of outputs and files that are not."""
_FENCE = re.compile(r"^( *)```(.*)$")
_MARKER = re.compile(r"<!-- (not run|needs): (.*?)\s*-->$", re.DOTALL)
_FILE = re.compile(r"# ([\w-]+\.(?:py|toml))\n")
_MOST_EPOCHS = 7


@dataclass(frozen=True)
class Block:
    """A fenced code block of a page."""

    page: str
    line: int
    language: str
    text: str
    section: str = ""
    """Anchor of the last heading of the second level before it."""
    reason: str = ""
    """Why it is not run; empty if it is."""
    needs: tuple[str, ...] = ()
    """Modules without which it is not run."""

    @property
    def file(self) -> str:
        """Name of the file that the first line says to save the block as; empty if none."""
        found = _FILE.match(self.text)
        return found[1] if found else ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """Return the pages with code of users, relative to the repository; cli.md has help texts only."""
    found = [path.relative_to(ROOT).as_posix() for path in DOCS.rglob("*.md") if path.name != "cli.md"]
    return ["README.md", *sorted(found)]


def blocks(page: str) -> list[Block]:
    """Return the code blocks of a page. The line before a fence may be a comment that says why it is not run."""
    found: list[Block] = []
    lines = (ROOT / page).read_text(encoding="utf-8").split("\n")
    number, section = 0, ""
    while number < len(lines):
        if lines[number].startswith("## "):
            section = re.sub(r"[^\w -]", "", lines[number][3:].lower()).replace(" ", "-")
        fence = _FENCE.match(lines[number])
        if fence is None:
            number += 1
            continue
        end = next(at for at in range(number + 1, len(lines)) if lines[at].strip() == "```")
        text = "".join(line.removeprefix(fence[1]) + "\n" for line in lines[number + 1 : end])
        marker = _MARKER.search("\n".join(lines[max(0, number - 3) : number]))
        kind, words = marker.groups() if marker else ("", "")
        needs = tuple(words.split(", ")) if kind == "needs" else ()
        if not fence[2].startswith("{"):  # Directives of the site are no code.
            found.append(Block(page, number + 1, fence[2], text, section, words if kind == "not run" else "", needs))
        number = end + 1
    return found


@dataclass
class Session:
    """The working directory and the Python names of a reader who types what a page says, in order."""

    output: str = ""
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})

    def save(self, block: Block) -> None:
        """Write a block whose first line names a file."""
        Path(block.file).write_text(_for_tests(block.text))

    def run(self, block: Block) -> None:
        """Run a block; raise an exception that names the line if that is impossible."""
        try:
            if block.language == "toml":
                check_toml(block.text)
            elif block.language == "python" and not block.file:
                exec(compile(_named(_for_tests(block.text)), str(block), "exec"), self.names)
            elif block.language == "sh":
                for line in _commands(block.text):
                    self._command(line)
        except Exception as error:
            raise AssertionError(f"{block}: {error}") from error

    def _command(self, line: str) -> None:
        line, _, target = line.partition(" > ")
        words = shlex.split(_named(line), comments=True)
        program = words[0]
        if program in GROUPS:
            printed = self._invoke(program, words[1:])
            self.output += printed
            if target:
                Path(target).write_text(printed)
        elif program == "make":
            subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, check=True)
        elif words[:2] == ["pip", "install"]:
            _check_extras(words[2:])
        elif program == "python" and Path(words[1]).exists():
            runpy.run_path(words[1], run_name="__main__")
        elif program == "rm":
            subprocess.run(["bash", "-c", line], check=True)
        elif line != "source .venv/bin/activate":
            raise ValueError(f"the test cannot run `{line}`: mark the block with a reason")

    def _invoke(self, program: str, words: list[str]) -> str:
        if "--resume" in words:  # Without its summary, the run looks interrupted.
            (Path(words[words.index("--resume") + 1]) / "summary.json").unlink(missing_ok=True)
        if words[0] == "remove":
            _end_trainings()
        result = CliRunner().invoke(GROUPS[program], _smaller(program, words), input="y\n")
        if result.exit_code:
            raise ValueError(f"{program} {shlex.join(words)}: exit code {result.exit_code}\n{result.output}")
        return result.stdout


def check_toml(text: str) -> None:
    """Load a TOML block as a recipe; a part of one gets a stage."""
    from epochbank.augment.distortion.recipe import load_recipe

    if "stage" not in tomllib.loads(text):
        text += '[[stage]]\noperation = [{ op = "blur" }]\n'
    Path("block.toml").write_text(text)
    load_recipe("block.toml")


def _for_tests(text: str) -> str:
    """Replace what would be downloaded, or takes long."""
    return text.replace('weights="imagenet"', "weights=None").replace("epochs=100", "epochs=1")


def _commands(text: str) -> Iterator[str]:
    """Yield the lines of a shell block without comments, with continued lines joined."""
    for line in text.replace("\\\n", " ").split("\n"):
        if line.strip() and not line.startswith("#"):
            yield line


def _named(text: str) -> str:
    """Put the set and the run that exist in the place of those that stand for any, and folders here for others."""
    sets, runs = (sorted(Path(folder).glob("*-*/"), key=os.path.getmtime) for folder in ("sets", "runs"))
    if runs:
        text = re.sub(r"runs/(RUN\b|digits-kanji-[0-9a-f]{8}-20\d{6}-\d{6})", str(runs[-1]), text)
    if sets:
        text = re.sub(r"\b(digits-kanji|photos-photo)-[0-9a-f]{8}\b", sets[-1].name, text)
        text = re.sub(r"\b(SET|OTHER)\b", str(sets[-1]), text)
    return text.replace("/mnt/backup/", "backup/").replace("/nvme/cache", "cache")


def _smaller(program: str, words: list[str]) -> list[str]:
    """Return the words of a command for small data: options that follow others of the same name win."""
    command, options = words[0], {name for one in GROUPS[program].commands[words[0]].params for name in one.opts}
    extra: list[str] = []
    if command in ("run", "plan", "preview") and "digits" in words:
        extra += ["--limit", "200"]
    if program == "augment" and "--jobs" in options:
        extra += ["--jobs", "1"]
    if command == "run" and "--epochs" in words and int(words[words.index("--epochs") + 1]) > _MOST_EPOCHS:
        extra += ["--epochs", "2"]
    if command == "fit" and "--resume" not in words:
        extra += ["--epochs", "1", "--batch-size", "32"]
    if command == "bench":
        extra += ["--seconds", "0", "--steps", "2"]
    if command == "study":
        extra += ["--epochs-stored", "1,2", "--epochs", "2", "--seeds", "1", "--batch-size", "32"]
    return [*words, *extra]


def _check_extras(packages: list[str]) -> None:
    """Raise `ValueError` if an extra of epochbank does not exist."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for package in packages:
        for extra in re.findall(r"\[(.*?)\]", package):
            if unknown := set(extra.split(",")) - extras.keys():
                raise ValueError(f"epochbank has no extra {unknown}")


def _end_trainings() -> None:
    """Release the locks of this process, which a training by another process would have released at its end."""
    for one in gc.get_objects():
        if type(one) is ReadingLock:
            one.close()


def forget_modules(folder: Path) -> None:
    """Forget the modules that were imported from `folder`, so that another page may have a module of the same name."""
    from epochbank.augment.distortion.operations.custom import load_function

    load_function.cache_clear()
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]

"""Every dataset in the table of docs/sources.md is imported by the very command that the table gives."""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from epochbank.augment.cli import main as augment
from epochbank.augment.ingest.source_file import mapped, open_source_file
from public_data_sets import DATA_SETS

DOCS = Path(__file__).parents[1] / "docs" / "sources.md"


def commands() -> dict[str, str]:
    """Return the command of each dataset in the table of docs/sources.md."""
    section = DOCS.read_text(encoding="utf-8").split("## Public datasets")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+?) \| [^|]+ \| `([^`]+)`", section, re.MULTILINE)
    return {name: command.replace(r"\|", "|") for name, command in rows}


def test_the_table_has_each_data_set() -> None:
    """The table names exactly the datasets that are tested, and at least 25."""
    assert set(commands()) == set(DATA_SETS)
    assert len(DATA_SETS) >= 25


@pytest.mark.parametrize("name", DATA_SETS)
def test_the_command_of_the_table_imports_the_data_set(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Classes, splits, groups, the number of images and, where they are kept, the pixels are right."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    for module in ("public", "tensorflow_datasets"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    expected = DATA_SETS[name]()
    for command in commands()[name].split(" && "):
        words = shlex.split(command)
        if words[0] == "python":
            exec(compile(Path(words[1]).read_text(), words[1], "exec"), {"__name__": "__main__"})
            continue
        assert words[:2] == ["augment", "import"]
        result = CliRunner().invoke(augment, [*words[1:], "--jobs", "1"])
        assert result.exit_code == 0, result.output
    file = open_source_file(tmp_path / words[3])
    assert sorted(file.class_names) == sorted(expected.classes), result.output
    assert file.num_images == expected.num_images
    found = file.column("split") if file.splits else np.zeros(0)
    numbers = {split: int((found == place).sum()) for place, split in enumerate(("train", "validation", "test"))}
    assert {split: count for split, count in numbers.items() if count} == expected.splits
    assert (len(file.group_names) if file.group_names else None) == expected.groups
    if expected.images is not None:
        pixels = mapped(file.path, "image")
        assert np.array_equal(pixels.reshape(expected.images.shape), expected.images)

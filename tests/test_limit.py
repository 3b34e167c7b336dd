"""`--limit`: the same share of every class, evenly spaced, everywhere that a limit is used."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import glyphs
from epochbank.augment.cli import main
from epochbank.augment.ingest.importer import ImportOptions
from epochbank.augment.shared.spacing import evenly_spaced, limited

sources = st.lists(st.integers(0, 12), min_size=1, max_size=300).map(np.array)


@settings(deadline=None)
@given(labels=sources, limit=st.integers(1, 320))
def test_every_class_keeps_its_share(labels: np.ndarray, limit: int) -> None:
    """Each class has its share, rounded, or one image more or less to make up the sum; at least one if possible."""
    chosen = limited(labels, limit)
    assert len(chosen) == min(limit, len(labels))
    assert (np.diff(chosen) > 0).all()
    sizes, kept = np.bincount(labels), np.bincount(labels[chosen], minlength=labels.max() + 1)
    assert (kept <= sizes).all()
    present = np.count_nonzero(sizes)
    if limit >= present:
        assert (kept[sizes > 0] >= 1).all()
        exact = sizes * len(chosen) / len(labels)
        assert (kept <= np.ceil(exact) + 1).all()
        if (exact[sizes > 0] >= 1).all():
            assert (np.abs(kept - exact) < 1).all()
    else:
        assert kept.max() == 1


@settings(deadline=None)
@given(labels=sources, limit=st.integers(1, 320))
def test_images_of_a_class_are_evenly_spaced(labels: np.ndarray, limit: int) -> None:
    """Within each class, the images that are kept are evenly spaced, from some place on and around its end."""
    chosen = limited(labels, limit)
    for label in np.unique(labels[chosen]).tolist():
        indices = np.flatnonzero(labels == label)
        kept = np.intersect1d(indices, chosen)
        spacing = evenly_spaced(len(indices), len(kept))
        shifted = [np.sort(indices[(spacing + shift) % len(indices)]) for shift in range(len(indices))]
        assert any(np.array_equal(kept, one) for one in shifted)


def test_classes_keep_different_writers() -> None:
    """In a source that is sorted by writer, a limit keeps images of many writers, not the same few of every class."""
    labels, writers = np.repeat(np.arange(40), 16), np.tile(np.arange(16), 40)
    kept = limited(labels, 80)
    assert np.array_equal(np.bincount(labels[kept]), np.full(40, 2))
    assert np.bincount(writers[kept], minlength=16).min() >= 2


def test_one_class_is_evenly_spaced() -> None:
    """With one class, and without a limit, nothing differs from images that are evenly spaced."""
    labels = np.zeros(97, int)
    for limit in (1, 7, 96, 97, 200, None):
        assert np.array_equal(limited(labels, limit), evenly_spaced(97, limit))


def test_a_rare_class_is_kept() -> None:
    """One image of a class among thousands is kept, at the cost of the largest class."""
    labels = np.array([0] * 5000 + [1] + [2] * 3000)
    assert np.bincount(labels[limited(labels, 10)]).tolist() == [6, 1, 3]
    assert np.bincount(labels[limited(labels, 3)]).tolist() == [1, 1, 1]


# --- Where a limit is used -----------------------------------------------------------------------------

CLASSES = 15


@pytest.fixture
def regular(tmp_path: Path) -> Path:
    """A source of 15 classes in which every 15th image has the same class: every k-th image had one class of 15."""
    path = tmp_path / "regular.npz"
    np.savez(path, images=glyphs(600, (12, 12, 1)), labels=np.arange(600) % CLASSES)
    return path


def printed(*words: object) -> dict:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_import_plan_and_inspect_use_all_classes(regular: Path, tmp_path: Path) -> None:
    """A limit that is a divisor of the number of images keeps all classes."""
    assert len(np.unique(np.arange(600)[evenly_spaced(600, 40)] % CLASSES)) == 1
    sets = ["--sets", tmp_path / "sets", "--jobs", "1", "--limit", "40", "--test", 0]
    assert printed("plan", regular, *sets, "--json")["classes"] == CLASSES
    table = printed("inspect", regular, "--limit", 40, "--out", tmp_path / "o", "--jobs", 1, "--json")["classes"]
    assert {row["inspected"] for row in table["table"]} == {2, 3}
    result = CliRunner().invoke(main, ["import", str(regular), str(tmp_path / "o.h5"), "--limit", "40"])
    assert "40 images, 15 classes" in result.output


def test_only_limited_source_files_have_other_names() -> None:
    """The settings that name a source file are those of earlier versions unless there is a limit."""
    assert ImportOptions().settings() == {
        "size": None, "invert": "auto", "colour": "auto", "limit": None, "on_bad": "refuse",
        "source": {"group_pattern": None, "etl_sets": None, "characters": None, "split": "source"},
    }  # fmt: skip
    assert ImportOptions(limit=5).settings().keys() - ImportOptions().settings().keys() == {"limit_rule"}

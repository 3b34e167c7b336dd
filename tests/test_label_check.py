"""The label check: which distorted images are resampled, deterministically, and how they are reported."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import glyphs
from epochbank.augment.cli import main
from epochbank.augment.distortion.choose_engine import engine_named
from epochbank.augment.distortion.draw import Draw, draw_positions
from epochbank.augment.distortion.label_check import Distorted, distort_checked, is_blank
from epochbank.augment.distortion.operations.base import homographies, ink_inside
from epochbank.augment.distortion.operations.geometry import rotations, shears
from epochbank.augment.distortion.recipe import Recipe
from operation_battery import recipe_of

AWAY = """
[[stage]]
operation = [{ op = "shear", x = [-0.7, 0.7], y = [0, 0] }, { op = "rotate", degrees = [-60, 60] }]
[label_check]
lost = 0.2
attempts = 3
"""
"""A recipe that sometimes moves much ink out of the frame."""


def run(*words: str | Path) -> str:
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exit_code == 0, done.output
    return done.stdout


def checked(images: np.ndarray, recipe: Recipe, start: int = 0, **more: Any) -> Distorted:
    """Return `images` distorted as those at the positions from `start` on."""
    draws = partial(draw_positions, recipe, images.shape[1:], "f", 0)
    return distort_checked(images, np.arange(start, start + len(images)), recipe, draws, **more)


# --- Lost ink -----------------------------------------------------------------------------------------------


def ink_inside_by_pixel(image: np.ndarray, target_to_source: np.ndarray) -> int:
    """Count the ink of the pixels whose center stays in the frame, one at a time, in floating point."""
    source_to_target, kept = np.linalg.inv(target_to_source), 0
    height, width = image.shape[:2]
    for row in range(height):
        for column in range(width):
            x, y, z = source_to_target @ (column + 0.5, row + 0.5, 1)
            kept += int(image[row, column].sum()) if 0 <= x / z < width and 0 <= y / z < height else 0
    return kept


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    channels=st.sampled_from([1, 3]),
    degrees=st.floats(-360, 360).filter(lambda angle: abs(angle % 90) > 1e-3),
    seed=st.integers(0, 9),
)
def test_ink_inside_agrees_with_a_count_by_pixel(
    height: int, width: int, channels: int, degrees: float, seed: int
) -> None:
    """For rotations, the ink in the frame is that of the pixels whose center stays in it."""
    images = np.random.default_rng(seed).integers(0, 256, (1, height, width, channels), np.uint8)
    matrices = rotations(np.array([degrees]), images.shape[1:])
    ((kept, total),) = ink_inside(images, homographies(matrices)).tolist()
    assert total == images.sum()
    assert kept == ink_inside_by_pixel(images[0], matrices[0])


def test_shear_loses_what_it_moves_out_of_the_frame() -> None:
    """A dot that a shear moves over the edge is lost; one that stays inside is not."""
    images = np.zeros((2, 20, 20, 1), np.uint8)
    images[0, 19, 2], images[1, 19, 12] = 200, 200
    maps = homographies(shears(np.array([0.5, 0.5]), np.zeros(2)))  # Row 19 moves 9.75 columns to the left.
    assert ink_inside(images, maps).tolist() == [[0, 200], [200, 200]]


def test_singular_map_loses_all_ink() -> None:
    """If x y = 1, the sheared image is a line, and nothing is kept."""
    images = np.full((1, 8, 8, 1), 9, np.uint8)
    assert ink_inside(images, homographies(shears(np.ones(1), np.ones(1)))).tolist() == [[0, 9 * 64]]


# --- Blank images ----------------------------------------------------------------------------------------


def test_blank_images_have_lost_their_contrast() -> None:
    """An image with less than an eighth of its former contrast is blank, unless it was blank before."""
    before, after = np.zeros((5, 4, 4, 1), np.uint8), np.zeros((5, 4, 4, 1), np.uint8)
    before[:, 0, 0] = np.array([255, 255, 255, 8, 0])[:, None]
    after[:, 1, 1] = np.array([0, 31, 32, 1, 0])[:, None]
    assert is_blank(before, after).tolist() == [True, True, False, False, False]


def test_image_of_one_color_is_blank() -> None:
    """The contrast is that within a channel, so that plain red is blank."""
    before, after = glyphs(2, (8, 8, 3)), np.zeros((2, 8, 8, 3), np.uint8)
    after[:, :, :, 0] = 255
    after[1, 2, 2, 1] = 200
    assert is_blank(before, after).tolist() == [True, False]


# --- Resampling --------------------------------------------------------------------------------------------

BLANKS: dict[str, Any] = {"op": "blur", "radius": [50, 50]}
"""A blur that leaves almost nothing of a dot."""


def test_only_rejected_images_are_resampled() -> None:
    """Each further attempt is drawn for the rejected images only; in the end these stay undistorted."""
    recipe = recipe_of(BLANKS, label_check={"attempts": 3})
    images = np.zeros((4, 8, 8, 1), np.uint8)
    images[[0, 2], 4, 4] = 255
    calls: list[tuple[list[int], int]] = []

    def recorded(positions: np.ndarray, attempt: int) -> Draw:
        calls.append((positions.tolist(), attempt))
        return draw_positions(recipe, (8, 8, 1), "f", 0, positions, attempt)

    done = distort_checked(images, np.arange(10, 14), recipe, recorded)
    assert calls == [([10, 11, 12, 13], 0), ([10, 12], 1), ([10, 12], 2)]
    assert done.attempt.tolist() == [3, 0, 3, 0]
    assert np.array_equal(done.images, images)
    assert [tuple(one)[:3] for one in done.rejected.tolist()] == [
        (position, attempt, b"blur") for attempt in range(3) for position in (10, 12)
    ]


def test_without_a_label_check_the_first_draw_is_taken() -> None:
    """`label_check = false` keeps blank images, and the settings are those of recipes from before the check existed."""
    recipe = recipe_of(BLANKS, label_check=False)
    assert recipe.settings().keys() == {"stages"}
    images = np.zeros((1, 8, 8, 1), np.uint8)
    images[0, 4, 4] = 255
    done = checked(images, recipe)
    assert done.images.max() < 32
    assert done.attempt.tolist() == [0]


def test_draw_of_single_positions_is_that_of_a_run() -> None:
    """A position has the same parameters alone and in a run; another attempt has other parameters."""
    recipe = recipe_of({"op": "shear"}, {"op": "rotate"})
    run = draw_positions(recipe, (8, 8, 1), "f", 3, np.arange(100, 200))
    some = np.array([103, 104, 150, 199])
    picked = draw_positions(recipe, (8, 8, 1), "f", 3, some)
    for stage, other in zip(run.stages, picked.stages, strict=True):
        for name, column in stage.parameters[0].items():
            assert np.array_equal(column[some - 100], other.parameters[0][name])
    again = draw_positions(recipe, (8, 8, 1), "f", 3, some, attempt=1)
    assert not np.any(again.stages[0].parameters[0]["x"] == picked.stages[0].parameters[0]["x"])


@pytest.mark.parametrize("channels", [1, 3])
def test_engines_and_blocks_agree(channels: int) -> None:
    """Images, attempts and rejections do not depend on the engine or on the block."""
    operations = [{"op": "shear", "x": [-0.7, 0.7]}, {"op": "rotate", "degrees": [-60, 60]}]
    recipe, images = recipe_of(operations, label_check={"lost": 0.1}), glyphs(60, (20, 16, channels))
    one, two = checked(images, recipe), checked(images, recipe, engine=engine_named("compiled"))
    assert 0 < len(one.rejected) < 200
    for left, right in zip(one, two, strict=True):
        assert np.array_equal(left, right)
    assert np.array_equal(checked(images[30:], recipe, 30).images, one.images[30:])


def test_rejection_names_the_operation_that_caused_it() -> None:
    """For a blank image the last operation is reported, even if another one lost a little ink."""
    recipe = recipe_of(
        {"op": "shear", "x": [0.1, 0.1]},
        {"op": "contrast", "contrast": [0, 0]},
        label_check={"lost": 0.9, "attempts": 1},
    )
    images = np.full((3, 12, 12, 1), 40, np.uint8)
    images[:, 5] = 255
    done = checked(images, recipe)
    assert done.rejected["operation"].tolist() == [b"contrast"] * 3
    assert done.rejected["lost"].tolist() == [0, 0, 0]


# --- In a set ----------------------------------------------------------------------------------------------


@pytest.fixture
def away(npz: Path, tmp_path: Path) -> dict[str, Any]:
    """A set with resampled images, as `augment info --json` prints it."""
    (tmp_path / "away.toml").write_text(AWAY)
    run("run", npz, "--recipe", tmp_path / "away.toml", "--sets", tmp_path / "sets", "--epochs", "2", "--jobs", "1")
    return json.loads(run("info", "--sets", tmp_path / "sets", "--json"))


def test_info_counts_rejections_by_class_and_operation(away: dict[str, Any], tmp_path: Path) -> None:
    """`augment info` counts what the shards contain, with and without `--json`."""
    resampled, tables = away["resampled"], []
    for path in Path(away["path"]).glob("epoch-*/*.h5"):
        with h5py.File(path) as file:
            tables.append(file["rejected"][()])
    table = np.concatenate(tables)
    assert resampled["attempts"] == len(table) > resampled["images"] > 5
    assert resampled["by_operation"].keys() == {"shear", "rotate"}
    for operation, count in resampled["by_operation"].items():
        assert count == np.sum(table["operation"] == operation.encode())
        assert count == sum(counts.get(operation, 0) for counts in resampled["by_class"].values())
    assert np.all(table["lost"] > 0.2)  # It is 0 for a blank image, and none is blank here.
    text = run("info", "--sets", tmp_path / "sets")
    assert f"resampled    {resampled['images']} of 480 distorted images" in text
    assert "  rejected   " in text


def test_explain_shows_the_attempt(away: dict[str, Any]) -> None:
    """`augment explain` reports every rejected draw of an image, and the operations of the draw that was taken."""
    with h5py.File(Path(away["path"]) / "epoch-0001" / "0000000000.h5") as file:
        stored, rejected = file["image"][()], file["rejected"][()]
    directory, seen = Path(away["path"]), set()
    for position in [*np.unique(rejected["position"]).tolist(), 0, 1, 2]:
        facts = json.loads(run("explain", directory, "1", position, "--json"))
        rows = rejected[rejected["position"] == position]
        assert facts["attempt"] == len(rows) == len(facts["rejected"])
        assert [one["op"] for one in facts["rejected"]] == [name.decode() for name in rows["operation"]]
        seen.add(facts["attempt"])
        assert facts["undistorted"] == (facts["attempt"] == 3)
        if facts["undistorted"]:
            assert facts["stages"] == []
            assert np.array_equal(stored[position], glyphs(300)[facts["row"]])
        else:
            assert len(facts["stages"]) == 1
    assert {0, 1} <= seen
    lines = run("explain", directory, "1", int(rejected["position"][0]))
    assert "rejected  attempt 0: " in lines


def test_undistorted_images_are_reported(npz: Path, tmp_path: Path) -> None:
    """If all draws of an image are rejected, `info`, its JSON and the log of the run count it as undistorted."""
    (tmp_path / "hard.toml").write_text(
        AWAY.replace("lost = 0.2", "lost = 0.02").replace("attempts = 3", "attempts = 1")
    )
    text = run("run", npz, "--recipe", tmp_path / "hard.toml", "--sets", tmp_path / "sets", "--epochs", "1")
    facts = json.loads(run("info", "--sets", tmp_path / "sets", "--json"))
    undistorted = facts["resampled"]["undistorted"]
    assert undistorted == facts["resampled"]["images"] == facts["resampled"]["attempts"] > 50
    assert facts["runs"][0]["undistorted"] == undistorted
    assert f"{undistorted} of them ({100 * undistorted / 240:.1f} %) are undistorted: all draws were rejected" in text


def test_set_without_a_label_check_is_reported_so(npz: Path, tmp_path: Path) -> None:
    """Without a label check there is nothing to count."""
    (tmp_path / "any.toml").write_text('label_check = false\n[[stage]]\noperation = [{ op = "blur" }]\n')
    text = run("run", npz, "--recipe", tmp_path / "any.toml", "--sets", tmp_path / "sets", "--epochs", "1")
    assert "resampled    none: this set has no label check" in text
    assert json.loads(run("info", "--sets", tmp_path / "sets", "--json"))["resampled"] is None


def test_workers_shards_and_engine_change_no_attempt(away: dict[str, Any], npz: Path, tmp_path: Path) -> None:
    """Digests and rejections are the same with smaller shards, two workers and the other engine."""
    words = ["--shard-size", "40", "--chunk-size", "8", "--jobs", "2", "--engine", "pillow"]
    recipe = ["--recipe", tmp_path / "away.toml"]
    run("run", npz, *recipe, "--sets", tmp_path / "other", "--epochs", "2", *words)
    other = json.loads(run("info", "--sets", tmp_path / "other", "--json"))
    assert [epoch["digest"] for epoch in other["epochs"]] == [epoch["digest"] for epoch in away["epochs"]]
    assert other["resampled"] == away["resampled"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("3", "label_check = 3; expected a [label_check] table, or false"),
        ("{ lost = 2 }", "label_check.lost = 2; expected a share from 0 to 1"),
        ("{ attempts = 0 }", "label_check.attempts = 0; expected a whole number from 1 to 100"),
        ("{ more = 1 }", "label_check.more: unknown key; expected attempts, lost"),
    ],
)
def test_invalid_label_check_is_refused(tmp_path: Path, value: str, expected: str) -> None:
    """The message names the key, the value and what is allowed; the exit code is 2."""
    path = tmp_path / "mine.toml"
    path.write_text(f'label_check = {value}\n[[stage]]\noperation = [{{ op = "blur" }}]\n')
    done = CliRunner().invoke(main, ["preview", "digits", "--recipe", str(path)])
    assert done.exit_code == 2
    assert expected in done.output

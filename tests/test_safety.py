"""Label safety: which distorted pictures are drawn again, deterministically, and what is told of them."""

import json
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import glyphs
from epochbank.augment.cli import main
from epochbank.augment.distortion.draw import Draw, draw_positions
from epochbank.augment.distortion.engine import engine_named
from epochbank.augment.distortion.label_check import distort_safely, is_blank
from epochbank.augment.distortion.operations.base import homographies, ink_inside
from epochbank.augment.distortion.operations.geometry import rotations, shears
from epochbank.augment.distortion.recipe import Recipe, parse_recipe

AWAY = """
[[stage]]
operation = [{ op = "shear", x = [-0.7, 0.7], y = [0, 0] }, { op = "rotate", degrees = [-60, 60] }]
[safety]
lost = 0.2
attempts = 3
"""
"""A recipe that pushes ink out of the picture now and then, and keeps it at bay."""


def recipe_of(*stages: list[dict], **safety: float) -> Recipe:
    return parse_recipe({"name": "test", "stage": [{"operation": stage} for stage in stages], "safety": safety})


def run(*words: str | Path) -> str:
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exit_code == 0, done.output
    return done.stdout


# --- Ink over the edge --------------------------------------------------------------------------------------


def brute_force(picture: np.ndarray, inward: np.ndarray) -> int:
    """The ink of pixels whose centre goes inside, one at a time, in floating point."""
    outward, kept = np.linalg.inv(inward), 0
    height, width = picture.shape[:2]
    for row in range(height):
        for column in range(width):
            x, y, z = outward @ (column + 0.5, row + 0.5, 1)
            kept += int(picture[row, column].sum()) if 0 <= x / z < width and 0 <= y / z < height else 0
    return kept


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    channels=st.sampled_from([1, 3]),
    degrees=st.floats(-360, 360).filter(lambda angle: abs(angle % 90) > 1e-3),
    seed=st.integers(0, 9),
)
def test_ink_over_the_edge_is_what_a_pixel_by_pixel_count_finds(
    height: int, width: int, channels: int, degrees: float, seed: int
) -> None:
    """Rotations: pixels whose centre is turned out of the frame, by floating point and by either engine."""
    pictures = np.random.default_rng(seed).integers(0, 256, (1, height, width, channels), np.uint8)
    matrices = rotations(np.array([degrees]), pictures.shape[1:])
    ((kept, total),) = ink_inside(pictures, homographies(matrices)).tolist()
    assert total == pictures.sum()
    assert kept == brute_force(pictures[0], matrices[0])


def test_a_shear_loses_what_it_moves_out() -> None:
    """A dot that a shear moves beyond the edge is lost; one that stays inside is not."""
    pictures = np.zeros((2, 20, 20, 1), np.uint8)
    pictures[0, 19, 2], pictures[1, 19, 12] = 200, 200
    outward = homographies(shears(np.array([0.5, 0.5]), np.zeros(2)))  # Row 19 goes 9.75 columns to the left.
    assert ink_inside(pictures, outward).tolist() == [[0, 200], [200, 200]]


def test_a_map_that_flattens_the_picture_loses_all_of_it() -> None:
    """x y = 1: the sheared picture is a line."""
    pictures = np.full((1, 8, 8, 1), 9, np.uint8)
    assert ink_inside(pictures, homographies(shears(np.ones(1), np.ones(1)))).tolist() == [[0, 9 * 64]]


# --- Blank pictures ----------------------------------------------------------------------------------------


def test_blank_is_what_has_lost_its_contrast() -> None:
    """Less than an eighth of the contrast that it had; a picture that was blank before cannot become it."""
    before, after = np.zeros((5, 4, 4, 1), np.uint8), np.zeros((5, 4, 4, 1), np.uint8)
    before[:, 0, 0] = np.array([255, 255, 255, 8, 0])[:, None]
    after[:, 1, 1] = np.array([0, 31, 32, 1, 0])[:, None]
    assert is_blank(before, after).tolist() == [True, True, False, False, False]


def test_one_colour_is_blank_whichever() -> None:
    """The contrast is that of a channel: plain red has none."""
    before, after = glyphs(2, (8, 8, 3)), np.zeros((2, 8, 8, 3), np.uint8)
    after[:, :, :, 0] = 255
    after[1, 2, 2, 1] = 200
    assert is_blank(before, after).tolist() == [True, False]


# --- Drawing again -----------------------------------------------------------------------------------------


def scripted(calls: list[tuple[list[int], int]], recipe: Recipe, positions: np.ndarray, attempt: int) -> Draw:
    calls.append((positions.tolist(), attempt))
    return draw_positions(recipe, (8, 8, 1), "f", 0, positions, attempt)


def test_only_the_unsafe_are_drawn_again_and_given_up_at_last() -> None:
    """A blur that leaves nothing: every attempt is drawn for those pictures alone; then they stay as they were."""
    recipe = recipe_of([{"op": "blur", "radius": [50, 50]}], attempts=3)
    pictures = np.zeros((4, 8, 8, 1), np.uint8)
    pictures[[0, 2], 4, 4] = 255
    calls: list[tuple[list[int], int]] = []
    done = distort_safely(pictures, np.arange(10, 14), recipe, partial(scripted, calls, recipe))
    assert calls == [([10, 11, 12, 13], 0), ([10, 12], 1), ([10, 12], 2)]
    assert done.attempt.tolist() == [3, 0, 3, 0]
    assert np.array_equal(done.pictures, pictures)
    assert [tuple(one)[:3] for one in done.rejected.tolist()] == [
        (position, attempt, b"blur") for attempt in range(3) for position in (10, 12)
    ]


def test_without_safety_the_first_draw_is_taken() -> None:
    """`safety = false` keeps blank pictures, and its recipe has the settings of one from before there was safety."""
    recipe = parse_recipe(
        {"name": "t", "stage": [{"operation": [{"op": "blur", "radius": [50, 50]}]}], "safety": False}
    )
    assert recipe.settings().keys() == {"stages"}
    pictures = np.zeros((1, 8, 8, 1), np.uint8)
    pictures[0, 4, 4] = 255
    done = distort_safely(pictures, np.arange(1), recipe, partial(draw_positions, recipe, (8, 8, 1), "f", 0))
    assert done.pictures.max() < 32
    assert done.attempt.tolist() == [0]


def test_a_draw_of_scattered_positions_is_that_of_a_run() -> None:
    """Whether drawn with its neighbours or alone, a position has the same parameters; another attempt has others."""
    recipe = recipe_of([{"op": "shear"}], [{"op": "rotate"}])
    run = draw_positions(recipe, (8, 8, 1), "f", 3, np.arange(100, 200))
    some = np.array([103, 104, 150, 199])
    picked = draw_positions(recipe, (8, 8, 1), "f", 3, some)
    for stage, other in zip(run.stages, picked.stages, strict=True):
        for name, column in stage.parameters[0].items():
            assert np.array_equal(column[some - 100], other.parameters[0][name])
    again = draw_positions(recipe, (8, 8, 1), "f", 3, some, attempt=1)
    assert not np.any(again.stages[0].parameters[0]["x"] == picked.stages[0].parameters[0]["x"])


@pytest.mark.parametrize("channels", [1, 3])
def test_engines_agree_on_what_is_safe(channels: int) -> None:
    """Pictures, attempts and rejections are the same, whoever distorts, and whatever the block."""
    recipe = recipe_of([{"op": "shear", "x": [-0.7, 0.7]}, {"op": "rotate", "degrees": [-60, 60]}], lost=0.1)
    pictures = glyphs(60, (20, 16, channels))
    draws = partial(draw_positions, recipe, pictures.shape[1:], "f", 0)
    one = distort_safely(pictures, np.arange(60), recipe, draws)
    two = distort_safely(pictures, np.arange(60), recipe, draws, engine_named("compiled"))
    assert 0 < len(one.rejected) < 200
    for left, right in zip(one, two, strict=True):
        assert np.array_equal(left, right)
    half = distort_safely(pictures[30:], np.arange(30, 60), recipe, draws)
    assert np.array_equal(half.pictures, one.pictures[30:])


def test_the_blame_is_on_what_did_it() -> None:
    """A picture that came out blank blames the last operation, though another took a little of its ink."""
    recipe = recipe_of(
        [{"op": "shear", "x": [0.1, 0.1]}], [{"op": "contrast", "contrast": [0, 0]}], lost=0.9, attempts=1
    )
    pictures = np.full((3, 12, 12, 1), 40, np.uint8)
    pictures[:, 5] = 255
    done = distort_safely(pictures, np.arange(3), recipe, partial(draw_positions, recipe, (12, 12, 1), "f", 0))
    assert done.rejected["operation"].tolist() == [b"contrast"] * 3
    assert done.rejected["lost"].tolist() == [0, 0, 0]


# --- In a set ----------------------------------------------------------------------------------------------


@pytest.fixture
def away(npz: Path, tmp_path: Path) -> dict:
    """A set with redrawn pictures, as `augment info --json` tells it."""
    (tmp_path / "away.toml").write_text(AWAY)
    run("run", npz, "--recipe", tmp_path / "away.toml", "--sets", tmp_path / "sets", "--epochs", "2", "--jobs", "1")
    return json.loads(run("info", "--sets", tmp_path / "sets", "--json"))


def test_info_counts_per_class_and_operation(away: dict, tmp_path: Path) -> None:
    """The counts are those of the shards; people are told, too."""
    redrawn, tables = away["redrawn"], []
    for path in Path(away["path"]).glob("epoch-*/*.h5"):
        with h5py.File(path) as file:
            tables.append(file["rejected"][()])
    table = np.concatenate(tables)
    assert redrawn["attempts"] == len(table) > redrawn["images"] > 5
    assert redrawn["by_operation"].keys() == {"shear", "rotate"}
    for operation, count in redrawn["by_operation"].items():
        assert count == np.sum(table["operation"] == operation.encode())
        assert count == sum(counts.get(operation, 0) for counts in redrawn["by_class"].values())
    assert np.all(table["lost"] > 0.2)  # or 0 where blank, which none is here
    told = run("info", "--sets", tmp_path / "sets")
    assert f"redrawn      {redrawn['images']} of 480 distorted pictures" in told
    assert "  rejected   " in told


def test_explain_shows_the_attempt(away: dict) -> None:
    """Every stored picture is made again from what `explain` says; an attempt's number is that of the rejections."""
    with h5py.File(Path(away["path"]) / "epoch-0001" / "0000000000.h5") as file:
        stored, rejected = file["image"][()], file["rejected"][()]
    directory, seen = Path(away["path"]), set()
    for position in [*np.unique(rejected["position"]).tolist(), 0, 1, 2]:
        told = json.loads(run("explain", directory, "1", position, "--json"))
        own = rejected[rejected["position"] == position]
        assert told["attempt"] == len(own) == len(told["rejected"])
        assert [one["op"] for one in told["rejected"]] == [name.decode() for name in own["operation"]]
        seen.add(told["attempt"])
        assert told["undistorted"] == (told["attempt"] == 3)
        if told["undistorted"]:
            assert told["stages"] == []
            assert np.array_equal(stored[position], glyphs(300)[told["row"]])
        else:
            assert len(told["stages"]) == 1
    assert {0, 1} <= seen
    position = int(rejected["position"][0])
    lines = run("explain", directory, "1", position)
    assert "attempt 0 was not taken" in lines


def test_pictures_left_undistorted_are_told(npz: Path, tmp_path: Path) -> None:
    """Where no draw is safe, `info`, its JSON and the run's log say how many."""
    (tmp_path / "hard.toml").write_text(
        AWAY.replace("lost = 0.2", "lost = 0.02").replace("attempts = 3", "attempts = 1")
    )
    told = run("run", npz, "--recipe", tmp_path / "hard.toml", "--sets", tmp_path / "sets", "--epochs", "1")
    facts = json.loads(run("info", "--sets", tmp_path / "sets", "--json"))
    left = facts["redrawn"]["undistorted"]
    assert left == facts["redrawn"]["images"] == facts["redrawn"]["attempts"] > 50
    assert facts["runs"][0]["undistorted"] == left
    assert f"{left} of them ({100 * left / 240:.1f} %) left undistorted: no draw was safe" in told


def test_a_set_without_safety_says_so(npz: Path, tmp_path: Path) -> None:
    """There is nothing to count."""
    (tmp_path / "any.toml").write_text('safety = false\n[[stage]]\noperation = [{ op = "blur" }]\n')
    told = run("run", npz, "--recipe", tmp_path / "any.toml", "--sets", tmp_path / "sets", "--epochs", "1")
    assert "redrawn      none: this set has no label safety" in told
    assert json.loads(run("info", "--sets", tmp_path / "sets", "--json"))["redrawn"] is None


def test_workers_shards_and_engines_change_no_attempt(away: dict, npz: Path, tmp_path: Path) -> None:
    """The same digests with other shards, two workers and the other engine."""
    words = ["--shard-size", "40", "--chunk-size", "8", "--jobs", "2", "--engine", "pillow"]
    recipe = ["--recipe", tmp_path / "away.toml"]
    run("run", npz, *recipe, "--sets", tmp_path / "other", "--epochs", "2", *words)
    other = json.loads(run("info", "--sets", tmp_path / "other", "--json"))
    assert [epoch["digest"] for epoch in other["epochs"]] == [epoch["digest"] for epoch in away["epochs"]]
    assert other["redrawn"] == away["redrawn"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("safety = 3", "safety = 3; expected a [safety] table, or false"),
        ("safety = { lost = 2 }", "safety.lost = 2; expected a share from 0 to 1"),
        ("safety = { attempts = 0 }", "safety.attempts = 0; expected a whole number from 1 to 100"),
        ("safety = { more = 1 }", "safety.more: unknown key; expected attempts, lost"),
    ],
)
def test_what_is_no_safety_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    """The key, what was received, what is expected; exit code 2."""
    path = tmp_path / "mine.toml"
    path.write_text(text + '\n[[stage]]\noperation = [{ op = "blur" }]\n')
    done = CliRunner().invoke(main, ["preview", "digits", "--recipe", str(path)])
    assert done.exit_code == 2
    assert expected in done.output

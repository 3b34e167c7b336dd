"""Final augmentation: reproducible, the same for all threads, batch sizes, ranks and frameworks, and limited."""

import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epochbank.augment.errors import EpochbankError
from epochbank.train.feeding.augmented_set import AugmentedSet
from epochbank.train.feeding.batch_options import BatchOptions
from epochbank.train.feeding.sequence import AugmentedSequence
from epochbank.train.streaming.final import OPERATIONS, built_in_names, check_final, load_final, parse_final
from test_stream import make

SHIFT = '[[stage]]\noperation = [{ op = "shift", x = [-0.1, 0.1], y = [-0.1, 0.1] }]\n'
"""Up to two pixels, for images of 20 x 16."""
EVERYTHING = "".join(f'[[stage]]\nprobability = 0.5\noperation = [{{ op = "{op}" }}]\n' for op in OPERATIONS)


@pytest.fixture
def stored_set(npz: Path, nothing_recipe: Path, tmp_path: Path) -> AugmentedSet:
    return make(npz, nothing_recipe, tmp_path / "sets")


def file_of(folder: Path, text: str) -> Path:
    path = folder / "final.toml"
    path.write_text(text)
    return path


def images_of(stored_set: AugmentedSet, *, epochs: int = 1, size: int = 64, **options: Any) -> np.ndarray:
    """Return all images of some training epochs, in order."""
    return np.concatenate([images for images, _ in stored_set.batches(size, epochs=epochs, **options)])


def moved(image: np.ndarray, x: int, y: int) -> np.ndarray:
    """Return an image (H, W, C) moved right by `x` and down by `y`, with black around it."""
    height, width, _ = image.shape
    return np.pad(image, ((2, 2), (2, 2), (0, 0)))[2 - y : 2 - y + height, 2 - x : 2 - x + width]


@pytest.mark.parametrize("originals", [0, 0.5, 1])
def test_every_image_is_distorted_and_nothing_else_changes(
    stored_set: AugmentedSet, tmp_path: Path, originals: float
) -> None:
    """Each image is the stored one, moved by at most two pixels, equally often by each distance; labels stay."""
    final = file_of(tmp_path, SHIFT)
    offsets: Counter[tuple[int, int]] = Counter()
    plain = stored_set.batches(64, originals, 3, epochs=4)
    for (before, labels), (after, same) in zip(
        plain, stored_set.batches(64, originals, 3, epochs=4, final=final), strict=True
    ):
        assert np.array_equal(labels, same)
        for image, result in zip(before, after, strict=True):
            found = [at for at in product(range(-2, 3), repeat=2) if np.array_equal(moved(image, *at), result)]
            assert found
            offsets.update(found[:1] if len(found) == 1 else [])
    counts = [offsets[at] for at in product(range(-2, 3), repeat=2)]
    assert min(counts) > 0.5 * np.mean(counts)


def test_every_epoch_and_seed_has_other_distortions(stored_set: AugmentedSet, tmp_path: Path) -> None:
    """Stored epoch 0, shown as training epochs 0 and 2, is distorted in two ways; another seed gives a third."""
    final = file_of(tmp_path, '[[stage]]\noperation = [{ op = "noise", amount = [20, 20] }]\n')
    options: dict[str, Any] = {"originals": 0, "final": final}
    epochs = images_of(stored_set, epochs=3, **options)
    first, third = np.split(epochs, 3)[::2]
    again = images_of(stored_set, epochs=3, seed=1, **options)
    assert len({image.tobytes() for image in np.concatenate([first, third, again])}) == len(first) + len(third) + len(
        again
    )


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 5), st.integers(10, 90), st.sampled_from([0, 1]), st.integers(0, 9))
def test_threads_batch_size_and_ranks_change_no_pixel(
    class_set: AugmentedSet, threads: int, size: int, originals: int, seed: int
) -> None:
    """An epoch is the same sequence of images for any number of threads and ranks, and any batch size."""
    options: dict[str, Any] = {"originals": originals, "seed": seed, "final": class_set.path.parent / "final.toml"}
    expected = images_of(class_set, size=64, threads=1, **options)
    assert np.array_equal(images_of(class_set, size=size, threads=threads, **options), expected)
    ranks = [images_of(class_set, size=size, rank=rank, world_size=3, **options) for rank in range(3)]
    assert np.array_equal(np.concatenate(ranks), expected)


@pytest.fixture(scope="module")
def class_set(tmp_path_factory: pytest.TempPathFactory) -> AugmentedSet:
    """A set that the examples of a property share; all operations of final augmentation are in `final.toml`."""
    from conftest import NOTHING, glyphs

    folder = tmp_path_factory.mktemp("final")
    np.savez(folder / "glyphs.npz", images=glyphs(300), labels=np.arange(300) % 6)
    (folder / "nothing.toml").write_text(NOTHING)
    (folder / "sets").mkdir()
    (folder / "sets" / "final.toml").write_text(EVERYTHING)
    return make(folder / "glyphs.npz", folder / "nothing.toml", folder / "sets")


def test_batches_in_any_order_and_from_many_threads(stored_set: AugmentedSet, tmp_path: Path) -> None:
    """`data[i]` is a pure function, also of a copy that was pickled."""
    import pickle

    final = file_of(tmp_path, EVERYTHING)
    data = AugmentedSequence(stored_set, 32, final=final)
    expected = [data[number] for number in range(len(data))]
    copy = pickle.loads(pickle.dumps(data))
    with ThreadPoolExecutor(4) as pool:
        received = list(pool.map(copy.__getitem__, range(len(data))))
    assert all(
        np.array_equal(a, b) for pair in zip(received, expected, strict=True) for a, b in zip(*pair, strict=True)
    )
    assert all(np.array_equal(data[number][0], expected[number][0]) for number in reversed(range(len(data))))
    data.close()
    copy.close()


@pytest.mark.parametrize("sparse", [False, True])
def test_the_same_in_every_framework(stored_set: AugmentedSet, tmp_path: Path, sparse: bool) -> None:
    """`batches`, `AugmentedSequence` and `to_tf_dataset` deliver the same images and targets."""
    pytest.importorskip("tensorflow")
    options: dict[str, Any] = {
        "sparse_targets": sparse,
        "final": file_of(tmp_path, EVERYTHING),
        "mixup": 0.4,
        "cutmix": 1,
        "label_smoothing": 0.1,
    }
    expected = list(stored_set.batches(32, epochs=1, **options))
    data = AugmentedSequence(stored_set, 32, **options)
    for number, (images, targets) in enumerate(stored_set.to_tf_dataset(32, **options)):
        for received in (data[number], (images.numpy(), targets.numpy())):
            assert all(np.array_equal(a, b) for a, b in zip(received, expected[number], strict=True))
    assert number == len(expected) - 1
    data.close()


def test_the_same_in_torch(stored_set: AugmentedSet, tmp_path: Path) -> None:
    """PyTorch's batches are those of `batches`, also from several workers."""
    pytest.importorskip("torch")
    from torch.utils.data import DataLoader

    options: dict[str, Any] = {"final": file_of(tmp_path, EVERYTHING), "mixup": 0.4, "label_smoothing": 0.1}
    expected = list(stored_set.batches(32, epochs=1, **options))
    for workers in (0, 2):
        loader = DataLoader(stored_set.to_torch(32, **options), batch_size=None, num_workers=workers)
        received = sorted((images.numpy().tobytes(), targets.numpy().tobytes()) for images, targets in loader)
        assert received == sorted((images.tobytes(), targets.tobytes()) for images, targets in expected)


def test_evaluation_is_undistorted(stored_set: AugmentedSet, tmp_path: Path) -> None:
    """Final augmentation is not an option of the validation split, and training does not change it."""
    before = stored_set.validation(16)[0][0]
    with stored_set.batches(32, epochs=1, final=file_of(tmp_path, EVERYTHING)) as batches:
        next(batches)
    assert np.array_equal(stored_set.validation(16)[0][0], before)


@pytest.mark.parametrize("name", built_in_names())
def test_built_in_final_recipes(name: str) -> None:
    """They survive JSON, and consist of allowed operations."""
    import json

    final = load_final(name)
    assert check_final(json.loads(json.dumps(final))) == final
    assert {one["op"] for stage in final["stages"] for one in stage["operations"]} <= set(OPERATIONS)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (
            '[[stage]]\noperation = [{ op = "elastic" }]',
            ["stage[0].operation[0].op = 'elastic'", ", ".join(OPERATIONS)],
        ),
        ('[[stage]]\noperation = [{ op = "os:system" }]', ["'os:system'", ", ".join(OPERATIONS)]),
        ('[[stage]]\noperation = [{ op = "affine", resample = "bicubic" }]', ["bicubic", "nearest or bilinear"]),
        ('[[stage]]\noperation = [{ op = "shift", x = [-2, 0] }]', ["x = [-2, 0] is out of bounds"]),
        ('[[stage]]\noperation = [{ op = "shift", z = [0, 0] }]', ["z: unknown key"]),
        ("[label_check]\nlost = 0.5\n" + SHIFT, ["label_check: unknown key of a final recipe"]),
        ("", ["stage: none found"]),
        ("[[stage]", ["not a TOML file"]),
    ],
)
def test_other_recipes_are_refused(tmp_path: Path, text: str, messages: list[str]) -> None:
    """The message names the file, the key, what was expected, and nothing is imported."""
    path = file_of(tmp_path, text)
    with pytest.raises(EpochbankError) as caught:
        load_final(path)
    for message in [str(path), *messages]:
        assert message in str(caught.value)


def test_unknown_names_are_refused() -> None:
    """A typo gets the closest name."""
    with pytest.raises(EpochbankError, match=r"'charakters' is neither built in .* Did you mean `characters`"):
        load_final("charakters")


@pytest.mark.parametrize("value", [None, {}, {"name": 1, "stages": []}, {"name": "a", "stages": [{"probability": 1}]}])
def test_damaged_settings_are_refused(value: Any) -> None:
    """The config.json of a run may be damaged."""
    with pytest.raises(ValueError, match=r"expected|name|stage"):
        check_final(value)


@settings(max_examples=200, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                        st.sampled_from(["name", "stage", "operation", "op", "probability", "x"]), inner, max_size=4),
                    max_leaves=12))  # fmt: skip
def test_any_document_is_a_final_recipe_or_a_value_error(document: Any) -> None:
    """No document ends in another exception."""
    with suppress(ValueError):
        parse_final(document if isinstance(document, dict) else {"stage": document})


def test_views_are_other_distortions_of_the_same_image(stored_set: AugmentedSet, tmp_path: Path) -> None:
    """All first views come first and are those of `views=1`; every other view is the same image, distorted again."""
    final = file_of(tmp_path, SHIFT)
    single = list(stored_set.batches(20, originals=0, epochs=1, final=final))
    triple = list(stored_set.batches(60, originals=0, epochs=1, final=final, views=3))
    split = list(stored_set.batches(60, originals=0, epochs=1, final=final, views=3, split_views=True))
    plain = list(stored_set.batches(20, originals=0, epochs=1))
    for (first, labels), (images, all_labels), (views, one_label), (stored, _) in zip(
        single, triple, split, plain, strict=True
    ):
        assert np.array_equal(np.concatenate(views), images)
        assert np.array_equal(views[0], first)
        assert np.array_equal(one_label, labels)
        assert np.array_equal(all_labels, np.tile(labels, 3))
        for view in views:
            for image, result in zip(stored, view, strict=True):
                assert any(np.array_equal(moved(image, *at), result) for at in product(range(-2, 3), repeat=2))
        assert not np.array_equal(views[0], views[1])
        assert not np.array_equal(views[1], views[2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"views": 2}, "2 views without final augmentation"),
        ({"views": 0}, "views=0; expected 1 or more"),
        ({"views": 3, "final": "characters"}, "batch size 64 with 3 views of each image; expected a multiple of 3"),
        ({"views": 2, "final": "characters", "batch_size": 600}, "241 training images; expected at least 300"),
        ({"views": 2, "final": "characters", "split_views": True, "mixup": 1}, "split_views=True with MixUp"),
        ({"label_smoothing": 1}, "label_smoothing=1; expected"),
        ({"mixup": -1}, "mixup=-1; expected an alpha"),
        ({"cutmix": float("nan")}, "cutmix=nan; expected an alpha"),
        ({"mixup": "0.2"}, "mixup='0.2'; expected an alpha"),
        ({"mixup": True}, "mixup=True; expected an alpha"),
        ({"label_smoothing": None}, "label_smoothing=None; expected a share"),
        ({"views": 2.5, "final": "characters"}, "views=2.5; expected an int"),
        ({"final": 5}, "final=5; expected the name of a built-in final recipe"),
        ({"final": {}}, "final={} is not a final recipe"),
        ({"originals": "0.3:0.9"}, "originals='0.3:0.9'; expected a share from 0 to 1, or an OriginalsSchedule"),
    ],
)
def test_options_are_checked(stored_set: AugmentedSet, options: dict[str, Any], message: str) -> None:
    """All iterators refuse impossible options at once."""
    with pytest.raises(EpochbankError) as caught:
        stored_set.batches(**{"batch_size": 64, **options})
    assert message.replace("241", str(stored_set.num_images["train"])) in str(caught.value)


def test_numbers_of_numpy_are_accepted() -> None:
    """As everywhere else."""
    numbers: dict[str, Any] = {"views": np.int64(2), "mixup": np.float32(0.2), "label_smoothing": np.float64(0.1)}
    assert BatchOptions(final="characters", **numbers).views == 2


def test_nothing_of_import_and_generation_is_imported(stored_set: AugmentedSet) -> None:
    """Training with final augmentation imports the distortions only, and without it not even these."""
    code = f"""
import sys
from epochbank import open_set
loaded = lambda part: sorted(name for name in sys.modules if name.startswith("epochbank.augment." + part))
stored_set = open_set({str(stored_set.path)!r})
next(stored_set.batches(32))
assert not loaded("distortion"), loaded("distortion")
next(stored_set.batches(32, final="characters"))
for part in ("sources", "ingest", "split", "generation", "views", "lifecycle", "exchange"):
    assert not loaded(part), loaded(part)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr

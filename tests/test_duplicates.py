"""Exact and near-duplicates: all of them are found, in any number and order, and nothing else is."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from conftest import glyphs
from epochbank.augment.ingest import near_duplicates
from epochbank.augment.ingest.dhash import dhash
from epochbank.augment.ingest.importer import ImportOptions, import_source
from epochbank.augment.ingest.near_duplicates import find_duplicates, find_near_duplicates, near_pairs
from epochbank.augment.ingest.source_file import open_source_file
from epochbank.augment.sources.find import open_source
from epochbank.augment.store.digest import image_digests

few = settings(deadline=None, max_examples=60)


@few
@given(kinds=st.lists(st.integers(0, 30), max_size=200), partition=st.sampled_from([3, 50, 1 << 20]))
def test_duplicates_are_found(kinds: list[int], partition: int) -> None:
    """Each row that repeats an earlier one is paired with the first row with its pixels, for any partition size."""
    images = glyphs(31, (8, 8, 1))[kinds] if kinds else np.empty((0, 8, 8, 1), np.uint8)
    distinct = {image.tobytes(): kind for kind, image in enumerate(glyphs(31, (8, 8, 1)))}
    first: dict[int, int] = {}
    expected = []
    for row, image in enumerate(images):
        kind = distinct[image.tobytes()]
        if first.setdefault(kind, row) != row:
            expected.append((row, first[kind]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "_PARTITION", partition)
        found = find_duplicates(image_digests(images))
    assert found.dtype == np.int64
    assert [tuple(pair) for pair in found.tolist()] == expected


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image[:, :, 0]).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))[:, :, None]


def test_near_duplicates_are_found() -> None:
    """Nearly all images that were saved as JPEG, dimmed or made noisy are found among hundreds of other images."""
    rng = np.random.default_rng(0)
    originals = glyphs(400, (64, 64, 1))
    changed = [
        *(jpeg(image, 85) for image in originals[:40]),
        *((image * 0.8).astype(np.uint8) for image in originals[40:80]),
        *(np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8) for image in originals[80:120]),
    ]
    images = np.concatenate([originals, np.stack(changed)])
    found, complete = find_near_duplicates(image_digests(images), dhash(images), images.__getitem__)
    assert complete
    pairs = {tuple(pair) for pair in found.tolist()}
    expected = {(400 + number, number) for number in range(120)}
    assert len(pairs & expected) >= 108
    assert not pairs - expected


def test_different_images_are_not_near_duplicates() -> None:
    """Other strokes, mirrored images, exact duplicates and plain images are not near-duplicates."""
    originals = glyphs(300, (32, 32, 1), seed=3)
    plain = np.zeros((20, 32, 32, 1), np.uint8) + np.arange(20, dtype=np.uint8)[:, None, None, None]
    images = np.concatenate([originals, originals[:100], originals[:100, :, ::-1], plain])
    assert len(find_near_duplicates(image_digests(images), dhash(images), images.__getitem__)[0]) == 0


@pytest.mark.parametrize("shape", [(64, 64, 1), (20, 16, 3), (5, 3, 1), (1, 1, 1), (300, 200, 3)])
def test_dhash_is_a_pure_function_of_each_image(shape: tuple[int, int, int]) -> None:
    """A hash does not depend on other images; it is 0 for plain images, and differs between random images."""
    images = np.random.default_rng(1).integers(0, 256, (20, *shape), np.uint8)
    together = dhash(images)
    assert np.array_equal(together, np.concatenate([dhash(image[None]) for image in images]))
    if min(shape[:2]) >= 9:
        assert len(set(map(tuple, together.tolist()))) == 20
    for value in (0, 1, 128, 255):
        assert not dhash(np.full((1, *shape), value, np.uint8)).any()


def test_import_lists_duplicates(tmp_path: Path) -> None:
    """A source file lists duplicates and near-duplicates, the same for any number of workers."""
    images = glyphs(3000, (16, 16, 1))
    images[2900:] = images[:100]
    images[1500:1510] = np.maximum(images[10:20], 3) - 2
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(3000) % 3)
    files = []
    for jobs in (1, 2):
        path = tmp_path / f"{jobs}.h5"
        import_source(open_source(str(tmp_path / "a.npz")), path, ImportOptions(), jobs, quiet=True)
        files.append(open_source_file(path))
    for file in files:
        assert file.duplicates == 100
        assert file.column("duplicates").tolist() == [[2900 + number, number] for number in range(100)]
        found = set(map(tuple, file.column("near_duplicates").tolist()))
        assert {(1500 + number, 10 + number) for number in range(10)} <= found
    assert files[0].digest == files[1].digest


def test_of_too_many_candidates_the_most_similar_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """If there are more candidates than can be compared, the most similar pairs are kept, wherever they are, and the
    result is marked as incomplete."""
    monkeypatch.setattr(near_duplicates, "_MOST", 60)
    rng = np.random.default_rng(5)
    base = rng.integers(0, 2**63, (4, 2), dtype=np.uint64)
    crowd = np.repeat(base, 200, axis=0) ^ (np.uint64(1) << rng.integers(0, 64, (800, 2)).astype(np.uint64))
    near = rng.integers(0, 2**63, (30, 2), dtype=np.uint64)
    dhashes = np.concatenate([crowd, near, near])
    digests = rng.integers(0, 2**63, (len(dhashes), 2), dtype=np.uint64)
    pairs, complete = near_pairs(digests, dhashes)
    assert not complete
    assert len(pairs) == 60
    assert {(830 + number, 800 + number) for number in range(30)} <= set(map(tuple, pairs.tolist()))
    assert near_pairs(digests[800:], dhashes[800:])[1]

"""Copies and near copies: found whatever their number and order, and nothing else taken for one."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from conftest import glyphs
from epochbank.augment.ingest import near_duplicates as duplicates
from epochbank.augment.ingest.dhash import likeness
from epochbank.augment.ingest.importer import ImportOptions, import_source
from epochbank.augment.ingest.near_duplicates import find_alike, find_copies
from epochbank.augment.ingest.source_file import open_source_file
from epochbank.augment.sources import open_source
from epochbank.augment.store.digest import picture_digests

few = settings(deadline=None, max_examples=60)


@few
@given(kinds=st.lists(st.integers(0, 30), max_size=200), share=st.sampled_from([3, 50, 1 << 20]))
def test_copies_are_found(kinds: list[int], share: int) -> None:
    """Every row with an earlier one of the same pixels, with the first of them, however few are looked at at once."""
    pictures = glyphs(31, (8, 8, 1))[kinds] if kinds else np.empty((0, 8, 8, 1), np.uint8)
    distinct = {picture.tobytes(): kind for kind, picture in enumerate(glyphs(31, (8, 8, 1)))}
    first: dict[int, int] = {}
    expected = []
    for row, picture in enumerate(pictures):
        kind = distinct[picture.tobytes()]
        if first.setdefault(kind, row) != row:
            expected.append((row, first[kind]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "_SHARE", share)
        found = find_copies(picture_digests(pictures))
    assert found.dtype == np.int64
    assert [tuple(pair) for pair in found.tolist()] == expected


def saved_anew(picture: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(picture[:, :, 0]).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))[:, :, None]


def test_near_copies_are_found() -> None:
    """Pictures saved anew as JPEG, dimmed, or a little noisy are found among hundreds of others, nearly all."""
    rng = np.random.default_rng(0)
    originals = glyphs(400, (64, 64, 1))
    changed = [
        *(saved_anew(picture, 85) for picture in originals[:40]),
        *((picture * 0.8).astype(np.uint8) for picture in originals[40:80]),
        *(np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8) for picture in originals[80:120]),
    ]
    pictures = np.concatenate([originals, np.stack(changed)])
    found, complete = find_alike(picture_digests(pictures), likeness(pictures), pictures.__getitem__)
    assert complete
    pairs = {tuple(pair) for pair in found.tolist()}
    expected = {(400 + number, number) for number in range(120)}
    assert len(pairs & expected) >= 108
    assert not pairs - expected


def test_what_is_different_is_not_alike() -> None:
    """Other strokes, mirrored pictures, and copies pixel for pixel are no near copies; nor are plain pictures."""
    originals = glyphs(300, (32, 32, 1), seed=3)
    plain = np.zeros((20, 32, 32, 1), np.uint8) + np.arange(20, dtype=np.uint8)[:, None, None, None]
    pictures = np.concatenate([originals, originals[:100], originals[:100, :, ::-1], plain])
    assert len(find_alike(picture_digests(pictures), likeness(pictures), pictures.__getitem__)[0]) == 0


@pytest.mark.parametrize("shape", [(64, 64, 1), (20, 16, 3), (5, 3, 1), (1, 1, 1), (300, 200, 3)])
def test_likeness_is_a_pure_function_of_each_picture(shape: tuple[int, int, int]) -> None:
    """The same whatever other pictures are asked for; 0 for a plain picture of any brightness; others for others."""
    pictures = np.random.default_rng(1).integers(0, 256, (20, *shape), np.uint8)
    together = likeness(pictures)
    assert np.array_equal(together, np.concatenate([likeness(picture[None]) for picture in pictures]))
    if min(shape[:2]) >= 9:
        assert len(set(map(tuple, together.tolist()))) == 20
    for value in (0, 1, 128, 255):
        assert not likeness(np.full((1, *shape), value, np.uint8)).any()


def test_the_import_finds_them(tmp_path: Path) -> None:
    """A source file lists the copies and near copies of its pictures, the same however many workers imported it."""
    pictures = glyphs(3000, (16, 16, 1))
    pictures[2900:] = pictures[:100]
    pictures[1500:1510] = np.maximum(pictures[10:20], 3) - 2
    np.savez(tmp_path / "a.npz", images=pictures, labels=np.arange(3000) % 3)
    files = []
    for jobs in (1, 2):
        path = tmp_path / f"{jobs}.h5"
        import_source(open_source(str(tmp_path / "a.npz")), path, ImportOptions(), jobs, quiet=True)
        files.append(open_source_file(path))
    for file in files:
        assert file.copies == 100
        assert file.column("copy").tolist() == [[2900 + number, number] for number in range(100)]
        assert {(1500 + number, 10 + number) for number in range(10)} <= set(map(tuple, file.column("alike").tolist()))
    assert files[0].digest == files[1].digest


def test_of_too_many_candidates_the_nearest_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are more than can be compared, near copies at the end of a source are found before chance likenesses,
    and it is told that there may be more; memory stays within what is kept."""
    monkeypatch.setattr(duplicates, "_MOST", 60)
    rng = np.random.default_rng(5)
    base = rng.integers(0, 2**63, (4, 2), dtype=np.uint64)
    crowd = np.repeat(base, 200, axis=0) ^ (np.uint64(1) << rng.integers(0, 64, (800, 2)).astype(np.uint64))
    near = rng.integers(0, 2**63, (30, 2), dtype=np.uint64)
    likenesses = np.concatenate([crowd, near, near])
    digests = rng.integers(0, 2**63, (len(likenesses), 2), dtype=np.uint64)
    pairs, complete = duplicates.near_pairs(digests, likenesses)
    assert not complete
    assert len(pairs) == 60
    assert {(830 + number, 800 + number) for number in range(30)} <= set(map(tuple, pairs.tolist()))
    assert duplicates.near_pairs(digests[800:], likenesses[800:])[1]

"""Import: the contents and the identity of a source file, automatic decisions, skipped images and cleanup."""

import errno
import os
import signal
import tempfile
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from conftest import glyphs
from epochbank.augment.cli import main
from epochbank.augment.distortion.recipe import load_recipe
from epochbank.augment.errors import EpochbankError
from epochbank.augment.generation.spec import SetSpec
from epochbank.augment.ingest import source_file
from epochbank.augment.ingest.importer import ImportOptions, import_source
from epochbank.augment.ingest.resolve import prepare_source
from epochbank.augment.ingest.source_file import SourceFile, open_source_file
from epochbank.augment.sources import Scan, SourceOptions
from epochbank.augment.sources.decode import BadImage
from epochbank.augment.sources.find import open_source
from epochbank.augment.store.description import fingerprint_of, read_description


def noise(*shape: int, seed: int = 0, lowest: int = 0, highest: int = 100) -> np.ndarray:
    """Random images with a dark background, which an import does not change."""
    return np.random.default_rng(seed).integers(lowest, highest, shape, dtype=np.uint8)


def arrays(count: int = 24, size: int = 6) -> dict[str, np.ndarray]:
    """A small source with three classes and four groups, in independent order."""
    return {
        "images": noise(count, size, size),
        "labels": np.array([7, 1, 3])[np.arange(count) * 5 % 3],
        "groups": np.array(["Ann", "Bob", "Cyd", "Dan"])[np.arange(count) // 3 % 4],
    }


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def write_hdf5(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array.astype(object) if array.dtype.kind == "U" else array
    return path


def write_tree(root: Path, images: dict[str, np.ndarray]) -> Path:
    for name, pixels in images.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / name)
    return root


def import_to(path: Path, spec: object, pattern: str | None = None, jobs: int = 1, **options: Any) -> SourceFile:
    import_source(open_source(str(spec), SourceOptions(pattern)), path, ImportOptions(**options), jobs, quiet=True)
    return open_source_file(path)


def images_of(file: SourceFile) -> np.ndarray:
    return file.read(np.arange(file.num_images))


def origins_of(file: SourceFile) -> list[str]:
    return [file.origin(row) for row in range(file.num_images)]


def classes_of(file: SourceFile) -> list[str]:
    """Return the class name of every image."""
    return [file.class_names[label] for label in file.column("label")]


def groups_of(file: SourceFile) -> list[str]:
    """Return the group name of every image."""
    assert file.group_names is not None
    return [file.group_names[group] for group in file.column("group")]


def files_below(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def augment(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


# Contents of a source file


@pytest.mark.parametrize("write", [write_npz, write_hdf5])
def test_arrays_are_imported_unchanged(tmp_path: Path, write: Any) -> None:
    """Pixels, labels, groups and origins of every row match the arrays."""
    given = arrays()
    file = import_to(tmp_path / "o.h5", write(tmp_path / ("a.npz" if write is write_npz else "a.h5"), given))
    np.testing.assert_array_equal(images_of(file)[..., 0], given["images"])
    assert file.num_images == 24
    assert file.shape == (6, 6, 1)
    assert classes_of(file) == [str(label) for label in given["labels"]]
    assert groups_of(file) == given["groups"].tolist()
    assert origins_of(file) == [f"images[{index}]" for index in range(24)]
    assert file.skipped == 0


def test_a_folder_is_imported_unchanged(tmp_path: Path) -> None:
    """Pixels, class, group and origin of every row match the image file."""
    images = {
        f"{alphabet}/{letter}/s{sheet}-{number}.png": noise(64, 64, seed=number)
        for number, (alphabet, letter, sheet) in enumerate(
            (alphabet, letter, sheet) for alphabet in ("kana", "Ω") for letter in ("あ", "b") for sheet in (3, 1, 2)
        )
    }
    file = import_to(tmp_path / "o.h5", write_tree(tmp_path / "t", images), r"/s(\d)-")
    assert sorted(origins_of(file)) == sorted(images)
    for row, (origin, name, group) in enumerate(zip(origins_of(file), classes_of(file), groups_of(file), strict=True)):
        np.testing.assert_array_equal(file.read(np.array([row]))[0, :, :, 0], images[origin])
        assert name == origin.rpartition("/")[0]
        assert f"/s{group}-" in origin


def test_rows_can_be_read_in_any_order(tmp_path: Path) -> None:
    """A source file returns the requested rows in the requested order, including repeated ones."""
    given = arrays()
    file = import_to(tmp_path / "o.h5", write_npz(tmp_path / "a.npz", given))
    rows = np.array([23, 0, 7, 7, 1])
    np.testing.assert_array_equal(file.read(rows)[..., 0], given["images"][rows])


def test_plain_h5py_reads_a_source_file(tmp_path: Path) -> None:
    """A source file is readable with h5py alone: datasets with clear names, and what the import decided."""
    given = arrays()
    import_to(tmp_path / "o.h5", write_npz(tmp_path / "a.npz", given))
    with h5py.File(tmp_path / "o.h5", "r") as file:
        assert {"image", "label", "group", "group_name", "class_name", "origin"} <= set(file)
        assert file["image"].dtype == np.uint8
        assert file["image"].shape == (24, 6, 6, 1)
        np.testing.assert_array_equal(file["image"][..., 0], given["images"])
        names = file["class_name"].asstr()[()]
        assert names[file["label"][()]].tolist() == [str(label) for label in given["labels"]]
        assert file["group_name"].asstr()[()][file["group"][()]].tolist() == given["groups"].tolist()
        assert file["origin"].asstr()[5] == "images[5]"
        assert len(file.attrs["digest"]) == 64
        assert "gray" in file.attrs["decided"]
        assert "epochbank" in file.attrs["kind"]


def test_a_source_without_groups_has_none(tmp_path: Path) -> None:
    """If the source has no groups, neither has the source file."""
    given = arrays()
    del given["groups"]
    assert import_to(tmp_path / "o.h5", write_npz(tmp_path / "a.npz", given)).group_names is None


@pytest.mark.parametrize(("height", "width"), [(16, 16), (32, 16), (48, 80), (5, 20)])
def test_images_are_resized_with_their_aspect_ratio(tmp_path: Path, height: int, width: int) -> None:
    """The aspect ratio is kept, the image is centered, and the padding has the color of the border."""
    pixels = np.full((height, width), 20, np.uint8)
    pixels[height // 4 : height - height // 4, width // 4 : width - width // 4] = 90
    root = write_tree(tmp_path / "t", {"a/1.png": pixels, "b/1.png": pixels})
    found = images_of(import_to(tmp_path / "o.h5", root, size=(24, 40)))[0, :, :, 0].astype(int)
    factor = min(24 / height, 40 / width)
    high, wide = round(height * factor), round(width * factor)
    top, left = (24 - high) // 2, (40 - wide) // 2
    outside = np.ones((24, 40), bool)
    outside[top : top + high, left : left + wide] = False
    assert (found[outside] == 20).all()
    assert abs(found[24 // 2, 40 // 2] - 90) <= 10  # Bicubic interpolation overshoots a little.
    ys, xs = np.nonzero(found > 55)
    assert abs(ys.min() - (top + (height // 4) * factor)) <= 1
    assert abs(ys.max() + 1 - (top + (height - height // 4) * factor)) <= 1
    assert abs(xs.min() - (left + (width // 4) * factor)) <= 1
    assert abs(xs.max() + 1 - (left + (width - width // 4) * factor)) <= 1


def test_thin_lines_survive_downscaling(tmp_path: Path) -> None:
    """A line of one pixel keeps its ink when the image is reduced to a third, at any position."""
    images = {}
    for column in range(40, 50):
        pixels = np.zeros((96, 96), np.uint8)
        pixels[:, column] = 255
        images[f"a/{column}.png"] = pixels
    found = images_of(import_to(tmp_path / "o.h5", write_tree(tmp_path / "t", images), size=(32, 32)))
    across = found[..., 0].astype(float).sum(axis=2)
    assert across.min() > 255 / 3 * 0.7
    assert across.max() < 255 / 3 * 1.4


def test_many_blocks_keep_the_order_of_images(tmp_path: Path) -> None:
    """A source of several blocks keeps every image in its row."""
    images = noise(2_500, 4, 4)
    path = write_npz(tmp_path / "a.npz", {"images": images, "labels": np.arange(2_500) % 7})
    file = import_to(tmp_path / "o.h5", path)
    np.testing.assert_array_equal(images_of(file)[..., 0], images)
    assert classes_of(file) == [str(label % 7) for label in range(2_500)]


# Identity


@pytest.mark.long
def test_the_number_of_jobs_changes_nothing(tmp_path: Path) -> None:
    """One or two processes give the same digest, pixels, labels, groups and origins."""
    given = arrays(2_200, 8)
    path = write_npz(tmp_path / "a.npz", given)
    one, two = import_to(tmp_path / "1.h5", path, jobs=1), import_to(tmp_path / "2.h5", path, jobs=2)
    assert one.digest == two.digest
    np.testing.assert_array_equal(images_of(two)[..., 0], given["images"])
    np.testing.assert_array_equal(one.column("label"), two.column("label"))
    np.testing.assert_array_equal(one.column("group"), two.column("group"))
    assert origins_of(one)[::97] == origins_of(two)[::97]


def test_the_digest_does_not_depend_on_kind_name_or_directory(tmp_path: Path) -> None:
    """The same images, labels and groups have one digest: as .npz, compressed, HDF5, floats, in another directory."""
    given = arrays()
    (tmp_path / "else where").mkdir()
    sources = [
        write_npz(tmp_path / "a.npz", given),
        write_npz(tmp_path / "else where" / "b.npz", given),
        write_hdf5(tmp_path / "a.h5", given),
        write_npz(tmp_path / "float.npz", {**given, "images": (given["images"] / 255).astype(np.float32)}),
        write_npz(tmp_path / "axis.npz", {**given, "images": given["images"][..., None]}),
        write_npz(tmp_path / "fortran.npz", {**given, "images": np.asfortranarray(given["images"])}),
    ]
    np.savez_compressed(tmp_path / "packed.npz", **given)  # type: ignore[arg-type]
    sources.append(tmp_path / "packed.npz")
    digests = {import_to(tmp_path / f"o{number}.h5", path).digest for number, path in enumerate(sources)}
    assert len(digests) == 1


def test_a_folder_and_arrays_with_the_same_images_have_the_same_digest(tmp_path: Path) -> None:
    """Images in a folder, in a .zip and in an array are the same source if everything else is equal."""
    images = noise(6, 64, 64)
    root = write_tree(tmp_path / "t", {f"{'xyz'[k // 2]}/s{k % 2}.png": images[k] for k in range(6)})
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        for file in sorted(root.rglob("*.png")):
            archive.write(file, file.relative_to(root))
    same = {"images": images, "labels": np.array(list("xxyyzz")), "groups": np.array(["s0", "s1"] * 3)}
    digests = {
        import_to(tmp_path / "1.h5", root, r"s\d").digest,
        import_to(tmp_path / "2.h5", tmp_path / "t.zip", r"s\d").digest,
        import_to(tmp_path / "3.h5", write_npz(tmp_path / "a.npz", same)).digest,
    }
    assert len(digests) == 1


def _one_pixel(given: dict[str, np.ndarray]) -> None:
    given["images"][-1, -1, -1] ^= 1


def _one_label(given: dict[str, np.ndarray]) -> None:
    given["labels"][11] = next(label for label in (1, 3, 7) if label != given["labels"][11])


def _one_group(given: dict[str, np.ndarray]) -> None:
    given["groups"][11] = next(group for group in ("Ann", "Bob") if group != given["groups"][11])


def _class_name(given: dict[str, np.ndarray]) -> None:
    given["labels"][given["labels"] == 7] = 8


def _group_name(given: dict[str, np.ndarray]) -> None:
    given["groups"][given["groups"] == "Dan"] = "Dav"


def _no_groups(given: dict[str, np.ndarray]) -> None:
    del given["groups"]


def _another_order(given: dict[str, np.ndarray]) -> None:
    for name in given:
        given[name] = given[name][::-1]


def _one_less(given: dict[str, np.ndarray]) -> None:
    for name in given:
        given[name] = given[name][:-1]


def _another_shape(given: dict[str, np.ndarray]) -> None:
    given["images"] = given["images"].reshape(24, 4, 9)


@pytest.mark.parametrize(
    "change",
    [_one_pixel, _one_label, _one_group, _class_name, _group_name, _no_groups, _another_order, _one_less,
     _another_shape],
)  # fmt: skip
def test_the_digest_changes_with_the_contents(tmp_path: Path, change: Any) -> None:
    """Another pixel, label, group, name, order, number or shape of images makes another source."""
    before = import_to(tmp_path / "before.h5", write_npz(tmp_path / "a.npz", arrays())).digest
    given = arrays()
    change(given)
    assert import_to(tmp_path / "after.h5", write_npz(tmp_path / "b.npz", given)).digest != before


def test_the_digest_changes_with_the_preprocessing(tmp_path: Path) -> None:
    """Another size, inversion or color mode makes another source; explicit defaults do not."""
    path = write_npz(tmp_path / "a.npz", arrays())
    options: list[dict[str, Any]] = [{}, {"size": (8, 8)}, {"invert": "yes"}, {"color": "rgb"}]
    digests = [import_to(tmp_path / f"o{n}.h5", path, **each).digest for n, each in enumerate(options)]
    assert len(set(digests)) == 4
    explicit = import_to(tmp_path / "explicit.h5", path, size=(6, 6), invert="no", color="gray")
    assert explicit.digest == digests[0]


def test_an_imported_source_file_makes_the_same_set(tmp_path: Path) -> None:
    """`run` on an imported source file makes the same set as `run` on the original, down to the stored digests."""
    path = write_npz(tmp_path / "a.npz", arrays(40))
    assert augment("import", path, tmp_path / "kept.h5", "--jobs", 1).exit_code == 0
    results = [
        augment("run", spec, "--epochs", 1, "--jobs", 1, "--sets", tmp_path / sets, "--print-path")
        for spec, sets in ((path, "s1"), (tmp_path / "kept.h5", "s2"))
    ]
    directories = [Path(result.stdout.strip()) for result in results]
    first, second = (read_description(directory) for directory in directories)
    assert first.fingerprint == second.fingerprint
    assert directories[0].name == directories[1].name
    assert files_below(tmp_path / "s2" / "sources") == []  # Nothing is imported again.
    assert (directories[0] / "manifest.jsonl").read_bytes() == (directories[1] / "manifest.jsonl").read_bytes()


# Reuse of a source file


def test_an_unchanged_source_is_not_imported_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The source file is reused, unmodified, as long as the source's files do not change."""
    write_tree(tmp_path / "t", {f"{c}/{n}.png": noise(8, 8, seed=n) for c in "ab" for n in range(3)})
    first = prepare_source(str(tmp_path / "t"), tmp_path / "sets", ImportOptions(), 1)
    assert "import" in capsys.readouterr().err
    state = first.path.stat()
    second = prepare_source(str(tmp_path / "t"), tmp_path / "sets", ImportOptions(), 1)
    assert second == first
    assert capsys.readouterr().err == ""
    assert (second.path.stat().st_ino, second.path.stat().st_mtime_ns) == (state.st_ino, state.st_mtime_ns)


def test_a_source_is_recognized_from_any_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source named by another path to the same file is the same source."""
    path = write_npz(tmp_path / "a.npz", arrays())
    first = prepare_source(str(path), tmp_path / "sets", ImportOptions(), 1)
    monkeypatch.chdir(tmp_path)
    assert prepare_source("a.npz", tmp_path / "sets", ImportOptions(), 1).path.samefile(first.path)


@pytest.mark.parametrize("kind", ["folder", "zip", "npz"])
def test_a_changed_source_is_imported_again(tmp_path: Path, kind: str) -> None:
    """If a file of the source changes, the next import has the new pixels; the old source file is kept."""
    spec = str(_write_kind(tmp_path, kind, 0))
    before = prepare_source(spec, tmp_path / "sets", ImportOptions(), 1)
    kept = images_of(before)
    np.testing.assert_array_equal(kept[0, :, :, 0], noise(64, 64, seed=0))
    _write_kind(tmp_path, kind, 5)
    after = prepare_source(spec, tmp_path / "sets", ImportOptions(), 1)
    np.testing.assert_array_equal(images_of(after)[0, :, :, 0], noise(64, 64, seed=5))
    assert after.digest != before.digest
    np.testing.assert_array_equal(images_of(before), kept)
    recipe = load_recipe("kanji")
    identities = [SetSpec(file, recipe).identity for file in (before, after)]
    assert fingerprint_of(identities[0]) != fingerprint_of(identities[1])


def _write_kind(tmp_path: Path, kind: str, seed: int) -> Path:
    """Write a source of two images; `seed` changes the first one."""
    first, second = noise(64, 64, seed=seed), noise(64, 64, seed=99)
    if kind == "npz":
        return write_npz(tmp_path / "a.npz", {"images": np.stack([first, second]), "labels": np.arange(2)})
    root = write_tree(tmp_path / "t", {"a/1.png": first, "b/1.png": second})
    os.utime(root / "a" / "1.png", ns=(seed, seed))
    if kind == "folder":
        return root
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        for name in ("a/1.png", "b/1.png"):
            archive.writestr(name, (root / name).read_bytes() + bytes(seed))  # Bytes after a PNG are ignored.
    return tmp_path / "t.zip"


def test_other_options_make_another_source_file(tmp_path: Path) -> None:
    """Each combination of options, the group pattern included, has its own source file."""
    root = write_tree(tmp_path / "t", {f"{c}/{n}.png": noise(8, 8, seed=n) for c in "ab" for n in range(3)})
    base = ImportOptions()
    variants = [base, replace(base, size=(9, 9)), replace(base, invert="yes"), replace(base, color="rgb"),
                replace(base, limit=4)]  # fmt: skip
    paths = {prepare_source(str(root), tmp_path / "sets", options, 1).path for options in variants}
    paths.add(prepare_source(str(root), tmp_path / "sets", replace(base, source=SourceOptions(r"(\d)\.png")), 1).path)
    assert len(paths) == len(variants) + 1
    assert all(path.exists() for path in paths)


# Automatic decisions


def pages(light: int, dark: int, *, color: bool = False) -> np.ndarray:
    """Images of a line: dark on a light background, and light on a dark one."""
    paper = np.full((8, 8), 230, np.uint8)
    paper[2:6, 3] = 10
    images = np.stack([paper] * light + [255 - paper] * dark)
    if not color:
        return images
    tinted = np.stack([images] * 3, axis=-1)
    tinted[..., 0] //= 2
    return tinted


@pytest.mark.parametrize(
    ("light", "dark", "invert", "inverted"),
    [(6, 0, "auto", True), (0, 6, "auto", False), (4, 2, "auto", True), (2, 4, "auto", False),
     (0, 6, "yes", True), (6, 0, "no", False)],
)  # fmt: skip
def test_inversion(tmp_path: Path, light: int, dark: int, invert: str, inverted: bool) -> None:
    """Images are inverted if most have a light background, or as --invert says; the output says which and why."""
    images = pages(light, dark)
    path = write_npz(tmp_path / "a.npz", {"images": images, "labels": np.arange(6)})
    result = augment("import", path, tmp_path / "o.h5", "--invert", invert, "--jobs", 1)
    assert result.exit_code == 0, result.output
    file = open_source_file(tmp_path / "o.h5")
    np.testing.assert_array_equal(images_of(file)[..., 0], 255 - images if inverted else images)
    for text in (result.stderr, file.decided):
        assert ("not inverted" in text) is not inverted
        assert "inverted" in text
        expected = (
            f"--invert {invert}" if invert != "auto" else f"the background is light in {light} of 6 sampled images"
        )
        assert expected in text


@pytest.mark.parametrize(
    ("colored", "option", "channels"),
    [(True, "auto", 3), (True, "gray", 1), (False, "auto", 1), (False, "rgb", 3)],
)
def test_color_mode(tmp_path: Path, colored: bool, option: str, channels: int) -> None:
    """Images in a folder become RGB if any has color, else gray, or as --color says; the output says which."""
    images = pages(0, 4, color=True) if colored else pages(0, 4)
    root = write_tree(tmp_path / "t", {f"{k % 2}/{k}.png": image for k, image in enumerate(images)})
    result = augment("import", root, tmp_path / "o.h5", "--color", option, "--size", "8x8", "--jobs", 1)
    assert result.exit_code == 0, result.output
    file = open_source_file(tmp_path / "o.h5")
    assert file.shape == (8, 8, channels)
    assert ("RGB" if channels == 3 else "gray") in result.stderr
    expected = pages(0, 1, color=colored)[0]
    if channels == 1 and colored:
        expected = np.asarray(Image.fromarray(expected).convert("L"))
    elif not colored:
        expected = np.stack([expected] * channels, axis=-1)
    np.testing.assert_array_equal(images_of(file)[0], expected.reshape(8, 8, channels))


def test_color_images_are_not_inverted_automatically(tmp_path: Path) -> None:
    """Color images with a light background are not inverted, and the output says so; --invert yes inverts them."""
    images = pages(4, 0, color=True)
    path = write_npz(tmp_path / "a.npz", {"images": images, "labels": np.arange(4)})
    result = augment("import", path, tmp_path / "o.h5", "--jobs", 1)
    np.testing.assert_array_equal(images_of(open_source_file(tmp_path / "o.h5")), images)
    assert "not inverted (color images are inverted only with --invert yes)" in result.stderr
    inverted = import_to(tmp_path / "i.h5", path, invert="yes")
    np.testing.assert_array_equal(images_of(inverted), 255 - images)


def test_an_array_keeps_its_channels(tmp_path: Path) -> None:
    """An array of three channels stays RGB even if these are equal, because its shape says so."""
    images = np.stack([pages(0, 4)] * 3, axis=-1)
    path = write_npz(tmp_path / "a.npz", {"images": images, "labels": np.arange(4)})
    np.testing.assert_array_equal(images_of(import_to(tmp_path / "o.h5", path)), images)


def test_gray_images_stored_as_rgb_become_gray(tmp_path: Path) -> None:
    """Image files whose three channels are equal become gray."""
    images = np.stack([pages(0, 4)] * 3, axis=-1)
    root = write_tree(tmp_path / "t", {f"{k % 2}/{k}.png": image for k, image in enumerate(images)})
    file = import_to(tmp_path / "o.h5", root, size=(8, 8))
    np.testing.assert_array_equal(images_of(file), images[..., :1])


@pytest.mark.parametrize(
    ("spec", "size"),
    [("a.npz", (5, 9, 1)), ("t", (64, 64, 1)), ("digits", (64, 64, 1))],
    ids=["npz", "folder", "digits"],
)
def test_the_default_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, size: tuple[int, int, int]
) -> None:
    """Arrays keep their size; image files and the small digits are resized to 64 x 64."""
    monkeypatch.chdir(tmp_path)
    write_npz(tmp_path / "a.npz", {"images": noise(4, 5, 9), "labels": np.arange(4)})
    write_tree(tmp_path / "t", {"a/1.png": noise(5, 9), "b/1.png": noise(30, 20)})
    assert import_to(tmp_path / "o.h5", spec, limit=20).shape == size


# Unusable images


def a_folder_with_bad_ones(root: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Write twelve images of three classes by two writers, and four files that are no images."""
    good = {f"{'abc'[k % 3]}/w{k % 2}-{k:02d}.png": noise(64, 64, seed=k) for k in range(12)}
    write_tree(root, good)
    whole = (root / "a" / "w0-00.png").read_bytes()
    (root / "a" / "w0-99.png").write_bytes(whole[: len(whole) // 2])
    (root / "b" / "w1-00.png").write_bytes(b"no image")
    (root / "b" / "w1-05.png").write_bytes(b"")
    (root / "d").mkdir()
    (root / "d" / "w9-00.jpg").write_bytes(b"\xff\xd8\xff")  # The only image of its class and writer.
    return good, {"a/w0-99.png": "a", "b/w1-00.png": "b", "b/w1-05.png": "b", "d/w9-00.jpg": "d"}


def test_skipping_keeps_the_rest_aligned(tmp_path: Path) -> None:
    """--on-bad skip omits only unusable images; pixels, classes, groups and origins of the rest stay aligned."""
    good, bad = a_folder_with_bad_ones(tmp_path / "t")
    file = import_to(tmp_path / "o.h5", tmp_path / "t", r"/(w\d)-", on_bad="skip")
    assert sorted(origins_of(file)) == sorted(good)
    assert file.class_names == ["a", "b", "c"]
    assert file.skipped == len(bad)
    for row, (origin, name, group) in enumerate(zip(origins_of(file), classes_of(file), groups_of(file), strict=True)):
        np.testing.assert_array_equal(file.read(np.array([row]))[0, :, :, 0], good[origin])
        assert origin.startswith(f"{name}/{group}-")


def test_skipped_images_are_recorded_and_printed(tmp_path: Path) -> None:
    """Skipped images are printed with their reasons, and listed in the source file."""
    _, bad = a_folder_with_bad_ones(tmp_path / "t")
    result = augment("import", tmp_path / "t", tmp_path / "o.h5", "--on-bad", "skip", "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert "4 of 16" in result.stderr
    with h5py.File(tmp_path / "o.h5", "r") as file:
        recorded = dict(file["skipped"].asstr()[()].tolist())
    assert recorded.keys() == bad.keys()
    for origin, reason in recorded.items():
        assert reason
        assert f"{origin} {reason}" in result.stderr


def test_skipping_equals_removing_the_files(tmp_path: Path) -> None:
    """Skipping unusable images and removing their files give the same source."""
    _, bad = a_folder_with_bad_ones(tmp_path / "t")
    skipped = import_to(tmp_path / "skip.h5", tmp_path / "t", r"/(w\d)-", on_bad="skip")
    for name in bad:
        (tmp_path / "t" / name).unlink()
    clean = import_to(tmp_path / "clean.h5", tmp_path / "t", r"/(w\d)-")
    assert skipped.digest == clean.digest


def test_unusable_images_are_skipped_in_every_block(tmp_path: Path) -> None:
    """If several blocks have unusable images, the others keep their order without gaps, for any number of jobs."""
    images = noise(2_300, 4, 4).astype(np.float64) / 255
    bad = [0, 1, 1_023, 1_024, 1_500, 2_299]
    images[bad, 1, 2] = [np.nan, 2, -1, np.inf, np.nan, 1.001]
    path = write_npz(tmp_path / "a.npz", {"images": images, "labels": np.arange(2_300) % 9,
                                          "groups": np.arange(2_300) // 7})  # fmt: skip
    kept = np.setdiff1d(np.arange(2_300), bad)
    for jobs in (1, 2):
        file = import_to(tmp_path / f"{jobs}.h5", path, jobs=jobs, on_bad="skip")
        np.testing.assert_array_equal(images_of(file)[..., 0], np.round(images[kept] * 255))
        assert classes_of(file) == [str(index % 9) for index in kept]
        assert groups_of(file) == [str(index // 7) for index in kept]
        assert origins_of(file)[::50] == [f"images[{index}]" for index in kept[::50]]
        assert file.skipped == len(bad)


def test_skipping_without_unusable_images_changes_nothing(tmp_path: Path) -> None:
    """--on-bad skip gives the same source if all images are usable, with nothing listed as skipped."""
    path = write_npz(tmp_path / "a.npz", arrays())
    skipping, refusing = import_to(tmp_path / "1.h5", path, on_bad="skip"), import_to(tmp_path / "2.h5", path)
    assert skipping.digest == refusing.digest
    assert skipping.skipped == 0


# Cleanup


@dataclass(frozen=True)
class FaultyReader:
    """A reader that fails in one of several ways when blocks are read."""

    fault: str

    def read(self, indices: np.ndarray) -> list[Image.Image | BadImage]:
        if len(indices) > 256:  # Smaller requests are samples.
            if self.fault == "interrupt":
                raise KeyboardInterrupt
            if self.fault == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(5, "Input/output error", "some.file")
        return [Image.linear_gradient("L") for _ in indices]

    def origin(self, index: int) -> str:
        return str(index)


class FaultySource:
    name = "faulty"

    def __init__(self, fault: str):
        self.fault = fault

    def identity(self) -> Any:
        return [self.fault]

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        (workspace / "listing").write_text("something large")
        return Scan(FaultyReader(self.fault), np.zeros(3_000, np.int32), ["a"])


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of temporary files for one test."""
    directory = tmp_path / "scratch"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


def test_a_refused_import_leaves_no_files(tmp_path: Path, scratch: Path) -> None:
    """A refused import leaves no source file and no temporary files."""
    a_folder_with_bad_ones(tmp_path / "t")
    (tmp_path / "out").mkdir()
    with pytest.raises(EpochbankError, match="4 of 16"):
        import_to(tmp_path / "out" / "o.h5", tmp_path / "t")
    assert files_below(tmp_path / "out") == []
    assert list(scratch.iterdir()) == []


def test_a_completed_import_leaves_only_the_source_file(tmp_path: Path, scratch: Path) -> None:
    """A completed import leaves one file, even if it decompressed an array."""
    np.savez_compressed(tmp_path / "a.npz", **arrays())  # type: ignore[arg-type]
    import_to(tmp_path / "out" / "o.h5", tmp_path / "a.npz")
    assert files_below(tmp_path / "out") == ["o.h5"]
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("fault", ["interrupt", "error"])
def test_an_interrupted_import_leaves_no_files(tmp_path: Path, scratch: Path, fault: str) -> None:
    """An import that is interrupted, or fails to read, leaves no files."""
    with pytest.raises((KeyboardInterrupt, OSError, EpochbankError)):
        import_source(FaultySource(fault), tmp_path / "out" / "o.h5", ImportOptions(), 1, quiet=True)
    assert files_below(tmp_path / "out") == []
    assert list(scratch.iterdir()) == []


def test_a_read_error_is_reported(tmp_path: Path) -> None:
    """A source that becomes unreadable during the import is an `EpochbankError` with the reason."""
    with pytest.raises(EpochbankError, match="Input/output error"):
        import_source(FaultySource("error"), tmp_path / "o.h5", ImportOptions(), 1, quiet=True)


def test_a_killed_worker_is_reported(tmp_path: Path) -> None:
    """A worker process that is killed during an import is an `EpochbankError` with a fix, and leaves no files."""
    with pytest.raises(EpochbankError, match="--jobs"):
        import_source(FaultySource("kill"), tmp_path / "out" / "o.h5", ImportOptions(), 2, quiet=True)
    assert files_below(tmp_path / "out") == []


# Preallocated disk space


@pytest.mark.parametrize("shape", [pytest.param((64, 64, 1), marks=pytest.mark.long), (5, 7, 3)])
def test_preallocation_does_not_change_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int, int]
) -> None:
    """Images of any size are the same if written through a memory map or with `pwrite`, by one or two workers."""
    np.savez(tmp_path / "a.npz", images=glyphs(2500, shape), labels=np.arange(2500) % 3)
    files = []
    for number, code in enumerate((0, errno.EOPNOTSUPP)):
        if code:
            monkeypatch.setattr("epochbank.augment.shared.preallocate._fallocate", lambda *_: code)  # noqa: B023  used at once
        for jobs in (1, 2):
            path = tmp_path / f"{number}-{jobs}.h5"
            import_source(open_source(str(tmp_path / "a.npz")), path, ImportOptions(), jobs, quiet=True)
            files.append(open_source_file(path))
    images = glyphs(2500, shape)
    for file in files:
        assert np.array_equal(file.read(np.arange(2500)), images)
        assert np.array_equal(source_file.mapped(file.path, "digest"), source_file.mapped(files[0].path, "digest"))
    assert len({file.digest for file in files}) == 1


def test_a_full_disk_is_reported_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If disk space cannot be preallocated, the import raises `EpochbankError` and leaves no files."""
    np.savez(tmp_path / "a.npz", images=glyphs(30), labels=np.arange(30) % 3)
    monkeypatch.setattr("epochbank.augment.shared.preallocate._fallocate", lambda *_: errno.ENOSPC)
    with pytest.raises(EpochbankError, match="No space left on device"):
        import_source(open_source(str(tmp_path / "a.npz")), tmp_path / "o" / "a.h5", ImportOptions(), 1, quiet=True)
    assert list((tmp_path / "o").iterdir()) == []

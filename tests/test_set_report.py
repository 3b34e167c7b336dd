"""The report on a set: what it says is true, what cannot be read is named, and its size is bounded."""

import json
import re
import shlex
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import epochbank
from conftest import glyphs
from epochbank.api.commands import stored_run_command
from epochbank.augment.cli import main
from epochbank.augment.distortion.operations import BUILT_IN
from epochbank.augment.shared.html.page import render_page
from epochbank.augment.store import shard_read
from epochbank.augment.store.description import read_description
from epochbank.augment.store.manifest import Entry, read_manifest
from epochbank.augment.views import recipe_words
from epochbank.augment.views.class_gallery.chart import class_chart
from epochbank.augment.views.class_gallery.names import names_for_page
from epochbank.augment.views.class_gallery.thumbnails import encoded, scope_of
from epochbank.augment.views.set_report.parameters import distortions_at, recipe_to_draw
from object_server import ObjectServer

STRICT = """
label_check = { lost = 0.02, attempts = 3 }
[[stage]]
operation = [{ op = "rotate", degrees = [-40, 40] }, { op = "shear" }]
[[stage]]
probability = 0.5
operation = [{ op = "blur" }, { op = "strangers_blur:blur" }]
"""
CODE = """
def blur(image, generator):
    return image + generator.integers(0, 2, dtype="uint8")
"""
SHARDS: dict[str, Any] = {"jobs": 1, "shard_size": 64, "chunk_size": 16}


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def classes_of(page: Path) -> dict[str, Any]:
    """Return the data of the classes in a page, with their `images`."""
    found = re.findall(r'<script type="application/json" id="classes-.*?">(.*?)</script>', page.read_text(), re.S)
    data, images = map(json.loads, found)
    return {**data, "images": images}


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a source and a set."""
    folder = tmp_path_factory.mktemp("generated")
    np.savez(folder / "glyphs.npz", images=glyphs(300), labels=np.arange(300) % 6, groups=np.arange(300) // 30)
    epochbank.generate(folder / "glyphs.npz", epochs=2, sets=folder / "sets", **SHARDS)
    return folder


@pytest.fixture
def made(generated: Path, tmp_path: Path) -> Path:
    """A set of 2 epochs in 14 shards, six classes and ten groups."""
    shutil.copytree(generated, tmp_path, dirs_exist_ok=True)
    return next((tmp_path / "sets").glob("*/set.json")).parent


def test_parameters_are_those_that_explain_computes(npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report takes the rejected draws from the shard, and executes no code; `explain` computes the images."""
    (tmp_path / "strangers_blur.py").write_text(CODE)
    (tmp_path / "strict.toml").write_text(STRICT)
    monkeypatch.syspath_prepend(str(tmp_path))
    glyphs = epochbank.generate(npz, tmp_path / "strict.toml", 1, sets=tmp_path / "sets", **SHARDS)
    entry = next(entry for entry in read_manifest(glyphs.path) if entry.split == "epoch")
    recipe = recipe_to_draw(glyphs.description)
    positions = np.arange(entry.start, entry.stop, 3)
    texts = distortions_at(glyphs.path, glyphs.description, recipe, entry, positions)
    attempts = Counter[int]()
    for position, text in zip(positions.tolist(), texts, strict=True):
        facts = epochbank.explain(glyphs, 0, position, trust=True)
        attempts[facts["attempt"]] += 1
        lines = text.split("\n")
        if facts["undistorted"]:
            assert lines == ["undistorted: all draws were rejected"]
            continue
        shown = [line.split()[0] for line in lines if not line.startswith(("draw", "no operation"))]
        assert shown == [stage["op"] for stage in facts["stages"]]
        assert (f"draw {facts['attempt'] + 1};" in text) == (facts["attempt"] > 0)
        for stage in facts["stages"]:
            assert stage["op"] != "rotate" or f"rotate {stage['degrees']:+z.1f}" in text
    assert len(attempts) == 4  # Accepted at once, after one and two rejections, and not at all.


def test_the_page_has_samples_of_every_class(made: Path, tmp_path: Path) -> None:
    """Each class has originals and distorted images, as many as the counts allow, and the counts of its splits."""
    written = epochbank.report(made, tmp_path / "page.html")
    assert (written.path, written.faults) == (tmp_path / "page.html", [])
    assert written.bytes == written.path.stat().st_size
    classes = classes_of(written.path)
    assert classes["names"] == [str(label) for label in range(6)]
    assert np.sum([counts for _, counts in classes["columns"]], axis=0).tolist() == classes["sizes"] == [50] * 6
    kinds = [Counter(image[0] for image in images) for images in classes["images"]]
    assert kinds == [Counter({0: 8, 1: 8})] * 6
    shown = {text for images in classes["images"] for kind, *_, text in images if kind == 1}
    assert all(re.search(r"epoch [01], position \d+, row \d+$", text) for text in shown)


def test_images_are_of_the_class_that_shows_them(made: Path, tmp_path: Path) -> None:
    """The row in the text of an image has the label of its class, and its pixels are those of the source."""
    with np.load(tmp_path / "glyphs.npz") as arrays:
        labels = arrays["labels"]
    for label, images in enumerate(classes_of(epochbank.report(made, tmp_path / "page.html").path)["images"]):
        for *_, text in images:
            assert labels[int(text.rsplit(" ", 1)[1])] == label


def test_default_path(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --out, the page is in reports/; sets may be on read-only disks."""
    monkeypatch.chdir(tmp_path)
    before = {*made.rglob("*")}
    result = call("report")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"reports/{made.name}.html: ")
    assert {*made.rglob("*")} == before


def test_damaged_and_missing_shards(made: Path, tmp_path: Path) -> None:
    """The report appears, says which shards it lacks, and has samples of the others; the exit code is 1."""
    epoch, train = sorted(made.glob("epoch-0000/*.h5")), sorted(made.glob("train/*.h5"))
    data = bytearray(epoch[0].read_bytes())
    data[len(data) // 2] ^= 1
    epoch[0].write_bytes(data)
    train[1].unlink()
    result = call("report", made, "--out", tmp_path / "page.html")
    assert result.exit_code == 1
    page = (tmp_path / "page.html").read_text()
    for text in (str(train[1]), str(epoch[0])):
        assert text in result.stderr
        assert text in page
    assert "augment verify" in page
    assert all(len(images) > 8 for images in classes_of(tmp_path / "page.html")["images"])


def test_no_shard_is_there(made: Path, tmp_path: Path) -> None:
    """What split.h5 and the manifest say is in the report even then."""
    for shard in made.glob("*/*.h5"):
        shard.unlink()
    written = epochbank.report(made, tmp_path / "page.html")
    assert len(written.faults) == 1
    assert "14 of the 14 shards" in written.faults[0]
    assert classes_of(written.path)["images"] == [[]] * 6


def test_without_the_source_file(made: Path, tmp_path: Path) -> None:
    """A set is complete without it, so this is no fault; only near-duplicates are unknown."""
    shutil.rmtree(tmp_path / "sets/sources")
    written = epochbank.report(made, tmp_path / "page.html")
    assert not written.faults
    assert "does not exist, so its near-duplicates cannot be shown" in written.path.read_text()


def test_mislabeled_duplicates_come_first(tmp_path: Path) -> None:
    """An image that is there twice with different labels is shown side by side, with the rows of both."""
    images = glyphs(60)
    images[7] = images[20]
    images[31] = images[50].clip(3) - 3
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(60) % 3)
    made = epochbank.generate(tmp_path / "a.npz", epochs=1, sets=tmp_path / "sets", **SHARDS)
    page = epochbank.report(made, tmp_path / "page.html").path.read_text()
    assert "1 image is identical to another one, 1 of them of a different class" in page
    pairs = page.split('<ul class="pairs">')[1]
    assert re.findall(r'alt="row (\d+),', pairs)[:2] == ["7", "20"]
    assert "identical, different classes" in pairs


def test_a_shard_is_opened_few_times(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once per image: for the sizes of thumbnails, for the pictures of the recipe, and for the samples."""
    opened = Counter[str]()
    read_index = shard_read.read_index

    def counted(directory: Path, entry: Entry, **options: Any) -> Any:
        opened[entry.file] += 1
        return read_index(directory, entry, **options)

    monkeypatch.setattr(shard_read, "read_index", counted)
    epochbank.report(made, tmp_path / "page.html")
    assert max(opened.values()) <= 3


def test_few_shards_are_fetched_from_a_store(
    made: Path, tmp_path: Path, server: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the training split, and one of each of the first epochs; the page says so."""
    pytest.importorskip("obstore")
    monkeypatch.setenv("EPOCHBANK_CACHE", str(tmp_path / "cache"))
    epochbank.copy_set(made, "s3://bucket/sets/", jobs=1)
    server.requests.clear()
    written = epochbank.report(f"s3://bucket/sets/{made.name}", tmp_path / "page.html")
    fetched = [name for name in server.requests if name.startswith("GET") and ".h5" in name and "/split" not in name]
    assert len(fetched) == 3
    assert not written.faults
    assert "The images are from 3 shards of 14" in written.path.read_text()
    assert all(classes_of(written.path)["images"])


def test_the_command_generates_the_set_again(npz: Path, tmp_path: Path) -> None:
    """In another directory, the command in the report makes a set with the same fingerprint and epochs."""
    first = epochbank.generate(
        npz, "handwriting", 2, seed=5, validation=0.2, per_class=(30, 40), size=(24, 24), sets=tmp_path / "a", **SHARDS
    )
    facts = epochbank.info(first)
    words = shlex.split(stored_run_command(facts))
    assert call(*words[1:], "--sets", tmp_path / "b", "--jobs", 1).exit_code == 0
    again = epochbank.info(sets=tmp_path / "b")
    assert (again["fingerprint"], again["epochs"][1]["digest"]) == (facts["fingerprint"], facts["epochs"][1]["digest"])


def test_every_operation_is_described() -> None:
    assert recipe_words.OPERATIONS.keys() == BUILT_IN.keys()


@pytest.mark.parametrize(
    ("count", "name"), [(10, "a"), (3000, "亜<b>&" * 50), (50_000, "x" * 300), (200_000, "long name")]
)
def test_names_have_bounded_bytes(count: int, name: str, tmp_path: Path) -> None:
    """As they are in the page: escaped, and in UTF-8. A name that is not shortened stays as it is."""
    budget = 100_000
    names = names_for_page([f"{name}{number}" for number in range(count)], budget)
    (tmp_path / "names.j2").write_text("{{ names|tojson }}")
    page = render_page(tmp_path, "names.j2", {"names": names})
    assert len(page.encode()) <= budget + 2
    assert names[:10] == [f"a{number}" for number in range(10)] or len(names) > 1000


@pytest.mark.parametrize("classes", [1, 10, 3000, 100_000])
@pytest.mark.parametrize("shape", [(8, 8, 1), (64, 64, 1), (512, 512, 3)])
def test_thumbnails_fit(classes: int, shape: tuple[int, int, int]) -> None:
    """The more classes, the fewer and smaller images; at last, not every class has some."""
    budget, probes = 4_000_000, list(np.random.default_rng(0).integers(0, 256, (2, *shape), np.uint8))
    scope = scope_of(np.arange(classes), 2, probes, 60, budget)
    total = len(scope.classes) * 2 * scope.level.images
    assert total * (len(encoded(probes[0], scope.level)) + 60) < budget
    assert 0 < total <= 7000
    assert len(scope.classes) == classes or total > 3000
    assert len(np.unique(scope.classes)) == len(scope.classes)


def test_bars_of_many_classes() -> None:
    """A bar stands for the classes of a range of sizes, and each class is in one."""
    counts = np.random.default_rng(0).integers(1, 500, 200)
    chart = class_chart([str(number) for number in range(200)], counts)
    assert chart.what == "size"
    covered = [((counts >= bar.least) & (counts <= bar.most)).sum() for bar in chart.bars]
    assert sum(covered) == 200
    assert [bar.label.split()[0] for bar in chart.bars] == [str(count) for count in covered]
    assert class_chart(["a"] * 100, np.full(100, 7)).bars == []


def test_recipe_that_means_something_else_now(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The images are shown without parameters, and the report says why."""
    monkeypatch.setitem(BUILT_IN, "rotate", BUILT_IN["shear"])
    written = epochbank.report(made, tmp_path / "page.html")
    assert any("cannot be restored" in fault for fault in written.faults)
    assert all(images for images in classes_of(written.path)["images"])
    assert read_description(made).recipe in written.path.read_text()

"""What notebooks show: cards of sets, sources, plans and runs, contact sheets, progress, and errors."""

import json
import shutil
import sys
import time
import types
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageChops

import epochbank
from conftest import NOTHING, glyphs, numbered
from epochbank.augment.errors import EpochbankError, short_traceback
from epochbank.augment.shared.html.card import Card
from epochbank.augment.shared.html.curve import curves
from epochbank.augment.shared.notebook import in_notebook
from epochbank.augment.shared.progress import Progress
from epochbank.augment.store.order import position_of
from epochbank.train.feeding import set_sheets
from epochbank.train.reading.images_at import images_at

NAMES = ["亜", "<script>x</script>", "a&b\"'><img src=x onerror=alert(1)>", "\u202e" + "long " * 200, "plain"]
"""Class names of other people."""


class Page(HTMLParser):
    """Tags, attributes and text of HTML; every tag must be closed."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "img":
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(shown: Any, most: int = 20_000) -> Page:
    """Return the HTML of an object, which is small and executes and loads nothing."""
    html = shown._repr_html_()
    assert len(html) < most
    page = Page(html)
    assert not {"script", "iframe", "object", "embed", "link", "form"} & {*page.tags}
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert all((value or "").startswith("data:image/webp;base64,") for name, value in page.attributes if name == "src")
    assert not [name for name, _ in page.attributes if name in ("href", "srcdoc", "action")]
    return page


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source and its set of three epochs, unchanged images with numbers, five classes and ten groups."""
    folder = tmp_path_factory.mktemp("display")
    labels = np.arange(200) % 5
    np.savez(folder / "a.npz", images=numbered(200), labels=labels, groups=np.arange(200) // 20, class_names=NAMES)
    (folder / "nothing.toml").write_text(NOTHING)
    epochbank.generate(
        folder / "a.npz", folder / "nothing.toml", 3, sets=folder / "sets", jobs=1, shard_size=50, chunk_size=16
    )
    return folder


@pytest.fixture
def stored_set(folder: Path) -> epochbank.AugmentedSet:
    return epochbank.open_set(sets=folder / "sets")


def test_the_card_of_a_set_has_its_facts_and_images_and_its_names_are_text(stored_set: epochbank.AugmentedSet) -> None:
    page = page_of(stored_set)
    assert page.tags.count("img") == 8
    for text in (
        str(stored_set.path),
        "3 stored epochs: 0 to 2",
        "<script>x</script>",
        "亜",
        "4 x 4 gray",
        "zstd",
    ):
        assert text in page.text
    assert "Problem" not in page.text
    assert repr(stored_set).count("\n") == 0


@pytest.mark.parametrize("damage", ["truncated", "removed", "flipped"])
def test_a_broken_shard_is_a_problem_of_the_card_and_an_error_of_the_sheet(
    folder: Path, tmp_path: Path, damage: str
) -> None:
    """The object is displayed; it says what is wrong, and its repr reads no shard."""
    shutil.copytree(folder / "sets", tmp_path / "sets")
    stored_set = epochbank.open_set(sets=tmp_path / "sets")
    for shard in (stored_set.path / "epoch-0000").glob("*.h5"):
        data = bytearray(shard.read_bytes())
        if damage == "removed":
            shard.unlink()
        elif damage == "truncated":
            shard.write_bytes(data[: len(data) // 2])
        else:
            shard.write_bytes(bytes(byte ^ 0x55 for byte in data))
    page = page_of(stored_set)
    assert "Problem: " in page.text
    assert "epoch-0000" in page.text
    assert "img" not in page.tags
    assert "epochs=3" in repr(stored_set)
    with pytest.raises(EpochbankError, match="epoch-0000"):
        stored_set.show(0, 4)
    assert stored_set.show(1, 4).width > 100


def test_flipped_bytes_of_a_shard_never_make_a_display_fail(folder: Path, tmp_path: Path) -> None:
    """Whatever byte is damaged, the card is HTML, with the images or with the problem."""
    shutil.copytree(folder / "sets", tmp_path / "sets")
    stored_set = epochbank.open_set(sets=tmp_path / "sets")
    shard = sorted((stored_set.path / "epoch-0000").glob("*.h5"))[0]
    data = shard.read_bytes()
    shown = set()
    for offset in range(0, len(data), 97):
        shard.write_bytes(data[:offset] + bytes([data[offset] ^ 0xFF]) + data[offset + 1 :])
        page = page_of(stored_set)
        assert ("Problem: " in page.text) != ("img" in page.tags)
        shown.add("img" in page.tags)
    assert shown == {True, False}


def test_a_damaged_source_file_is_a_problem_of_its_card(folder: Path, tmp_path: Path) -> None:
    source = epochbank.import_source(folder / "a.npz", tmp_path / "source.h5", jobs=1)
    page = page_of(source)
    assert page.tags.count("img") == 8
    assert "10: 0, 1, 2" in page.text  # The groups.
    assert repr(source).endswith("images=200, shape=(4, 4, 1), classes=5, groups=10)")
    assert repr(epochbank.open_source_file(tmp_path / "source.h5")) == repr(source)
    with open(tmp_path / "source.h5", "r+b") as file:
        file.seek(source.offset)
        file.write(b"\x77" * 16)
    assert "was changed" in page_of(source).text
    (tmp_path / "source.h5").unlink()
    page = page_of(source)
    assert "does not exist" in page.text
    assert "img" not in page.tags
    with pytest.raises(EpochbankError, match="does not exist"):
        epochbank.open_source_file(tmp_path / "source.h5")
    np.savez(tmp_path / "no.npz", a=1)
    with pytest.raises(EpochbankError, match=r"not a source file.*import_source"):
        epochbank.open_source_file(tmp_path / "no.npz")


def test_a_plan_is_one_line_and_a_card(folder: Path, tmp_path: Path) -> None:
    """Before and after the import, and for a complete set."""
    keywords: dict[str, Any] = {"jobs": 1, "shard_size": 50, "chunk_size": 16}
    for epochs, sets, text in (
        (1, tmp_path / "new", "a new set: to write: "),
        (4, folder / "sets", "160 images in 4 shards"),
        (3, folder / "sets", "nothing, the set is complete"),
    ):
        plan = epochbank.plan(folder / "a.npz", folder / "nothing.toml", epochs, sets=sets, **keywords)
        assert text in repr(plan)
        assert "\n" not in repr(plan)
        assert len(repr(plan)) < 300
        page = page_of(plan)
        assert "5 classes" in page.text
        assert "160 images (80.0 %), 5 of 5 classes, 8 groups" in page.text


def cells(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list that gets the title and the rows of each sheet that is drawn."""
    seen: list[Any] = []
    real = set_sheets.contact_sheet

    def spy(title: str, rows: Any) -> Image.Image:
        seen[:] = [title, rows]
        return real(title, rows)

    monkeypatch.setattr(set_sheets, "contact_sheet", spy)
    return seen


def test_show_draws_the_first_images_of_an_epoch_or_split(
    stored_set: epochbank.AugmentedSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = cells(monkeypatch)
    for arguments, table in (({"epoch": 1, "n": 20}, ("epoch", 1)), ({"split": "test", "n": 20}, ("test", 0))):
        sheet = stored_set.show(**arguments)  # type: ignore[arg-type]
        assert (type(sheet), sheet.mode) == (Image.Image, "RGB")
        images, labels = images_at(stored_set.table(*table), np.arange(20))
        shown = [cell for row in seen[1] for cell in row]
        np.testing.assert_array_equal(np.stack([cell.image for cell in shown]), images)
        assert [cell.caption[0][:10] for cell in shown] == [NAMES[label][:10] for label in labels]
        assert max(len(cell.caption[0]) for cell in shown) == 40  # The long name is shortened.
        assert [len(row) for row in seen[1]] == [8, 8, 4]
    stored_set.show()
    assert "epoch 0: 16 of 160 images" in seen[0]
    stored_set.show(2, 1000)
    assert "160 of 160" in seen[0]
    first, second = stored_set.show(0), stored_set.show(1)
    assert ImageChops.difference(first, second).getbbox() is not None


def test_show_class_draws_originals_beside_their_distortions(
    stored_set: epochbank.AugmentedSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recipe changes nothing, so that a row shows one number, that of an image of the class, with its writer."""
    seen = cells(monkeypatch)
    stored_set.show_class("亜", 5)
    title, rows = seen
    assert "class 亜: 5 of 32 training images" in title
    assert [len(row) for row in rows] == [4] * 5
    for row in rows:
        numbers = {int(cell.image[0, 0, 0]) for cell in row}
        assert len(numbers) == 1
        assert numbers.pop() % 5 == 0
        assert row[0].marked
        assert row[0].caption == ["original", str(int(row[0].image[0, 0, 0]) // 20)]
        assert [cell.caption[0] for cell in row[1:]] == ["epoch 0", "epoch 1", "epoch 2"]


def test_show_class_of_a_balanced_set_leaves_out_what_an_epoch_does_not_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "a.npz", images=glyphs(60, (8, 8, 1)), labels=np.arange(60) % 2)
    stored_set = epochbank.generate(tmp_path / "a.npz", epochs=2, sets=tmp_path / "sets", jobs=1, per_class=(1, 6))
    seen = cells(monkeypatch)
    stored_set.show_class("1", 20)
    missing = [cell for row in seen[1] for cell in row if "not sampled" in cell.caption]
    assert missing
    assert not any(cell.image.any() for cell in missing)
    places = [position_of(stored_set.path, stored_set.description, "epoch", 0, image) for image in range(48)]
    assert None in places


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.show(3), r"epoch 3 is not stored in .*; expected one of 0 to 2"),
        (lambda s: s.show("1"), r"epoch '1' is not stored"),
        (lambda s: s.show(True), r"epoch True is not stored"),
        (lambda s: s.show(0, 0), r"n=0; expected a number of images from 1 to 1,000"),
        (lambda s: s.show(0, 2.0), r"n=2.0; expected"),
        (lambda s: s.show(0, split="test"), r"epoch=0 cannot be combined with split='test'"),
        (lambda s: s.show(split="tset"), r"Did you mean `test`"),
        (lambda s: s.show_class("plan"), r"class 'plan' is not one of the 5 classes .* Did you mean 'plain'\?"),
        (lambda s: s.show_class("PLAIN"), r"Did you mean 'plain'\?"),
        (lambda s: s.show_class("\uff50\uff4c\uff41\uff49\uff4e"), r"Did you mean 'plain'\?"),  # Full width.
        (lambda s: s.show_class(0), r"class 0 is not one of the 5 classes"),
        (lambda s: s.show_class("亜", 112), r"n=112; expected a number of images from 1 to 111"),
    ],
)  # fmt: skip
def test_wrong_arguments_of_show_are_explained(stored_set: epochbank.AugmentedSet, call: Any, message: str) -> None:
    with pytest.raises(EpochbankError, match=message) as caught:
        call(stored_set)
    assert len(str(caught.value)) < 700


def run_directory(path: Path, stored_set: epochbank.AugmentedSet, *, epochs: int, finished: bool) -> Path:
    """Write the files of a training run."""
    path.mkdir(parents=True)
    named = {"path": str(stored_set.path), "fingerprint": stored_set.description.fingerprint}
    config = {
        "set": named, "shape": [4, 4, 1], "class_names": NAMES, "model": "cnn-small", "epochs": 5, "seed": 3,
        "parameters": 1234, "learning_rate": 0.01,
    }  # fmt: skip
    (path / "config.json").write_text(json.dumps(config))
    rows = [f"{e},{1 / (e + 1)},{e / 10},{2 / (e + 1)},{e / 20},0.5" for e in range(epochs)]
    head = "epoch,loss,accuracy,val_loss,val_accuracy,data_wait"
    (path / "metrics.csv").write_text("\n".join([head, *rows, ""]) if epochs else "")
    result = {"accuracy": 0.975, "loss": 0.1234, "images": 200}
    summary = {"set": named, "test": result, "validation": None, "epochs": epochs, "seconds": 12.3}
    if finished:
        (path / "summary.json").write_text(json.dumps(summary))
    return path


def test_a_run_has_its_settings_history_and_summary(stored_set: epochbank.AugmentedSet, tmp_path: Path) -> None:
    path = run_directory(tmp_path / "runs/one", stored_set, epochs=4, finished=True)
    run = epochbank.open_run("one", tmp_path / "runs")
    assert repr(run) == f"Run({str(path)!r}, model='cnn-small', epochs=4, accuracy=97.50 %)"
    assert (run.settings.seed, run.settings.learning_rate, run.settings.epochs) == (3, 0.01, 5)
    assert run.history["val_accuracy"] == [0, 0.05, 0.1, 0.15]
    assert (run.num_epochs, run.best_epoch, run.accuracy) == (4, 3, 0.975)
    assert run.open_set() == stored_set
    assert Path(run) == path
    page = page_of(run)
    for text in ("accuracy 97.50 %, loss 0.1234, 200 images", "seed=3, learning_rate=0.01", "4 of 5, the best is 4"):
        assert text in page.text
    assert page.tags.count("svg") == 2
    Image.new("RGB", (30, 20), "red").save(path / "confusions.png")
    assert run.show("confusions").getpixel((1, 1)) == (255, 0, 0)
    with pytest.raises(EpochbankError, match=r"has no mistakes\.png: it made no mistake"):
        run.show("mistakes")
    with pytest.raises(EpochbankError, match="Did you mean `confusions`"):
        run.show("confusion")
    (path / "confusions.png").write_bytes(b"no image")
    with pytest.raises(EpochbankError, match="is damaged"):
        run.show("confusions")
    with pytest.raises(EpochbankError, match=r"has no model\.keras"):
        run.load_model()


@pytest.mark.parametrize("epochs", [0, 1, 4])
def test_an_unfinished_run_can_be_opened(stored_set: epochbank.AugmentedSet, tmp_path: Path, epochs: int) -> None:
    run_directory(tmp_path / "runs/one", stored_set, epochs=epochs, finished=False)
    run = epochbank.open_run(None, tmp_path / "runs")
    assert f"unfinished, {epochs} of 5 epochs" in repr(run)
    assert (run.summary, run.accuracy, run.best_epoch) == (None, None, epochs - 1 if epochs else None)
    page = page_of(run)
    assert "epochbank.resume(" in page.text
    assert page.tags.count("svg") == (2 if epochs else 0)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("config.json", "{"), ("metrics.csv", "a,b\n1,2\n"), ("summary.json", "[]"), ("summary.json", "{}"),
        ("summary.json", '{"test": {"accuracy": "1"}, "validation": null, "epochs": 1, "seconds": 1}'),
        ("summary.json", '{"test": null, "validation": null, "epochs": null, "seconds": 1}'),
    ],
)  # fmt: skip
def test_a_damaged_run_is_refused_by_the_name_of_the_file(
    stored_set: epochbank.AugmentedSet, tmp_path: Path, file: str, text: str
) -> None:
    path = run_directory(tmp_path / "one", stored_set, epochs=2, finished=True)
    (path / file).write_text(text)
    with pytest.raises(EpochbankError, match=f"{file} is damaged"):
        epochbank.open_run(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epoch": 3}, "epoch=3 is not an option of a training; .*Did you mean `epochs`"),
        ({"epochs": 0}, "epochs=0 is invalid; expected int, a number of 1 or more"),
        ({"epochs": "5"}, "epochs='5' is invalid"),
        ({"epochs": True}, "epochs=True is invalid"),
        ({"learning_rate": -1}, "learning_rate=-1 is invalid; expected float, a number above 0"),
        ({"label_smoothing": 1.5}, "label_smoothing=1.5 is invalid; expected float, a number from 0 to 1"),
        ({"precision": "half"}, "precision='half' is invalid; expected one of float32, mixed_float16"),
        ({"model": "cn"}, "model 'cn' is unknown"),
    ],
)
def test_fit_refuses_wrong_options_before_keras_starts(
    stored_set: epochbank.AugmentedSet, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(EpochbankError, match=message):
        epochbank.fit(stored_set, run=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()
    with pytest.raises(EpochbankError, match="epochs, seed cannot be changed when a run is continued"):
        epochbank.resume(tmp_path / "run", epochs=3, seed=1)


def test_a_card_shortens_what_is_long_and_survives_names_that_are_not_unicode() -> None:
    card = Card("X", "/a/\udcff", [("long", "y" * 10_000), ("empty", "")], notes=["n"] * 9, problems=["<p>"] * 2)
    page = page_of(types.SimpleNamespace(_repr_html_=card.to_html))
    page.text.encode()
    assert "\\udcff" in page.text
    assert "empty" not in page.text
    assert "4 more" in page.text
    assert page.text.count("Problem: <p>") == 2
    assert len(page.text) < 4_000


def test_curves_have_gaps_where_a_value_is_not_finite() -> None:
    page = Page(curves('loss "x"', [[1.0, float("nan"), 0.5, 0.25], [2.0]], 0.25, 2.0))
    points = [value or "" for name, value in page.attributes if name == "points"]
    assert [len(value.split()) for value in points] == [2, 2, 2]
    assert ("aria-label", 'loss "x"') in page.attributes
    assert len(Page(curves("constant", [[1.0, 1.0]], 1.0, 1.0)).attributes) > 3


class Display:
    """Stands for IPython in a kernel: records what is displayed and updated."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.outputs: list[dict[str, str]] = []
        self.updates = 0
        ipython, module = types.ModuleType("IPython"), types.ModuleType("IPython.display")
        ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
        module.display = self.display  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        monkeypatch.setitem(sys.modules, "IPython.display", module)

    def display(self, data: dict[str, str], *, raw: bool, display_id: bool) -> Any:
        assert raw
        assert display_id
        self.outputs.append(data)
        place = len(self.outputs) - 1

        def update(data: dict[str, str], *, raw: bool) -> None:
            assert raw
            self.outputs[place] = data
            self.updates += 1

        return types.SimpleNamespace(update=update)


def test_progress_in_a_notebook_is_one_output_that_ends_as_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not in_notebook()
    display = Display(monkeypatch)
    assert in_notebook()
    seconds = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: seconds)
    with Progress("a <b>", 100) as progress:
        progress.advance(1)
        assert display.outputs == []  # Short work shows no bar.
        for _ in range(50):
            seconds += 0.1
            progress.advance(1)
        (shown,) = display.outputs
        Page(shown["text/html"])
        assert 'value="0.4' in shown["text/html"]
        assert "a &lt;b&gt;" in shown["text/html"]
        assert 10 < display.updates < 20
    (shown,) = display.outputs
    assert shown == {"text/plain": "a <b>: 51 images in 5.0 s (10/s)"}
    progress = Progress("later", 9).__enter__()
    seconds += 1
    progress.advance(2)
    progress.__exit__(ValueError, ValueError(), None)
    assert display.outputs[1:] == [{"text/plain": "later: stopped after 2 images"}]
    with Progress("short", 5) as progress:
        progress.advance(5)
    assert capsys.readouterr() == ("short: 5 images in 0.0 s (5,000,000,000/s)\n", "")


def test_an_error_in_a_notebook_is_the_users_line_and_the_message(stored_set: epochbank.AugmentedSet) -> None:
    def user_function() -> None:
        stored_set.show(7)

    with pytest.raises(EpochbankError) as caught:
        user_function()
    lines = caught.value._render_traceback_()
    assert lines[-2].endswith("in user_function: stored_set.show(7)")
    assert lines[-1].startswith("EpochbankError: epoch 7 is not stored")
    assert short_traceback(KeyboardInterrupt()) == ["KeyboardInterrupt"]

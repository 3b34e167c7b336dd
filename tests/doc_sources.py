"""The sources, sets and runs that the pages of the documentation name, in miniature, in the working directory."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from sklearn.datasets import load_sample_image

import epochbank
import etl_writer
from conftest import glyphs
from doc_pages import blocks
from public_data_sets import DATA_SETS, gray, png, png_bytes, table, write_idx

WRITERS = ("Sato", "Mori", "Ito", "Abe")
_KANJI = "亜唖娃阿哀愛"


def characters(folder: str, classes: str = "ABC", per_writer: int = 2) -> None:
    """Write a folder per class: dark ink on white, `WRITER_NUMBER.png`."""
    images = iter(255 - gray(32, len(classes) * len(WRITERS) * per_writer))
    for name in classes:
        for writer in WRITERS:
            for number in range(per_writer):
                png(next(images), f"{folder}/{name}/{writer}_{number}.png")


def imbalanced() -> None:
    """Write `letters/`, whose classes have 4, 12 and 32 images."""
    for name, count in (("A", 4), ("B", 12), ("C", 32)):
        for number, image in enumerate(glyphs(count, (32, 32, 1), seed=count)[..., 0]):
            png(image, f"letters/{name}/{number}.png")


def photographs() -> None:
    """Write `photos/`: parts of two photographs, each a class of 20 images."""
    random = np.random.default_rng(0)
    for name in ("china", "flower"):
        photograph = load_sample_image(f"{name}.jpg")
        for number in range(20):
            top, left = random.integers(0, 250), random.integers(0, 400)
            png(photograph[top : top + 160, left : left + 200], f"photos/{name}/{number}.png")


def etl() -> None:
    """Write `etl/` with records of ETL8G and ETL9G, six kanji by five writers each, and `ETL9G.zip`."""
    kinds = (("ETL8G", etl_writer.record_8g, 10, "あ" + _KANJI), ("ETL9G", etl_writer.record_9g, 20, _KANJI))
    for name, record, per_form, characters in kinds:
        records = [
            record(
                etl_writer.glyph(20 * number + form, 127, 128, 16),
                code=etl_writer.jis0208(character),
                sheet=form * per_form + 1,
            )
            for form in range(5)
            for number, character in enumerate(characters)
        ]
        Path("etl", name).mkdir(parents=True)
        Path("etl", name, f"{name}_01").write_bytes(b"".join(records))
    katakana = [
        etl_writer.record_m(etl_writer.glyph(number, 63, 64, 16), jis=0xB1 + number % 3, sheet=1001 + number // 3)
        for number in range(12)
    ]
    for name in ("ETL1", "ETL6"):
        Path("etl", name).mkdir()
        Path("etl", name, f"{name}C_01").write_bytes(b"".join(katakana))
    with zipfile.ZipFile("ETL9G.zip", "w") as archive:
        archive.write("etl/ETL9G/ETL9G_01", "ETL9G/ETL9G_01")


def omniglot() -> None:
    """Write `omniglot.zip`, a folder per character, with the drawer in the name of the file."""
    with zipfile.ZipFile("omniglot.zip", "w") as archive:
        for number, image in enumerate(gray(32, 24)):
            name = f"images/Korean/character{number % 3 + 1:02d}/0{number % 3}_{number // 3 + 1:02d}.png"
            archive.writestr(name, png_bytes(255 - image))


def scans() -> None:
    """Write images to classify: `scan.png`, and the folder `scans/`."""
    png(gray(64)[0], "scans/1.png")
    png(gray(64)[1], "scan.png")


def digits(epochs: int = 2) -> None:
    """Generate a set of 200 digits, with the tag `baseline`."""
    epochbank.generate("digits", epochs=epochs, limit=200, jobs=1, name="baseline")


def trained() -> None:
    """Generate `digits`, and train a run on it, whose name is like those of the documentation."""
    from epochbank.train.training.fit import fit
    from epochbank.train.training.fit_options import FitOptions

    digits()
    stored_set = epochbank.open_set()
    fit(stored_set, FitOptions(epochs=1, batch_size=64), Path("runs") / f"{stored_set.path.name}-20260101-120000")
    scans()


def _readme() -> None:
    scans()
    omniglot()
    etl()


def _overnight() -> None:
    characters("characters")
    digits()


def _arrays() -> None:
    images, labels = glyphs(60, (16, 16, 1)), np.arange(60) % 3
    np.savez("data.npz", images=images, labels=labels)
    with h5py.File("scans.h5", "w") as file:
        file["scans/pixels"], file["codes"] = images, labels
    DATA_SETS["MNIST, from Keras"]()
    DATA_SETS["KMNIST, as arrays"]()


def _lists() -> None:
    DATA_SETS["Chinese-MNIST"]()
    DATA_SETS["Hugging Face imagefolder with metadata.jsonl"]()
    shutil.move("chinese/chinese_mnist.csv", "chinese_mnist.csv")
    shutil.move("chinese/data", "data")
    rows: list[list[object]] = [["path", "label", "writer", "split"]]
    for number, image in enumerate(gray(32, 24)):
        png(image, f"scans/{number:04d}.png")
        split = "test" if number % 4 == 3 else "train"
        rows.append([f"scans/{number:04d}.png", "亜哀"[number % 2], WRITERS[number % 4], split])
    table("scans.csv", rows)


def _pixels() -> None:
    DATA_SETS["Digit Recognizer (Kaggle)"]()
    shutil.copy("digit-recognizer/train.csv", "train.csv")
    DATA_SETS["EMNIST, as CSV"]()
    DATA_SETS["FER-2013"]()


def _shards() -> None:
    digits(epochs=1)
    for format, folder in (("webdataset", "shards"), ("tfrecord", "imagenet")):
        epochbank.export_set("baseline", folder, format, jobs=1)
        Path(folder, "epochbank.json").unlink()  # Without it, the export is like shards of another program.
    Path("mnist/3.0.1").mkdir(parents=True)
    for path in Path("imagenet").glob("*.tfrecord"):
        shutil.copy(path, f"mnist/3.0.1/mnist-{path.name.split('-')[0]}.tfrecord-00000-of-00001")
    Path("mnist/3.0.1/label.labels.txt").write_text("\n".join("0123456789"))


def _idx() -> None:
    write_idx("mnist", suffix=".gz")
    for name in ("balanced", "letters"):
        write_idx("emnist", prefix=f"emnist-{name}-", suffix=".gz", test="test")


def _python() -> None:
    for number, image in enumerate(gray(32, 24)):
        png(image, f"scans/{'ABC'[number % 3]}_{number // 3}.png")


def _inspected() -> None:
    characters("letters")
    omniglot()


def _object_store() -> None:
    photographs()
    epochbank.generate("photos", "photo", epochs=1, jobs=1)


def _several_machines() -> None:
    photographs()
    digits()


def _recipes() -> None:
    import albumentations

    (module,) = (one for one in blocks("docs/how-to/custom-operation.md") if one.file == "my_module.py")
    Path(module.file).write_text(module.text)

    albumentations.save(albumentations.Compose([albumentations.Rotate(10)]), "pipeline.yaml", data_format="yaml")


SETUP: dict[str, Callable[[], object]] = {
    "README.md": _readme,
    "docs/quick-start.md": scans,
    "docs/tutorials/etl-kanji.md": etl,
    "docs/tutorials/photographs.md": photographs,
    "docs/how-to/overnight.md": _overnight,
    "docs/how-to/several-machines.md": _several_machines,
    "docs/how-to/stored-epochs.md": digits,
    "docs/how-to/class-imbalance.md": imbalanced,
    "docs/augmentation.md": trained,
    "docs/exchange.md": lambda: digits(epochs=5),
    "docs/format.md": digits,
    "docs/object-stores.md": _object_store,
    "docs/etl.md": etl,
    "docs/recipes.md": _recipes,
    "docs/training.md": trained,
    "docs/sources.md#arrays": _arrays,
    "docs/sources.md#lists": _lists,
    "docs/sources.md#csv-of-pixels": _pixels,
    "docs/sources.md#parquet": DATA_SETS["Hugging Face datasets, from Parquet"],
    "docs/sources.md#webdataset-and-tfrecord": _shards,
    "docs/sources.md#idx-files": _idx,
    "docs/sources.md#casia-hwdb": DATA_SETS["CASIA-HWDB"],
    "docs/sources.md#python": _python,
    "docs/sources.md#inspecting-a-source": _inspected,
}
"""What a page, or a section of a page that is run by sections, needs."""

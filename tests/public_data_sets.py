"""Public data sets in miniature: files with the names, formats and conventions of the real ones.

Each function writes into the current directory what a user has after downloading and unpacking. Twelve images, or as
many as the form needs, of at least two classes.
"""

import csv
import gzip
import io
import json
import pickle
import struct
import textwrap
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import scipy.io
from PIL import Image

import etl_writer
from conftest import glyphs


@dataclass(frozen=True)
class Expected:
    """What the import of a data set must give."""

    classes: list[str]
    """Class names, sorted as the source file has them."""
    splits: dict[str, int] = field(default_factory=dict)
    """Images of each split that the data set defines, by name."""
    images: np.ndarray | None = None
    """uint8 (N, H, W) or (N, H, W, 3): the pixels in the order of the source file, if they are kept exactly."""
    num_images: int = 12
    groups: int | None = None
    """Number of groups; None if the data set has none."""


DATA_SETS: dict[str, Callable[[], Expected]] = {}
"""Writers by the name of the data set in docs/sources.md."""


def data_set(name: str) -> Callable[[Callable[[], Expected]], Callable[[], Expected]]:
    def register(function: Callable[[], Expected]) -> Callable[[], Expected]:
        DATA_SETS[name] = function
        return function

    return register


def gray(size: int = 28, count: int = 12) -> np.ndarray:
    """Return distinct glyphs, bright on black, uint8 (count, size, size)."""
    return glyphs(count, (size, size, 1), seed=size)[..., 0]


def rgb(size: int = 32, count: int = 12) -> np.ndarray:
    """Return distinct color images without a border of one color, uint8 (count, size, size, 3)."""
    rng = np.random.default_rng(size)
    return rng.integers(0, 256, (count, size, size, 3), np.uint8)


def png(image: np.ndarray, path: Path | str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def png_bytes(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def table(path: str, rows: list[list[object]], delimiter: str = ",") -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


def idx(array: np.ndarray) -> bytes:
    kinds = {"uint8": 8, "int32": 12}
    head = bytes([0, 0, kinds[array.dtype.name], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def labels(classes: int, count: int = 12) -> np.ndarray:
    return np.arange(count, dtype=np.uint8) % classes


DIGITS = [str(number) for number in range(2)]
HALVES = {"train": 8, "test": 4}


def write_idx(folder: str, prefix: str = "", suffix: str = "", dot: str = "-", test: str = "t10k") -> np.ndarray:
    """Write the four files of MNIST; return the images."""
    images, numbers = gray(), labels(2)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for split, part in (("train", slice(0, 8)), (test, slice(8, 12))):
        for content, array in ((f"images{dot}idx3", images[part]), (f"labels{dot}idx1", numbers[part])):
            data = idx(np.ascontiguousarray(array))
            path = Path(folder, f"{prefix}{split}-{content}-ubyte{suffix}")
            path.write_bytes(gzip.compress(data) if suffix else data)
    return images


@data_set("MNIST")
def mnist() -> Expected:
    return Expected(DIGITS, HALVES, write_idx("mnist", suffix=".gz"))


@data_set("MNIST, downloaded by torchvision")
def mnist_torchvision() -> Expected:
    write_idx("data/MNIST/raw", suffix=".gz")
    return Expected(DIGITS, HALVES, write_idx("data/MNIST/raw"))


@data_set("MNIST, unpacked by Kaggle")
def mnist_kaggle() -> Expected:
    images = write_idx("whole", dot=".")
    for path in sorted(Path("whole").iterdir()):
        folder = Path("archive", path.name.replace(".idx", "-idx"))
        folder.mkdir(parents=True)
        (folder / path.name.replace(".idx", "-idx")).write_bytes(path.read_bytes())
        Path("archive", path.name).write_bytes(path.read_bytes())
        path.unlink()
    return Expected(DIGITS, HALVES, images)


@data_set("MNIST, from Keras")
def mnist_keras() -> Expected:
    images, numbers = gray(), labels(2)
    np.savez("mnist.npz", x_train=images[:8], y_train=numbers[:8], x_test=images[8:], y_test=numbers[8:])
    return Expected(DIGITS, HALVES, images)


@data_set("EMNIST")
def emnist() -> Expected:
    images, numbers = gray(), labels(2) + 1
    with zipfile.ZipFile("gzip.zip", "w") as archive:
        for split, part in (("train", slice(0, 8)), ("test", slice(8, 12))):
            for content, array in (("images-idx3", images[part].transpose(0, 2, 1)), ("labels-idx1", numbers[part])):
                name = f"gzip/emnist-letters-{split}-{content}-ubyte.gz"
                archive.writestr(name, gzip.compress(idx(np.ascontiguousarray(array))))
        archive.writestr("gzip/emnist-letters-mapping.txt", "1 65 97\n2 66 98\n")
    return Expected(["Aa", "Bb"], HALVES, images)


@data_set("EMNIST, as CSV")
def emnist_csv() -> Expected:
    images, numbers = gray(), labels(2)
    pixels = images.transpose(0, 2, 1).reshape(12, -1)
    table("emnist-balanced-train.csv", [[number, *row] for number, row in zip(numbers, pixels, strict=True)])
    return Expected(DIGITS, {}, images)


@data_set("QMNIST")
def qmnist() -> Expected:
    images = gray()
    columns = np.zeros((12, 8), np.int32)
    columns[:, 0], columns[:, 2] = labels(2), np.arange(12) // 4
    Path("qmnist").mkdir()
    for split, part in (("train", slice(0, 8)), ("test", slice(8, 12))):
        Path(f"qmnist/qmnist-{split}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images[part])))
        Path(f"qmnist/qmnist-{split}-labels-idx2-int.gz").write_bytes(gzip.compress(idx(columns[part])))
    return Expected(DIGITS, HALVES, images, groups=3)


@data_set("KMNIST")
def kmnist() -> Expected:
    images = write_idx("kmnist", suffix=".gz")
    table("kmnist/kmnist_classmap.csv", [["index", "codepoint", "char"], [0, "U+304A", "お"], [1, "U+304D", "き"]])
    return Expected(["お", "き"], HALVES, images)


def _kmnist_arrays(folder: str, prefix: str) -> np.ndarray:
    images, numbers = gray(), labels(2)
    Path(folder).mkdir()
    for split, part in (("train", slice(0, 8)), ("test", slice(8, 12))):
        np.savez_compressed(f"{folder}/{prefix}-{split}-imgs.npz", images[part])
        np.savez_compressed(f"{folder}/{prefix}-{split}-labels.npz", numbers[part])
    return images


@data_set("KMNIST, as arrays")
def kmnist_npz() -> Expected:
    return Expected(DIGITS, HALVES, _kmnist_arrays("kmnist", "kmnist"))


@data_set("Kuzushiji-49")
def k49() -> Expected:
    images = _kmnist_arrays("k49", "k49")
    table("k49/k49_classmap.csv", [["index", "codepoint", "char"], [0, "U+3042", "あ"], [1, "U+3044", "い"]])
    return Expected(["あ", "い"], HALVES, images)


@data_set("Kuzushiji-Kanji")
def kuzushiji_kanji() -> Expected:
    for number, image in enumerate(gray(64)):
        png(image, f"kkanji2/{'U+4E00' if number % 2 else 'U+4E8C'}/{number:08x}.png")
    return Expected(["U+4E00", "U+4E8C"])


@data_set("Fashion-MNIST")
def fashion_mnist() -> Expected:
    images = write_idx("fashion", suffix=".gz")
    Path("names.txt").write_text("T-shirt\nTrouser\n")
    return Expected(["T-shirt", "Trouser"], HALVES, images)


@data_set("MedMNIST")
def medmnist() -> Expected:
    images, numbers = rgb(28), labels(2)[:, None]
    arrays = {}
    for split, part in (("train", slice(0, 6)), ("val", slice(6, 9)), ("test", slice(9, 12))):
        arrays |= {f"{split}_images": images[part], f"{split}_labels": numbers[part]}
    np.savez_compressed("pathmnist.npz", **arrays)
    return Expected(DIGITS, {"train": 6, "validation": 3, "test": 3}, images)


@data_set("SVHN")
def svhn() -> Expected:
    images, numbers = rgb(), np.where(labels(2) == 0, 10, 1).astype(np.uint8)[:, None]
    scipy.io.savemat("train_32x32.mat", {"X": images.transpose(1, 2, 3, 0), "y": numbers}, do_compression=True)
    return Expected(["1", "10"], {}, images)


@data_set("USPS")
def usps() -> Expected:
    images, numbers = gray(16), labels(2).astype(np.int64)
    with h5py.File("usps.h5", "w") as file:
        for split, part in (("train", slice(0, 8)), ("test", slice(8, 12))):
            file[f"{split}/data"] = (images[part] / 255).astype(np.float32).reshape(-1, 256)
            file[f"{split}/target"] = numbers[part]
    return Expected(DIGITS, HALVES, images)


@data_set("Omniglot")
def omniglot() -> Expected:
    with zipfile.ZipFile("images_background.zip", "w") as archive:
        for number, image in enumerate(gray(105)):
            name = f"images_background/Korean/character{number % 2 + 1:02d}/0{number % 2}_{number // 2 + 1:02d}.png"
            archive.writestr(name, png_bytes(255 - image))
    return Expected(["character01", "character02"], groups=6)


@data_set("Chinese-MNIST")
def chinese_mnist() -> Expected:
    rows: list[list[object]] = [["suite_id", "sample_id", "code", "value", "character"]]
    for number, image in enumerate(gray(64)):
        suite, sample, code = number // 4 + 1, number // 2 % 2 + 1, number % 2 + 1
        rows.append([suite, sample, code, code - 1, "零一"[code - 1]])
        png(image, f"chinese/data/input_{suite}_{sample}_{code}.jpg")
    table("chinese/chinese_mnist.csv", rows)
    return Expected(sorted("零一"), groups=3)


@data_set("HASYv2")
def hasy() -> Expected:
    rows: list[list[object]] = [["path", "symbol_id", "latex", "user_id"]]
    for number, image in enumerate(gray(32)):
        png(255 - np.repeat(image[..., None], 3, axis=2), f"hasy/hasy-data/v2-{number:05d}.png")
        rows.append([f"hasy-data/v2-{number:05d}.png", 31 + number % 2, ("A", "\\pi")[number % 2], number // 4])
    table("hasy/hasy-data-labels.csv", rows)
    return Expected(["A", "\\pi"], groups=3)


@data_set("CROHME symbols")
def crohme() -> Expected:
    for number, image in enumerate(gray(45)):
        png(255 - image, f"extracted_images/{('+', 'alpha')[number % 2]}/exp{number}.jpg")
    return Expected(["+", "alpha"])


@data_set("Digit Recognizer (Kaggle)")
def kaggle_digits() -> Expected:
    images, numbers = gray(), labels(2)
    head: list[object] = ["label", *(f"pixel{number}" for number in range(784))]
    table(
        "digit-recognizer/train.csv", [head, *([n, *image.ravel()] for n, image in zip(numbers, images, strict=True))]
    )
    return Expected(DIGITS, {}, images)


@data_set("A-Z Handwritten Alphabets (Kaggle)")
def kaggle_letters() -> Expected:
    images, numbers = gray(), labels(2)
    head: list[object] = ["0", *("0." + str(number) for number in range(1, 785))]
    rows = [[n, *image.ravel()] for n, image in zip(numbers, images, strict=True)]
    table("A_Z Handwritten Data.csv", [head, *rows])
    return Expected(DIGITS, {}, images)


@data_set("Sign Language MNIST")
def sign_language() -> Expected:
    images, numbers = gray(), labels(2)
    head: list[object] = ["label", *(f"pixel{number + 1}" for number in range(784))]
    rows = [[n, *image.ravel()] for n, image in zip(numbers, images, strict=True)]
    table("sign_mnist_train.csv", [head, *rows])
    return Expected(DIGITS, {}, images)


@data_set("FER-2013")
def fer() -> Expected:
    images, numbers = gray(48), labels(2)
    usage = ["Training"] * 6 + ["PublicTest"] * 3 + ["PrivateTest"] * 3
    rows: list[list[object]] = [["emotion", "pixels", "Usage"]]
    rows += [[n, " ".join(map(str, image.ravel())), use] for n, image, use in zip(numbers, images, usage, strict=True)]
    table("fer2013.csv", rows)
    return Expected(DIGITS, {"train": 6, "validation": 3, "test": 3}, images)


@data_set("notMNIST")
def not_mnist() -> Expected:
    for number, image in enumerate(gray()):
        png(image, f"notMNIST_small/{'AB'[number % 2]}/{number}.png")
    Path("notMNIST_small/A/RGVtb2NyYXRpY2FCb2xkT2xkc3R5bGUgQm9sZC50dGY=.png").write_bytes(b"")
    return Expected(["A", "B"], {}, num_images=12)


@data_set("ETL Character Database")
def etl() -> Expected:
    records = [
        etl_writer.record_9g(
            etl_writer.glyph(number, 127, 128, 16), code=etl_writer.jis0208("亜唖"[number % 2]), sheet=1
        )
        for number in range(12)
    ]
    Path("etl/ETL9G").mkdir(parents=True)
    Path("etl/ETL9G/ETL9G_01").write_bytes(b"".join(records))
    return Expected(sorted("亜唖"), groups=1)


def gnt_record(image: np.ndarray, character: str) -> bytes:
    height, width = image.shape
    tag = character.encode("gbk").ljust(2, b"\0")
    return struct.pack("<I2sHH", 10 + image.size, tag, width, height) + image.tobytes()


@data_set("CASIA-HWDB")
def casia() -> Expected:
    images = gray(40)
    for folder, writers in (("HWDB1.1trn_gnt", (1001, 1002)), ("HWDB1.1tst_gnt", (1241,))):
        Path("casia", folder).mkdir(parents=True)
        for writer in writers:
            at = 4 * (1001, 1002, 1241).index(writer)
            records = [gnt_record(255 - images[at + k], "啊阿"[k % 2]) for k in range(4)]
            Path("casia", folder, f"{writer}-c.gnt").write_bytes(b"".join(records))
    return Expected(sorted("啊阿"), HALVES, groups=3)


@data_set("CIFAR-10")
def cifar() -> Expected:
    images, numbers = rgb(), labels(2).tolist()
    Path("cifar-10-batches-py").mkdir()
    batches = {"data_batch_1": slice(0, 8), "test_batch": slice(8, 12)}
    for name, part in batches.items():
        batch = {b"data": images[part].transpose(0, 3, 1, 2).reshape(-1, 3072), b"labels": numbers[part]}
        Path("cifar-10-batches-py", name).write_bytes(pickle.dumps(batch))
    Path("cifar-10-batches-py/batches.meta").write_bytes(pickle.dumps({b"label_names": [b"airplane", b"automobile"]}))
    docs = (Path(__file__).parents[1] / "docs" / "sources.md").read_text(encoding="utf-8")
    Path("cifar10.py").write_text("# cifar10.py" + docs.split("```python\n# cifar10.py")[1].split("```")[0])
    return Expected(DIGITS, HALVES, images)


@data_set("GTSRB")
def gtsrb() -> Expected:
    rows: list[list[object]] = [["Filename", "Width", "Height", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2", "ClassId"]]
    images = rgb(40)
    for number, image in enumerate(images):
        png(image, f"GTSRB/Final_Training/Images/{number % 2:05d}/{number // 2:05d}_00000.ppm")
    for kind in range(2):
        path = f"GTSRB/Final_Training/Images/{kind:05d}/GT-{kind:05d}.csv"
        names = [[f"{number:05d}_00000.ppm", 40, 40, 5, 5, 35, 35, kind] for number in range(6)]
        table(path, [*rows, *names], ";")
    return Expected(["00000", "00001"], groups=12)


@data_set("GTSRB, test images")
def gtsrb_test() -> Expected:
    rows: list[list[object]] = [["Filename", "Width", "Height", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2", "ClassId"]]
    for number, image in enumerate(rgb(40)):
        png(image, f"GTSRB/Final_Test/Images/{number:05d}.ppm")
        rows.append([f"{number:05d}.ppm", 40, 40, 5, 5, 35, 35, number % 2])
    table("GTSRB/Final_Test/Images/GT-final_test.csv", rows, ";")
    return Expected(DIGITS)


@data_set("Tiny ImageNet")
def tiny_imagenet() -> Expected:
    names = ["n01443537", "n01629819"]
    images = rgb(64, 16)
    for number, image in enumerate(images[:8]):
        name = names[number % 2]
        png(image, f"tiny-imagenet-200/train/{name}/images/{name}_{number // 2}.JPEG")
        with open(f"tiny-imagenet-200/train/{name}/{name}_boxes.txt", "a") as file:
            file.write(f"{name}_{number // 2}.JPEG\t0\t10\t63\t58\n")
    for number, image in enumerate(images[8:12]):
        png(image, f"tiny-imagenet-200/val/images/val_{number}.JPEG")
        with open("tiny-imagenet-200/val/val_annotations.txt", "a") as file:
            file.write(f"val_{number}.JPEG\t{names[number % 2]}\t0\t32\t44\t62\n")
    for number, image in enumerate(images[12:]):
        png(image, f"tiny-imagenet-200/test/images/test_{number}.JPEG")
    Path("tiny-imagenet-200/wnids.txt").write_text("\n".join(names))
    return Expected(names, {"train": 8, "validation": 4})


@data_set("Intel Image Classification (Kaggle)")
def intel() -> Expected:
    for number, image in enumerate(rgb(40)):
        split = "seg_train" if number < 8 else "seg_test"
        png(image, f"intel/{split}/{split}/{('forest', 'sea')[number % 2]}/{number}.jpg")
    return Expected(["forest", "sea"], HALVES)


@data_set("ImageFolder")
def image_folder() -> Expected:
    for number, image in enumerate(rgb(40)):
        png(image, f"flowers/{('train', 'val')[number >= 8]}/{('daisy', 'rose')[number % 2]}/{number}.png")
    return Expected(["daisy", "rose"], {"train": 8, "validation": 4})


@data_set("TensorFlow Datasets")
def tensorflow_datasets() -> Expected:
    """A module in the place of `tensorflow_datasets`, which is too large for a test, with its interface."""
    np.savez("arrays.npz", images=gray()[..., None], labels=labels(2).astype(np.int64))
    Path("tensorflow_datasets.py").write_text(
        textwrap.dedent(
            """
            from types import SimpleNamespace
            import numpy as np

            def load(name, with_info=False):
                arrays = np.load("arrays.npz")
                items = [{"image": i, "label": n} for i, n in zip(arrays["images"], arrays["labels"])]
                label = SimpleNamespace(names=["zero", "one"])
                info = SimpleNamespace(features={"label": label})
                data = {"train": items[:8], "test": items[8:]}
                return (data, info) if with_info else data
            """
        )
    )
    Path("public.py").write_text(
        'def mnist():\n    import tensorflow_datasets as tfds\n\n    return tfds.load("mnist", with_info=True)\n'
    )
    return Expected(["one", "zero"], HALVES, gray())


@data_set("Hugging Face datasets, from Parquet")
def hugging_face() -> Expected:
    import pyarrow
    import pyarrow.parquet

    images, numbers = gray(), labels(2).tolist()
    info = {"info": {"features": {"image": {"_type": "Image"}, "label": {"names": ["a", "b"], "_type": "ClassLabel"}}}}
    Path("mnist/data").mkdir(parents=True)
    for split, part in (("train", slice(0, 8)), ("test", slice(8, 12))):
        cells = [{"bytes": png_bytes(image), "path": None} for image in images[part]]
        columns = pyarrow.table({"image": cells, "label": pyarrow.array(numbers[part], pyarrow.int64())})
        columns = columns.replace_schema_metadata({"huggingface": json.dumps(info)})
        pyarrow.parquet.write_table(columns, f"mnist/data/{split}-00000-of-00001.parquet")
    return Expected(["a", "b"], HALVES, images)


@data_set("Hugging Face imagefolder with metadata.jsonl")
def hugging_face_folder() -> Expected:
    rows = []
    for number, image in enumerate(gray(32)):
        png(image, f"letters/{number:04d}.png")
        rows.append(json.dumps({"file_name": f"{number:04d}.png", "label": "ab"[number % 2]}))
    Path("letters/metadata.jsonl").write_text("\n".join(rows) + "\n")
    return Expected(["a", "b"])


@data_set("COCO-style JSON")
def coco() -> Expected:
    document: dict[str, list[dict[str, object]]] = {
        "images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}, {"id": 7, "name": "dog"}],
    }  # fmt: skip
    for number, image in enumerate(rgb(40)):
        png(image, f"photos/{number}.jpg")
        document["images"].append({"id": 100 + number, "file_name": f"{number}.jpg"})
        document["annotations"].append({"id": number, "image_id": 100 + number, "category_id": (1, 7)[number % 2]})
    Path("photos/annotations.json").write_text(json.dumps(document))
    return Expected(["cat", "dog"])

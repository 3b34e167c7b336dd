"""Small sources, images and recipes that several tests use."""

import errno
import fcntl
import gc
import os
import platform
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from object_server import ObjectServer, object_server

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if platform.machine() == "x86_64":  # As `train` sets it, so that Keras computes the same in the tests.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
if "PYTEST_XDIST_WORKER" in os.environ:  # As many processes as cores: threads of TensorFlow would wait for each other.
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}
os.environ["BROWSER"] = "true"  # The browser of `--open`: a program that does nothing.
for _number, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:  # A shell starts background jobs like this, and nohup does.
        signal.signal(_number, _handler)


def pytest_collection_finish() -> None:
    """Let garbage collections pass over TensorFlow's modules and the tests themselves: millions of objects."""
    gc.collect()
    gc.freeze()


SHAPES: list[tuple[int, int, int]] = [
    (64, 64, 1), (64, 64, 3), (28, 28, 1), (63, 65, 1), (65, 63, 3), (48, 80, 1), (17, 5, 3), (5, 17, 1), (3, 3, 1),
    (2, 9, 3), (1, 1, 1), (1, 6, 3), (7, 1, 1),
]  # fmt: skip
"""Shapes (H, W, C) for the operations: square and not square, odd, tiny."""

NOTHING = '[[stage]]\noperation = [{ op = "blur", radius = [0, 0] }]\n'
"""TOML of a recipe that changes no pixel."""


def glyphs(count: int, shape: tuple[int, int, int] = (20, 16, 1), seed: int = 0) -> np.ndarray:
    """Return images of bright strokes on black, uint8 (count, H, W, C)."""
    height, width, channels = shape
    rng = np.random.default_rng(seed)
    images = np.empty((count, *shape), np.uint8)
    for image in images:
        pil_image = Image.new("L" if channels == 1 else "RGB", (width, height))
        pen = ImageDraw.Draw(pil_image)
        for _ in range(4):
            ends = rng.integers(0, [width, height], (2, 2))
            color = tuple(int(value) for value in rng.integers(100, 256, channels))
            pen.line([tuple(map(int, end)) for end in ends], fill=color if channels == 3 else color[0], width=2)
        image[:] = np.asarray(pil_image).reshape(shape)
    return images


def images_of(shape: tuple[int, int, int], count: int, seed: int) -> np.ndarray:
    """Return noise, black-and-white noise and strokes in rotation, uint8 (count, H, W, C)."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, *shape), np.uint8)
    images[1::3] = np.where(images[1::3] > 127, 255, 0)
    images[2::3] = 0
    for image in images[2::3]:
        image[random.integers(shape[0])] = 255
        image[:, random.integers(shape[1])] = random.integers(1, 256)
        image[random.integers(shape[0]), random.integers(shape[1])] = 255
    return images


def numbered(count: int) -> np.ndarray:
    """Return images uint8 (count, 4, 4, 1) that have their number in the first two pixels."""
    images = np.zeros((count, 4, 4, 1), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = np.arange(count) % 256, np.arange(count) // 256
    return images


def numbers(images: np.ndarray) -> np.ndarray:
    """Return the numbers of `numbered` images, int (n,)."""
    return images[:, 0, 0, 0].astype(int) + 256 * images[:, 0, 1, 0].astype(int)


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    """A source of 300 glyphs, 20 x 16 pixels, in six classes and ten groups."""
    path = tmp_path / "glyphs.npz"
    np.savez(path, images=glyphs(300), labels=np.arange(300) % 6, groups=np.arange(300) // 30)
    return path


@pytest.fixture
def numbered_npz(tmp_path: Path) -> Path:
    """A source of 1,000 `numbered` images in five classes: label = number mod 5."""
    path = tmp_path / "numbered.npz"
    np.savez(path, images=numbered(1000), labels=np.arange(1000) % 5)
    return path


@pytest.fixture
def nothing_recipe(tmp_path: Path) -> Path:
    """A recipe file that changes no pixel."""
    path = tmp_path / "nothing.toml"
    path.write_text(NOTHING)
    return path


def small_set(directory: Path, *, epochs: int = 3, shape: tuple[int, int, int] = (8, 8, 1)) -> Path:
    """Make the source `a.npz` of 100 glyphs and its set in `sets/`, with shards of 20 images; return `directory`."""
    import epochbank

    np.savez(directory / "a.npz", images=glyphs(100, shape), labels=np.arange(100) % 4)
    epochbank.generate(directory / "a.npz", epochs=epochs, sets=directory / "sets", jobs=1, shard_size=20, chunk_size=5)
    return directory


def between_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `flock` behave as on NFS, seen from another machine: directories are not locked, and modes count."""
    flock = fcntl.flock

    def on_nfs(descriptor: int, how: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            return
        mode = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE
        if mode == (os.O_RDONLY if how & fcntl.LOCK_EX else os.O_WRONLY):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", on_nfs)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    """An S3 server for the test, and the environment variables with which it is found."""
    with object_server() as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running

"""Elastic distortion: noise, field, sampling and ink, each compared with another way to compute it."""

import itertools
import math

import numpy as np
import pytest
from scipy import ndimage

from conftest import SHAPES, images_of
from epochbank.augment.distortion.operations import Elastic
from epochbank.augment.distortion.operations.elastic import displacements, fields_of
from epochbank.augment.distortion.operations.seeds import random_bytes
from operation_battery import Shape, splitmix, to_pillow

# --- The noise and the field ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2**53 - 1])
def test_random_bytes(seed: int) -> None:
    """The stream is SplitMix64's finalizer of a counter, lowest byte first; a shorter stream is its beginning."""
    assert splitmix(0) == 0xE220A8397B1DCDAF  # The published first word of SplitMix64 with seed 0.
    words = [splitmix((splitmix(seed) + at) % 2**64) for at in range(5)]
    expected = b"".join(word.to_bytes(8, "little") for word in words)
    assert random_bytes(seed, 40).tobytes() == expected
    assert random_bytes(seed, 13).tobytes() == expected[:13]
    assert random_bytes(seed, 0).shape == (0,)


@pytest.mark.parametrize("sigma", [0, 0.5, 1, 1.7, 4, 8.8, 9.13, 30.2, 64])
def test_box_filters_are_nearly_a_gaussian(sigma: float) -> None:
    """The three boxes together have the requested standard deviation, and nearly the curve of a Gaussian."""
    (widths,) = fields_of(np.array([1.0]), np.array([float(sigma)])).widths
    kernel = np.ones(1)
    for width in widths:
        kernel = np.convolve(kernel, np.full(width, 1 / width))
    at = np.arange(len(kernel)) - (len(kernel) - 1) / 2
    variance = (kernel * at**2).sum()
    # Integer widths can be off by half of what one more pixel in one box adds.
    assert abs(variance - sigma**2) <= (2 * widths.min() + 1) / 24 + 1e-9
    if sigma >= 4:
        gaussian = np.exp(-(at**2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
        assert np.abs(kernel - gaussian).max() < 0.07 * gaussian.max()


@pytest.mark.parametrize(("alpha", "sigma"), [(100, 8.8), (10_000, 64), (30, 1.5), (3, 0)])
@pytest.mark.parametrize("shape", [(64, 64, 1), (20, 33, 3), (5, 1, 1)], ids=str)
def test_field_is_smoothed_noise(alpha: float, sigma: float, shape: Shape) -> None:
    """dx and dy are close to the noise of the seed, wrapped around, filtered by the boxes in floats, times alpha."""
    height, width, _ = shape
    (widths,) = fields_of(np.array([1.0]), np.array([float(sigma)])).widths
    noise = (2 * random_bytes(5, 2 * height * width).astype(float) - 255) / 256
    fields = noise.reshape(width, 2, height).transpose(1, 2, 0)
    for axis, box in itertools.product((1, 2), widths):
        fields = sum(np.roll(fields, -offset, axis) for offset in range(box)) / box
    for one, expected in zip(displacements(shape, alpha, sigma, 5), fields, strict=True):
        assert one.dtype == np.int32
        assert np.abs(one / 256 - alpha * expected).max() < 1 / 128 + 2e-4 * alpha


def test_typical_displacement() -> None:
    """The root mean square is 0.577 alpha / (2 sigma sqrt(pi)), at the border as in the middle."""
    alpha, sigma = 100.0, 4.0
    fields = np.array([displacements((64, 64, 1), alpha, sigma, seed) for seed in range(60)]) / 256
    expected = alpha / math.sqrt(3) / (2 * sigma * math.sqrt(math.pi))
    assert math.sqrt((fields**2).mean()) == pytest.approx(expected, rel=0.04)
    border = np.concatenate([fields[:, :, 0].ravel(), fields[:, :, :, -1].ravel()])
    assert math.sqrt((border**2).mean()) == pytest.approx(expected, rel=0.1)
    assert abs(fields.mean()) < 0.1 * expected
    assert abs((fields[:, 0] * fields[:, 1]).mean()) < 0.1 * expected**2  # dx and dy are independent.


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("alpha", "sigma"), [(120.0, 9.0), (20.0, 0.0), (900.0, 6.0)])
def test_bilinear_sampling_with_black_outside(shape: Shape, alpha: float, sigma: float) -> None:
    """Pixels are sampled at (x + dx, y + dy), as SciPy interpolates there with zeros outside."""
    images, operation = images_of(shape, 3, seed=0), Elastic()
    for seed, image in enumerate(images):
        dx, dy = displacements(shape, alpha, sigma, seed)
        y, x = np.mgrid[: shape[0], : shape[1]]
        places = [y + dy / 256, x + dx / 256]
        result = np.asarray(operation.apply(to_pillow(image), alpha=alpha, sigma=sigma, seed=seed)).reshape(shape)
        for channel in range(shape[2]):
            values = image[:, :, channel].astype(float)
            expected = ndimage.map_coordinates(values, places, order=1, mode="grid-constant")
            assert np.abs(result[:, :, channel] - np.floor(expected + 0.5)).max() <= 1
            assert np.abs(result[:, :, channel] - expected).max() < 0.5 + 1e-6


def test_ink_that_leaves_the_frame() -> None:
    """Ink is lost if a pixel's center minus its displacement is outside the frame; counted pixel by pixel."""
    shape = (16, 20, 3)
    images, operation = images_of(shape, 4, seed=0), Elastic(alpha=(40, 40), sigma=(3, 3))
    parameters = operation.parameters(np.random.default_rng(1).random((4, 3)), shape)
    kept = []
    for image, seed in zip(images, parameters["seed"].tolist(), strict=True):
        dx, dy = displacements(shape, 40, 3, seed)
        kept.append(0)
        for row, column in itertools.product(range(16), range(20)):
            x, y = column + 0.5 - dx[row, column] / 256, row + 0.5 - dy[row, column] / 256
            kept[-1] += int(image[row, column].sum()) if 0 <= x < 20 and 0 <= y < 16 else 0
    measured = operation.ink(images, parameters)
    assert measured[:, 0].tolist() == kept
    assert measured[:, 1].tolist() == images.sum((1, 2, 3)).tolist()
    assert (measured[:, 0] < measured[:, 1]).all()


def test_ink_in_the_middle_stays() -> None:
    """Ink that is farther from the border than any displacement is counted as kept, and is still in the image."""
    image = np.zeros((1, 64, 64, 1), np.uint8)
    image[0, 24:40, 24:40] = 200
    parameters = {"alpha": np.array([80.0]), "sigma": np.array([9.0]), "seed": np.array([3])}
    ((kept, total),) = Elastic().ink(image, parameters)
    assert kept == total == 200 * 256
    assert Elastic().apply_many(image, parameters).sum() == pytest.approx(total, rel=0.3)

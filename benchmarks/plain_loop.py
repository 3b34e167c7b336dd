"""The loop that epochbank replaces, a plain implementation of `reference/distortions.md`: one image at a time.

It maps float16 images to float16 images, with one geometric operation and one filter, drawn uniformly; the sine rolls
each column. Nothing is written.
"""

import math
import random

import numpy as np
from PIL import Image, ImageFilter


def distort_plainly(image: np.ndarray) -> np.ndarray:
    """Distort one float16 image (H, W) in [0, 1] with the `kanji` recipe."""
    pil_image = Image.fromarray((image.astype(np.float32) * 255).astype(np.uint8))
    width, height = pil_image.size
    operation = random.choice(["rotate", "shear", "scale", "sine"])
    if operation == "rotate":
        pil_image = pil_image.rotate(random.uniform(-15, 15))
    elif operation == "shear":
        x, y = random.uniform(-0.2, 0.2), random.uniform(-0.2, 0.2)
        pil_image = pil_image.transform(pil_image.size, Image.Transform.AFFINE, (1, x, 0, y, 1, 0))
    elif operation == "scale":
        inner = random.randint(25, 62), random.randint(25, 62)
        canvas = Image.new("L", pil_image.size)
        place = random.randint(0, 63 - inner[0]), random.randint(0, 63 - inner[1])
        canvas.paste(pil_image.resize(inner), place)
        pil_image = canvas
    else:
        strength = random.choice([-1, 1]) * random.uniform(0.15, 0.2)
        pixels = np.array(pil_image)
        for column in range(width):
            shift = int(strength * (height / 3) * math.sin(-2 * math.pi * column * (2 / width)))
            pixels[:, column] = np.roll(pixels[:, column], shift)
        pil_image = Image.fromarray(pixels)
    kind = random.choice(["blur", "sharpen", "smooth"])
    if kind == "blur":
        pil_image = pil_image.filter(ImageFilter.GaussianBlur(random.uniform(0.5, 1.2)))
    else:
        pil_image = pil_image.filter(ImageFilter.SHARPEN if kind == "sharpen" else ImageFilter.SMOOTH)
    return (np.asarray(pil_image, np.float32) / 255).astype(np.float16)

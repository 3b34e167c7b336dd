"""The loop that epochbank replaces, written plainly from `reference/distortions.md`: one picture at a time.

float16 pictures in, float16 pictures out; one geometric operation and one filter, drawn evenly; a sine
that rolls column by column. No writing.
"""

import math
import random

import numpy as np
from PIL import Image, ImageFilter


def distort_plainly(picture: np.ndarray) -> np.ndarray:
    """Distort one float16 picture (H, W) in [0, 1] with the `kanji` recipe."""
    image = Image.fromarray((picture.astype(np.float32) * 255).astype(np.uint8))
    width, height = image.size
    operation = random.choice(["rotate", "shear", "scale", "sine"])
    if operation == "rotate":
        image = image.rotate(random.uniform(-15, 15))
    elif operation == "shear":
        x, y = random.uniform(-0.2, 0.2), random.uniform(-0.2, 0.2)
        image = image.transform(image.size, Image.Transform.AFFINE, (1, x, 0, y, 1, 0))
    elif operation == "scale":
        inner = random.randint(25, 62), random.randint(25, 62)
        canvas = Image.new("L", image.size)
        place = random.randint(0, 63 - inner[0]), random.randint(0, 63 - inner[1])
        canvas.paste(image.resize(inner), place)
        image = canvas
    else:
        strength = random.choice([-1, 1]) * random.uniform(0.15, 0.2)
        pixels = np.array(image)
        for column in range(width):
            shift = int(strength * (height / 3) * math.sin(-2 * math.pi * column * (2 / width)))
            pixels[:, column] = np.roll(pixels[:, column], shift)
        image = Image.fromarray(pixels)
    kind = random.choice(["blur", "sharpen", "smooth"])
    if kind == "blur":
        image = image.filter(ImageFilter.GaussianBlur(random.uniform(0.5, 1.2)))
    else:
        image = image.filter(ImageFilter.SHARPEN if kind == "sharpen" else ImageFilter.SMOOTH)
    return (np.asarray(image, np.float32) / 255).astype(np.float16)

"""The ranges that all peers draw from, uniformly and for each image, as far as the library allows it."""

BATCH = 256
"""Images per batch, for peers that work on batches."""

DEGREES = 15.0
"""Rotation in both directions, about the center."""
SIGMA = (0.5, 1.2)
"""Sigma of the Gaussian blur, in pixels."""

# Photos only.
SHEAR_DEGREES = 10.0
"""Shear in both directions, along x."""
SCALE = (0.9, 1.1)
"""Equal for both axes."""
SHIFT = 0.1
"""Share of the side in both directions, independent for x and y."""
CONTRAST = 0.2
"""The factor is 1 plus or minus this."""
BRIGHTNESS = 0.2
"""Share of white, plus or minus."""
GAMMA = (0.8, 1.2)
"""Exponent."""

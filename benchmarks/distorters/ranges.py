"""What every peer draws from, uniformly and for every picture anew, as far as its library allows it."""

BATCH = 256
"""Pictures, for the peers that work on batches."""

DEGREES = 15.0
"""Either way, about the centre."""
SIGMA = (0.5, 1.2)
"""Of the Gaussian blur, in pixels."""

# Photos alone.
SHEAR_DEGREES = 10.0
"""Either way, along x."""
SCALE = (0.9, 1.1)
"""Both axes alike."""
SHIFT = 0.1
"""Either way, of the side, x and y apart."""
CONTRAST = 0.2
"""A factor of 1 plus or minus so much."""
BRIGHTNESS = 0.2
"""Either way, of white."""
GAMMA = (0.8, 1.2)
"""An exponent."""

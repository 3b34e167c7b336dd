"""What is done to an assembled batch: views by final augmentation, then MixUp or CutMix."""

from dataclasses import dataclass

import numpy as np

from .batches import Segment
from .final import Allocate, FinalAugmentation
from .mixing import Labels, Mixing

Batch = tuple[np.ndarray, Labels]
"""Images uint8 (B, H, W, C), and labels int32 (B,) or `SoftLabels`."""


@dataclass(frozen=True)
class Finish:
    """The steps from the stored images of a batch to the batch. Picklable; it runs in the decoding threads."""

    final: FinalAugmentation | None = None
    mixing: Mixing | None = None
    views: int = 1
    """Number of views of each image: all first views, then all second views, and so on."""

    def __call__(self, images: np.ndarray, labels: np.ndarray, segments: list[Segment], allocate: Allocate) -> Batch:
        """Return the batch of `segments`, whose `images` and `labels` are stored; `images` are left as they are."""
        count = len(images)
        if self.final is not None:
            result, spare = (allocate((self.views * count, *images.shape[1:])) for _ in range(2))
            for view in range(self.views):
                part = slice(view * count, (view + 1) * count)
                self.final(images, segments, view, result[part], spare[part])
            images, labels = result, np.tile(labels, self.views)
        if self.mixing is None:
            return images, labels
        drawn = self.mixing.draw(segments, images.shape)
        return drawn.images(images, allocate(images.shape)), drawn.labels(labels)

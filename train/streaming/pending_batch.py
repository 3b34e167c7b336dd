"""Batch assembly: a batch is a part of one window, or is copied from several windows."""

import math
import threading

import numpy as np

from ..reading.buffers import ALIGNMENT, Buffers
from ..reading.decode_threads import DecodeThreads
from .batches import Segment
from .distill import Distill
from .mixing import Batch, Labels, Mixing
from .windows import Window


class PendingBatch:
    """A batch whose windows are being decoded.

    A batch inside one window is a view of it, unless it is mixed or has a teacher. Other batches are copied
    from their windows when these are decoded. The caller holds the decoder's lock for all methods but `batch`.
    """

    def __init__(
        self,
        parts: list[tuple[Segment, list[Window]]],
        threads: DecodeThreads,
        buffers: Buffers,
        mixing: Mixing | None = None,
        distill: Distill | None = None,
    ):
        """`parts` are the segments of the batch, each with the windows that contain it."""
        self._parts, self._threads, self._buffers, self._mixing = parts, threads, buffers, mixing
        self._distill = distill
        self._windows = [window for _, windows in parts for window in windows]
        self._segments = [segment for segment, _ in parts]
        at = (parts[0][0].start - self._windows[0].start) * math.prod(self._windows[0].images.shape[1:])
        self._is_view = mixing is None and distill is None and len(self._windows) == 1 and at % ALIGNMENT == 0
        self._copied: Batch | None = None
        self._fault: BaseException | None = None
        self._done = threading.Event()
        self._missing = 0

    @property
    def ready(self) -> bool:
        """Whether `batch` returns without waiting."""
        return self._windows[0].ready.is_set() if self._is_view else self._done.is_set()

    def start(self) -> None:
        """Have the batch copied as soon as its windows are decoded, unless it is a view."""
        if self._is_view:
            return
        missing = {window for window in self._windows if not window.ready.is_set()}
        self._missing = len(missing)
        for window in missing:
            window.on_ready.append(self._window_ready)
        if not missing:
            self._threads.submit(self._copy)

    def take(self) -> None:
        """Note that the caller receives the batch, and with it the part of the window that it is a view of."""
        if self._is_view:
            self._windows[0].taken.add(self._parts[0][0].start)

    def batch(self) -> Batch:
        """Wait for the images and labels, and return them. Raises what decoding raised."""
        if self._is_view:
            window, segment = self._windows[0], self._parts[0][0]
            window.ready.wait()
            if window.fault is not None:
                raise window.fault
            return window.view(segment.start, segment.stop)
        self._done.wait()
        if self._fault is not None:
            raise self._fault
        assert self._copied is not None
        return self._copied

    def fail(self, fault: BaseException) -> None:
        """Give up the batch: `batch` raises `fault`."""
        self._fault = self._fault or fault
        self._done.set()

    def _window_ready(self) -> None:
        self._missing -= 1
        if not self._missing:
            self._threads.submit_first(self._copy)

    def _copy(self) -> None:
        try:
            self._copied = self._assemble()
        except BaseException as error:  # `batch` raises it.
            self._fault = error
        self._parts, self._windows = [], []
        self._done.set()

    def _assemble(self) -> Batch:
        pieces = []
        for segment, windows in self._parts:
            for window in windows:
                if window.fault is not None:
                    raise window.fault
                pieces.append(window.view(segment.start, segment.stop))
        if self._mixing is not None and len(pieces) == 1:
            return self._mixed(*pieces[0])
        count = sum(len(labels) for _, labels in pieces)
        images = self._buffers.array((count, *pieces[0][0].shape[1:]))
        labels = np.empty(count, pieces[0][1].dtype)
        at = 0
        for piece_images, piece_labels in pieces:
            stop = at + len(piece_labels)
            images[at:stop], labels[at:stop] = piece_images, piece_labels
            at = stop
        return (images, self._soft(labels)) if self._mixing is None else self._mixed(images, labels)

    def _mixed(self, images: np.ndarray, labels: np.ndarray) -> Batch:
        assert self._mixing is not None
        drawn = self._mixing.draw(self._segments, images.shape)
        return drawn.images(images, self._buffers.array(images.shape)), drawn.labels(self._soft(labels))

    def _soft(self, labels: np.ndarray) -> Labels:
        """Return `labels`; soft ones if they are those of a teacher."""
        return labels if self._distill is None else self._distill(labels)

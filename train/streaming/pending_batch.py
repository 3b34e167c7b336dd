"""A batch in the making: a part of a window, or copied together from several."""

import math
import threading

import numpy as np

from ..reading.buffers import ALIGNMENT, Buffers
from ..reading.decode_threads import Workers
from .batches import Segment
from .windows import Window

Batch = tuple[np.ndarray, np.ndarray]
"""Pictures uint8 (B, H, W, C) and labels int32 (B,)."""


class Gathering:
    """A batch in the making. One that lies in one window is a part of it; others are copied together ahead of time.

    All but `batch` is called with the decoder's lock held.
    """

    def __init__(self, parts: list[tuple[Segment, list[Window]]], workers: Workers, buffers: Buffers):
        self._parts, self._workers, self._buffers = parts, workers, buffers
        self._windows = [window for _, windows in parts for window in windows]
        at = (parts[0][0].start - self._windows[0].start) * math.prod(self._windows[0].images.shape[1:])
        self._in_place = len(self._windows) == 1 and at % ALIGNMENT == 0
        self._copied: Batch | None = None
        self._fault: BaseException | None = None
        self._done = threading.Event()
        self._missing = 0

    @property
    def ready(self) -> bool:
        """Whether the batch can be had without waiting."""
        return self._windows[0].ready.is_set() if self._in_place else self._done.is_set()

    def start(self) -> None:
        """Have it copied together as soon as the last of its windows is decoded, if it must be."""
        if self._in_place:
            return
        missing = {window for window in self._windows if not window.ready.is_set()}
        self._missing = len(missing)
        for window in missing:
            window.then.append(self._one_less)
        if not missing:
            self._workers.submit(self._copy)

    def take(self) -> None:
        """The batch is given away: if it is a part of its window, that part is the caller's from now on."""
        if self._in_place:
            self._windows[0].given.add(self._parts[0][0].start)

    def batch(self) -> Batch:
        """The pictures and labels; waits for them. Raises what decoding raised."""
        if self._in_place:
            window, segment = self._windows[0], self._parts[0][0]
            window.ready.wait()
            if window.fault is not None:
                raise window.fault
            return window.part(segment.start, segment.stop)
        self._done.wait()
        if self._fault is not None:
            raise self._fault
        assert self._copied is not None
        return self._copied

    def end(self, fault: BaseException) -> None:
        """Nobody will copy it any more: raise `fault` to whoever waits for it."""
        self._fault = self._fault or fault
        self._done.set()

    def _one_less(self) -> None:
        self._missing -= 1
        if not self._missing:
            self._workers.submit_first(self._copy)

    def _copy(self) -> None:
        try:
            self._copied = self._together()
        except BaseException as error:  # It belongs to whoever asks for the batch.
            self._fault = error
        self._parts, self._windows = [], []
        self._done.set()

    def _together(self) -> Batch:
        pieces = []
        for segment, windows in self._parts:
            for window in windows:
                if window.fault is not None:
                    raise window.fault
                pieces.append(window.part(segment.start, segment.stop))
        count = sum(len(labels) for _, labels in pieces)
        images = self._buffers.array((count, *pieces[0][0].shape[1:]))
        labels = np.empty(count, np.int32)
        at = 0
        for some, names in pieces:
            images[at : at + len(names)], labels[at : at + len(names)] = some, names
            at += len(names)
        return images, labels

"""Which streams of Keras sequences keep threads and images, and when they release them.

TensorFlow never forgets a sequence that was passed to `fit`, `evaluate` or `predict`, so garbage collection never stops
its stream. A sequence therefore releases its stream when Keras has finished with it. Where Keras does not say that it
has (an exception, Ctrl-C, `fit` without the callback), the next stream that starts releases it.
"""

import threading
import weakref

from ..streaming.stream import Stream

_IDLE_SECONDS = 1.0
"""Seconds without a request for a batch after which a stream is released when another one starts."""

_running: "weakref.WeakSet[Stream]" = weakref.WeakSet()
_resting: "weakref.WeakSet[Stream]" = weakref.WeakSet()
_lock = threading.Lock()


def start(stream: Stream) -> None:
    """Note that `stream` is about to start, and release all others that are idle."""
    with _lock:
        idle = [other for other in _running if (other.idle or 0.0) > _IDLE_SECONDS or other in _resting]
        _running.add(stream)
        for other in idle:
            _running.discard(other)
    for other in idle:
        if other is not stream:
            other.release()


def set_resting(stream: Stream, resting: bool) -> None:
    """Note whether `stream` is between two epochs, or between two calls of `fit`, and the next may never come.

    TensorFlow may still fetch a few batches in advance that no step will use.
    """
    with _lock:
        (_resting.add if resting else _resting.discard)(stream)

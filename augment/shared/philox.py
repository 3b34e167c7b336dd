"""The words of NumPy's Philox bit generator, without the cost of creating one."""

import threading

import numpy as np

_WORD = (1 << 64) - 1
_thread = threading.local()


def raw_words(count: int, key: int, counter: int = 0) -> np.ndarray:
    """Return the first words of the Philox stream of `key` from block `counter` on, uint64 (count,).

    They are those of `np.random.Philox(key=key, counter=counter)`, which would first read unneeded entropy from the
    system, and do not depend on NumPy's version. A block has four words; `key` has 128 bits, `counter` 256.
    """
    if not hasattr(_thread, "philox"):
        _thread.philox = np.random.Philox(key=0)
    blocks = [counter >> shift & _WORD for shift in (0, 64, 128, 192)]
    state = {"counter": np.array(blocks, np.uint64), "key": np.array([key & _WORD, key >> 64], np.uint64)}
    _thread.philox.state = {
        "bit_generator": "Philox",
        "state": state,
        "buffer": np.zeros(4, np.uint64),
        "buffer_pos": 4,
        "has_uint32": 0,
        "uinteger": 0,
    }
    words: np.ndarray = _thread.philox.random_raw(count)
    return words

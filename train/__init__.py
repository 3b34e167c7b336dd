"""Stage 2 of epochbank: stream a set into Keras, so that the GPU never waits.

```python
from train import AugmentedSequence, open_set
bank = open_set("sets/digits-kanji-1f2e3d4c")
data = AugmentedSequence(bank, batch_size=256, mix=0.5, seed=1)
model.fit(data, validation_data=bank.validation(batch_size=256), epochs=100, shuffle=False,
          callbacks=[data.callback()])
```

The flow of the data is the file listing: `bank` -> `chunks` (by `disk` and `workers`) -> `order` -> `windows` ->
`batches` -> `gathering` -> `stream` -> `sequence` (or `iterators`) -> `models` -> `loop` -> `fit` -> `report`.
Of `augment` it takes the description of the set on disk
(`augment.store`) and what both command lines share. Batches are `uint8` (B, H, W, C), `int32` (B,).
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from train.bank import Bank, open_set
    from train.sequence import AugmentedSequence

__all__ = ["AugmentedSequence", "Bank", "open_set"]

_HOMES = {"AugmentedSequence": "train.sequence", "Bank": "train.bank", "open_set": "train.bank"}


def __getattr__(name: str) -> Any:
    # Keras takes seconds to import and NumPy a tenth: `train --help` needs neither.
    if name not in _HOMES:
        raise AttributeError(f"module 'train' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)

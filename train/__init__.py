"""Stage 2 of epochbank: stream a set into Keras, so that the GPU never waits.

```python
from . import AugmentedSequence, open_set
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

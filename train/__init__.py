"""Stage 2 of epochbank: stream a stored set into Keras, so that the GPU does not wait for data.

```python
from epochbank import AugmentedSequence, open_set

stored_set = open_set("sets/digits-kanji-1f2e3d4c")
data = AugmentedSequence(stored_set, batch_size=256, originals=0.5, seed=1)
model.fit(data, validation_data=stored_set.validation(batch_size=256), epochs=100, shuffle=False,
          callbacks=[data.callback()])
```

The packages follow the flow of the data: `reading` (chunk tables, files, decoding threads) -> `streaming` (order,
windows, batches) -> `feeding` (`AugmentedSet`, Keras sequences, iterators) -> `training` (models, fit, evaluation,
run directory). `benchmark` is `train bench`. Of `augment`, this package uses the description of the set on disk
(`augment.store`), the shared helpers, and what both command lines have in common. Batches are `uint8` (B, H, W, C) and
`int32` (B,).
"""

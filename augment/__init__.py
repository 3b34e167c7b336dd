"""Stage 1 of epochbank: distort a labelled image set once, overnight, on all cores.

The flow of the data is the file listing: `sources` -> `source_file` -> `split` -> `plan` -> `draw`
-> `distort` -> `store.shard` -> `store.manifest`. Nothing here imports TensorFlow or Keras.

Array contract, everywhere in this package: pictures are `uint8` arrays of shape (N, H, W, C) with
C = 1 (grey) or 3 (RGB), values 0 to 255; ink is bright on black, and what moves in from outside a
picture is 0. Labels are `int32` (N,), rows `int64` (N,).
"""

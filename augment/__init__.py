"""Stage 1 of epochbank: augment a labeled image set once, overnight, on all cores.

The folders follow the flow of the data: `sources` -> `ingest` -> `split` -> `distortion` -> `generation` -> `store`,
with `views` on top and `shared` below (docs/architecture.md). Nothing here imports TensorFlow or Keras.

Array contract of this package: images are uint8 (N, H, W, C) with C = 1 (gray) or 3 (RGB), values 0 to 255. Ink is
bright on black. Pixels that come from outside an image are 0. Labels are int32 (N,), rows int64 (N,).
"""

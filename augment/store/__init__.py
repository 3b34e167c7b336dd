"""The set on disk: stage 1 writes it, stage 2 reads it.

```
sets/digits-kanji-1f2e3d4c/
  set.json          what the set is; written once, never changed            (description)
  split.h5          row, label and group of every image of each split       (split_file)
  manifest.jsonl    one line for every published shard; append-only         (manifest)
  manifest.check    a checksum for every line of the manifest               (manifest_check)
  train/  validation/  test/     the undistorted splits                     (shard)
  epoch-0000/  epoch-0001/ ...   the stored epochs                          (shard)
```
"""

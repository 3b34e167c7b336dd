"""The set on disk, and nothing else: what stage 1 leaves and stage 2 reads.

```
sets/digits-kanji-1f2e3d4c/
  set.json          what the set is; written once, never changed          (description)
  split.h5          row, label and group of every picture of each part    (split_file)
  manifest.jsonl    one line for every published shard, only appended to  (manifest)
  train/  validation/  test/     the undistorted parts                    (shard)
  epoch-0000/  epoch-0001/ ...   the stored epochs                        (shard)
```
"""

"""Parquet, as `datasets` of Hugging Face reads it: a struct of bytes and path for each image, and a `ClassLabel`."""

import json
from collections.abc import Iterable
from typing import Any, BinaryIO

from ..errors import EpochbankError
from .samples import Sample

OVERHEAD = 100
"""Bytes of a row beside its PNG."""

_ROWS = 1000
"""Most images in a row group, which is what readers hold in memory."""
_BYTES = 64 << 20
"""Bytes of PNG after which a row group ends."""

_CARD = """---
configs:
- config_name: default
  data_files:
{files}
task_categories:
- image-classification
---

# {title}

Written by `augment export` of epochbank. `epochbank.json` names the set and the epochs of these images.
"""


def file_name(split: str, number: int, count: int) -> str:
    """Return the path of file `number` of the `count` files of a split, relative to the export."""
    return f"data/{split}-{number:05d}-of-{count:05d}.parquet"


def card(title: str, splits: Iterable[str]) -> str:
    """Return the text of README.md, which lists the files of each split for `datasets`."""
    files = "\n".join(f"  - split: {split}\n    path: data/{split}-*.parquet" for split in splits)
    return _CARD.format(files=files, title=title)


def check_installed() -> None:
    """Raise `EpochbankError` if PyArrow is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise EpochbankError(
            'Parquet needs PyArrow, which is not installed. Install it: pip install "epochbank[parquet]"'
        ) from error


def write(file: BinaryIO, samples: Iterable[Sample], class_names: list[str], has_groups: bool) -> None:
    """Write samples to a new file, in row groups of up to 1000 images. Memory: one row group."""
    from pyarrow import RecordBatch
    from pyarrow.parquet import ParquetWriter

    schema = _schema(class_names, has_groups)
    others = [name for name in schema.names if name != "image"]
    rows: list[dict[str, Any]] = []
    filled = 0
    # Compressing PNG again saves nothing, and the minimum and maximum of PNG bytes are useless.
    with ParquetWriter(file, schema, compression="none", use_dictionary=others, write_statistics=others) as writer:
        for one in samples:
            rows.append(_row(one))
            filled += len(one.png)
            if len(rows) == _ROWS or filled >= _BYTES:
                writer.write_batch(RecordBatch.from_pylist(rows, schema), _ROWS)
                rows, filled = [], 0
        if rows:
            writer.write_batch(RecordBatch.from_pylist(rows, schema), _ROWS)


def _row(sample: Sample) -> dict[str, Any]:
    return {
        "image": {"bytes": sample.png, "path": f"{sample.number:09d}.png"},
        "label": sample.label,
        "group": sample.group,
        "row": sample.row,
        "epoch": sample.epoch,
        "position": sample.position,
    }


def _schema(class_names: list[str], has_groups: bool) -> Any:
    """Return the schema, with the types of `datasets` in its metadata."""
    import pyarrow as pa

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {"image": image, "label": pa.int64(), "group": pa.string()}
    columns |= dict.fromkeys(("row", "epoch", "position"), pa.int64())
    if not has_groups:
        del columns["group"]
    kinds = {name: {"dtype": str(kind), "_type": "Value"} for name, kind in columns.items()}
    features = kinds | {"image": {"_type": "Image"}, "label": {"names": class_names, "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}}, ensure_ascii=False)}
    return pa.schema(list(columns.items()), metadata)

"""The types of the keyword arguments of `epochbank.generate`, `import_source`, `inspect` and `refresh`."""

from pathlib import Path
from typing import Literal, TypedDict

from ..augment.distortion.choose_engine import EngineName
from ..augment.shared.backend import BackendName


class SourceKeywords(TypedDict, total=False):
    """Where a source's images, groups and splits are found, and which of them are used."""

    group_pattern: str | None
    """Regular expression that finds an image's group (writer, sheet) in its path."""
    etl_sets: str | None
    """Sets of the ETL Character Database, such as "8G,9G"."""
    characters: str | None
    """Characters of ETL files, such as "kanji,hiragana"."""
    split: Literal["source", "fractions"]
    """Use the splits that the source defines, or split by fractions."""
    label_pattern: str | None
    """Regular expression that finds an image's class in its path, instead of the name of its folder."""
    path_template: str | None
    """Paths of the images of a list, made from its columns: "images/{id}.jpg"."""
    class_names: str | None
    """File with the names of integer labels."""
    images_key: str | None
    """Array, dataset or column of the images; None for the usual names."""
    labels_key: str | None
    """Array, dataset or column of the labels; None for the usual names."""
    layout: Literal["auto", "nhwc", "nchw", "hwcn", "flat"]
    """Order of the axes of an array of images."""
    value_range: str
    """Pixel values that become 0 and 255, such as "1", "4095" or "-1:1"; "auto" decides by the values."""
    name_encoding: str | None
    """Encoding of names in a .zip that are not in UTF-8, such as "cp932"; None to guess."""


class ImportKeywords(SourceKeywords, total=False):
    """How a source is imported."""

    size: tuple[int, int] | None
    """(H, W) in pixels; None for the common size of arrays, IDX files or Python items, else 64 x 64."""
    fit: Literal["pad", "crop", "stretch"]
    """How an image of another shape fills the frame."""
    pad_color: str | None
    """Color of the background that `fit="pad"` adds; None for the median of the image's border."""
    limit: int | None
    """Import only this many images, the same share of every class."""
    invert: Literal["auto", "yes", "no"]
    """Invert images; "auto" inverts gray images if most of the sampled ones have a light background."""
    color: Literal["auto", "gray", "rgb"]
    """Color mode; "auto" uses RGB if any sampled image is colored."""
    on_bad: Literal["refuse", "skip"]
    """Refuse a source with unreadable images, or leave them out."""


class GenerationKeywords(ImportKeywords, total=False):
    """Everything that `augment run` takes besides the source, the recipe and the number of epochs."""

    seed: int
    """Seed of the distortions and of the order of each epoch; the default is 0."""
    validation: float
    """Fraction of the images in the validation split, 0 to less than 1; the default is 0.1."""
    test: float
    """Fraction of the images in the test split, 0 to less than 1; the default is 0.1."""
    per_class: tuple[int, int] | None
    """Least and most images of each class in an epoch."""
    codec: Literal["zstd", "lz4", "gzip", "none"] | None
    """Compression of new shards; None for that of the set, or "zstd"."""
    shard_size: int | None
    """Images in a shard; None for up to 64 MiB decoded."""
    chunk_size: int | None
    """Images in a chunk; None for up to 512 KiB decoded."""
    engine: EngineName
    """Engine that computes the distortions; every engine gives the same pixels."""
    jobs: int | None
    """Worker processes on this machine; None for one per core."""
    backend: BackendName | None
    """Where the shards are made; None for "dask" if `scheduler` is given, else "local"."""
    scheduler: str | Path | None
    """Address of a Dask scheduler, or the path of the JSON file that it writes."""
    patience: float
    """Seconds without a Dask worker after which the run ends."""
    keep_free: int | None
    """Bytes of the disk that stay free; the run ends before it would use them."""
    max_bytes: int | None
    """Bytes that the directory of the sets may occupy; the run ends before it would exceed them."""
    name: str | None
    """Tag of the set."""
    wait: bool
    """Wait if another run writes the set."""
    status: str | Path | None
    """File for the state of the run, for other programs."""
    sets: str | Path
    """Directory of the sets, or its URL in an object store; the default is "sets"."""


class RefreshKeywords(TypedDict, total=False):
    """Everything that `augment refresh` takes besides the set and the number of epochs."""

    codec: Literal["zstd", "lz4", "gzip", "none"] | None
    """Compression of new shards; None for that of the set."""
    shard_size: int | None
    """Images in a shard; None for up to 64 MiB decoded."""
    chunk_size: int | None
    """Images in a chunk; None for up to 512 KiB decoded."""
    engine: EngineName
    """Engine that computes the distortions; every engine gives the same pixels."""
    jobs: int | None
    """Worker processes on this machine; None for one per core."""
    backend: BackendName | None
    """Where the shards are made; None for "dask" if `scheduler` is given, else "local"."""
    scheduler: str | Path | None
    """Address of a Dask scheduler, or the path of the JSON file that it writes."""
    patience: float
    """Seconds without a Dask worker after which the refresh ends."""
    keep_free: int | None
    """Bytes of the disk that stay free; the refresh ends before it would use them."""
    max_bytes: int | None
    """Bytes that the directory of the sets may occupy; the refresh ends before it would exceed them."""
    status: str | Path | None
    """File for the state of the refresh, for other programs."""
    wait: bool
    """Wait if another run writes the set."""
    trust: bool
    """Execute the code that the set's recipe names."""

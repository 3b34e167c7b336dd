"""How a set is generated. Nothing here changes a pixel."""

from dataclasses import dataclass

from ..distortion.choose_engine import EngineName


@dataclass(frozen=True)
class GenerationOptions:
    """How a set is generated, apart from what identifies it."""

    epochs: int = 5
    """Stored epochs that the set has at the end."""
    codec: str | None = None
    """Codec of new shards; None for that of the existing shards, or zstd."""
    jobs: int = 1
    """Worker processes."""
    shard_size: int | None = None
    """Images in a shard; None for a size that suits the set."""
    chunk_size: int | None = None
    """Images in a chunk; None for a size that suits the images."""
    engine: EngineName = "auto"

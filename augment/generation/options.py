"""How a set is generated. Nothing here changes a pixel."""

from dataclasses import dataclass, field

from ..distortion.choose_engine import EngineName
from ..shared.backend import Backend
from ..shared.disk_space import Limits


@dataclass(frozen=True)
class GenerationOptions:
    """How a set is generated, apart from what identifies it."""

    epochs: int = 5
    """Stored epochs that the set has at the end."""
    codec: str | None = None
    """Codec of new shards; None for that of the existing shards, or zstd."""
    jobs: int = 1
    """Worker processes on this machine."""
    backend: Backend = field(default_factory=Backend)
    """Where the shards are made."""
    shard_size: int | None = None
    """Images in a shard; None for a size that suits the set."""
    chunk_size: int | None = None
    """Images in a chunk; None for a size that suits the images."""
    engine: EngineName = "auto"
    wait: bool = False
    """Wait if another run writes the set."""
    keep_free: int | None = None
    """Bytes of the disk that stay free; None for no limit."""
    max_bytes: int | None = None
    """Bytes that the directory of the sets may occupy; None for no limit."""

    @property
    def limits(self) -> Limits:
        """The limits on what a run writes."""
        return Limits(self.keep_free, self.max_bytes)

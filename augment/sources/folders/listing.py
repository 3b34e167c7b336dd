"""What a tree or an archive holds, collected folder by folder."""

from array import array
from collections import Counter
from dataclasses import dataclass, field

from ...shared.progress import counted
from ..paths import join, printable
from .classes import first_few
from .frames import may_have_frames
from .tree import Folder


@dataclass
class Listing:
    """Folders with images, and everything that is not among the images."""

    folders: list[bytes] = field(default_factory=list)
    """Folders with images."""
    sizes: list[int] = field(default_factory=list)
    """Number of images in each."""
    lists: dict[bytes, int] = field(default_factory=dict)
    """Path of each list of classes, and in an archive the offset of its directory entry."""
    with_frames: array = field(default_factory=lambda: array("I"))
    """Index of each image whose format can hold several pages or frames."""
    skipped: Counter[str] = field(default_factory=Counter)
    empty: list[str] = field(default_factory=list)
    repeated: int = 0
    bad: list[tuple[str, str]] = field(default_factory=list)

    num_images: int = 0

    def add(self, folder: Folder) -> None:
        """Add a folder."""
        self.skipped.update(folder.skipped)
        self.repeated += folder.repeated
        self.lists.update({join(folder.path, name): offset for name, offset in folder.lists.items()})
        if folder.images:
            self.with_frames.extend(
                self.num_images + place for place, name in enumerate(folder.images) if may_have_frames(name)
            )
            self.folders.append(folder.path)
            self.sizes.append(len(folder.images))
            self.num_images += len(folder.images)
        elif folder.error:
            self.bad.append((f"{printable(folder.path)}/", f"cannot be listed: {folder.error}"))
        elif folder.is_leaf:
            self.empty.append(f"{printable(folder.path)}/")

    def notes(self) -> list[str]:
        """Describe everything that is not among the images."""
        notes = [f"skipped {self.skipped_as_text()}"] if self.skipped else []
        if self.empty:
            notes.append(f"folders without images: {first_few(self.empty)}")
        if self.repeated:
            notes.append(f"skipped {counted(self.repeated, 'image')} that the archive contains twice under one name")
        return notes

    def skipped_as_text(self) -> str:
        """Describe the number of skipped files and the reasons."""
        reasons = sorted(self.skipped.items(), key=lambda item: (-item[1], item[0]))
        listed = first_few([f"{count:,} {reason}" for reason, count in reasons])
        return f"{self.skipped.total():,} hidden files and files of other types ({listed})"

"""Labels, groups and splits of the items of a Python source, collected item by item."""

from array import array
from typing import Any

import numpy as np

from ...shared.progress import counted
from ..base import Scan
from ..names import Names
from .items import Item


class Columns:
    """Labels, groups and splits of the images so far.

    `class_names` are those that the labels index, or None if the labels name the classes.
    """

    def __init__(self, class_names: list[str] | None):
        self.class_names = class_names
        self.labels, self.groups, self.splits = Names(), Names(), array("b")
        self.bad: list[tuple[str, str]] = []
        self.num_unlabeled = 0
        """Number of items that are left out, because they have no label."""
        self._index = {name: index for index, name in enumerate(class_names or ())}
        self._sizes: set[tuple[int, int]] = set()
        self._color = False

    def add(self, item: Item, split: int, image: np.ndarray) -> None:
        """Append a good image. Raises `ValueError` if its label or group does not fit the previous ones."""
        if len(self.groups) != (0 if item.group is None else len(self.labels)):
            raise ValueError(
                "has no group, but others have one; expected a group for all or for none"
                if item.group is None
                else "has a group, but others have none; expected a group for all or for none"
            )
        self.labels.add(item.label if self.class_names is None else self._class(item.label, self.class_names))
        if item.group is not None:
            self.groups.add(item.group)
        self.splits.append(split)
        self._color |= image.ndim == 3
        if len(self._sizes) < 2:
            self._sizes.add((image.shape[0], image.shape[1]))

    def is_unlabeled(self, label: int | str) -> bool:
        """Return whether an item has no class: datasets with class names give it the label -1."""
        return label == -1 and self.class_names is not None

    def unlabeled_note(self) -> str:
        """Describe the items that are left out."""
        return f"skipped {counted(self.num_unlabeled, 'item')} with the label -1, which stands for no label"

    def _notes(self, labels: np.ndarray, class_names: list[str]) -> list[str]:
        if self.num_unlabeled:
            return [self.unlabeled_note()]
        if self.class_names is not None or "-1" not in class_names or set(class_names) <= {"-1", "0", "1"}:
            return []
        count = int((labels == class_names.index("-1")).sum())
        what = (
            "is in a class called -1; leave it out if that"
            if count == 1
            else "are a class called -1; leave them out if it"
        )
        return [f"{counted(count, 'item')} with the label -1 {what} stands for no label"]

    def _class(self, label: int | str, names: list[str]) -> int:
        index = self._index.get(label, -1) if isinstance(label, str) else label
        if not 0 <= index < len(names):
            raise ValueError(f"has the label {label!r}; expected 0 to {len(names) - 1}, or one of its class names")
        return index

    def scan(self, reader: Any) -> Scan:
        """Return the scan of at least one image."""
        labels, class_names = self.labels.sorted_index()
        if self.class_names is not None:
            labels, class_names = np.array(list(map(int, class_names)), np.int32)[labels], self.class_names
        groups, group_names = self.groups.sorted_index() if len(self.groups) else (None, None)
        splits = np.frombuffer(self.splits, np.int8)
        return Scan(
            reader=reader,
            labels=labels,
            class_names=class_names,
            groups=groups,
            group_names=group_names,
            size=next(iter(self._sizes)) if len(self._sizes) == 1 else None,
            channels=None if self._color else 1,
            splits=splits if (splits >= 0).any() else None,
            bad=self.bad,
            notes=self._notes(labels, class_names),
        )

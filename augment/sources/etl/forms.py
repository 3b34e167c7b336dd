"""Finds the form of each image of ETL8 and ETL9: what one writer filled in, which is a group.

Sheet numbers alone do not tell, because they begin anew within a set: samples of ETL9G_11 and ETL9G_41 are on sheets 1
and 3. The position in the file tells, and the sheet numbers check it. Where they disagree, as in a part of a file,
sheet numbers are used within the file: a form may then share its group with others, but is never in two groups.
"""

from typing import NamedTuple

import numpy as np

from .catalog import Forms


class FormNumbers(NamedTuple):
    """The form of each of n images."""

    number: np.ndarray
    """int64 (n,): from 0; -1 if it is unknown."""
    by_position: bool
    """Whether `number` counts the forms of the file, or those of the set if it is by character. Otherwise it counts
    ranges of sheet numbers."""


def forms_of_file(codes: np.ndarray, sheets: np.ndarray, forms: Forms, *, is_complete: bool) -> FormNumbers:
    """Return the forms of a file that holds one form after another, from code and sheet of each image, uint (n,).

    `is_complete` says whether the file has its official number of images.
    """
    position, by_sheet = np.arange(len(sheets)) // forms.characters, _by_sheet(sheets, forms)
    inside = np.diff(position) == 0
    falls_back = np.diff(sheets.astype(np.int64)) < 0
    if is_complete:
        repeats = np.array_equal(codes[forms.characters :], codes[: -forms.characters])
        agree = repeats or not np.any(inside & falls_back)
    else:
        agree = not np.any(inside & (falls_back | (np.diff(by_sheet) != 0)))
    return FormNumbers(position, True) if agree else FormNumbers(by_sheet, False)


def forms_by_character(
    codes: list[np.ndarray], sheets: list[np.ndarray], forms: Forms, *, is_complete: bool
) -> list[FormNumbers]:
    """Return the forms of the files of a set that holds one character of all forms, then the next.

    `codes` and `sheets` are uint (n,) for each file. A form has the same position among the images of each character,
    if none is missing: `is_complete` says whether all files have their official number of images.
    """
    position = [_position_in_run(of_file) for of_file in codes]
    agree = is_complete and all(np.array_equal(each, np.arange(len(each)) % forms.count) for each in position)
    return [FormNumbers(each, agree) for each in (position if agree else [_by_sheet(each, forms) for each in sheets])]


def _by_sheet(sheets: np.ndarray, forms: Forms) -> np.ndarray:
    """Return the range of sheet numbers that each sheet is in; -1 for sheet 0."""
    return (sheets.astype(np.int64) - 1) // forms.sheets


def _position_in_run(codes: np.ndarray) -> np.ndarray:
    """Return the position of each image in its run of equal codes."""
    begins = np.flatnonzero(np.diff(codes.astype(np.int64), prepend=-1))
    lengths = np.diff(np.append(begins, len(codes)))
    return np.arange(len(codes)) - np.repeat(begins, lengths)

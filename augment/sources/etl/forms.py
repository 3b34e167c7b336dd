"""Finds the form of each image of ETL8 and ETL9: what one writer filled in, which is a group.

Sheet numbers alone do not identify a form, because they restart within a set: samples of ETL9G_11 and ETL9G_41 are on
sheets 1 and 3. The position in the file does, and the sheet numbers check it. Where they disagree, as in a part of a
file, sheet numbers are used within the file: a form may then share its group with others, but is never in two groups.
"""

from typing import NamedTuple

import numpy as np

from .catalog import EtlSet, Forms

_FIRST_CODES = (0x2422, 0x3021)
"""The codes with which forms begin: あ, and in ETL9G 亜."""


class FormNumbers(NamedTuple):
    """The form of each of n images."""

    number: np.ndarray
    """int64 (n,): from 0; -1 if it is unknown."""
    by_position: bool
    """Whether `number` counts the forms of the file, or those of the set if it is by character. Otherwise it counts
    ranges of sheet numbers."""


def count_models(codes: np.ndarray, etl_set: EtlSet, number: int) -> int:
    """Return the number of model images at the end of a file, from the codes (uint (n,)) of its images and models.

    In a file with fewer records than the official one, they are recognized by their order if records are missing before
    them; otherwise those that are missing are at the end.
    """
    models, images = etl_set.models.get(number, 0), etl_set.counts[number - 1]
    if not models or etl_set.forms is None or len(codes) >= images + models:
        return min(models, len(codes))
    lengths = np.diff(np.append(_begins_of_runs(codes), len(codes)))
    if etl_set.forms.by_character and np.any(lengths > 1):  # A model is the only image of its character in a row.
        return min(models, int(np.argmax(lengths[::-1] > 1)))
    ends_with_form = len(codes) > models and np.array_equal(codes[-models:], codes[:models])
    return models if ends_with_form and len(codes) % models else max(0, len(codes) - images)


def forms_of_file(codes: np.ndarray, sheets: np.ndarray, forms: Forms, *, is_complete: bool) -> FormNumbers:
    """Return the forms of a file that holds one form after another, from code and sheet of each image, uint (n,).

    `is_complete` says whether the file has its official number of images. The position counts if the codes are those of
    whole forms, one after another, or if no sheet number contradicts it.
    """
    position, by_sheet = np.arange(len(sheets)) // forms.characters, _by_sheet(sheets, forms)
    is_inside = np.diff(position) == 0
    contradicts = (np.diff(sheets.astype(np.int64)) < 0) | (np.diff(by_sheet) != 0)
    repeats = np.array_equal(codes[forms.characters :], codes[: -forms.characters])
    is_whole = is_complete or (len(codes) > forms.characters and int(codes[0]) in _FIRST_CODES)
    agree = (repeats and is_whole) or not np.any(is_inside & contradicts)
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


def _begins_of_runs(codes: np.ndarray) -> np.ndarray:
    """Return where runs of equal codes begin, int64."""
    return np.flatnonzero(np.diff(codes.astype(np.int64), prepend=-1))


def _position_in_run(codes: np.ndarray) -> np.ndarray:
    """Return the position of each image in its run of equal codes."""
    begins = _begins_of_runs(codes)
    lengths = np.diff(np.append(begins, len(codes)))
    return np.arange(len(codes)) - np.repeat(begins, lengths)

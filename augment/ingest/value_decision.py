"""Decides on the value range of a source: which pixel values become 0 and 255, from a sample of its images."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from ..errors import EpochbankError
from ..sources import Decoded
from ..sources.decode import BadImage
from ..sources.value_range import (
    BYTES,
    SIGNED_UNIT,
    UNIT,
    WORDS,
    ValueRange,
    ValueRanges,
    extremes,
    kind_of,
    number,
    parse_value_range,
)

_FEW = 0.1
"""Share of the sampled images that may differ from the others."""
_LEAST_SHARE = 1 / 8
"""Images whose values span less of their range than this are nearly black, or have nearly no contrast."""
_MANY, _MANY_SHARE = 3, 1 / 20
"""Images of a kind that are not merely a few in a sample: at least this number, and more than this share."""
_PEAKS = {WORDS: (255, 4096), BYTES: (1, 16)}
"""Images with values up to the first number, beside images beyond the second, were not saved in the same range."""
_CONVERT = "Save all images in one type and range, because no --value-range fits those of other types too"
_NAMES = {
    "uint8": "8-bit images",
    "uint16": "16-bit images",
    "integers": "images of integers",
    "floats": "float images",
}


@dataclass
class SampledValues:
    """The least and the largest value of each sampled image, by the fields of `ValueRanges`."""

    extremes: dict[str, list[np.ndarray]] = field(default_factory=dict)
    """Arrays (2, n)."""

    def record(self, decoded: Iterable[Decoded]) -> Iterator[Decoded]:
        """Yield `decoded` unchanged, and record the values of the images that are not bad."""
        for item in decoded:
            if not isinstance(item, BadImage):
                images = np.asarray(item)[None] if isinstance(item, Image.Image) else item
                self.extremes.setdefault(kind_of(images.dtype), []).append(np.stack(extremes(images)))
            yield item

    def finite(self) -> dict[str, np.ndarray]:
        """Return the least and largest values (2, n) of the n images of each kind, without NaN and infinity."""
        joined = {kind: np.concatenate(values, axis=1) for kind, values in self.extremes.items()}
        return {kind: values[:, np.isfinite(values).all(axis=0)] for kind, values in joined.items()}


@dataclass(frozen=True)
class ValueDecision:
    """The value ranges of a source."""

    ranges: ValueRanges
    note: str
    """What was decided, in one clause; empty if all images have 8 bits and the range 0 to 255."""
    problem: str = ""
    """Why the source should not be imported with these ranges, and the remedy; empty if it should."""


def decide_values(sampled: SampledValues, option: str) -> ValueDecision:
    """Decide on the value range of each kind of image.

    Parameters
    ----------
    sampled
        The values of sampled images.
    option
        --value-range: `auto`, `MAX` or `MIN:MAX`. A range beyond 255 leaves images of 8 bits as they are.

    Raises
    ------
    EpochbankError
        If `option` is invalid, or has no effect on any sampled image.
    """
    given, found = parse_value_range(option), {kind: values for kind, values in sampled.finite().items() if values.size}
    if given is not None:
        return _as_given(given, option, found)
    total = sum(values.shape[1] for values in found.values())
    ranges, notes, problem = ValueRanges(), list[str](), ""
    for kind, values in found.items():
        default = getattr(ranges, kind)
        fitting, count = _fitting(kind, values), values.shape[1]
        others = {other: held for other, held in found.items() if other != kind}
        if fitting is None:
            trouble = _unclear(kind, values, others)
        else:
            trouble = _dark(kind, values, fitting, others) or _two_peaks(kind, values, fitting)
        if trouble and (2 * count >= total or (count >= _MANY and count > _MANY_SHARE * total)):
            problem = problem or trouble
        if trouble or fitting is None:
            fitting = default
        ranges = replace(ranges, **{kind: fitting})
        if fitting != BYTES or kind != "uint8":
            notes.append(_note(kind, values, fitting))
        notes.extend(_narrow_note(kind, values, fitting))
    return ValueDecision(ranges, "; ".join(notes), problem)


def _as_given(given: ValueRange, option: str, found: dict[str, np.ndarray]) -> ValueDecision:
    beyond_8_bits = given.high > BYTES.high
    if beyond_8_bits and found.keys() == {"uint8"}:
        raise EpochbankError(
            f"--value-range {option} goes beyond 255, the largest value of the images of this source, which have 8 "
            "bits. Omit it, or give the largest value that they have.",
            usage=True,
        )
    ranges = _given_ranges(given)
    notes = [f"values from {number(given.low)} to {number(given.high)} become 0 to 255 (--value-range {option})"]
    for kind, values in found.items():
        notes.extend(_narrow_note(kind, values, getattr(ranges, kind)))
    return ValueDecision(ranges, "; ".join(notes))


def _suits(option: ValueRange, found: dict[str, np.ndarray]) -> bool:
    """Return whether nearly all images of these kinds lie in a range that the user may give, and use it."""
    ranges = _given_ranges(option)
    return all(
        float(getattr(ranges, kind).holds(*values).mean()) >= 1 - _FEW and not _is_narrow(values, getattr(ranges, kind))
        for kind, values in found.items()
    )


def _options(likely: list[ValueRange], others: dict[str, np.ndarray]) -> str:
    """Return the options that set one of the `likely` ranges, if they suit the images of other kinds; else ''."""
    return " or ".join(f"--value-range {one}" for one in likely if _suits(one, others))


def _is_narrow(values: np.ndarray, value_range: ValueRange) -> bool:
    """Return whether nearly all images use only a small part of a range."""
    low, high = _span(values)
    return high - low < _LEAST_SHARE * (value_range.high - value_range.low)


def _narrow_note(kind: str, values: np.ndarray, value_range: ValueRange) -> list[str]:
    """Return a note on the images that use only a small part of the range; none if they are few."""
    if _is_narrow(values, value_range):
        low, high = _span(values)
        return [
            f"nearly all sampled {_NAMES[kind]} have only the values {number(low)} to {number(high)} and become nearly "
            f"{_look(low, high, value_range)}"
        ]
    narrow = values[1] - values[0] < _LEAST_SHARE * (value_range.high - value_range.low)
    if narrow.mean() <= _FEW:
        return []
    return [
        f"{narrow.sum()} of {narrow.size} sampled {_NAMES[kind]} use less than an eighth of the range, which the "
        "others use"
    ]


def _look(low: float, high: float, value_range: ValueRange) -> str:
    """Return how images with values from `low` to `high`, a small part of the range, look."""
    part = _LEAST_SHARE * (value_range.high - value_range.low)
    dark, light = high <= value_range.low + part, low >= value_range.high - part
    return "black" if dark else "white" if light else "without contrast"


def _two_peaks(kind: str, values: np.ndarray, value_range: ValueRange) -> str:
    """Return a message if some images were saved in a much smaller range than the others; empty otherwise.

    Images with a single value, such as blank ones, may have any range, and 8-bit images may be binary.
    """
    if value_range not in _PEAKS or kind == "uint8":
        return ""
    small, large = _PEAKS[value_range]
    most = values[1, values[0] < values[1]]
    dark, bright = int((most <= small).sum()), int((most > large).sum())
    between = most.size - dark - bright
    if min(dark, bright) < max(_MANY, _FEW * most.size) or 4 * between > dark:
        return ""
    return (
        f"{dark} of {values.shape[1]} sampled {_NAMES[kind]} have only values up to {small} and {bright} have values "
        f"beyond {large}; expected the same range in all of them. Save all of them in one range, or keep the values "
        f"with --value-range {value_range}."
    )


def _given_ranges(given: ValueRange) -> ValueRanges:
    return ValueRanges(BYTES if given.high > BYTES.high else given, given, given, given)


def _fitting(kind: str, values: np.ndarray) -> ValueRange | None:
    """Return the range that images of a kind have; None if no range fits, or several do."""
    if kind in ("uint8", "uint16"):
        return getattr(ValueRanges(), kind)
    held = {one: float(one.holds(*values).mean()) for one in (UNIT, SIGNED_UNIT, BYTES, WORDS)}
    nearly_all = {one: share >= 1 - _FEW for one, share in held.items()}
    if kind == "floats" and held[UNIT] >= 0.5:
        return UNIT  # The others are bad images.
    if nearly_all[SIGNED_UNIT] and np.median(values[0]) <= -0.75:
        return SIGNED_UNIT
    if nearly_all[BYTES]:
        return BYTES
    return WORDS if nearly_all[WORDS] and kind == "integers" else None


def _span(values: np.ndarray) -> tuple[float, float]:
    """Return the least and the largest value of the images, without those of a few of them at either end."""
    few = int(_FEW * values.shape[1])
    return float(np.sort(values[0])[few]), float(np.sort(values[1])[values.shape[1] - 1 - few])


def _unclear(kind: str, values: np.ndarray, others: dict[str, np.ndarray]) -> str:
    low, high = float(values[0].min()), float(values[1].max())
    likely = [ValueRange(0, _likely_maximum(high))] if low >= 0 else [ValueRange(_rounded(low, -1), _rounded(high, 1))]
    if low < 0 and SIGNED_UNIT.low <= low and high <= SIGNED_UNIT.high:
        likely.insert(0, SIGNED_UNIT)
    fitting = _options(likely, others)
    fix = f"Say which values are black and white: {fitting}" if fitting else _CONVERT
    expected = "0 to 1, -1 to 1 or 0 to 255" if kind == "floats" else "0 to 255 or 0 to 65535"
    return (
        f"the value range is unclear: {values.shape[1]} sampled {_NAMES[kind]} have values from {number(low)} to "
        f"{number(high)}; expected {expected}. {fix}."
    )


def _dark(kind: str, values: np.ndarray, value_range: ValueRange, others: dict[str, np.ndarray]) -> str:
    """Return a message if nearly all images use only a small part of the range; empty if they use more."""
    if not _is_narrow(values, value_range):
        return ""
    low, high = _span(values)
    part = _LEAST_SHARE * (value_range.high - value_range.low)
    alike = values[:, (values[0] >= high - part) & (values[1] <= low + part)]
    low, high = float(alike[0].min()), float(alike[1].max())
    what = f"{alike.shape[1]} of {values.shape[1]} sampled {_NAMES[kind]}"
    kept = _options([value_range, WORDS] if kind == "uint8" and others else [value_range], others)
    keep = f", or keep the values with {kept.split(' or ')[0]}" if kept else ""
    if low == high:
        return (
            f"{what} have only the value {number(low)}; expected different values in an image. Check the images{keep}."
        )
    whole = f"{number(value_range.low)} to {number(value_range.high)}"
    is_dark = high <= value_range.low + part
    likely = ValueRange(0, _likely_maximum(high)) if is_dark and low >= 0 else ValueRange(low, high)
    fitting = _options([likely], others)
    fix = f"Set the range of the images with {fitting}" if fitting else _CONVERT
    return (
        f"{what} have only the values {number(low)} to {number(high)} of {whole} and would become nearly "
        f"{_look(low, high, value_range)}; expected at least an eighth of the range. {fix}{keep}."
    )


def _likely_maximum(largest: float) -> float:
    """Return the end of the range that values up to `largest` probably have: 1, 15, 16, 255, 4095 and so on."""
    if largest <= 1:
        return 1 if largest > 0.5 else _rounded(largest, 1)
    power = 2.0 ** math.ceil(math.log2(largest))
    return power - 1 if largest <= power - 1 else power


def _rounded(value: float, direction: int) -> float:
    """Return `value` with three digits, rounded up (`direction` 1) or down (-1)."""
    if not value:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 2)
    return float(f"{direction * math.ceil(direction * value / step) * step:.6g}")


def _note(kind: str, values: np.ndarray, value_range: ValueRange) -> str:
    low, high = float(values[0].min()), float(values[1].max())
    become = "are used as they are" if value_range == BYTES else "become 0 to 255"
    return (
        f"values from {number(value_range.low)} to {number(value_range.high)} {become} ({values.shape[1]} sampled "
        f"{_NAMES[kind]} have {number(low)} to {number(high)})"
    )

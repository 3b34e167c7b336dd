"""The encoding of names in a .zip archive that are not in UTF-8: given, or guessed.

Windows writes names in the code page of its language, and the archive does not say which. The guess is the encoding
that decodes all names and makes them most probable. The model of a language has tiers (everyday characters, rarer
ones, symbols), and the characters of a tier are equally probable.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from ..errors import EpochbankError
from ..shared.closest import did_you_mean
from .archive import Archive
from .paths import printable

Tier = tuple[range, range, float, int]
"""Lead bytes, trail bytes, share of the text, and number of characters. The first tier with a pair of bytes counts."""

_ALL = range(0x40, 0xFF)
_HIGH = range(0xA1, 0xFF)
_TIERS: dict[str, Sequence[Tier]] = {
    "cp932": (  # JIS X 0208: kana, level 1, level 2; the rest are symbols
        (range(0x82, 0x84), _ALL, 0.38, 172),
        (range(0x88, 0x99), _ALL, 0.55, 2965),
        (range(0x99, 0xEB), _ALL, 0.04, 3390),
        (range(0x81, 0xFD), _ALL, 0.03, 1000),
    ),
    "gbk": (  # GB 2312: level 1, level 2; the rest are symbols and GBK's extensions
        (range(0xB0, 0xD8), _HIGH, 0.93, 3755),
        (range(0xD8, 0xF8), _HIGH, 0.04, 3008),
        (range(0x81, 0xFF), _ALL, 0.03, 15000),
    ),
    "euc_kr": (  # KS X 1001: hangul, hanja, symbols
        (range(0xB0, 0xC9), _HIGH, 0.96, 2350),
        (range(0xCA, 0xFE), _HIGH, 0.01, 4888),
        (range(0xA1, 0xFF), _HIGH, 0.03, 1000),
    ),
    "big5": (  # level 1, level 2, symbols
        (range(0xA4, 0xC7), _ALL, 0.93, 5401),
        (range(0xC9, 0xFA), _ALL, 0.04, 7652),
        (range(0xA1, 0xFA), _ALL, 0.03, 1000),
    ),
}
_ASCII = math.log(1 / 60)
_WESTERN_LETTER, _WESTERN_OTHER = math.log(0.95 / 52), math.log(0.05 / 76)
_HALF_WIDTH_START, _HALF_WIDTH = math.log(0.001 / 63), math.log(1 / 63)
"""The first of consecutive half-width katakana, single bytes of cp932, and the others: rare, but seldom alone."""

_RARE = math.log(1e-6)
_NO_LETTERS = range(0x9B, 0xA0)
"""Currency signs among the letters of cp437."""

_MOST_PARTS = 10_000
"""Distinct names of folders and files that the guess is based on."""

GUESSES = (*_TIERS, "cp437")
_OTHERS = ("utf-8", "euc_jp", "gb18030", "cp850", "cp1251", "cp1252")


def check_encoding(name: str | None) -> None:
    """Raise `EpochbankError` if `name` is not an encoding of text."""
    try:
        if name is not None:
            "x".encode(name)
    except LookupError as error:
        raise EpochbankError(
            f"--name-encoding {name} is not an encoding that Python knows; expected one such as "
            f"{', '.join(GUESSES)}.{did_you_mean(str(name), (*GUESSES, *_OTHERS))}",
            usage=True,
        ) from error


def with_encoding(archive: Archive, encoding: str | None) -> tuple[Archive, list[str]]:
    """Return the archive with the encoding of its names that are not in UTF-8, and a note that says which.

    Raises `EpochbankError` if `encoding` is given but does not decode all of these names.
    """
    tally = _Tally(tuple(dict.fromkeys((encoding,) if encoding else GUESSES)))
    for raw in archive.unflagged_names():
        tally.add(raw)
    if not tally.count:
        note = f"--name-encoding {encoding} changes nothing: all names in the archive are in UTF-8"
        return archive, [note] if encoding else []
    if encoding and not tally.valid:
        raise EpochbankError(
            f"--name-encoding {encoding} does not decode the name {printable(tally.invalid)} in {archive.path.name}; "
            f"expected the encoding of the system that made the archive, such as {', '.join(GUESSES)}.",
            usage=True,
        )
    if not encoding and not tally.num_foreign:
        return archive, []
    best = max(tally.valid, key=lambda name: tally.valid[name])
    of_all = tally.is_multi_byte(best)
    example = (tally.first if of_all else tally.first_foreign or tally.first).decode(best)
    how = "as --name-encoding says" if encoding else "a guess; choose another with --name-encoding"
    note = f"names in the archive are not marked as UTF-8 and were read as {best}, such as {example} ({how})"
    return replace(archive, encoding=best, is_encoding_of_all=of_all), [note]


class _Tally:
    """How probable each encoding makes the names so far."""

    def __init__(self, encodings: Sequence[str]):
        self.valid = dict.fromkeys(encodings, 0.0)
        """Logarithm of the probability, for each encoding that decodes all names."""
        self.count = 0
        self.num_foreign = 0
        """Number of names that are not UTF-8."""
        self.first = self.first_foreign = self.invalid = b""
        self._seen: set[bytes] = set()

    @staticmethod
    def is_multi_byte(encoding: str) -> bool:
        """Return whether a character may take two bytes."""
        return len(b"\xb0\xa1".decode(encoding, "replace")) == 1

    def add(self, raw: bytes) -> None:
        """Count a name: each folder of its path once, within a limit on memory."""
        self.count += 1
        self.first = self.first or raw
        is_foreign = _decoded(raw, "utf-8") is None
        self.num_foreign += is_foreign
        if is_foreign:
            self.first_foreign = self.first_foreign or raw
        for encoding in list(self.valid):
            if _decoded(raw, encoding) is None:
                del self.valid[encoding]
                self.invalid = raw
        parts = [part for part in raw.split(b"/") if not part.isascii()]
        for part in parts if len(self._seen) < _MOST_PARTS else ():
            if part not in self._seen:
                self._seen.add(part)
                for encoding in self.valid:
                    self.valid[encoding] += log_probability(part, encoding)


def log_probability(text: bytes, encoding: str) -> float:
    """Return the logarithm of the probability of a name that `encoding` decodes."""
    total, at, tiers, is_half_width = 0.0, 0, _TIERS.get(encoding, ()), False
    while at < len(text):
        lead = text[at]
        follows, is_half_width = is_half_width, encoding == "cp932" and 0xA0 < lead < 0xE0
        if lead < 0x80:
            total += _ASCII
        elif is_half_width:
            total += _HALF_WIDTH if follows else _HALF_WIDTH_START
        elif tiers and at + 1 < len(text):
            trail = text[at + 1]
            total += next(
                (math.log(p / n) for leads, trails, p, n in tiers if lead in leads and trail in trails), _RARE
            )
            at += 1
        else:
            total += _WESTERN_LETTER if lead < 0xA6 and lead not in _NO_LETTERS else _WESTERN_OTHER
        at += 1
    return total


def _decoded(raw: bytes, encoding: str) -> str | None:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        return None

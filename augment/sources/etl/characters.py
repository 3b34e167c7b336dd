"""From the codes of records to the characters that are their labels, and the characters that a user picks.

One character is one label, whichever set it comes from: katakana are full-width, letters, digits and signs that ASCII
has are ASCII's.
"""

import unicodedata
from dataclasses import dataclass
from typing import Literal

from ...errors import EpochbankError

GROUPS = ("kanji", "hiragana", "katakana", "digits", "latin", "symbols")
"""What a user may pick by name; every character is in one of them."""

_ALL = "all"
_HALF_WIDTH = {"｡": "。", "｢": "「", "｣": "」", "､": "、", "･": "・", "ﾞ": "゛", "ﾟ": "゜", "￥": "¥", "￣": "‾"}
"""What Unicode's compatibility decomposition does not turn into what is meant."""
_UNREADABLE = ("", "▲", "\u3000")
"""What a table of codes says where a code has no character."""


def plain(character: str) -> str:
    """Full-width ASCII as ASCII, half-width katakana as full-width, ￥ and ￣ as ¥ and ‾; others as they are."""
    if character in _HALF_WIDTH:
        return _HALF_WIDTH[character]
    wide_or_narrow = "\uff01" <= character <= "\uff5e" or "ｦ" <= character <= "ﾝ"
    return unicodedata.normalize("NFKC", character) if wide_or_narrow else character


def jis0201(code: int, *, hiragana: bool) -> str | None:
    """The character of a JIS X 0201 code; None where it has none.

    The small ｨ and ｪ stand for ヰ and ヱ, which the code lacks. With `hiragana`, katakana stand for hiragana.
    """
    if 0xA1 <= code <= 0xDF:
        character = {0xA8: "ヰ", 0xAA: "ヱ"}.get(code) or plain(chr(code + 0xFEC0))
        return chr(ord(character) - 0x60) if hiragana and "ァ" <= character <= "ヶ" else character
    return {0x5C: "¥", 0x7E: "‾"}.get(code, chr(code)) if 0x20 < code < 0x7F else None


def jis0208(code: int) -> str | None:
    """The character of a JIS X 0208 code, two bytes; None where it has none."""
    high, low = divmod(code, 256)
    if not (0x20 < high < 0x7F and 0x20 < low < 0x7F):
        return None
    try:
        character = bytes((0x1B, 0x24, 0x42, high, low, 0x1B, 0x28, 0x42)).decode("iso2022_jp")
    except UnicodeDecodeError:
        return None
    return None if character in _UNREADABLE else plain(character)


def read_table(content: bytes, where: str) -> dict[int, str | None]:
    """The characters of CO-59 codes (64 times the first half and the second), None where one is unreadable.

    `content` is `euc_co59.dat`: EUC-JP, `character:first,second` between white space. `EpochbankError` where it is
    something else.
    """
    table: dict[int, str | None] = {}
    for entry in content.split():  # Bytes: the text would be split at the full-width blank, too.
        try:
            character, _, code = entry.decode("euc_jp").rpartition(":")
            first, second = (int(half) for half in code.split(","))
            if not (0 <= first < 64 and 0 <= second < 64):
                raise ValueError
        except ValueError as error:
            raise EpochbankError(
                f"{where} holds {entry[:32]!r}; expected EUC-JP text of `character:a,b`, both halves of the code from "
                "0 to 63. Take the file that comes with ETL2."
            ) from error
        table[64 * first + second] = None if character in _UNREADABLE else "".join(map(plain, character))
    if not table:
        raise EpochbankError(f"{where} is empty; expected the codes of ETL2. Take the file that comes with ETL2.")
    return table


def group_of(character: str) -> Literal["kanji", "hiragana", "katakana", "digits", "latin", "symbols"]:
    """The group of a character; what is none of the others is a symbol."""
    if "\u4e00" <= character <= "\u9fff":
        return "kanji"
    if "\u3041" <= character <= "\u309f":
        return "hiragana"
    if "\u30a1" <= character <= "\u30ff" and character != "・":
        return "katakana"
    if character.isascii() and character.isdigit():
        return "digits"
    return "latin" if character.isascii() and character.isalpha() else "symbols"


@dataclass(frozen=True)
class Picked:
    """Which characters a user wants: those of groups, and others."""

    groups: frozenset[str]
    characters: frozenset[str] = frozenset()
    """Those that are named one by one."""

    def takes(self, character: str) -> bool:
        """Whether it is wanted."""
        return character in self.characters or group_of(character) in self.groups


def pick(text: str | None) -> Picked:
    """What `--characters` says: groups by name, and characters themselves, commas and white space ignored.

    None is all. `EpochbankError` for a text that names nothing.
    """
    words = [word.strip() for word in (_ALL if text is None else text).split(",") if word.strip()]
    if not words:
        raise EpochbankError(
            f"--characters {text!r} names no character; expected {', '.join(GROUPS)}, all, or the characters "
            "themselves.",
            words=True,
        )
    named = {word.lower() for word in words if word.lower() in (*GROUPS, _ALL)}
    others = [word for word in words if word.lower() not in named]
    unknown = [word for word in others if named and word.isascii() and len(word) > 1]
    if unknown:
        raise EpochbankError(
            f"--characters {text!r}: {unknown[0]!r} is no group of characters; expected {', '.join(GROUPS)} or all. "
            "Give characters beside groups with commas between: kanji,a,b.",
            words=True,
        )
    letters = "".join(unicodedata.normalize("NFC", "".join(others)).split())
    return Picked(frozenset(GROUPS if _ALL in named else named), frozenset(map(plain, letters)))

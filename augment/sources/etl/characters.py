"""Converts the character codes of records to labels, and selects characters by `--characters`.

A character has the same label in all sets: katakana are full-width, and letters, digits and signs are ASCII if ASCII
has them.
"""

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ...errors import EpochbankError
from ...shared.closest import closest, did_you_mean

GROUPS = ("kanji", "hiragana", "katakana", "digits", "latin", "symbols")
"""Groups that `--characters` accepts; every character is in exactly one of them."""

_ALL = "all"
_HALF_WIDTH = {"｡": "。", "｢": "「", "｣": "」", "､": "、", "･": "・", "ﾞ": "゛", "ﾟ": "゜", "￥": "¥", "￣": "‾"}
"""Characters that Unicode's NFKC form does not convert to the intended character."""
_UNLABELED = {"▲": "marked ▲, unreadable", "\u3000": "with a blank", "": "with a blank"}
"""Entries of code tables that are no character, and what a note says of their images."""


class Decoder(NamedTuple):
    """Converts the codes of a set."""

    character_of: Callable[[int], str | None]
    """Returns the character of a code; None if it has none."""
    unlabeled: Mapping[int, str] = {}
    """Codes of undamaged images without a character, and what a note says of these."""


def normalize(character: str) -> str:
    """Convert full-width ASCII to ASCII, half-width katakana to full-width, and ￥ and ￣ to ¥ and ‾."""
    if character in _HALF_WIDTH:
        return _HALF_WIDTH[character]
    wide_or_narrow = "\uff01" <= character <= "\uff5e" or "ｦ" <= character <= "ﾝ"
    return unicodedata.normalize("NFKC", character) if wide_or_narrow else character


def jis0201(code: int, *, hiragana: bool) -> str | None:
    """Return the character of a JIS X 0201 code, or None.

    The small ｨ and ｪ stand for ヰ and ヱ, which the code lacks. With `hiragana`, katakana become hiragana.
    """
    if 0xA1 <= code <= 0xDF:
        character = {0xA8: "ヰ", 0xAA: "ヱ"}.get(code) or normalize(chr(code + 0xFEC0))
        return chr(ord(character) - 0x60) if hiragana and "ァ" <= character <= "ヶ" else character
    return {0x5C: "¥", 0x7E: "‾"}.get(code, chr(code)) if 0x20 < code < 0x7F else None


def jis0208(code: int) -> str | None:
    """Return the character of a two-byte JIS X 0208 code, or None."""
    high, low = divmod(code, 256)
    if not (0x20 < high < 0x7F and 0x20 < low < 0x7F):
        return None
    try:
        character = bytes((0x1B, 0x24, 0x42, high, low, 0x1B, 0x28, 0x42)).decode("iso2022_jp")
    except UnicodeDecodeError:
        return None
    return None if character in _UNLABELED else normalize(character)


def read_table(content: bytes, where: str) -> Decoder:
    """Return the decoder of CO-59 codes, which are 64 * first half + second half.

    `content` is that of `euc_co59.dat`: entries `character:first,second` in EUC-JP, separated by white space. Raises
    `EpochbankError` for other content.
    """
    characters: dict[int, str] = {}
    unlabeled: dict[int, str] = {}
    for entry in content.split():  # Bytes, because text would also be split at full-width spaces.
        try:
            character, _, code = entry.decode("euc_jp").rpartition(":")
            first, second = (int(half) for half in code.split(","))
            if not (0 <= first < 64 and 0 <= second < 64):
                raise ValueError
        except ValueError as error:
            raise EpochbankError(
                f"{where} holds {entry[:32]!r}; expected entries `character:a,b` in EUC-JP, with a and b from 0 to 63. "
                "Use the file that comes with ETL2."
            ) from error
        if character in _UNLABELED:
            unlabeled[64 * first + second] = _UNLABELED[character]
        else:
            characters[64 * first + second] = "".join(map(normalize, character))
    if not characters:
        raise EpochbankError(f"{where} is empty; expected the codes of ETL2. Use the file that comes with ETL2.")
    return Decoder(characters.get, unlabeled)


def group_of(character: str) -> Literal["kanji", "hiragana", "katakana", "digits", "latin", "symbols"]:
    """Return the group of a character; characters of no other group are symbols."""
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
class CharacterFilter:
    """The characters that `--characters` selects: all of some groups, and single ones."""

    groups: frozenset[str]
    characters: frozenset[str] = frozenset()
    """Characters named individually."""

    def accepts(self, character: str) -> bool:
        """Return whether the character is selected."""
        return character in self.characters or group_of(character) in self.groups


def parse_characters(text: str | None) -> CharacterFilter:
    """Parse `--characters`: names of groups, and single characters. Commas and white space are ignored.

    None means all characters. Raises `EpochbankError` if the text names none.
    """
    words = [word.strip() for word in (_ALL if text is None else text).split(",") if word.strip()]
    if not words:
        raise EpochbankError(
            f"--characters {text!r} names no characters; expected {', '.join(GROUPS)}, all, or single characters.",
            usage=True,
        )
    groups = {word.lower() for word in words if word.lower() in (*GROUPS, _ALL)}
    others = [word for word in words if word.lower() not in groups]
    unknown = [word for word in others if word.isascii() and len(word) > 1 and (groups or closest(word, GROUPS))]
    if unknown:
        raise EpochbankError(
            f"--characters {text!r}: {unknown[0]!r} is not a group of characters; expected {', '.join(GROUPS)} or all. "
            f"Separate groups and single characters by commas: kanji,a,b.{did_you_mean(unknown[0], GROUPS)}",
            usage=True,
        )
    characters = "".join(unicodedata.normalize("NFC", "".join(others)).split())
    return CharacterFilter(frozenset(GROUPS if _ALL in groups else groups), frozenset(map(normalize, characters)))

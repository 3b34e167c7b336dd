"""A keyed permutation of 0, ..., n - 1 that can be computed for single elements: the order of a stored epoch.

A shuffled list would cost 8 bytes per image in every worker. A small block cipher needs no memory and computes the
place of a single image. It is a Feistel network on Z_a x Z_b with a * b slightly above n, with cycle walking for
results outside n (J. Black and P. Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002, sections 4 and 5), and
the finalizer of SplitMix64 as round function. It shuffles; it is not meant to be cryptographically secure.
"""

import hashlib
import math
from collections.abc import Callable

import numpy as np

ROUNDS = 8

Key = np.ndarray
"""uint64 (ROUNDS,): one key per round."""


def order_key(*parts: str | int) -> Key:
    """Derive a key from `parts`; different parts give different permutations."""
    text = "/".join(str(part) for part in parts)
    return np.frombuffer(hashlib.sha512(text.encode()).digest(), "<u8")[:ROUNDS].copy()


def permute(index: np.ndarray, n: int, key: Key) -> np.ndarray:
    """Return where the permutation of 0, ..., n - 1 maps each of `index` (int64, in [0, n)); int64, same shape.

    `permute(np.arange(n), n, key)` is the whole permutation. Raises `ValueError` if an index is out of range.
    """
    return _walk(index, n, key, _encrypt)


def unpermute(value: np.ndarray, n: int, key: Key) -> np.ndarray:
    """Return the inverse of `permute`: the index that `permute` maps to each of `value`."""
    return _walk(value, n, key, _decrypt)


def permute_within(index: np.ndarray, n: np.ndarray, key: Key, tweak: np.ndarray) -> np.ndarray:
    """Apply a different permutation to each element.

    Parameters
    ----------
    index, n
        int64 (m,): element k is permuted among 0, ..., n[k] - 1; index[k] must be in that range.
    key
        Key of all permutations.
    tweak
        uint64 (m,): selects the permutation of each element.

    Returns
    -------
    int64 (m,)
    """
    keys = key[:, None] ^ mix64(tweak)[None]
    a = np.sqrt((n - 1).astype(np.float64)).astype(np.int64)
    a += (a + 1) ** 2 <= n - 1  # in case the root was rounded down
    sides = (a + 1).astype(np.uint64), (-(-n // (a + 1))).astype(np.uint64)
    values = _encrypt(index.astype(np.uint64), *sides, keys)
    outside = np.flatnonzero(values >= n)
    while outside.size:
        here = sides[0][outside], sides[1][outside]
        values[outside] = _encrypt(values[outside], *here, keys[:, outside])
        outside = outside[values[outside] >= n[outside]]
    return values.astype(np.int64)


def mix64(number: np.ndarray) -> np.ndarray:
    """Apply the finalizer of SplitMix64 (S. Vigna, prng.di.unimi.it/splitmix64.c) to each element; uint64."""
    number = number + np.uint64(0x9E3779B97F4A7C15)
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))


def _walk(index: np.ndarray, n: int, key: Key, step: Callable[..., np.ndarray]) -> np.ndarray:
    index = np.asarray(index, np.int64)
    if index.size and (index.min() < 0 or index.max() >= n):
        raise ValueError(f"index {index.min()} to {index.max()}; expected 0 to {n - 1}")
    a = max(1, math.isqrt(max(n - 1, 0)) + 1)
    sides = np.uint64(a), np.uint64(-(-n // a))
    values = step(index.astype(np.uint64).ravel(), *sides, key)
    outside = np.flatnonzero(values >= n)
    while outside.size:
        values[outside] = step(values[outside], *sides, key)
        outside = outside[values[outside] >= n]
    return values.astype(np.int64).reshape(index.shape)


def _encrypt(value: np.ndarray, a: np.uint64 | np.ndarray, b: np.uint64 | np.ndarray, key: np.ndarray) -> np.ndarray:
    left, right = np.divmod(value, b)
    for number in range(0, ROUNDS, 2):
        left = np.mod(left + np.mod(mix64(right ^ key[number]), a), a)
        right = np.mod(right + np.mod(mix64(left ^ key[number + 1]), b), b)
    return left * b + right


def _decrypt(value: np.ndarray, a: np.uint64, b: np.uint64, key: Key) -> np.ndarray:
    left, right = np.divmod(value, b)
    for number in range(ROUNDS - 2, -1, -2):
        right = np.mod(right + b - np.mod(mix64(left ^ key[number + 1]), b), b)
        left = np.mod(left + a - np.mod(mix64(right ^ key[number]), a), a)
    return left * b + right

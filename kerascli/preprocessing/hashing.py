"""Hash functions of Keras's Hashing, HashedCrossing and out-of-vocabulary (OOV) indices, on arrays of byte strings.

FarmHash's Fingerprint64 (https://github.com/google/farmhash, the variant "na"), SipHash-2-4
(https://www.131002.net/siphash/siphash.pdf) and TensorFlow's combination of fingerprints for crosses. Strings of equal
length take the same steps, so they are hashed together: arithmetic on uint64 wraps around.
"""

from collections.abc import Callable, Sequence
from typing import Annotated

import numpy as np
from pydantic import BeforeValidator, Field

K0, K1, K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F
CROSS = 0xC6A4A7935BD1E995
CROSS_KEY = 0xDECAFCAFFE
SIP_STARTS = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
_ALL = 2**64 - 1

Key = tuple[int, int]


def _pair(salt: object) -> object:
    if isinstance(salt, int) and not isinstance(salt, bool):
        return (salt, salt)
    return tuple(salt) if isinstance(salt, list) else salt


_Word = Annotated[int, Field(ge=0, le=_ALL)]
Salt = Annotated[tuple[_Word, _Word], BeforeValidator(_pair)]
"""Type of the setting `salt`, the key of SipHash: two integers, or one for both."""


def decimals(numbers: np.ndarray) -> list[bytes]:
    """Return integers as decimal byte strings, the form in which they are hashed."""
    return [b"%d" % number for number in numbers.tolist()]


def buckets(texts: Sequence[bytes], count: int, key: Key | None = None) -> np.ndarray:
    """Hash each string to a bin from 0 to count - 1: by FarmHash, or if a key is given by SipHash."""
    return (fingerprints(texts, key) % np.uint64(count)).astype(np.int64)


def fingerprints(texts: Sequence[bytes], key: Key | None = None) -> np.ndarray:
    """Hash each string to a uint64: by FarmHash, or if a key is given by SipHash."""
    kernel: Callable[[np.ndarray], np.ndarray] = _farm if key is None else lambda rows: _sip(rows, key)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    order = np.argsort(lengths, kind="stable")
    hashes = np.empty(len(texts), np.uint64)
    for rows in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1) if len(texts) else ():
        joined = b"".join([texts[row] for row in rows.tolist()])
        hashes[rows] = kernel(np.frombuffer(joined, np.uint8).reshape(len(rows), -1))
    return hashes


def crossed(columns: Sequence[np.ndarray], count: int) -> np.ndarray:
    """Hash each row of several columns (integers, or fingerprints of strings) together to a bin from 0 to count - 1."""
    mixed = np.full(len(columns[0]), CROSS_KEY, np.uint64)
    for column in columns:
        mixed = (mixed ^ CROSS) ^ (_shift_mix(column.astype(np.uint64) * CROSS) * CROSS)
        mixed = _shift_mix(_shift_mix(mixed * CROSS) * CROSS)
    return (mixed % np.uint64(count)).astype(np.int64)


def _farm(s: np.ndarray) -> np.ndarray:  # (n, length) uint8 -> (n,) uint64
    length = s.shape[1]
    if length > 64:
        return _farm_long(s)
    if length > 32:
        return _farm_33_to_64(s)
    return _farm_17_to_32(s) if length > 16 else _farm_0_to_16(s)


def _farm_0_to_16(s: np.ndarray) -> np.ndarray:
    n, length = s.shape
    if not length:
        return np.full(n, K2, np.uint64)
    multiplier = K2 + 2 * length & _ALL
    if length >= 8:
        a, b = _word(s, 0) + K2, _word(s, length - 8)
        return _mix(_rotate(b, 37) * multiplier + a, (_rotate(a, 25) + b) * multiplier, multiplier)
    if length >= 4:
        return _mix((_word(s, 0, 4) << 3) + length, _word(s, length - 4, 4), multiplier)
    first, middle, last = (s[:, i].astype(np.uint64) for i in (0, length >> 1, length - 1))
    return _shift_mix((first + (middle << 8)) * K2 ^ ((last << 2) + length) * K0) * K2


def _farm_17_to_32(s: np.ndarray) -> np.ndarray:
    length = s.shape[1]
    multiplier = K2 + 2 * length & _ALL
    a, b = _word(s, 0) * K1, _word(s, 8)
    c, d = _word(s, length - 8) * multiplier, _word(s, length - 16) * K2
    return _mix(_rotate(a + b, 43) + _rotate(c, 30) + d, a + _rotate(b + K2, 18) + c, multiplier)


def _farm_33_to_64(s: np.ndarray) -> np.ndarray:
    length = s.shape[1]
    multiplier = K2 + 2 * length & _ALL
    a, b = _word(s, 0) * K2, _word(s, 8)
    c, d = _word(s, length - 8) * multiplier, _word(s, length - 16) * K2
    y = _rotate(a + b, 43) + _rotate(c, 30) + d
    z = _mix(y, a + _rotate(b + K2, 18) + c, multiplier)
    e, f = _word(s, 16) * multiplier, _word(s, 24)
    g, h = (y + _word(s, length - 32)) * multiplier, (z + _word(s, length - 24)) * multiplier
    return _mix(_rotate(e + f, 43) + _rotate(g, 30) + h, e + _rotate(f + a, 18) + g, multiplier)


def _farm_long(s: np.ndarray) -> np.ndarray:
    """Compute FarmHash of strings of more than 64 bytes, in blocks of 64; the last one may overlap the previous."""
    n, length = s.shape
    zero = np.zeros(n, np.uint64)
    start = 81 * K1 + 113 & _ALL
    x, y = _word(s, 0) + (81 * K2 & _ALL), zero + start
    z = _shift_mix(zero + (start * K2 + 113 & _ALL)) * K2
    v, w = (zero, zero), (zero, zero)
    rest = length - 1 & 63
    for at in range(0, length - 1 - rest, 64):
        x = _rotate(x + y + v[0] + _word(s, at + 8), 37) * K1 ^ w[1]
        y = _rotate(y + v[1] + _word(s, at + 48), 42) * K1 + v[0] + _word(s, at + 40)
        z = _rotate(z + w[0], 33) * K1
        v, w = _weak(s, at, v[1] * K1, x + w[0]), _weak(s, at + 32, z + w[1], y + _word(s, at + 16))
        z, x = x, z
    at, multiplier = length - 64, ((z & 0xFF) << 1) + K1
    w = (w[0] + rest, w[1])
    v = (v[0] + w[0], v[1])
    w = (w[0] + v[0], w[1])
    x = _rotate(x + y + v[0] + _word(s, at + 8), 37) * multiplier ^ w[1] * 9
    y = _rotate(y + v[1] + _word(s, at + 48), 42) * multiplier + v[0] * 9 + _word(s, at + 40)
    z = _rotate(z + w[0], 33) * multiplier
    v, w = _weak(s, at, v[1] * multiplier, x + w[0]), _weak(s, at + 32, z + w[1], y + _word(s, at + 16))
    first = _mix(v[0], w[0], multiplier) + _shift_mix(y) * K0 + x
    return _mix(first, _mix(v[1], w[1], multiplier) + z, multiplier)


def _weak(s: np.ndarray, at: int, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute FarmHash's weak hash of 32 bytes of each string, from offset `at` on, with the seeds `a` and `b`."""
    first, second, third, fourth = (_word(s, at + 8 * i) for i in range(4))
    a = a + first
    b = _rotate(b + a + fourth, 21)
    through = a + second + third
    return through + fourth, b + _rotate(through, 44) + a


def _mix(u: np.ndarray, v: np.ndarray, multiplier: int | np.ndarray) -> np.ndarray:
    """Combine two uint64 words to one, as FarmHash's HashLen16."""
    a = _shift_mix((u ^ v) * multiplier)
    return _shift_mix((v ^ a) * multiplier) * multiplier


def _sip(s: np.ndarray, key: Key) -> np.ndarray:  # (n, length) uint8 -> (n,) uint64
    n, length = s.shape
    padded = np.zeros((n, (length // 8 + 1) * 8), np.uint8)
    padded[:, :length] = s
    padded[:, -1] = length & 0xFF
    state: list[np.ndarray] = [np.full(n, start ^ key[i % 2], np.uint64) for i, start in enumerate(SIP_STARTS)]
    for at in range(0, padded.shape[1], 8):
        word = _word(padded, at)
        state[3] = state[3] ^ word
        _sip_round(_sip_round(state))
        state[0] = state[0] ^ word
    state[2] = state[2] ^ 0xFF
    for _ in range(4):
        _sip_round(state)
    return state[0] ^ state[1] ^ state[2] ^ state[3]


def _sip_round(v: list[np.ndarray]) -> list[np.ndarray]:
    v[0] = v[0] + v[1]
    v[2] = v[2] + v[3]
    v[1] = _left(v[1], 13) ^ v[0]
    v[3] = _left(v[3], 16) ^ v[2]
    v[0] = _left(v[0], 32) + v[3]
    v[2] = v[2] + v[1]
    v[1] = _left(v[1], 17) ^ v[2]
    v[3] = _left(v[3], 21) ^ v[0]
    v[2] = _left(v[2], 32)
    return v


def _word(s: np.ndarray, at: int, size: int = 8) -> np.ndarray:
    """Read `size` bytes of each string, from offset `at` on, as a little-endian integer."""
    return np.ascontiguousarray(s[:, at : at + size]).view(f"<u{size}")[:, 0].astype(np.uint64)


def _rotate(x: np.ndarray, bits: int) -> np.ndarray:
    return (x >> bits) | (x << 64 - bits)


def _left(x: np.ndarray, bits: int) -> np.ndarray:
    return _rotate(x, 64 - bits)


def _shift_mix(x: np.ndarray) -> np.ndarray:
    return x ^ (x >> 47)

"""Hash functions of Keras's Hashing, HashedCrossing and out-of-vocabulary (OOV) indices, of strings and of integers.

FarmHash's Fingerprint64 (https://github.com/google/farmhash, the variant "na"), SipHash-2-4
(https://www.131002.net/siphash/siphash.pdf) and TensorFlow's combination of fingerprints for crosses. Strings of equal
length take the same steps, so they are hashed together; integers are hashed in decimal notation. Words of 64 bits are
held in int64, whose arithmetic wraps around.
"""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import numpy as np
import torch
from pydantic import BeforeValidator, Field
from torch import Tensor

_ALL = 2**64 - 1

Key = tuple[int, int]


def _pair(salt: object) -> object:
    if isinstance(salt, int) and not isinstance(salt, bool):
        return (salt, salt)
    return tuple(salt) if isinstance(salt, list) else salt


_Word = Annotated[int, Field(ge=0, le=_ALL)]
Salt = Annotated[tuple[_Word, _Word], BeforeValidator(_pair)]
"""Type of the setting `salt`, the key of SipHash: two integers, or one for both."""


def signed(word: int) -> int:
    """Return an integer, modulo 2**64, as int64 holds it: it wraps around from 2**63 on."""
    return (word + 2**63) % 2**64 - 2**63


_K0, _K1, _K2 = map(signed, (0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F))
_CROSS, _CROSS_KEY = signed(0xC6A4A7935BD1E995), 0xDECAFCAFFE
_SIP_STARTS = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)


def buckets(texts: Sequence[bytes], count: int, key: Key | None = None) -> Tensor:
    """Hash each string to a bin from 0 to count - 1: by FarmHash, or if a key is given by SipHash."""
    return _remainder(fingerprints(texts, key), count)


def buckets_of(x: Tensor, count: int, key: Key | None = None) -> Tensor:  # (*) integers -> (*) int64
    """Hash each integer of a tensor to a bin from 0 to count - 1: by FarmHash, or if a key is given by SipHash."""
    return torch.ops.kerascli.buckets.default(x, count, [signed(word) for word in key or ()])


def _buckets_of(x: Tensor, count: int, key: Sequence[int], after: Tensor | None = None) -> Tensor:
    texts = [b"%d" % number for number in x.flatten().tolist()]
    return buckets(texts, count, (key[0], key[1]) if key else None).view(x.shape).to(x.device)


def _form(x: Tensor, count: int, key: Sequence[int], after: Tensor | None = None) -> Tensor:
    return x.new_empty(x.shape, dtype=torch.int64)


_LIBRARY = torch.library.Library("kerascli", "FRAGMENT")
_LIBRARY.define("buckets(Tensor x, int count, int[] key, Tensor? after=None) -> Tensor")
"""Custom operator that hashes on the CPU; by its argument `after` no CUDA graph contains it."""
_LIBRARY.impl("buckets", _buckets_of, "CompositeExplicitAutograd")
torch.library.register_fake("kerascli::buckets", _form, lib=_LIBRARY)


def crossed_of(columns: Sequence[Tensor], count: int) -> Tensor:  # each (*) integers -> (*) int64
    """Hash the elements at the same position of several tensors (integers, or fingerprints of strings) together to a
    bin from 0 to count - 1."""
    mixed = torch.full_like(columns[0].long(), _CROSS_KEY)
    for column in columns:
        mixed = (mixed ^ _CROSS) ^ (_shift_mix(column.long() * _CROSS) * _CROSS)
        mixed = _shift_mix(_shift_mix(mixed * _CROSS) * _CROSS)
    return _remainder(mixed, count)


def fingerprints(texts: Sequence[bytes], key: Key | None = None) -> Tensor:
    """Hash each string to 64 bits, in int64: by FarmHash, or if a key is given by SipHash."""
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    order = np.argsort(lengths, kind="stable")
    hashes = torch.empty(len(texts), dtype=torch.int64)
    for rows in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1) if len(texts) else ():
        joined = bytearray().join([texts[row] for row in rows.tolist()])
        text = torch.frombuffer(joined, dtype=torch.uint8) if joined else torch.empty(0, dtype=torch.uint8)
        s = _Strings(text.view(len(rows), int(lengths[rows[0]])))
        hashes[torch.from_numpy(rows)] = _farm(s) if key is None else _sip(s, key)
    return hashes


class _Strings(NamedTuple):
    """Strings of equal length, (n, length) uint8."""

    text: Tensor

    @property
    def length(self) -> int:
        return self.text.shape[1]

    def byte(self, at: int) -> Tensor:
        return self.text[:, at].long()

    def word(self, at: int, size: int = 8) -> Tensor:
        """Read `size` bytes, from offset `at` on, as a little-endian integer."""
        part = self.text[:, at : at + size].flatten().clone()
        return part.view(torch.int64) if size == 8 else part.view(torch.int32).long() & 0xFFFFFFFF

    def words(self) -> tuple[Tensor, ...]:
        """Return the words of the strings padded with zeros, with the length in the last byte."""
        padded = torch.nn.functional.pad(self.text, (0, 8 - self.length % 8))
        padded[:, -1] = self.length & 0xFF
        return padded.view(torch.int64).unbind(1)


def _farm(s: _Strings) -> Tensor:
    if s.length > 32:
        return _farm_long(s) if s.length > 64 else _farm_33_to_64(s)
    if s.length > 7:
        return _farm_17_to_32(s) if s.length > 16 else _farm_8_to_16(s)
    if s.length > 3:
        return _farm_4_to_7(s)
    return _farm_1_to_3(s) if s.length else torch.full((len(s.text),), _K2)


def _farm_1_to_3(s: _Strings) -> Tensor:
    first, middle, last = s.byte(0), s.byte(s.length >> 1), s.byte(s.length - 1)
    return _shift_mix((first + (middle << 8)) * _K2 ^ ((last << 2) + s.length) * _K0) * _K2


def _farm_4_to_7(s: _Strings) -> Tensor:
    return _mix((s.word(0, 4) << 3) + s.length, s.word(s.length - 4, 4), s.length * 2 + _K2)


def _farm_8_to_16(s: _Strings) -> Tensor:
    multiplier = s.length * 2 + _K2
    a, b = s.word(0) + _K2, s.word(s.length - 8)
    return _mix(_rotate(b, 37) * multiplier + a, (_rotate(a, 25) + b) * multiplier, multiplier)


def _farm_17_to_32(s: _Strings) -> Tensor:
    multiplier = s.length * 2 + _K2
    a, b = s.word(0) * _K1, s.word(8)
    c, d = s.word(s.length - 8) * multiplier, s.word(s.length - 16) * _K2
    return _mix(_rotate(a + b, 43) + _rotate(c, 30) + d, a + _rotate(b + _K2, 18) + c, multiplier)


def _farm_33_to_64(s: _Strings) -> Tensor:
    length = s.length
    multiplier = length * 2 + _K2
    a, b = s.word(0) * _K2, s.word(8)
    c, d = s.word(length - 8) * multiplier, s.word(length - 16) * _K2
    y = _rotate(a + b, 43) + _rotate(c, 30) + d
    z = _mix(y, a + _rotate(b + _K2, 18) + c, multiplier)
    e, f = s.word(16) * multiplier, s.word(24)
    g, h = (y + s.word(length - 32)) * multiplier, (z + s.word(length - 24)) * multiplier
    return _mix(_rotate(e + f, 43) + _rotate(g, 30) + h, e + _rotate(f + a, 18) + g, multiplier)


def _farm_long(s: _Strings) -> Tensor:
    """Compute FarmHash of strings of more than 64 bytes, in blocks of 64; the last one may overlap the previous."""
    start = signed(81 * _K1 + 113)
    zero = torch.zeros(len(s.text), dtype=torch.int64)
    x, y = s.word(0) + signed(81 * _K2), zero + start
    z = _shift_mix(zero + signed(start * _K2 + 113)) * _K2
    v, w = (zero, zero), (zero, zero)
    rest = s.length - 1 & 63
    for at in range(0, s.length - 1 - rest, 64):
        x = _rotate(x + y + v[0] + s.word(at + 8), 37) * _K1 ^ w[1]
        y = _rotate(y + v[1] + s.word(at + 48), 42) * _K1 + v[0] + s.word(at + 40)
        z = _rotate(z + w[0], 33) * _K1
        v, w = _weak(s, at, v[1] * _K1, x + w[0]), _weak(s, at + 32, z + w[1], y + s.word(at + 16))
        z, x = x, z
    at, multiplier = s.length - 64, ((z & 0xFF) << 1) + _K1
    w = (w[0] + rest, w[1])
    v = (v[0] + w[0], v[1])
    w = (w[0] + v[0], w[1])
    x = _rotate(x + y + v[0] + s.word(at + 8), 37) * multiplier ^ w[1] * 9
    y = _rotate(y + v[1] + s.word(at + 48), 42) * multiplier + v[0] * 9 + s.word(at + 40)
    z = _rotate(z + w[0], 33) * multiplier
    v, w = _weak(s, at, v[1] * multiplier, x + w[0]), _weak(s, at + 32, z + w[1], y + s.word(at + 16))
    first = _mix(v[0], w[0], multiplier) + _shift_mix(y) * _K0 + x
    return _mix(first, _mix(v[1], w[1], multiplier) + z, multiplier)


def _weak(s: _Strings, at: int, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Compute FarmHash's weak hash of 32 bytes of each string, from offset `at` on, with the seeds `a` and `b`."""
    first, second, third, fourth = (s.word(at + 8 * i) for i in range(4))
    a = a + first
    b = _rotate(b + a + fourth, 21)
    through = a + second + third
    return through + fourth, b + _rotate(through, 44) + a


def _mix(u: Tensor, v: Tensor, multiplier: int | Tensor) -> Tensor:
    """Combine two words to one, as FarmHash's HashLen16."""
    a = _shift_mix((u ^ v) * multiplier)
    return _shift_mix((v ^ a) * multiplier) * multiplier


def _sip(s: _Strings, key: Key) -> Tensor:
    words = s.words()
    state = [torch.full_like(words[0], signed(start ^ key[i % 2])) for i, start in enumerate(_SIP_STARTS)]
    for word in words:
        state = _sip_rounds([*state[:3], state[3] ^ word], 2)
        state[0] = state[0] ^ word
    state = _sip_rounds([*state[:2], state[2] ^ 0xFF, state[3]], 4)
    return state[0] ^ state[1] ^ state[2] ^ state[3]


def _sip_rounds(state: Sequence[Tensor], count: int) -> list[Tensor]:
    a, b, c, d = state
    for _ in range(count):
        a, c = a + b, c + d
        b, d = _rotate(b, 51) ^ a, _rotate(d, 48) ^ c
        a, c = _rotate(a, 32) + d, c + b
        b, d = _rotate(b, 47) ^ c, _rotate(d, 43) ^ a
        c = _rotate(c, 32)
    return [a, b, c, d]


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Shift words to the right, filling with zeros (a logical shift)."""
    return (x >> bits) & ((1 << 64 - bits) - 1)


def _rotate(x: Tensor, bits: int) -> Tensor:
    return _shifted(x, bits) | (x << 64 - bits)


def _shift_mix(x: Tensor) -> Tensor:
    return x ^ _shifted(x, 47)


def _remainder(x: Tensor, count: int) -> Tensor:
    """Return the remainder modulo `count` of unsigned words held in int64."""
    return ((_shifted(x, 1) % count) * 2 + (x & 1)) % count

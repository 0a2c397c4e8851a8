"""Hashing and HashedCrossing: settings, and modules that hash integers on the device without synchronizing."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from kerascli.preprocessing.hashing import CROSS, CROSS_KEY, K0, K1, K2, SIP_STARTS, Key

_DIGITS, _BYTES = 19, 24


def buckets_of(x: Tensor, count: int, key: Key | None = None) -> Tensor:  # (*) integers -> (*) int64
    """Hash each integer of a tensor to a bin from 0 to count - 1: by FarmHash, or if a key is given by SipHash."""
    text, length = _decimals(x.long())
    return _remainder(_farm(text, length) if key is None else _sip(text, length, key), count)


def crossed_of(columns: Sequence[Tensor], count: int) -> Tensor:  # each (*) integers -> (*) int64
    """Hash the elements at the same position of several tensors together to a bin from 0 to count - 1."""
    mixed = torch.full_like(columns[0].long(), _signed(CROSS_KEY))
    cross = _signed(CROSS)
    for column in columns:
        mixed = (mixed ^ cross) ^ (_shift_mix(column.long() * cross) * cross)
        mixed = _shift_mix(_shift_mix(mixed * cross) * cross)
    return _remainder(mixed, count)


def _signed(word: int) -> int:
    return word - 2**64 if word >= 2**63 else word


def _decimals(x: Tensor) -> tuple[Tensor, Tensor]:  # (*) -> (*, 24), (*)
    """Return each integer's decimal notation as bytes padded with zeros, and the number of its bytes."""
    digits, rest = [], x
    for _ in range(_DIGITS):
        above = rest.div(10, rounding_mode="trunc")
        digits.append((rest - above * 10).abs())
        rest = above
    places = torch.stack(digits, -1)  # the lowest first
    number = torch.arange(1, _DIGITS + 1, device=x.device)
    count = torch.where(places > 0, number, 1).amax(-1, keepdim=True)
    negative = (x < 0).long().unsqueeze(-1)
    length = count + negative
    at = torch.arange(_BYTES, device=x.device)
    place = length - 1 - at
    text = places.gather(-1, place.clamp(0, _DIGITS - 1)) + ord("0")
    text = torch.where((place >= 0) & (place < count), text, 0)
    return torch.where((at == 0) & (negative == 1), ord("-"), text), length.squeeze(-1)


def _word(text: Tensor, at: Tensor | int, size: int = 8) -> Tensor:
    """Read `size` bytes of each number's decimal text, from offset `at` on, as a little-endian integer."""
    start = torch.zeros_like(text[..., 0]) + at
    places = start.unsqueeze(-1) + torch.arange(size, device=text.device)
    bytes_there = text.gather(-1, places.clamp(0, _BYTES - 1))
    return (bytes_there << (8 * torch.arange(size, device=text.device))).sum(-1)


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Shift uint64 words, held in int64, to the right, filling with zeros (a logical shift)."""
    return (x >> bits) & ((1 << 64 - bits) - 1)


def _rotate(x: Tensor, bits: int) -> Tensor:
    return _shifted(x, bits) | (x << 64 - bits)


def _shift_mix(x: Tensor) -> Tensor:
    return x ^ _shifted(x, 47)


def _mix(u: Tensor, v: Tensor, multiplier: Tensor) -> Tensor:
    a = _shift_mix((u ^ v) * multiplier)
    return _shift_mix((v ^ a) * multiplier) * multiplier


def _remainder(x: Tensor, count: int) -> Tensor:
    """Return the remainder modulo `count` of uint64 words held in int64."""
    return ((_shifted(x, 1) % count) * 2 + (x & 1)) % count


def _farm(text: Tensor, length: Tensor) -> Tensor:
    k0, k1, k2 = _signed(K0), _signed(K1), _signed(K2)
    multiplier = length * 2 + k2
    first, last = text[..., 0], text.gather(-1, (length - 1).unsqueeze(-1)).squeeze(-1)
    middle = text.gather(-1, (length >> 1).unsqueeze(-1)).squeeze(-1)
    to_3 = _shift_mix((first + (middle << 8)) * k2 ^ ((last << 2) + length) * k0) * k2
    to_7 = _mix((_word(text, 0, 4) << 3) + length, _word(text, length - 4, 4), multiplier)
    begin, end = _word(text, 0), _word(text, length - 8)
    a = begin + k2
    to_16 = _mix(_rotate(end, 37) * multiplier + a, (_rotate(a, 25) + end) * multiplier, multiplier)
    a, b = begin * k1, _word(text, 8)
    c, d = end * multiplier, _word(text, length - 16) * k2
    to_20 = _mix(_rotate(a + b, 43) + _rotate(c, 30) + d, a + _rotate(b + k2, 18) + c, multiplier)
    from_8 = torch.where(length > 16, to_20, to_16)
    return torch.where(length > 7, from_8, torch.where(length > 3, to_7, to_3))


def _sip(text: Tensor, length: Tensor, key: Key) -> Tensor:
    words = (length >> 3) + 1
    at = torch.arange(_BYTES, device=text.device)
    text = torch.where(at == (words * 8 - 1).unsqueeze(-1), length.unsqueeze(-1), text)
    state = [torch.full_like(length, _signed(start ^ key[i % 2])) for i, start in enumerate(SIP_STARTS)]
    for number in range(_BYTES // 8):
        word = _word(text, 8 * number)
        after = _rounds([*state[:3], state[3] ^ word], 2)
        after[0] = after[0] ^ word
        state = [torch.where(number < words, new, old) for new, old in zip(after, state, strict=True)]
    state = _rounds([*state[:2], state[2] ^ 0xFF, state[3]], 4)
    return state[0] ^ state[1] ^ state[2] ^ state[3]


def _rounds(state: Sequence[Tensor], count: int) -> list[Tensor]:
    left: Callable[[Tensor, int], Tensor] = lambda x, bits: _rotate(x, 64 - bits)  # noqa: E731
    a, b, c, d = state
    for _ in range(count):
        a, c = a + b, c + d
        b, d = left(b, 13) ^ a, left(d, 16) ^ c
        a, c = left(a, 32) + d, c + b
        b, d = left(b, 17) ^ c, left(d, 21) ^ a
        c = left(c, 32)
    return [a, b, c, d]

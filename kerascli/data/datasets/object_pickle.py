"""The lists of whole numbers in an object array that numpy pickled. Nothing is unpickled: opcodes are read, not run.

What numpy writes before the lists (the array's type and shape) is passed over up to the list of rows. From there on,
`]` begins a row, and numbers belong to the row that was begun last. An opcode that lists of numbers do not need is
refused.
"""

import struct

import numpy as np

from kerascli.data.storage.tokens import Tokens
from kerascli.errors import DataError

_EMPTY_LIST, _BYTE, _SHORT, _INT = b"]KMJ"
_STRUCTURE = {ord("("): 1, ord("e"): 1, ord("a"): 1, ord("q"): 2, ord("r"): 5, 0x94: 1, 0x95: 9}
"""Marks, appends, memos and frames, which change no number, with their lengths."""
_END = ord("t")


def parse_sequences(data: bytes, rows: int, name: str) -> Tokens:
    """The rows, int32. Raises DataError when there are not as many as `rows`, or anything else in them."""
    start = _first_row(data)
    if start < 0:
        raise DataError(f"{name}: there is no array of lists")
    try:
        values, lengths = _read(data, start)
    except (IndexError, ValueError, struct.error) as error:
        raise DataError(f"{name}: cannot be read: {str(error)[:100]}") from None
    if len(lengths) != rows:
        raise DataError(f"{name}: has {len(lengths):,} lists; its header says {rows:,}")
    return Tokens(np.array(values, np.int32), np.array(lengths, np.int64))


def _first_row(data: bytes) -> int:
    """Just behind the `]` that begins the list of all rows: the array's state ends with `\\x89` (not Fortran's)."""
    flag = data.find(b"\x89]", 0, 1024)
    return flag + 2 if flag >= 0 else -1


def _read(data: bytes, at: int) -> tuple[list[int], list[int]]:
    values: list[int] = []
    add = values.append
    starts: list[int] = []
    while (code := data[at]) != _END:
        if code == _BYTE:
            add(data[at + 1])
            at += 2
        elif code == _SHORT:
            add(data[at + 1] | data[at + 2] << 8)
            at += 3
        elif code == _INT:
            add(struct.unpack_from("<i", data, at + 1)[0])
            at += 5
        elif code == _EMPTY_LIST:
            starts.append(len(values))
            at += 1
        elif code in _STRUCTURE:
            at += _STRUCTURE[code]
        else:
            raise ValueError(f"the opcode {code:#04x} stands at byte {at:,}; expected whole numbers in lists")
    if (starts and starts[0]) or (values and not starts):
        raise ValueError("there are numbers outside of a list")
    return values, np.diff([*starts, len(values)]).tolist()

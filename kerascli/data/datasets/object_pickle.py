"""Read lists of integers from an object array pickled by numpy, without unpickling: no opcode is executed.

The preamble (the array's type and shape) is skipped up to the list of rows. From there on, `]` begins a row, and
integers belong to the row that was begun last. An opcode that lists of integers do not need is refused.
"""

import struct

import numpy as np

from kerascli.data.storage.tokens import Tokens
from kerascli.foundation.errors import DataError

_EMPTY_LIST, _BYTE, _SHORT, _INT = b"]KMJ"
_STRUCTURE = {ord("("): 1, ord("e"): 1, ord("a"): 1, ord("q"): 2, ord("r"): 5, 0x94: 1, 0x95: 9}
"""Mapping from opcodes of a pickle that affect no value (marks, appends, memos, frames) to their length in bytes."""
_END = ord("t")


def parse_sequences(data: bytes, rows: int, name: str) -> Tokens:
    """Return the lists of integers in a pickled array as int32 rows. Raises DataError unless there are `rows` lists."""
    flag = data.find(b"\x89]", 0, 1024)  # the end of the array's state (not in Fortran order), and `]` of its rows
    if flag < 0:
        raise DataError(f"{name}: there is no array of lists")
    try:
        values, lengths = _read(data, flag + 2)
    except (IndexError, ValueError, struct.error) as error:
        raise DataError(f"{name}: cannot be read: {str(error)[:100]}") from None
    if len(lengths) != rows:
        raise DataError(f"{name}: has {len(lengths):,} lists; expected {rows:,}")
    return Tokens(np.array(values, np.int32), np.array(lengths, np.int64))


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
            raise ValueError(f"unexpected opcode {code:#04x} at byte {at:,}; expected lists of integers")
    if (starts and starts[0]) or (values and not starts):
        raise ValueError("there are numbers outside of a list")
    return values, np.diff([*starts, len(values)]).tolist()

"""Parser for IDX, the file format of MNIST: two zero bytes, a type, the number of axes, their sizes, the values."""

import math
import struct

import numpy as np

from kerascli.foundation.errors import DataError, Fault, Place

_UINT8 = 0x08


def parse_idx(data: bytes | bytearray, name: str) -> np.ndarray:
    """Parse the bytes of an IDX file to a read-only uint8 array. Raises DataError."""
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != _UINT8 or not 1 <= data[3] <= 4:
        raise DataError(Fault("this is not an IDX file of bytes", place=Place(name)))
    start = 4 + 4 * data[3]
    shape = struct.unpack(f">{data[3]}I", data[4:start].ljust(4 * data[3], b"\0"))
    if math.prod(shape) != len(data) - start:
        text = f"the file says {math.prod(shape):,} values and has {max(0, len(data) - start):,}"
        raise DataError(Fault(text, place=Place(name)))
    values = np.frombuffer(data, np.uint8, offset=start).reshape(shape)
    values.flags.writeable = False
    return values

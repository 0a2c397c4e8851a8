"""A batch file of CIFAR-10. It is a pickle, and nothing is unpickled: its opcodes are listed, not run.

What we look for stands in every batch in the same form: the pixels are the one long byte string, the labels are the
list of small numbers after the key 'labels'.
"""

import pickletools

import numpy as np

from kerascli.errors import DataError

_PIXELS = 3 * 32 * 32
_BYTES = {"BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES"}
_TEXT = {"BINUNICODE", "SHORT_BINUNICODE", *_BYTES}
_NUMBERS = {"BININT1", "BININT2", "BININT"}


def parse_batch(data: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 3072) and labels (N,), both uint8. Raises DataError."""
    pixels = b""
    labels: list[int] = []
    in_labels = False
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in _NUMBERS and in_labels and isinstance(argument, int):
                labels.append(argument)
            elif opcode.name in _TEXT:
                in_labels = argument in ("labels", b"labels")
                if opcode.name in _BYTES and argument is not None and len(argument) > len(pixels):
                    pixels = argument if isinstance(argument, bytes) else argument.encode("latin-1")
    except (ValueError, UnicodeError) as error:
        raise DataError(f"cifar10: '{name}' cannot be read: {str(error)[:100]}") from None
    if not labels or len(pixels) != _PIXELS * len(labels) or not all(0 <= label < 10 for label in labels):
        raise DataError(f"cifar10: '{name}' has {len(pixels):,} bytes of pixels and {len(labels):,} labels")
    return np.frombuffer(pixels, np.uint8).reshape(-1, _PIXELS), np.array(labels, np.uint8)

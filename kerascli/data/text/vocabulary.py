"""Read vocabularies from text files with one entry per line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kerascli.foundation.disk.files import LINE_BYTES, memory_limit, read_bytes, refuse_text
from kerascli.foundation.errors import DataError, Place, safe_text


def read_vocabulary(path: Path, parse: Callable[[str], Any]) -> list[Any]:
    """Read a UTF-8 file with one vocabulary entry a line. Raises DataError, and ValueError for an invalid line."""
    data = read_bytes(path, memory_limit() // 8)
    refuse_text(data, {"\n": LINE_BYTES}, len(data), str(path))
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        place = Place(str(path), data.count(b"\n", 0, error.start) + 1)
        raise DataError(f"not UTF-8 (byte {data[error.start]:#04x})", place=place) from None
    if lines[-1] == "":
        lines.pop()
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            entries.append(parse(line.removesuffix("\r")))
        except ValueError as error:
            raise ValueError(f"vocabulary: line {number} of '{safe_text(str(path))}': {error}") from None
    return entries

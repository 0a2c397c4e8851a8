"""Read text files from outside: whole, or as vocabularies with one entry per line."""

from pathlib import Path
from typing import Any

from kerascli.foundation.disk.files import LINE_BYTES, memory_limit, read_bytes, refuse_text
from kerascli.foundation.errors import DataError, Place, safe_text


def read_text(path: Path, name: str) -> str:
    """Read a UTF-8 file, without a byte order mark; `name` is its name in messages. Raises DataError with the line of
    the first invalid byte."""
    data = read_bytes(path, memory_limit() // 8, name).removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"not UTF-8 (byte {data[error.start]:#04x})", place=Place(name, line)) from None


def read_vocabulary(path: Path, kind: type[str | int]) -> list[Any]:
    """Read a UTF-8 file with one vocabulary entry, a text or an integer, a line. Raises DataError, and ValueError for a
    line that is no integer."""
    text = read_text(path, str(path))
    refuse_text(text, {"\n": LINE_BYTES}, len(text), str(path))
    entries = []
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else (), 1):
        try:
            entries.append(kind(line.removesuffix("\r")))
        except ValueError:
            text = f"vocabulary: line {number} of '{safe_text(str(path))}': expected an integer"
            raise ValueError(text) from None
    return entries

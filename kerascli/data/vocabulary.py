"""Vocabularies that are given: in the config, or in a text file with an entry a line."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kerascli.errors import DataError, safe_text
from kerascli.files import memory_limit, read_bytes


def read_vocabulary(path: Path, parse: Callable[[str], Any]) -> list[Any]:
    """The lines of a UTF-8 file as entries. Raises DataError, and ValueError for a line that is none."""
    data = read_bytes(path, memory_limit() // 8)
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"'{safe_text(str(path))}' is not UTF-8 (byte {data[error.start]:#04x})") from None
    if lines[-1] == "":
        lines.pop()
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            entries.append(parse(line.removesuffix("\r")))
        except ValueError as error:
            raise ValueError(f"vocabulary: line {number} of '{safe_text(str(path))}': {error}") from None
    return entries


def check_vocabulary(entries: Sequence[Any], *special: Any) -> None:
    """Raises ValueError if there are none, one stands twice, or a special token is among them."""
    if not entries:
        raise ValueError("vocabulary: expected at least one entry")
    twice, times = Counter(entries).most_common(1)[0]
    if times > 1:
        raise ValueError(f"vocabulary: '{safe_text(str(twice), 40)}' stands twice")
    for token in special:
        if token is not None and token in entries:
            raise ValueError(f"vocabulary: the special token '{safe_text(str(token), 40)}' is among the entries")

"""Read files in a run folder, which may be untrusted: only regular files, of limited size."""

import json
import os
from io import BufferedReader
from pathlib import Path
from typing import Any

from kerascli.foundation.disk.files import NotRegular, open_file, unique_keys
from kerascli.foundation.disk.storage import size_text
from kerascli.foundation.errors import FileRefused, safe_text

TEXT_LIMIT_BYTES = 64 * 1000**2
LATEST = "latest"
"""Selector of the run that was started last."""


def read_bytes(path: Path, limit_bytes: int | None = None) -> bytes:
    """Return the contents of a file in a run folder. Raises an error unless it is a regular file of limited size.

    Raises OSError, and FileRefused if it is not a regular file or too large.
    """
    try:
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            if limit_bytes is not None and size > limit_bytes:
                raise FileRefused(f"{quoted(path)} has {size_text(size)}; at most {size_text(limit_bytes)} are read")
            return file.read()
    except NotRegular:
        raise FileRefused(f"{quoted(path)} is not a regular file") from None


def must_open(path: Path) -> BufferedReader:
    """Open a file that every run must have for reading. Raises FileRefused if it is missing or no regular file."""
    try:
        return open_file(path)
    except NotRegular:
        raise FileRefused(f"{quoted(path)} is not a regular file") from None
    except OSError as error:
        raise _unreadable(path, error) from None


def must_read(path: Path, limit_bytes: int | None = None) -> bytes:
    """Return the contents of a file that every run must have. Raises FileRefused if it is missing or unreadable."""
    try:
        return read_bytes(path, limit_bytes)
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> FileRefused:
    return FileRefused(f"cannot read {quoted(path)}: {(error.strerror or str(error)).lower()}")


def read_text(path: Path) -> str:
    """Return the text of a file that every run must have. Raises FileRefused if it cannot be read or is not UTF-8."""
    return decoded(must_read(path, TEXT_LIMIT_BYTES), path)


def decoded(data: bytes, path: Path) -> str:
    """Return `data`, the contents of the file `path`, decoded as UTF-8. Raises FileRefused if it is not UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileRefused(f"{quoted(path)} is not UTF-8 text (byte {error.start})") from None


def json_object(data: bytes, path: Path) -> dict[str, Any]:
    """Return the JSON object in `data`, the contents of the file `path`, as a dict. Raises FileRefused without one."""
    try:
        value = json.loads(decoded(data, path), object_pairs_hook=unique_keys)
    except (ValueError, RecursionError):
        raise FileRefused(f"{quoted(path)} is damaged: not JSON") from None
    if not isinstance(value, dict):
        raise FileRefused(f"{quoted(path)} is damaged: not a JSON object")
    return value


def quoted(name: Path | str) -> str:
    """Return an untrusted path or name in quotes, with characters that are not safe for a terminal escaped."""
    return f"'{safe_text(str(name))}'"

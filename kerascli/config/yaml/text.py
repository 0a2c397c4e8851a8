"""Strict YAML reader that records the position of every key and value. Nothing is constructed, imported or executed.

Scalars follow YAML 1.2's core schema (see `scalars`). Duplicate keys, tags and second documents are refused; anchors,
aliases and merge keys work up to a number of expanded nodes.
"""

import os
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

from kerascli.config.yaml.document import Document
from kerascli.config.yaml.reader import parse_text
from kerascli.config.yaml.source import Source
from kerascli.foundation.disk.files import NotRegular, impossible_path, open_file
from kerascli.foundation.errors import ConfigError, Place, StorageError, nearest, show

MAX_BYTES = 1024 * 1024
_TOO_LARGE = f"the file is larger than {MAX_BYTES // 1024} KiB, the limit for a config"


def read_document(path: FilePath) -> Document:
    """Read a YAML config file. Raises ConfigError with all errors of its text, and StorageError."""
    name = str(path)
    return parse_document(_decode(_read_bytes(path, name), name), name, folder=path.parent)


def parse_document(text: str, name: str, *, folder: FilePath | None = None) -> Document:
    """Parse a config's YAML text to a Document: plain data with the position of each value. Raises ConfigError.

    `name` is the name of the text in messages, `folder` the base folder of its relative paths. The ConfigError has all
    errors.
    """
    if len(text) > MAX_BYTES:
        raise ConfigError(_TOO_LARGE, place=name)
    text = text.removeprefix("\ufeff")
    data, marks, is_empty = parse_text(text, Source.of(text, name))
    if is_empty:
        hint = "a config has the sections data, model, compile and fit"
        raise ConfigError("the file is empty", place=name, hint=hint)
    if not isinstance(data, dict):
        raise ConfigError(f"expected a mapping (key: value), got {show(data)}", place=marks[()].value)
    return Document(data, marks, name, {name: folder or FilePath()}, text=text)


def parse_value(text: str, name: str) -> Any:
    """Parse the value in `--set path=value`: a YAML scalar or flow collection. Raises ConfigError.

    `name` is the name of the text in the error.
    """
    try:
        return parse_text(text, Source.of(text, name))[0]
    except ConfigError as error:
        raise ConfigError([replace(fault, place=Place(name)) for fault in error.faults]) from None


def _read_bytes(path: FilePath, name: str) -> bytes:
    """Return the bytes of a config file; pipes and devices are refused. Raises ConfigError, StorageError."""
    try:
        with open_file(path) as file:
            data = file.read(MAX_BYTES + 1)
    except NotRegular as error:
        what = "a folder" if error.is_folder else "no regular file"
        raise ConfigError(f"expected a config file, '{name}' is {what}") from None
    except FileNotFoundError:
        raise ConfigError(f"there is no file '{name}'{_near(path)}") from None
    except (OSError, ValueError) as error:
        if reason := impossible_path(path):
            raise ConfigError(f"no file can be called {show(name)}: {reason}") from None
        reason = error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
        raise StorageError(f"'{name}' cannot be read: {reason}") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(_TOO_LARGE, place=name)
    return data


def _decode(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # utf-8-sig counts from after the byte order mark
        data = data.removeprefix(b"\xef\xbb\xbf")
        place = Source.unchecked(data.decode(errors="replace"), name).after(data[: error.start].decode())
        text = f"not UTF-8: byte 0x{data[error.start]:02x}"
        raise ConfigError(text, place=place, hint="save the file as UTF-8") from None


def _near(path: FilePath) -> str:
    """Return a suggestion ("did you mean ...") of a file with a similar name in the same folder, or an empty text."""
    try:
        names = sorted(entry.name for entry in os.scandir(path.parent) if entry.is_file())
    except OSError:
        return ""
    close = nearest(path.name, names)
    return f"; did you mean '{path.with_name(close)}'?" if close else ""

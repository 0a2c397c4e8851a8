"""JSON files that begin with their own checksum: their first value is the SHA-256 of all bytes after its line."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerascli.foundation.disk.storage import json_text, text_bytes
from kerascli.foundation.errors import FileRefused
from kerascli.runs.reading import json_object, quoted

_OPEN, _CLOSE = b'{\n  "sha256": "', b'",\n'
_SEAL_BYTES = len(_OPEN) + 64 + len(_CLOSE)


def sealed(facts: Mapping[str, Any]) -> bytes:
    """Return the contents of a JSON file with the dict `facts` (not empty), after a checksum of these contents."""
    rest = text_bytes(json_text(facts)).removeprefix(b"{\n")
    return _seal(rest) + rest


def is_sealed(data: bytes) -> bool:
    """Return True if the contents of a JSON file begin with a checksum as `sealed` writes it."""
    return data.startswith(_OPEN)


def unsealed(data: bytes, path: Path) -> dict[str, Any]:
    """Return the dict from a JSON file that `sealed` wrote. Raises FileRefused, naming `path`, if a byte changed."""
    rest = data[_SEAL_BYTES:]
    if data[:_SEAL_BYTES] != _seal(rest):
        raise FileRefused(f"{quoted(path)} is damaged: its sha256 differs from the one in its first line")
    facts = json_object(data, path)
    del facts["sha256"]
    return facts


def _seal(rest: bytes) -> bytes:
    return _OPEN + hashlib.sha256(rest).hexdigest().encode() + _CLOSE

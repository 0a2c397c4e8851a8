"""Manifest of a checkpoint: a JSON file that lists the checkpoint's files with SHA-256, and has its own SHA-256."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kerascli.foundation.disk.files import unique_keys
from kerascli.foundation.disk.pieces import pieces
from kerascli.foundation.errors import FileRefused
from kerascli.runs.reading import TEXT_LIMIT_BYTES, read_bytes

BLOB_NAME = r"[a-z][a-z0-9_-]{0,60}(\.[a-z0-9_-]{1,20})?"
SLOT_NAME = r"[a-z][a-z0-9_-]{0,60}"

# A manifest is JSON whose first value is the SHA-256 of the bytes of its second.
_OPEN, _MIDDLE, _CLOSE = b'{"sha256": "', b'", "checkpoint": ', b"}\n"


class Damaged(Exception):
    """Exception for a damaged checkpoint, which cannot be used; its text is the reason."""


class BlobFile(BaseModel):
    """Size in bytes and SHA-256 of a file (blob) of a checkpoint, as recorded in its manifest."""

    model_config = ConfigDict(strict=True, extra="forbid")

    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}\z")]


class Manifest(BaseModel):
    """Validated manifest of a checkpoint: training step, names of its files (parts of their paths), and JSON values
    (counters ...)."""

    model_config = ConfigDict(strict=True, extra="forbid")

    format: Literal[1, 2] = 2
    step: Annotated[int, Field(ge=0, lt=10**15)]
    slots: list[Annotated[str, Field(pattern=rf"^{SLOT_NAME}\z")]] = []
    """Further names (such as `best`) under which the checkpoint is saved; not recorded in format 1."""
    files: dict[Annotated[str, Field(pattern=rf"^{BLOB_NAME}\z")], BlobFile]
    facts: dict[str, Any]

    def paths(self, folder: Path) -> dict[str, Path]:
        return {name: folder / blob_file(self.step, name, file.sha256) for name, file in self.files.items()}


def blob_file(step: int, name: str, sha256: str) -> str:
    """Return the name of a checkpoint's file, composed of the training step, `name` and the file's SHA-256."""
    return f"step-{step:08d}.{sha256[:16]}.{name}"


def sealed_manifest(body: bytes) -> bytes:
    """Return the contents of a checkpoint's manifest file: the JSON `body` with its SHA-256."""
    return _OPEN + pieces(body).sha256().encode() + _MIDDLE + body + _CLOSE


def read_manifest(path: Path) -> Manifest:
    """Return the manifest of a checkpoint, read from its JSON file and verified. Raises Damaged."""
    data = read_contents(path, "the manifest", TEXT_LIMIT_BYTES)
    body = data[len(_OPEN) + 64 + len(_MIDDLE) : -len(_CLOSE)]
    if data != sealed_manifest(body):
        raise Damaged("sha256 of the manifest differs")
    try:
        return Manifest.model_validate(json.loads(body, object_pairs_hook=unique_keys))
    except (ValidationError, ValueError, RecursionError):
        raise Damaged("the manifest is not in the form that this version of kerascli writes") from None


def read_verified(path: Path, name: str, recorded: BlobFile) -> bytes:
    """Return the contents of a checkpoint's file. Raises Damaged if its size or SHA-256 is not that of the manifest."""
    data = read_contents(path, f"'{name}'", recorded.bytes)
    if len(data) != recorded.bytes:
        raise Damaged(f"'{name}' has {len(data)} bytes, expected {recorded.bytes}")
    if pieces(data).sha256() != recorded.sha256:
        raise Damaged(f"sha256 of '{name}' differs")
    return data


def read_contents(path: Path, what: str, limit_bytes: int) -> bytes:
    """Return the contents of a checkpoint's file. Raises Damaged with a message that names it `what` if it cannot be
    read."""
    try:
        return read_bytes(path, limit_bytes)
    except FileNotFoundError:
        raise Damaged(f"{what} is missing") from None
    except OSError as error:
        raise Damaged(f"{what} cannot be read: {(error.strerror or str(error)).lower()}") from None
    except FileRefused as error:
        raise Damaged(str(error)) from None

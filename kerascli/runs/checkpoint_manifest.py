"""Manifest of a checkpoint, a JSON file that lists the checkpoint's files with SHA-256, and these files, verified."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from kerascli.foundation.disk.files import unique_keys
from kerascli.foundation.disk.pieces import pieces
from kerascli.foundation.errors import FileRefused
from kerascli.runs.checksums import Digest
from kerascli.runs.reading import TEXT_LIMIT_BYTES, quoted, read_bytes

BLOB_NAME = r"[a-z][a-z0-9_-]{0,60}(\.[a-z0-9_-]{1,20})?"
SLOT_NAME = r"[a-z][a-z0-9_-]{0,60}"

# A manifest is JSON whose first value is the SHA-256 of the bytes of its second.
_OPEN, _MIDDLE, _CLOSE = b'{"sha256": "', b'", "checkpoint": ', b"}\n"


class BlobFile(BaseModel, strict=True, extra="forbid"):
    """Size in bytes and SHA-256 of a file (blob) of a checkpoint, as recorded in its manifest."""

    bytes: Annotated[int, Field(ge=0)]
    sha256: Digest


class Manifest(BaseModel, strict=True, extra="forbid"):
    """Validated manifest of a checkpoint: training step, names of its files (parts of their paths), and JSON values
    (counters ...)."""

    format: Literal[2] = 2
    step: Annotated[int, Field(ge=0, lt=10**15)]
    slots: list[Annotated[str, Field(pattern=rf"^{SLOT_NAME}\z")]] = []
    """Further names (such as `best`) under which the checkpoint is saved."""
    files: dict[Annotated[str, Field(pattern=rf"^{BLOB_NAME}\z")], BlobFile]
    facts: dict[str, Any]

    def paths(self, folder: Path) -> dict[str, Path]:
        return {name: folder / blob_file(self.step, name, file.sha256) for name, file in self.files.items()}

    def sealed(self) -> bytes:
        """Return the contents of the manifest's file."""
        return sealed_manifest(json.dumps(self.model_dump()).encode())


def blob_file(step: int, name: str, sha256: str) -> str:
    """Return the name of a checkpoint's file, composed of the training step, `name` and the file's SHA-256."""
    return f"step-{step:08d}.{sha256[:16]}.{name}"


def sealed_manifest(body: bytes) -> bytes:
    """Return the contents of a checkpoint's manifest file: the JSON `body` with its SHA-256."""
    return _OPEN + pieces(body).sha256().encode() + _MIDDLE + body + _CLOSE


def read_manifest(path: Path) -> Manifest:
    """Return the manifest of a checkpoint, read from its JSON file and verified. Raises FileRefused."""
    data = read_contents(path, "the manifest", TEXT_LIMIT_BYTES)
    body = data[len(_OPEN) + 64 + len(_MIDDLE) : -len(_CLOSE)]
    if data != sealed_manifest(body):
        raise FileRefused("sha256 of the manifest differs")
    try:
        return Manifest.model_validate(json.loads(body, object_pairs_hook=unique_keys))
    except (ValidationError, ValueError, RecursionError):
        raise FileRefused("the manifest is not in the form that this version of kerascli writes") from None


def read_verified(path: Path, name: str, recorded: BlobFile) -> bytes:
    """Return the contents of a checkpoint's file. Raises FileRefused unless size and SHA-256 are the manifest's."""
    data = read_contents(path, f"'{name}'", recorded.bytes)
    if len(data) != recorded.bytes:
        raise FileRefused(f"'{name}' has {len(data)} bytes, expected {recorded.bytes}")
    if pieces(data).sha256() != recorded.sha256:
        raise FileRefused(f"sha256 of '{name}' differs")
    return data


def read_contents(path: Path, what: str, limit_bytes: int) -> bytes:
    """Return the contents of a checkpoint's file. Raises FileRefused, which names it `what`, if it cannot be read."""
    try:
        return read_bytes(path, limit_bytes)
    except FileNotFoundError:
        raise FileRefused(f"{what} is missing") from None
    except OSError as error:
        raise FileRefused(f"{what} cannot be read: {(error.strerror or str(error)).lower()}") from None


class Blobs(Mapping[str, bytes]):
    """Mapping from the name of a checkpoint's file to its contents, of which only the last one read stays in memory."""

    def __init__(self, manifest: Manifest, folder: Path, needed: Sequence[str] | None) -> None:
        """Verify the SHA-256 of the `needed` files of a checkpoint (None: all), and that its other files exist.

        Raises FileRefused.
        """
        self._paths = manifest.paths(folder)
        self._files: Mapping[str, BlobFile] = manifest.files
        self._read: tuple[str, bytes] | None = None
        for name in reversed(list(manifest.files)):
            if needed is None or name in needed:
                self._read = (name, read_verified(self._paths[name], name, self._files[name]))
            elif not self._paths[name].is_file():
                raise FileRefused(f"'{name}' is missing")

    def __getitem__(self, name: str) -> bytes:
        if self._read is None or self._read[0] != name:
            self._read = None
            try:
                self._read = (name, read_verified(self._paths[name], name, self._files[name]))
            except FileRefused as reason:
                raise FileRefused(f"a checkpoint in {quoted(self._paths[name].parent)} is damaged: {reason}") from None
        return self._read[1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

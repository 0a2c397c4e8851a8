"""Append epochs to a run's history.csv, at a cost that does not grow with the number of epochs."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from kerascli.foundation.disk import storage
from kerascli.foundation.errors import FileRefused
from kerascli.runs import history
from kerascli.runs.reading import must_read, quoted


class Prefix(BaseModel):
    """Length and SHA-256 of the beginning of history.csv, as it was when a checkpoint or run.json was written."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    size: NonNegativeInt = 0
    """Length, in bytes, of the recorded beginning of history.csv."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}\z")] = hashlib.sha256().hexdigest()

    def check(self, path: Path) -> bytes:
        """Return the contents of history.csv at `path`. Raises FileRefused unless it begins with the recorded bytes."""
        data = must_read(path)
        if len(data) < self.size:
            raise FileRefused(f"{quoted(path)} is damaged: it has {len(data)} of the {self.size} bytes recorded")
        if hashlib.sha256(data[: self.size]).hexdigest() != self.sha256:
            raise FileRefused(f"{quoted(path)} is damaged: the sha256 of its first {self.size} bytes differs")
        return data


class HistoryWriter:
    """Writer of a run's history.csv during training; it also computes the file's SHA-256."""

    def __init__(self, path: Path, names: Sequence[str], prefix: Prefix) -> None:
        """Open history.csv and check that it begins with the rows in `prefix`; `cut` removes later rows. Raises
        FileRefused."""
        self.path = path
        self._names = names
        self._size = 0
        self._known = history.header(names).encode()
        if prefix.size:
            data = prefix.check(path)
            if not data.startswith(self._known):
                hint = "start a new run; this one is still there for evaluate, predict and export"
                raise FileRefused(f"{quoted(path)} has other columns than this version writes", hint=hint)
            self._size, self._known = len(data), data[: prefix.size]
        self._digest = hashlib.sha256(self._known)
        self._synced = True

    def cut(self) -> None:
        """Remove an incomplete last line and rows of epochs to train again from history.csv; write a missing header."""
        if self._size != len(self._known):
            storage.write_bytes(self.path, self._known)
        self._size, self._known = len(self._known), b""

    def append(self, row: history.Row) -> None:
        """Append an epoch's row to history.csv; only `synced_prefix` makes it durable."""
        line = history.line(row, self._names).encode()
        storage.append(self.path, line)
        self._size += len(line)
        self._digest.update(line)
        self._synced = False

    def synced_prefix(self) -> Prefix:
        """Write history.csv durably (fsync); return its length and SHA-256."""
        if not self._synced:
            storage.sync_file(self.path)
            self._synced = True
        return Prefix(size=self._size, sha256=self._digest.hexdigest())

"""Writer of history.csv that appends the rows of epochs, at a cost that does not grow with the number of epochs."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from kerascli.disk import storage
from kerascli.errors import FileRefused
from kerascli.runs import history
from kerascli.runs.reading import must_read, quoted


class Prefix(BaseModel):
    """Length and SHA-256 of the beginning of history.csv that a checkpoint or run.json has recorded."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    size: NonNegativeInt = 0
    """Length in bytes."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}\z")] = hashlib.sha256().hexdigest()

    def check(self, path: Path) -> bytes:
        """Return the contents of history.csv at `path`. Raises FileRefused unless they begin with the recorded part."""
        data = must_read(path)
        if len(data) < self.size:
            raise FileRefused(f"{quoted(path)} is damaged: it has {len(data)} of the {self.size} bytes recorded")
        if hashlib.sha256(data[: self.size]).hexdigest() != self.sha256:
            raise FileRefused(f"{quoted(path)} is damaged: the sha256 of its first {self.size} bytes differs")
        return data


class HistoryWriter:
    """Writer of history.csv during training; also computes the SHA-256 of the file's contents."""

    def __init__(self, path: Path, names: Sequence[str], prefix: Prefix) -> None:
        """Check that history.csv begins with the recorded `prefix`; `cut` then removes the rest. Raises FileRefused."""
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
        """Remove rows of epochs to train again, and a torn last line, from history.csv; a new file gets a header."""
        if self._size != len(self._known):
            storage.write_bytes(self.path, self._known)
        self._size, self._known = len(self._known), b""

    def append(self, row: history.Row) -> None:
        """Append the row of an epoch to history.csv; it is durable after `synced_prefix`."""
        line = history.line(row, self._names).encode()
        storage.append(self.path, line)
        self._size += len(line)
        self._digest.update(line)
        self._synced = False

    def synced_prefix(self) -> Prefix:
        """Make all rows of history.csv durable (fsync); return the file's length and SHA-256."""
        if not self._synced:
            storage.sync_file(self.path)
            self._synced = True
        return Prefix(size=self._size, sha256=self._digest.hexdigest())

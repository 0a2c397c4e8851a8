"""Measured times of a training step, traced and compiled, kept in the compiler's cache for later runs."""

import json
from pathlib import Path
from typing import NamedTuple, Self

from kerascli.compiler.cache import cache_folder
from kerascli.foundation.disk import storage
from kerascli.foundation.disk.files import read_bytes
from kerascli.foundation.errors import KerasCliError


class Verdict(NamedTuple):
    """Seconds that a training step took in the execution modes `traced` and `compiled`, timed in turns."""

    traced: float
    compiled: float

    @property
    def text(self) -> str:
        return f"timed after an earlier run: {1000 * self.traced:.3g} ms traced, {1000 * self.compiled:.3g} ms compiled"

    @classmethod
    def of(cls, digest: str) -> Self | None:
        """Return the verdict on the program with this digest (`Program.digest`); None if there is none."""
        try:
            traced, compiled = json.loads(read_bytes(_path(digest), limit=1000))
            return cls(float(traced), float(compiled))
        except (KerasCliError, OSError, ValueError, TypeError):  # absent or damaged
            return None

    def keep(self, digest: str) -> None:
        """Write the verdict on the program with this digest to the cache. Raises StorageError."""
        storage.make_folder(_path(digest).parent)
        storage.write_text(_path(digest), storage.json_text(list(self)))


def _path(digest: str) -> Path:
    return cache_folder() / "verdicts" / f"{digest}.json"

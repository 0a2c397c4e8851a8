"""Cache folder for torch's compiler: accessible only to the user, because files in it are executed.

It also has the measured times of training steps, traced and compiled, for later runs.
"""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, Self

from kerascli.foundation.disk import storage
from kerascli.foundation.disk.files import read_bytes
from kerascli.foundation.errors import KerasCliError

_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


def use_own_cache() -> None:
    """Make torch's compiler use the private cache folder, not its default one in the shared temporary folder."""
    os.environ.setdefault(_VARIABLE, str(cache_folder()))


def make_own_cache() -> None:
    """Create the private cache folder, accessible to this user only. Raises OSError."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # fails if another user owns it


@contextmanager
def existing_cache() -> Iterator[None]:
    """Context manager in which the cache folder exists, which torch's compiler creates when it is imported.

    It is a temporary one where the system refuses the other, so that what compiles nothing needs no writable home.
    """
    folder = os.environ.get(_VARIABLE, str(cache_folder()))
    with ExitStack() as ends:
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
        except OSError:
            os.environ[_VARIABLE] = ends.enter_context(TemporaryDirectory())
            ends.callback(os.environ.__setitem__, _VARIABLE, folder)
        yield


def cache_folder() -> Path:
    """Return the path of the private cache folder: `~/.cache/kerascli/compiled`, or its equivalent on other systems."""
    return storage.cache_folder() / "compiled"


class Verdict(NamedTuple):
    """Seconds that a training step took in the execution modes `traced` and `compiled`, timed in turns."""

    traced: float
    compiled: float

    @property
    def saved(self) -> float:
        """Seconds that compiling saves in each step."""
        return self.traced - self.compiled

    @property
    def text(self) -> str:
        return f"timed after an earlier run: {1000 * self.traced:.3g} ms traced, {1000 * self.compiled:.3g} ms compiled"

    @classmethod
    def of(cls, digest: str) -> Self | None:
        """Return the verdict on the program with this digest (`digest_of`); None if there is none."""
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

"""Cache folder for torch's compiler: accessible only to the user, because files in it are executed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from kerascli.foundation.disk import storage

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
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError:
        with TemporaryDirectory() as temporary:
            os.environ[_VARIABLE] = temporary
            try:
                yield
            finally:
                os.environ[_VARIABLE] = folder
    else:
        yield


def cache_folder() -> Path:
    """Return the path of the private cache folder: `~/.cache/kerascli/compiled`, or its equivalent on other systems."""
    return storage.cache_folder() / "compiled"

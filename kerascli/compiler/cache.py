"""Cache folder of torch's compiler: private to the user, because the files in it are executed."""

import os
from pathlib import Path

from kerascli.disk import storage

_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


def use_own_cache() -> None:
    """Set torch's cache folder to the private one, before torch uses its default in the shared temporary folder."""
    os.environ.setdefault(_VARIABLE, str(cache_folder()))


def make_own_cache() -> None:
    """Create the private cache folder, accessible to this user only. Raises OSError."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # fails if another user owns it


def cache_folder() -> Path:
    """Return the private cache folder: `~/.cache/kerascli/compiled`, or the system's equivalent."""
    return storage.cache_folder() / "compiled"

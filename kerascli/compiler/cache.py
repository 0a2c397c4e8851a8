"""Cache folder for torch's compiler: accessible only to the user, because files in it are executed."""

import os
from pathlib import Path

from kerascli.disk import storage

_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


def use_own_cache() -> None:
    """Make torch's compiler use the private cache folder, not its default one in the shared temporary folder."""
    os.environ.setdefault(_VARIABLE, str(cache_folder()))


def make_own_cache() -> None:
    """Create the private cache folder, accessible to this user only. Raises OSError."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # fails if another user owns it


def cache_folder() -> Path:
    """Return the path of the private cache folder: `~/.cache/kerascli/compiled`, or its equivalent on other systems."""
    return storage.cache_folder() / "compiled"

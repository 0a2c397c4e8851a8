"""Where torch's compiler keeps what it made: a folder of the user's own, for what lies there is executed."""

import os
from pathlib import Path

from kerascli import storage

_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


def use_own_cache() -> None:
    """Before anything of torch asks: it would settle on a folder in the shared one for temporary files."""
    os.environ.setdefault(_VARIABLE, str(cache_folder()))


def make_own_cache() -> None:
    """Have the folder, for this user alone. Raises OSError."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # refused where it is somebody else's


def cache_folder() -> Path:
    """`~/.cache/kerascli/compiled`, or what the system has in its place."""
    return storage.cache_folder() / "compiled"

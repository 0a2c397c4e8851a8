"""Image operations, one per file: each is registered as a layer and as a data transform."""

import importlib
import pkgutil
from collections.abc import Iterator

from kerascli.preprocessing.images.base import REGISTERED, ImageOperation


def operations() -> Iterator[type[ImageOperation]]:
    """Return all image operations, after importing every file of this folder."""
    for info in pkgutil.iter_modules(__path__, f"{__name__}."):
        importlib.import_module(info.name)
    return iter(REGISTERED)

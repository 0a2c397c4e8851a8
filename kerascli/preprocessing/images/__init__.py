"""What is done to images, one operation a file: each is a layer and a transform of data."""

import importlib
import pkgutil
from collections.abc import Iterator

from kerascli.preprocessing.images.base import REGISTERED, ImageOperation


def operations() -> Iterator[type[ImageOperation]]:
    """All operations, each file of this folder imported."""
    for info in pkgutil.iter_modules(__path__, f"{__name__}."):
        importlib.import_module(info.name)
    return iter(REGISTERED)

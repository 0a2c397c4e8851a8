"""Download datasets once, into Keras's cache folder and under Keras's file names, so that Keras can use them, too."""

import hashlib
import os
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

from kerascli.data.base import Context, Source
from kerascli.data.download import Problem, download
from kerascli.foundation.disk.files import read_bytes

KERAS_FILES = "https://storage.googleapis.com/tensorflow/tf-keras-datasets"
"""URL of the folder from which Keras downloads most datasets."""
SHA256 = {
    "cifar-10-python.tar.gz": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    "cifar-100-python.tar.gz": "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
    "boston_housing.npz": "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5",
    "california_housing.npz": "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f",
    "imdb.npz": "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f",
    "reuters.npz": "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916",
}
"""Mapping from the name of a dataset's file to its SHA-256, as Keras states it."""
_LIMIT = 256 * 2**20


class Remote(NamedTuple):
    """Remote file of a dataset, with its path in the `datasets` folder of Keras's cache."""

    url: str
    path: str
    limit: int
    """Maximum size of the file in bytes."""
    problem: Problem
    packaged: Path | None = None
    """Path of the file where a system package installs it; None if there is no such package."""

    @property
    def local(self) -> Path:
        return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "datasets" / self.path

    @property
    def place(self) -> Path:
        """Return the local path of the file: in Keras's cache, or in the system's package if it exists only there."""
        if self.packaged is not None and self.packaged.exists() and not self.local.exists():
            return self.packaged
        return self.local


class Downloaded(Source):
    """Base class of datasets of a single file, whose SHA-256 is known."""

    url: ClassVar[str]
    """Address of the file."""
    cached_as: ClassVar[str] = ""
    """Path of the file in the `datasets` folder of Keras's cache; '': its name."""

    @classmethod
    def remote(cls) -> Remote:
        name = cls.url.rpartition("/")[2]
        return Remote(cls.url, cls.cached_as or name, _LIMIT, partial(_damage, name))

    def data_files(self, context: Context) -> list[Path]:
        return [self.remote().local]


def _damage(name: str, data: bytes) -> str | None:
    return None if hashlib.sha256(data).hexdigest() == SHA256[name] else "the file is damaged (SHA-256 mismatch)"


def fetch(remote: Remote, context: Context) -> bytes:
    """Return the contents of a dataset file; it is downloaded and stored unless it exists and is valid.

    Raises DataError.
    """
    there = ""
    if remote.place.exists():
        data = read_bytes(remote.place, remote.limit)
        if (wrong := remote.problem(data)) is None:
            return data
        there = f"; '{remote.place}' exists, but cannot be used: {wrong}"
    return download(
        remote.url, remote.local, limit=remote.limit, problem=remote.problem, asked=("data", "source"), there=there,
        progress=context.progress,
    )  # fmt: skip

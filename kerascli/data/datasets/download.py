"""Download datasets once, into Keras's cache folder and under Keras's file names, so that Keras can use them, too."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from kerascli.data.base import Context
from kerascli.data.download import download
from kerascli.foundation.disk.files import read_bytes
from kerascli.foundation.errors import DataError


@dataclass(frozen=True, slots=True)
class Remote:
    """Remote file of a dataset, with its path in the `datasets` folder of Keras's cache."""

    url: str
    path: str
    limit: int
    """Maximum size of the file in bytes."""
    problem: Callable[[bytes], str | None]
    """Function that returns the problem with the file's contents as text, or None if they are valid."""
    packaged: Path | None = None
    """Path of the file where a system package installs it; None if there is no such package."""

    @property
    def local(self) -> Path:
        return keras_home() / "datasets" / self.path

    @property
    def place(self) -> Path:
        """Return the local path of the file: in Keras's cache, or in the system's package if it exists only there."""
        if self.packaged is not None and self.packaged.exists() and not self.local.exists():
            return self.packaged
        return self.local


def keras_home() -> Path:
    """Return Keras's cache folder: `$KERAS_HOME`, or `~/.keras`."""
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()


def fetch(remote: Remote, context: Context) -> bytes:
    """Return the contents of a dataset file; it is downloaded and stored unless it exists and is valid.

    Raises DataError.
    """
    wrong = None
    if remote.place.exists():
        data = read_bytes(remote.place, remote.limit)
        wrong = remote.problem(data)
        if wrong is None:
            return data
    try:
        return download(
            remote.url, remote.local, limit=remote.limit, problem=remote.problem, asked=("data", "source"),
            progress=context.progress,
        )  # fmt: skip
    except DataError as error:
        if wrong is None:
            raise
        (fault,) = error.faults
        there = f"'{remote.place}' exists, but cannot be used: {wrong}"
        raise DataError(replace(fault, text=f"{fault.text}; {there}")) from None

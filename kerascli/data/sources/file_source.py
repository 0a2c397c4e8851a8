"""What sources of files share: paths relative to the config, one file a split."""

import os
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from kerascli.data.base import Context, Source
from kerascli.data.table import Table


def rebase(path: str, old: Path, new: Path) -> str:
    """A path that was written for the folder `old`, for the folder `new`; absolute ones stay."""
    return path if os.path.isabs(path) else os.path.relpath(old / path, new)


class FileSource(Source):
    """A file to train on, and perhaps files for the other splits."""

    path: str
    validation: str | None = None
    test: str | None = None

    def load(self, context: Context) -> Mapping[str, Table]:
        return {split: self.read_file(context.folder / path, path) for split, path in self._paths().items()}

    def read(self, path: Path) -> Table:
        return self.read_file(path, str(path))

    @abstractmethod
    def read_file(self, path: Path, name: str) -> Table:
        """One file as a table that is called `name` in messages; raises DataError."""

    def files(self, context: Context) -> list[Path]:
        return [context.folder / path for path in self._paths().values()]

    def rebased(self, old: Path, new: Path) -> Self:
        moved = {field: rebase(getattr(self, field), old, new) for field in ("path", "validation", "test")
                 if getattr(self, field) is not None}  # fmt: skip
        return self.model_copy(update=moved)

    def _paths(self) -> dict[str, str]:
        paths = {"train": self.path, "validation": self.validation, "test": self.test}
        return {split: path for split, path in paths.items() if path is not None}

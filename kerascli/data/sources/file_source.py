"""What sources of files share: paths relative to the config, one file a split."""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path

from kerascli.data.base import Context, Source
from kerascli.data.storage.table import Table


class FileSource(Source):
    """A file to train on, and perhaps files for the other splits."""

    paths = ("path", "validation", "test")

    path: str
    """The file with the training rows, relative to the config."""
    validation: str | None = None
    """A file with rows of the split 'validation'."""
    test: str | None = None
    """A file with rows of the split 'test'."""

    def load(self, context: Context) -> Mapping[str, Table]:
        paths = self._paths()
        return {split: self.read_file(context.folder / path, path, context.columns) for split, path in paths.items()}

    @abstractmethod
    def read_file(self, path: Path, name: str, columns: frozenset[str] | None = None) -> Table:
        """One file as a table that is called `name` in messages; `columns` are those in use. Raises DataError."""

    def files(self, context: Context) -> list[Path]:
        return [context.folder / path for path in self._paths().values()]

    def _paths(self) -> dict[str, str]:
        paths = {"train": self.path, "validation": self.validation, "test": self.test}
        return {split: path for split, path in paths.items() if path is not None}

"""Files of a run that nothing depends on: logs, plots, samples, profiles."""

import re
from collections.abc import Mapping
from pathlib import Path

from kerascli import storage
from kerascli.errors import StorageError
from kerascli.runs.reading import quoted, read_text

FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9 ._-]{0,149}")
LOGS, PLOTS, PROFILE, SAMPLES = "logs", "plots", "profile", "samples"


class OutputFiles:
    """The folders of a run for what people look at."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write_log(self, file: str, text: str) -> None:
        """Rewrite a file in logs/."""
        storage.write_text(self._inside(LOGS, file), text)

    def append_log(self, file: str, text: str) -> None:
        """Add to the end of a file in logs/; durable after `sync_log`."""
        storage.append(self._inside(LOGS, file, make=False), storage.text_bytes(text))

    def sync_log(self, file: str) -> None:
        """Make what was appended to a file in logs/ durable."""
        storage.sync_file(self._inside(LOGS, file, make=False))

    def log(self, file: str) -> str | None:
        """A file in logs/, or nothing when there is none."""
        path = self._inside(LOGS, file, make=False)
        return read_text(path) if path.exists() else None

    def log_folder(self, folder: str) -> Path:
        """A folder in logs/ (`board/train`) for who writes files of its own; it exists."""
        path = self.path / LOGS
        for name in folder.split("/"):
            if not FILE.fullmatch(name):
                raise StorageError(f"{quoted(folder)} cannot name a folder in {LOGS}/")
            storage.make_folder(path)
            path /= name
        storage.make_folder(path)
        return path

    def plot_path(self, file: str) -> Path:
        """Where a plot of this run goes; its folder exists."""
        return self._inside(PLOTS, file)

    def write_sample(self, file: str, data: bytes) -> Path:
        """Keep a picture or a text that a model has made; returns where it is."""
        path = self._inside(SAMPLES, file)
        storage.write_bytes(path, data)
        return path

    def write_profile(self, files: Mapping[str, bytes]) -> list[Path]:
        """Keep the files of a profile, instead of those of an earlier one; returns where they are."""
        for name in self._names(PROFILE):
            storage.remove_file(self.path / PROFILE / name)
        paths = [self._inside(PROFILE, name) for name in files]
        for path, data in zip(paths, files.values(), strict=True):
            storage.write_bytes(path, data)
        return paths

    def _inside(self, folder: str, file: str, *, make: bool = True) -> Path:
        if not FILE.fullmatch(file):
            raise StorageError(f"{quoted(file)} cannot name a file in {folder}/")
        if make:
            storage.make_folder(self.path / folder)
        return self.path / folder / file

    def _names(self, folder: str) -> list[str]:
        path = self.path / folder
        return sorted(entry.name for entry in path.iterdir() if FILE.fullmatch(entry.name)) if path.is_dir() else []

"""Output files in a run folder that nothing else depends on: logs, plots, samples, profiles."""

import re
from collections.abc import Mapping
from pathlib import Path

from kerascli.disk import storage
from kerascli.errors import StorageError
from kerascli.runs.reading import quoted, read_text

FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9 ._-]{0,149}")
LOGS, PLOTS, PROFILE, SAMPLES = "logs", "plots", "profile", "samples"


class OutputFiles:
    """Access to the folders for logs, plots, samples and profiles in a run folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write_log(self, file: str, text: str) -> None:
        """Write a file in the run's logs/, replacing an existing one."""
        storage.write_text(self._inside(LOGS, file), text)

    def append_log(self, file: str, text: str) -> None:
        """Append text to a file in the run's logs/; it is durable after `sync_log`."""
        storage.append(self._inside(LOGS, file, make=False), storage.text_bytes(text))

    def sync_log(self, file: str) -> None:
        """Make the text appended to a file in the run's logs/ durable (fsync)."""
        storage.sync_file(self._inside(LOGS, file, make=False))

    def log(self, file: str) -> str | None:
        """Return the text of a file in the run's logs/, or None if there is none."""
        path = self._inside(LOGS, file, make=False)
        return read_text(path) if path.exists() else None

    def log_folder(self, folder: str) -> Path:
        """Create and return a folder in the run's logs/ (`board/train`) for a library that writes its own files."""
        path = self.path / LOGS
        for name in folder.split("/"):
            if not FILE.fullmatch(name):
                raise StorageError(f"{quoted(folder)} cannot name a folder in {LOGS}/")
            storage.make_folder(path)
            path /= name
        storage.make_folder(path)
        return path

    def plot_path(self, file: str) -> Path:
        """Return the path at which to write a plot of this run; its folder is created."""
        return self._inside(PLOTS, file)

    def write_sample(self, file: str, data: bytes) -> Path:
        """Write an image or text that the model generated to the run's samples/; return its path."""
        path = self._inside(SAMPLES, file)
        storage.write_bytes(path, data)
        return path

    def write_profile(self, files: Mapping[str, bytes]) -> list[Path]:
        """Write the files of a profile of the training, replacing an earlier one's; return their paths."""
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

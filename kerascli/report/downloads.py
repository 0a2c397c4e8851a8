"""Show the progress of downloads: by a bar at a terminal, else by a line before and a line after each download."""

from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


class DownloadBar:
    """Callback (name, bytes so far, total bytes or 0) that shows the progress of a command's downloads."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False, markup=False, soft_wrap=True)
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._begin(what, total)
        if self._progress is not None:
            self._progress.update(self._tasks[what], completed=done, total=total or None, refresh=True)
        if done == total:
            self._end(what, total)

    def _begin(self, what: str, total: int) -> None:
        if self._console.is_terminal and self._progress is None:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
            )
            self._progress = Progress(
                *columns, TimeRemainingColumn(compact=True), console=self._console, transient=True, auto_refresh=False
            )
            self._progress.start()
        elif self._progress is None:
            self._console.print(f"downloading {what} ({total / 1e6:.1f} MB)" if total else f"downloading {what}")
        self._tasks[what] = TaskID(0) if self._progress is None else self._progress.add_task(what, total=total or None)

    def _end(self, what: str, total: int) -> None:
        if self._progress is not None and all(task.finished for task in self._progress.tasks):
            self._progress.stop()
            self._progress = None
        self._console.print(f"downloaded {what} ({total / 1e6:.1f} MB)")

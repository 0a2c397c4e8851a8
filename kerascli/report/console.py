"""What training looks like at a terminal (a bar an epoch) and elsewhere (a line an epoch)."""

import time
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from kerascli.errors import safe_text
from kerascli.events import BatchEnd, Began, EpochBegin, EpochEnd, Event, Logs, Note


class TrainingView:
    """Shows events as they come; nothing is computed here."""

    def __init__(self, stream: TextIO, *, quiet: bool = False) -> None:
        self.console = Console(file=stream, highlight=False, markup=False, soft_wrap=True)
        self.live = self.console.is_terminal and not quiet
        self.quiet = quiet
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._began = time.monotonic()
        self._width = 1

    def show(self, event: Event) -> None:
        match event:
            case Began():
                self._begin(event)
            case EpochBegin():
                self._epoch(event)
            case BatchEnd() if event.logs is not None and self._progress is not None:
                self._advance(event)
            case EpochEnd():
                self._epoch_end(event)
            case Note():
                self.close()
                self._say(f"warning: {event.text}" if event.level == "warning" else event.text,
                          style="yellow" if event.level == "warning" else None)  # fmt: skip
            case _:
                pass  # results are data and go to stdout; why training stopped was said with its epoch

    def close(self) -> None:
        """Take the bar away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _begin(self, event: Began) -> None:
        self._say(event.summary.rstrip())
        self._say(f"{'resuming' if event.resumed else 'run'}: {event.run}")

    def _epoch(self, event: EpochBegin) -> None:
        self._began = time.monotonic()
        self._width = len(str(event.epochs))
        if not self.live:
            return
        self._progress = Progress(
            TextColumn(f"epoch {event.epoch:>{self._width}}/{event.epochs}"), BarColumn(bar_width=24),
            MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[figures]}"), console=self.console, transient=True, auto_refresh=False,
        )  # fmt: skip
        self._progress.start()
        self._task = self._progress.add_task("", total=event.steps, rate="", figures="")

    def _advance(self, event: BatchEnd) -> None:
        assert self._progress is not None
        rate = event.step / max(1e-9, time.monotonic() - self._began)
        shown = figures(event.logs or {})
        self._progress.update(self._task, completed=event.step, rate=f"{rate:,.0f} steps/s", figures=shown, refresh=True)

    def _epoch_end(self, event: EpochEnd) -> None:
        self.close()
        self._say(
            f"epoch {event.epoch:>{self._width}}/{event.epochs}  {figures(event.logs)}  {event.seconds:.1f} s"
        )
        for message in event.messages:
            self._say(f"  {message}")

    def _say(self, text: str, style: str | None = None) -> None:
        if not self.quiet:
            self.console.print(text, style=style)


def figures(logs: Logs) -> str:
    """loss 0.1234  accuracy 0.9640"""
    return "  ".join(f"{safe_text(name)} {figure(value)}" for name, value in logs.items())


def figure(value: float) -> str:
    """Four places, or as many digits as a small or large number needs."""
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.4f}"
    return f"{value:.3e}"

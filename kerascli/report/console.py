"""Print the progress of training and of downloads: at a terminal by progress bars, else by lines.

For training it is a bar or line for each epoch, for a download a bar, or a line before and a line after it.
"""

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import TextIO

from rich import progress as bars
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Column

from kerascli.foundation import events
from kerascli.foundation.errors import counted, safe_lines, safe_text
from kerascli.foundation.events import Event, Logs
from kerascli.report.text_tables import text_table


class TrainingView:
    """Prints training progress to a stream as events arrive; if the stream is closed, training continues.

    `quiet` prints warnings only; `verbose` prints details, too.
    """

    def __init__(self, stream: TextIO, *, quiet: bool = False, verbose: bool = False) -> None:
        self.console = console_on(stream)
        self.quiet = quiet
        self.verbose = verbose
        self._gone = False
        self.live = self.console.is_terminal and not quiet
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._began = time.monotonic()
        self._resumed = False
        self.printed: list[str] = []
        """Texts that were printed, without progress bars, for a log; whoever keeps them clears the list."""

    def show(self, event: Event) -> None:
        try:
            self._show(event)
        except OSError:  # the terminal or the reader of a pipe has gone, or the disk under a log is full
            self._gone, self.live, self._progress = True, False, None

    def close(self) -> None:
        """Remove the progress bar from the terminal, if the terminal still exists."""
        progress, self._progress = self._progress, None
        if progress is not None:
            with contextlib.suppress(OSError):
                progress.stop()

    def _show(self, event: Event) -> None:
        match event:
            case events.Began():
                self._print(safe_lines(event.summary.rstrip()))
                self._print(f"{'resuming' if event.resumed else 'run'}: {safe_text(event.run)}")
                self._resumed = event.resumed
            case events.PhaseBegin():
                self._phase(event)
            case events.EpochBegin():
                self._epoch(event)
            case events.BatchEnd() if event.logs is not None and self._progress is not None:
                rate = f"{event.step / max(1e-9, time.monotonic() - self._began):,.0f} steps/s"
                shown = metrics_text(event.logs)
                self._progress.update(self._task, completed=event.step, rate=rate, metrics=shown, refresh=True)
            case events.EpochEnd():
                self._epoch_end(event)
            case events.Stopped():
                rest = [f"nothing was left to train: {event.text}"] if self._resumed else []
                self._print_lines([*rest, *(f"  {safe_text(message)}" for message in event.messages)])
            case events.Note() if self.verbose or event.level != "detail":
                self._note(event)
            case events.Saved() if self.verbose:
                self._note(events.Note(f"checkpoint: {event.name} ({event.reason})"))
            case events.Evaluated() if self.verbose:
                self._note(events.Note(f"evaluation: {event.rows:,} rows of '{event.split}' in {event.seconds:.1f} s"))
            case _:
                pass  # results are data and go to stdout; the reason of a stop was printed with its epoch

    def _phase(self, event: events.PhaseBegin) -> None:
        optimizer = "a new optimizer" if event.fresh else "the optimizer continues"
        trained = f"{event.trained:,} of {event.parameters:,} parameters are trainable"
        self._print(f"phase {event.number}/{event.of}: {counted(event.epochs, 'epoch')}, {trained}, {optimizer}")

    def _epoch(self, event: events.EpochBegin) -> None:
        self._began = time.monotonic()
        self._resumed = False
        if not self.live:
            return
        bar = bars.BarColumn(bar_width=max(4, min(24, self.console.width - 70)))
        rest = Column(no_wrap=True, ratio=1)  # the width that is left
        progress = Progress(
            bars.TextColumn("{task.description}"), bar, bars.MofNCompleteColumn(),
            bars.TextColumn("{task.fields[rate]}", markup=False), bars.TimeRemainingColumn(compact=True),
            bars.TextColumn("{task.fields[metrics]}", markup=False, table_column=rest),
            console=self.console, transient=True, auto_refresh=False, expand=True,
        )  # fmt: skip
        progress.start()
        self._progress, self._task = progress, progress.add_task(_head(event), total=event.steps, rate="", metrics="")

    def _epoch_end(self, event: events.EpochEnd) -> None:
        self.close()
        self._print("  ".join([_head(event), *_pairs(event.logs), f"{event.seconds:.1f} s"]))
        self._print_lines([f"  {safe_text(message)}" for message in event.messages])

    def _print_lines(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._print(line)

    def _note(self, event: events.Note) -> None:
        self.close()
        warns = event.level == "warning"
        text = safe_text(event.text, 2000)
        place = f"{safe_text(event.place)}: " if event.place else ""
        self._print(f"{place}warning: {text}" if warns else text, style="yellow" if warns else None, always=warns)
        for line in event.below:
            self._print(safe_text(line, 2000), always=warns)

    def _print(self, text: str, style: str | None = None, *, always: bool = False) -> None:
        if self.quiet and not always:
            return
        self.printed.append(text)
        if not self._gone:
            self.console.print(text, style=style)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # rich would end the program


def console_on(stream: TextIO) -> Console:
    """Return a console that prints plain text to a stream."""
    return _Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True)


class DownloadBar:
    """Callback (name, bytes so far, total bytes or 0) that shows the progress of a command's downloads."""

    def __init__(self, stream: TextIO) -> None:
        self._console = console_on(stream)
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        with contextlib.suppress(BrokenPipeError):  # nobody looks any more
            self._show(what, done, total)

    def _show(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._begin(what, total)
        if self._progress is not None:
            self._progress.update(self._tasks[what], completed=done, total=total or None, refresh=True)
        if done == total:
            if self._progress is not None and self._progress.finished:
                self._progress.stop()
                self._progress = None
            self._console.print(f"downloaded {what} ({total / 1e6:.1f} MB)")

    def _begin(self, what: str, total: int) -> None:
        if self._console.is_terminal and self._progress is None:
            self._progress = Progress(
                bars.TextColumn("{task.description}", markup=False), bars.BarColumn(), bars.DownloadColumn(),
                bars.TransferSpeedColumn(), bars.TimeRemainingColumn(compact=True),
                console=self._console, transient=True, auto_refresh=False,
            )  # fmt: skip
            self._progress.start()
        elif self._progress is None:
            self._console.print(f"downloading {what} ({total / 1e6:.1f} MB)" if total else f"downloading {what}")
        self._tasks[what] = TaskID(0) if self._progress is None else self._progress.add_task(what, total=total or None)


def metrics_text(logs: Logs) -> str:
    """Return the names and values of metrics as text: `loss 0.1234  accuracy 0.9640`."""
    return "  ".join(_pairs(logs))


def evaluation_lines(split: str, logs: Logs, baselines: Mapping[str, Logs], note: str = "") -> list[str]:
    """Return the losses and metrics of a split as a line, and those of its baselines as a line each, in columns."""
    rows = [[safe_text(split), *_pairs(logs), note]]
    rows += [["baseline", *_pairs(values), safe_text(f"({name})")] for name, values in baselines.items()]
    return text_table(list(zip(*rows, strict=True)), sides="<" * len(rows[0])).splitlines()


def _head(event: events.EpochBegin | events.EpochEnd) -> str:
    return f"epoch {event.epoch:>{len(str(event.epochs))}}/{event.epochs}"


def _pairs(logs: Logs) -> list[str]:
    return [f"{safe_text(name)} {number_text(value)}" for name, value in logs.items()]


def number_text(value: float) -> str:
    """Return a number as text: four decimals, one from 10,000 on; scientific notation if it is very large or small."""
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.4f}"
    if 1e4 <= abs(value) < 1e9:  # a price, as errors in units of the target are
        return f"{value:,.1f}"
    return f"{value:.3e}"

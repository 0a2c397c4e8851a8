"""Show the trials of a study while they are trained: a table at a terminal, else a line for each trial that ended."""

from collections.abc import Sequence
from typing import TextIO

from rich.box import SIMPLE_HEAD
from rich.live import Live
from rich.table import Table

from kerascli.foundation.errors import safe_text
from kerascli.report.console import console_on
from kerascli.report.tables import duration_text, number_text
from kerascli.studies.facts import FINISHED, TrialFacts
from kerascli.studies.folder import Study
from kerascli.studies.table import parameters_text
from kerascli.studies.values import best_trials

_SHOWN = 12
"""Number of trials in the live table: those that are trained, and the last ones that ended."""


class StudyView:
    """Prints a study's trials to a stream as they end; at a terminal it redraws a table of the last ones."""

    def __init__(self, study: Study, stream: TextIO, *, quiet: bool) -> None:
        self._study = study
        self._quiet = quiet
        self._console = console_on(stream)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._printed: set[int] = set()
        self._is_live = self._console.is_terminal and not quiet
        if self._is_live:
            self._live.start()

    def show(self, trials: Sequence[TrialFacts]) -> None:
        """Show the trials that have begun."""
        if self._is_live:
            self._live.update(self._table(trials), refresh=True)
            return
        for each in trials:
            if each.status in FINISHED and each.number not in self._printed:
                self._printed.add(each.number)
                if not self._quiet:
                    self._console.print(safe_text(self._line(each)))

    def close(self) -> None:
        """Remove the table from the terminal."""
        if self._is_live:
            self._live.stop()

    def _line(self, facts: TrialFacts) -> str:
        return f"trial {facts.number}/{self._study.facts.trials}: {self._result(facts)} ({self._point(facts)})"

    def _point(self, facts: TrialFacts) -> str:
        return parameters_text(self._study, facts) or "as written"

    def _result(self, facts: TrialFacts) -> str:
        names = [each.name for each in self._study.tune.objective]
        values = ", ".join(f"{name} {number_text(value)}" for name, value in zip(names, facts.values, strict=False))
        if facts.status == "failed":
            return f"failed: {facts.reason}"
        return f"{values}, {facts.reason}" if facts.status == "pruned" else values

    def _table(self, trials: Sequence[TrialFacts]) -> Table:
        best = best_trials(trials, self._study.facts.directions)
        done = sum(each.status in FINISHED for each in trials)
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for name in ("trial", "epoch", "time", "result", "parameters"):
            table.add_column(name, overflow="fold")
        shown = sorted(trials, key=lambda each: (each.status in FINISHED, each.number))
        running = [each for each in shown if each.status not in FINISHED]
        for each in [*shown[len(running) :][-_SHOWN + len(running) :], *running]:
            cells = (
                str(each.number),
                str(each.epochs),
                duration_text(each.seconds),
                self._result(each),
                self._point(each),
            )
            table.add_row(*map(safe_text, cells))
        summary = ", ".join(f"trial {each.number}: {self._result(each)}" for each in best[:3])
        table.caption = safe_text(f"{done} of {self._study.facts.trials} trials done; best: {summary or '-'}")
        return table

"""Show the trials of a study while they are trained: a table at a terminal, else a line for each trial that ended."""

from collections.abc import Sequence
from typing import TextIO

from rich.live import Live

from kerascli.foundation.errors import safe_text
from kerascli.report.comparison import duration_text, number_text
from kerascli.report.console import console_on
from kerascli.report.text_tables import text_table
from kerascli.studies.facts import FINISHED, TrialFacts
from kerascli.studies.folder import Study
from kerascli.studies.table import parameters_text
from kerascli.studies.values import best_trials

_SHOWN = 12
"""Number of trials in the live table: the last ones that have begun."""


class StudyView:
    """Prints a study's trials to a stream as they end; at a terminal it redraws a table of the last ones."""

    def __init__(self, study: Study, stream: TextIO, *, quiet: bool) -> None:
        self._study = study
        self._quiet = quiet
        self._printed: set[int] = set()
        self._console = console_on(stream)
        is_live = self._console.is_terminal and not quiet
        self._live = Live(console=self._console, auto_refresh=False, transient=True) if is_live else None
        if self._live is not None:
            self._live.start()

    def show(self, trials: Sequence[TrialFacts]) -> None:
        """Show the trials that have begun."""
        if self._live is not None:
            self._live.update(self._table(trials), refresh=True)
            return
        for each in trials:
            if each.status in FINISHED and each.number not in self._printed and not self._quiet:
                self._printed.add(each.number)
                text = f"trial {each.number}/{self._study.facts.trials}: {self._result(each)}"
                self._console.print(safe_text(f"{text} ({parameters_text(self._study, each)})"))

    def close(self) -> None:
        """Remove the table from the terminal."""
        if self._live is not None:
            self._live.stop()

    def _result(self, facts: TrialFacts) -> str:
        names = [each.name for each in self._study.tune.objective]
        values = [f"{name} {number_text(value)}" for name, value in zip(names, facts.values, strict=False)]
        reason = [f"failed: {facts.reason}" if facts.status == "failed" else facts.reason] if facts.reason else []
        return ", ".join([*values, *reason])

    def _table(self, trials: Sequence[TrialFacts]) -> str:
        last = sorted(trials, key=lambda each: each.number)[-_SHOWN:]
        columns = [
            ["trial", *(str(each.number) for each in last)],
            ["epochs", *(str(each.epochs) for each in last)],
            ["time", *(duration_text(each.seconds) if each.seconds else each.status for each in last)],
            ["result", *(safe_text(self._result(each)) for each in last)],
            ["parameters", *(safe_text(parameters_text(self._study, each)) for each in last)],
        ]
        best = best_trials(trials, self._study.facts.directions)[:3]
        summary = ", ".join(f"trial {each.number}: {self._result(each)}" for each in best) or "-"
        done = sum(each.status in FINISHED for each in trials)
        return f"{text_table(columns, '<>><<')}\n{done} of {self._study.facts.trials} trials; best {safe_text(summary)}"

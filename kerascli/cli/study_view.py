"""Show the trials of a study while they are trained: a table at a terminal, else a line for each trial that ended."""

import contextlib
from typing import TextIO

from rich.live import Live

from kerascli.foundation.errors import safe_text
from kerascli.report.console import console_on
from kerascli.report.tables import columns_text
from kerascli.studies.facts import FINISHED
from kerascli.studies.folder import Study
from kerascli.studies.table import columns_of, study_table, trial_text

_SHOWN = 12
"""Number of trials in the live table: the last ones that have begun."""


class StudyView(contextlib.ExitStack):
    """Prints a study's trials to a stream as they end; at a terminal it redraws a table of the last ones."""

    def __init__(self, study: Study, stream: TextIO, *, quiet: bool) -> None:
        super().__init__()
        self._study, self._quiet = study, quiet
        self._printed: set[int] = set()
        self._console = console_on(stream)
        self._live: Live | None = None
        if self._console.is_terminal and not quiet:
            self._live = self.enter_context(Live(console=self._console, auto_refresh=False, transient=True))

    def show(self) -> None:
        """Show the trials that have begun."""
        if self._quiet:
            return
        table = study_table(self._study)
        rows = {each["trial"]: each for each in table["trials"]}
        if self._live is not None:
            last = {name: column[-_SHOWN:] for name, column in columns_of(table).items()}
            best = "; ".join(f"trial {number}: {trial_text(rows[number])}" for number in table["best"][:3])
            summary = f"{table['trials_done']} of {table['trials_planned']} trials; best: {safe_text(best) or '-'}"
            self._live.update(f"{columns_text(last, self._console.width)}\n{summary}", refresh=True)
            return
        for number in [each for each in rows if rows[each]["status"] in FINISHED and each not in self._printed]:
            self._printed.add(number)
            text = f"trial {number}/{table['trials_planned']}: {trial_text(rows[number])}"
            self._console.print(safe_text(text))

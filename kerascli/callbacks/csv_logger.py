"""CSVLogger: the figures of each epoch in a file of the run folder's logs/."""

import re
from typing import Annotated

from pydantic import Field, field_validator

from kerascli.callbacks.base import AppendRow, Callback, Decision, EpochFacts, State, callback


@callback(name="csv_logger")
class CSVLogger(Callback):
    """A row an epoch, which counts from 0 there, as in Keras; figures by name. history.csv is written in any case."""

    filename: str
    """The file, inside the run's folder."""
    separator: Annotated[str, Field(min_length=1, max_length=1)] = ","
    """What stands between two figures."""
    append: bool = False
    """Makes no difference: every run has a file of its own, and a resumed run goes on in it."""

    @field_validator("filename")
    @classmethod
    def _is_a_plain_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", value):
            raise ValueError(f"expected a plain file name such as training.csv (it goes into logs/), got '{value}'")
        return value

    def claims(self) -> tuple[str, ...]:
        return (f"the file '{self.filename}'",)

    def epoch_end(self, facts: EpochFacts, state: State) -> tuple[list[Decision], State]:
        row = {"epoch": facts.epoch - 1, **{name: facts.logs[name] for name in sorted(facts.logs)}}
        return [AppendRow(self.filename, row, self.separator)], state

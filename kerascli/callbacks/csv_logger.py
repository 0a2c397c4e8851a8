"""CSVLogger: metrics of each epoch in a CSV file in the run folder's logs/."""

from typing import Annotated

from pydantic import Field

from kerascli.callbacks.base import Callback, EpochFacts, Response, State, callback, plain_name
from kerascli.foundation.events import AppendRow


@callback(name="csv_logger")
class CSVLogger(Callback):
    """Write the metrics of each epoch as a row of a CSV file; metrics are in alphabetical order.

    Epochs are numbered from 0, as in Keras. Every run also writes history.csv.
    """

    filename: Annotated[str, plain_name("file name such as training.csv (it goes into logs/)")]
    """Name of the file, such as training.csv, in logs/ of the run folder."""
    separator: Annotated[str, Field(min_length=1, max_length=1)] = ","
    """Separator of the columns in the CSV file, one character."""
    append: bool = False
    """No effect: every run has its own file, to which a resumed run appends."""

    def claims(self) -> tuple[str, ...]:
        return (f"the file '{self.filename}'",)

    def epoch_end(self, facts: EpochFacts, state: State) -> Response:
        row = {"epoch": facts.epoch - 1, **{name: facts.logs[name] for name in sorted(facts.logs)}}
        return [AppendRow(self.filename, row, self.separator)], state

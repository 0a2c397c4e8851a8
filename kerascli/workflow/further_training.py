"""Train a run further: in a new run that begins with its weights, or in place if it was imported and never trained."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kerascli.config.config import Config, Progress
from kerascli.config.load import open_recorded
from kerascli.data.pipeline.learned_state import COLUMNS, load_learned
from kerascli.foundation.errors import ConfigError, safe_text
from kerascli.foundation.events import Event, Note
from kerascli.runs.reading import quoted
from kerascli.runs.record import RunRecord
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.train import refuse_without_data, resume, start


@dataclass(frozen=True, slots=True)
class FurtherTraining:
    """A run to train further, and what differs in the new run: settings, the rows, the preprocessing."""

    record: RunRecord
    sets: Sequence[str] = ()
    data: Path | None = None
    """File or folder of the new rows; None: the run's own."""
    relearn: bool = False
    """True to fit the transforms to the rows; False keeps their fitted state, to which the weights belong."""
    progress: Progress | None = None

    def events(self, options: Options) -> Iterator[Event]:
        """Train in a new run, or in place if nothing but the epochs of an imported run differs; yield events."""
        record, shown = self.record, safe_text(str(self.record.path))
        others = self.data or self.relearn or options.name
        if record.facts()["reason"] == "imported" and not others and all(map(_is_epochs, self.sets)):
            yield Note(f"{shown} was imported and not trained yet: it is trained in place")
            yield from resume(record, options, self.sets, progress=self.progress)
            return
        config = self.config()
        yield Note(f"new run with the config and the weights of {shown}; the optimizer starts anew")
        if self.relearn:
            yield Note("preprocessing: fitted to the training rows anew (--relearn), not that of the weights")
        elif config.learned is not None and len(config.learned) > 1:
            yield Note("preprocessing: vocabularies, means and the like are kept; --relearn fits them to the rows")
        yield from start(config, options)

    def config(self) -> Config:
        """Return the config of the new run. Raises KerasCliError if it cannot train the run further."""
        record = self.record
        _refuse_unfinished(record)
        config = open_recorded(record, sets=self.sets, progress=self.progress, onward=True).with_data(self.data)
        refuse_without_data(record, config)
        learned = load_learned(record.preprocessing())
        if self.relearn:
            if learned.keys() == {COLUMNS}:
                raise ConfigError("--relearn has no effect: no transform of the run is fitted to rows")
            return config
        if _pipelines(config) != _pipelines(open_recorded(record)):
            text = "--set changes pipelines of the data section, whose fitted state would be kept"
            raise ConfigError(text, hint="--relearn fits all of them to the rows")
        return replace(config, learned=learned)


def _is_epochs(assignment: str) -> bool:
    return assignment.partition("=")[0].strip() == "fit.epochs"


def _pipelines(config: Config) -> list[Any]:
    assert config.data is not None
    data = config.data.dump()
    return [data.get(key) for key in ("shared", "inputs", "targets", "sample_weight")]


def _refuse_unfinished(record: RunRecord) -> None:
    """Raise ConfigError for a run whose training has not ended, which `--resume` continues."""
    record.facts()  # raises FileRefused if the run never began
    status = record.status()
    if status in {"running", "interrupted", "killed"} or record.was_cut_off:
        text = f"the training of {quoted(record.path)} has not ended (it is {status})"
        go_on = f"--resume continues it: kerascli train --resume {shlex.quote(str(record.path))}"
        raise ConfigError(text, hint="wait until it ends" if status == "running" else go_on)

"""Input of a check: a valid config, and its rows where they were read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kerascli.config.load import Config
from kerascli.config.run import RunSpec
from kerascli.data.pipeline.prepare import PreparedData
from kerascli.data.section import DataSpec, Pipeline
from kerascli.data.storage.table import Table
from kerascli.errors import Fault, Path
from kerascli.workflow.advice.raw import Raw


@dataclass(frozen=True, slots=True)
class Case:
    """A config and, unless they were not read, its rows: raw as tables, and prepared."""

    config: Config
    spec: RunSpec
    prepared: PreparedData | None

    @property
    def data(self) -> DataSpec | None:
        return self.spec.data

    @property
    def tables(self) -> Mapping[str, Table]:
        """The raw rows by split; empty where they were not read."""
        return {} if self.prepared is None else self.prepared.tables

    def raw(self, column: str) -> Raw | None:
        """A raw column of the training rows; None where they were not read, or are left on disk."""
        train = self.tables.get("train")
        return None if train is None else Raw.of(train, column)

    def inputs(self) -> Iterator[tuple[Path, Pipeline]]:
        """The pipelines of the inputs, and where each is written."""
        for name, pipeline in self.data.inputs.items() if self.data is not None else ():
            yield ("data", "inputs", name), pipeline

    def targets(self) -> Iterator[tuple[Path, Pipeline]]:
        """The pipelines of the targets, and where each is written."""
        for name, pipeline in self.data.targets.items() if self.data is not None else ():
            yield ("data", "targets", name), pipeline


def warning(text: str, path: Path, hint: str, *, key: bool = True) -> Fault:
    """A warning at a place of the config, with the way out."""
    return Fault(text, path, "key" if key else "value", hint=hint, level="warning")


def is_label(column: Raw, pipeline: Pipeline) -> bool:
    """Return True for a column of one value a row that its pipeline does not take apart (a text into words)."""
    return column.ndim == 1 and not column.is_ragged and not any(s.transform.takes_apart for s in pipeline.steps)

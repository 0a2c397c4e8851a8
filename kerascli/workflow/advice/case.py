"""Input of the advice checks (warnings about configs): a valid config, and the rows of its data if they were read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kerascli.config.config import Config
from kerascli.config.run import RunSpec
from kerascli.data.pipeline.prepare import PreparedData
from kerascli.data.section import DataSpec, Pipeline
from kerascli.data.storage.table import Table
from kerascli.foundation.errors import Fault, Path
from kerascli.losses.base import Loss
from kerascli.workflow.advice.raw import Raw


@dataclass(frozen=True, slots=True)
class Case:
    """Input of an advice check: a valid config and, if its data was read, the rows (raw and preprocessed)."""

    config: Config
    spec: RunSpec
    prepared: PreparedData | None

    @property
    def data(self) -> DataSpec | None:
        return self.spec.data

    @property
    def tables(self) -> Mapping[str, Table]:
        """Mapping from the name of a split to the table of its raw rows; empty if the data was not read."""
        return {} if self.prepared is None else self.prepared.tables

    def raw(self, column: str, split: str = "train") -> Raw | None:
        """Return a raw column of a split; None if the data was not read, has no such split, or stays on disk."""
        table = self.tables.get(split)
        return None if table is None else Raw.of(table, column)

    def inputs(self) -> Iterator[tuple[Path, Pipeline]]:
        """Yield (config path, preprocessing pipeline) for each input in the `data` section."""
        for name, pipeline in self.data.inputs.items() if self.data is not None else ():
            yield ("data", "inputs", name), pipeline

    def targets(self) -> Iterator[tuple[Path, Pipeline]]:
        """Yield (config path, preprocessing pipeline) for each target in the `data` section."""
        for name, pipeline in self.data.targets.items() if self.data is not None else ():
            yield ("data", "targets", name), pipeline


def warning(text: str, path: Path, hint: str, *, key: bool = True) -> Fault:
    """Return a warning about the key (or value) at a config path, with a hint that says what to do."""
    return Fault(text, path, "key" if key else "value", hint=hint, level="warning")


def predicts_classes(loss: Loss) -> bool:
    """Return True if a loss takes class labels as targets."""
    return loss.sparse_targets or loss.predicts != "values"


def is_label(column: Raw, pipeline: Pipeline) -> bool:
    """Return True if a column has one value per row and its pipeline keeps that (unlike a text split into tokens)."""
    return column.ndim == 1 and not column.is_ragged and not any(s.transform.splits_values for s in pipeline.steps)

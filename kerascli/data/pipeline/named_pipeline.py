"""Pipeline with its section and name in the config (`inputs.x`), by which errors and learned state are identified."""

from dataclasses import dataclass

from kerascli.data.section import Pipeline
from kerascli.data.storage.table import BadRow, Table
from kerascli.foundation.errors import DataError, Fault, Related
from kerascli.foundation.errors import Path as ConfigPath


@dataclass(frozen=True, slots=True)
class NamedPipeline:
    """Pipeline with the section and name under which it is declared in the config."""

    section: str
    name: str
    pipeline: Pipeline
    target: bool
    """True if lookups treat the rows as class labels: for a target that shares no transform with an input."""

    @property
    def id(self) -> tuple[str, str]:
        return self.section, self.name

    def key(self, index: int) -> str:
        """Return the key under which the learned state of the pipeline's step `index` is stored."""
        shared = self.pipeline.steps[index].shared
        return f"shared.{shared}" if shared else f"{self.section}.{self.name}.{index}"

    def fault(self, text: str, index: int | None = None, hint: str | None = None) -> DataError:
        step = None if index is None else self.pipeline.steps[index]
        named = "" if step is None else f" ({step.transform.component_name})"
        return DataError(Fault(f"{self.section}.{self.name}{named}: {text}", self.path(index), hint=hint))

    def column_path(self, column: str) -> ConfigPath:
        """Return the path in the config (such as data, inputs, x, 0, columns) at which the pipeline names a column."""
        at = (self.pipeline.columns.index(column),) if self.pipeline.stacked else ()
        return ("data", self.section, self.name, 0, "columns", *at)

    def path(self, index: int | None) -> ConfigPath:
        """Return the config path (such as data, inputs, x, 0) of the pipeline's step `index`; None: the path of the
        pipeline itself."""
        step = None if index is None else self.pipeline.steps[index]
        at = () if step is None or step.place is None else (step.place,)
        return ("data", self.section, self.name, *at)


def data_error_at(bad: BadRow, named: NamedPipeline, table: Table, index: int | None = None) -> DataError:
    """Convert a transform's BadRow error to a DataError that names the value's line and column, and the bad setting."""
    columns, (value, width) = named.pipeline.columns, bad.at
    column = columns[0] if len(columns) == 1 else columns[value] if len(columns) == width else named.name
    place = table.place(bad.row, column, bad.at)
    if bad.setting is None or index is None:
        return DataError(Fault(bad.text, place=place, hint=bad.hint))
    name = named.pipeline.steps[index].transform.component_name
    path = (*named.path(index), name, bad.setting)
    related = (Related(f"'{bad.setting}' of {name}", path),)
    return DataError(Fault(bad.text, path, place=place, hint=bad.hint, related=related))

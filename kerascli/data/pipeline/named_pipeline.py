"""Pipeline with its section and name in the config (`inputs.x`), for errors and learned state, and checks of memory."""

import math
from dataclasses import dataclass

import numpy as np

from kerascli.data.base import Field, Fields, Source
from kerascli.data.section import Pipeline
from kerascli.data.storage.row_errors import BadRows
from kerascli.data.storage.table import BadRow, Table
from kerascli.foundation.disk.files import memory_limit
from kerascli.foundation.disk.storage import size_text
from kerascli.foundation.errors import ConfigError, DataError, Fault
from kerascli.foundation.errors import Path as ConfigPath
from kerascli.foundation.shapes import MAX_VALUES
from kerascli.language.component import Component


@dataclass(frozen=True, slots=True)
class NamedPipeline(Pipeline):
    """Pipeline with the section and name under which it is declared in the config."""

    section: str
    name: str
    target: bool
    """True if lookups treat the rows as class labels: for a target that shares no transform with an input."""
    gap_hint: str = ""
    """Hint of the data source in errors about a missing value."""

    @property
    def id(self) -> tuple[str, str]:
        return self.section, self.name

    def key(self, index: int) -> str:
        """Return the key under which the learned state of the pipeline's step `index` is stored."""
        shared = self.steps[index].shared
        return f"shared.{shared}" if shared else f"{self.section}.{self.name}.{index}"

    def fault(self, text: str, index: int | None = None, hint: str | None = None) -> DataError:
        named = "" if index is None else f" ({self.steps[index].transform.component_name})"
        return DataError(f"{self.section}.{self.name}{named}: {text}", path=self.path(index), hint=hint)

    def column_path(self, column: str) -> ConfigPath:
        """Return the path in the config (such as data, inputs, x, 0, columns) at which the pipeline names a column."""
        at = (self.columns.index(column),) if self.stacked else ()
        return ("data", self.section, self.name, 0, "columns", *at)

    def path(self, index: int | None) -> ConfigPath:
        """Return the config path (such as data, inputs, x, 0) of the pipeline's step `index`; None: the path of the
        pipeline itself."""
        place = None if index is None else self.steps[index].place
        return ("data", self.section, self.name) if place is None else ("data", self.section, self.name, place)


def data_error_at(bad: BadRow, named: NamedPipeline, table: Table) -> BadRows:
    """Convert a transform's BadRow error to one that names the value's line and column."""
    columns, (value, width) = named.columns, bad.at
    column = columns[0] if len(columns) == 1 else columns[value] if len(columns) == width else named.name
    hints = [named.gap_hint, bad.hint] if bad.text.startswith("missing ") else [bad.hint]
    hint = "; or ".join(filter(None, hints)).replace("[{impute", f"{named.name}: [{{impute") or None
    fault = Fault(bad.text, place=table.place(bad.row, column, bad.at), hint=hint)
    return BadRows(fault, table, [bad.row] if bad.rows is None else bad.rows)


_GENERATED_BYTES = 8
"""Bytes per number (float64) while a data source generates synthetic data."""


def check_step_memory(named: NamedPipeline, index: int, made: Field, rows: int | None = None) -> None:
    """Raise ConfigError if one output row of pipeline step `index`, or `rows` of them, would exceed memory."""
    values = math.prod(size or 1 for size in made.shape)
    step = named.steps[index].transform
    text = None
    if values > MAX_VALUES:
        text = f"{_largest_setting(step)}a row would have {values:,} numbers; the limit is {MAX_VALUES:,}"
    elif rows is not None and made.dtype not in {"string", "sequence", "record", "unknown"}:
        text = _too_large(step, rows, values, np.dtype(made.dtype).itemsize)
    if text is not None:
        raise ConfigError(named.fault(text, index).faults)


def check_source_memory(source: Source, fields: Fields) -> None:
    """Raise ConfigError if a data source generates more rows than fit in memory."""
    rows = getattr(source, "rows", None)
    if not isinstance(rows, int):
        return
    values = sum(math.prod(size or 1 for size in field.shape) for field in fields.values())
    if text := _too_large(source, rows, values, _GENERATED_BYTES):
        raise ConfigError(f"{source.component_name}: {text}", path=("data", "source"))


def _too_large(component: Component, rows: int, values: int, value_bytes: int) -> str | None:
    """Return the message that rows of so many values, which a component makes, exceed memory; None if they fit."""
    size = rows * values * value_bytes
    if size <= memory_limit():
        return None
    text = f"{_largest_setting(component)}{rows:,} rows of {values:,} numbers take {size_text(size)}"
    return f"{text}; at most {size_text(memory_limit())} may be used"


def _largest_setting(component: Component) -> str:
    """Return name and value of a component's largest integer setting as text (`maxlen 100,000,000,000: `), or ''."""
    numbers = [(value, name) for name in type(component).model_fields for value in _numbers(getattr(component, name))]
    return f"{max(numbers)[1]} {max(numbers)[0]:,}: " if numbers and max(numbers)[0] > 1 else ""


def _numbers(value: object) -> list[int]:
    if isinstance(value, tuple | list):
        return [number for item in value for number in _numbers(item)]
    return [value] if isinstance(value, int) and not isinstance(value, bool) else []

"""Checks, before anything is allocated, that memory can hold the output of a pipeline step or of a data source."""

import math
from collections.abc import Mapping

import numpy as np

from kerascli.data.base import Field, Source
from kerascli.data.pipeline.named_pipeline import NamedPipeline
from kerascli.foundation.disk.files import memory_limit
from kerascli.foundation.disk.storage import size_text
from kerascli.foundation.errors import ConfigError, Fault
from kerascli.foundation.shapes import MAX_VALUES
from kerascli.language.component import Component

_GENERATED_BYTES = 8
"""Bytes per number (float64) while a data source generates synthetic data."""


def check_step_memory(named: NamedPipeline, index: int, made: Field, rows: int | None = None) -> None:
    """Raise ConfigError if one output row of pipeline step `index`, or `rows` of them, would exceed memory."""
    values = math.prod(size or 1 for size in made.shape)
    step = named.pipeline.steps[index].transform
    if values > MAX_VALUES:
        text = f"{largest_setting(step)}a row would have {values:,} numbers; the limit is {MAX_VALUES:,}"
        raise ConfigError(named.fault(text, index).faults)
    if rows is None or made.dtype in {"string", "sequence", "record", "unknown"}:
        return
    size = rows * values * np.dtype(made.dtype).itemsize
    if size > memory_limit():
        text = f"{largest_setting(step)}{rows:,} rows of {values:,} numbers take {size_text(size)}"
        raise ConfigError(named.fault(f"{text}; at most {size_text(memory_limit())} may be used", index).faults)


def check_source_memory(source: Source, known: Mapping[str, Field]) -> None:
    """Raise ConfigError if a data source generates more rows than fit in memory."""
    rows = getattr(source, "rows", None)
    if not isinstance(rows, int):
        return
    values = sum(math.prod(size or 1 for size in field.shape) for field in known.values())
    size = rows * values * _GENERATED_BYTES
    if size > memory_limit():
        name = source.component_name
        text = f"{largest_setting(source)}{rows:,} rows of {values:,} numbers take {size_text(size)}"
        raise ConfigError(Fault(f"{name}: {text}; at most {size_text(memory_limit())} may be used", ("data", "source")))


def largest_setting(component: Component) -> str:
    """Return name and value of a component's largest integer setting as text (`maxlen 100,000,000,000: `), or ''."""
    found = [(value, name) for name in type(component).model_fields for value in _numbers(getattr(component, name))]
    return f"{max(found)[1]} {max(found)[0]:,}: " if found and max(found)[0] > 1 else ""


def _numbers(value: object) -> list[int]:
    if isinstance(value, tuple | list):
        return [number for item in value for number in _numbers(item)]
    return [value] if isinstance(value, int) and not isinstance(value, bool) else []

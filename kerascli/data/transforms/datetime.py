"""Transform `datetime`: parts of dates and times (month, weekday, hour ...) as numeric features."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import BeforeValidator, Field, field_validator
from torch import Tensor, nn

from kerascli.data.base import Field as Column
from kerascli.data.base import FittedState, Refusal, Transform, transform
from kerascli.data.dates import date_parts, parsed_times
from kerascli.data.section import Pipeline
from kerascli.data.storage.column import pa
from kerascli.data.transforms.input_checks import need_text
from kerascli.foundation.errors import safe_text
from kerascli.foundation.shapes import listed
from kerascli.preprocessing.function import Function

Part = Literal["year", "month", "day", "day_of_year", "weekday", "hour", "minute", "second"]
_PERIODS: dict[str, float] = {
    "month": 12, "day": 31, "day_of_year": 365.25, "weekday": 7, "hour": 24, "minute": 60, "second": 60,
}  # fmt: skip
_FIRST = {"month": 1, "day": 1, "day_of_year": 1}
_NO_DATE = -(2**63)


def date_formats(pipelines: Iterable[Pipeline]) -> dict[str, str | None]:
    """Return a mapping from each column that `datetime` is the first transform of to its format (None: ISO 8601)."""
    firsts = {each.columns[0]: each.steps[0].transform for each in pipelines if each.steps}
    return {column: first.format for column, first in firsts.items() if isinstance(first, DateTime)}


@transform(name="datetime")
class DateTime(Transform):
    """Parts of dates and times as numbers, or as sine and cosine of their position in the period.

    Input: one text per row, or windows of texts (T, 1). Output: a vector (parts,), with `cyclic` (2 * periodic parts +
    year,), in the order of `parts`; of windows (T, parts). Months, days and days of the year count from 1, weekdays
    from 0, which is Monday. Times with an offset (`15:30+02:00`) are converted to UTC.
    """

    takes_text = True
    coded_in_onnx = True

    parts: Annotated[
        tuple[Part, ...], Field(min_length=1), BeforeValidator(listed, json_schema_input_type=Part | list[Part])
    ] = ("year", "month", "weekday")
    """Parts to extract: year, month, day, day_of_year, weekday, hour, minute or second."""
    cyclic: bool = False
    """Replace each part but the year by sine and cosine of its position in the period: December is next to January."""
    format: str | None = None
    """Format of the text for Python's strptime, for example "%d.%m.%Y"; null: ISO 8601, as 2026-11-27T15:30."""

    @field_validator("parts")
    @classmethod
    def _once_each(cls, parts: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(parts)) < len(parts):
            raise ValueError("expected different parts")
        return parts

    def infer(self, field: Column, state: FittedState | None, *, target: bool) -> Column:
        need_text(field)
        if field.shape[-1:] not in [(), (1,)]:
            raise ValueError(f"needs one date per row or step, got rows of shape {field.shape}")
        width = sum(2 if self.cyclic and part in _PERIODS else 1 for part in self.parts)
        return replace(field, shape=(*field.shape[:-1], width), dtype="float32", num_classes=None, classes=None)

    def codes(self, values: "pa.Array", state: FittedState, *, target: bool) -> Tensor:
        """Return dates as seconds since 1970, `_NO_DATE` for a text that is none."""
        return torch.from_numpy(parsed_times(values.to_pylist(), self.format, "s").astype(np.int64))

    def onnx(self, x: Tensor, field: Column, state: FittedState) -> Tensor:
        return x

    def examples(self, state: FittedState) -> Sequence[str]:
        times = [datetime(1970 + 9 * n, 1 + n, 1 + 2 * n, 3 * n, 5 * n, 7 * n) for n in range(8)]
        return [time.isoformat() if self.format is None else time.strftime(self.format) for time in times]

    def refusals(self, x: Tensor, field: Column, state: FittedState, *, target: bool) -> Iterable[Refusal]:
        form = self.format or "2026-11-27 or 2026-11-27T15:30"
        hint = None if self.format else 'for others set format: "%d.%m.%Y"'

        def text(value: str) -> str:
            return f"'{safe_text(value, 40)}' is no date: expected {form}" if value.strip() else "missing value"

        yield Refusal(x == _NO_DATE, text, lambda _: hint)

    def module(self, field: Column, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        return Function(self._parts_of)

    def _parts_of(self, x: Tensor) -> Tensor:  # (N,), (N, 1) or (N, T, 1) -> (N, parts) or (N, T, parts)
        """Compute parts of dates, by the proleptic Gregorian calendar, from seconds since 1970, float32."""
        x = x.squeeze(-1) if x.ndim > 1 else x
        values, columns = date_parts(x), []
        for part in self.parts:
            if self.cyclic and part in _PERIODS:
                angle = 2 * math.pi * (values[part] - _FIRST.get(part, 0)).double() / _PERIODS[part]
                columns += [angle.sin(), angle.cos()]
            else:
                columns.append(values[part])
        return torch.stack([column.float() for column in columns], -1)

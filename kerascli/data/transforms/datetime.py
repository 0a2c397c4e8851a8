"""Transform `datetime`: parts of dates and times (month, weekday, hour ...) as numeric features."""

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, Field, field_validator

from kerascli.data.base import Field as Column
from kerascli.data.base import FittedState, Transform, transform
from kerascli.data.dates import parsed_times, part_of
from kerascli.data.storage.table import BadRow
from kerascli.data.transforms.input_checks import need_text
from kerascli.foundation.errors import safe_text

Part = Literal["year", "month", "day", "day_of_year", "weekday", "hour", "minute", "second"]
_PERIODS: dict[str, float] = {
    "month": 12, "day": 31, "day_of_year": 365.25, "weekday": 7, "hour": 24, "minute": 60, "second": 60,
}  # fmt: skip
_FIRST = {"month": 1, "day": 1, "day_of_year": 1}


def _listed(value: object) -> object:
    return tuple(value) if isinstance(value, list) else (value,) if isinstance(value, str) else value


@transform(name="datetime")
class DateTime(Transform):
    """Parts of dates and times as numbers, or as sine and cosine of their position in the period.

    Input: one text per row, or windows of texts (T, 1). Output: a vector (parts,), with `cyclic` (2 * periodic parts +
    year,), in the order of `parts`; of windows (T, parts). Months, days and days of the year count from 1, weekdays
    from 0, which is Monday. Times with an offset (`15:30+02:00`) are converted to UTC.
    """

    parts: Annotated[tuple[Part, ...], BeforeValidator(_listed), Field(min_length=1)] = ("year", "month", "weekday")
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

    def infer(self, field: Column, learned: FittedState | None, *, target: bool) -> Column:
        need_text(field)
        if field.shape[-1:] not in [(), (1,)]:
            raise ValueError(f"needs one date per row or step, got rows of shape {field.shape}")
        width = sum(2 if self.cyclic and part in _PERIODS else 1 for part in self.parts)
        return replace(field, shape=(*field.shape[:-1], width), dtype="float32", num_classes=None, classes=None)

    def apply(self, values: np.ndarray, field: Column, learned: FittedState, *, target: bool) -> np.ndarray:
        times = self._parsed(values)
        columns: list[np.ndarray] = []
        for part in self.parts:
            number = part_of(times, part)
            if self.cyclic and part in _PERIODS:
                angle = 2 * np.pi * (number - _FIRST.get(part, 0)) / _PERIODS[part]
                columns += [np.sin(angle), np.cos(angle)]
            else:
                columns.append(number)
        return np.stack(columns, axis=1).astype(np.float32).reshape(*(values.shape[:-1] or values.shape), -1)

    def _parsed(self, values: np.ndarray) -> np.ndarray:
        """Parse texts to times, a flat datetime64[s] array. Raises BadRow for a text that is no date."""
        texts = values.reshape(-1).tolist()
        times = parsed_times(texts, self.format, "s")
        wrong = np.isnat(times)
        if wrong.any():
            index = int(wrong.argmax())
            width = len(texts) // len(values)
            row, step = divmod(index, width)
            raise self._no_date(texts[index], row, (step, width))
        return times

    def _no_date(self, text: str, row: int, at: tuple[int, int]) -> BadRow:
        form = self.format or "2026-11-27 or 2026-11-27T15:30"
        hint = None if self.format else 'for others set format: "%d.%m.%Y"'
        text_of = f"'{safe_text(text, 40)}' is no date: expected {form}" if text.strip() else "missing value"
        return BadRow(row, text_of, at=at, hint=hint)

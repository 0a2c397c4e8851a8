"""A pipeline at work: columns in, one array out, and the module that finishes a batch of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor, nn

from kerascli import draws
from kerascli.data.base import NOTHING_LEARNED, Field, Learned
from kerascli.data.convert import converted
from kerascli.data.spec import Pipeline
from kerascli.data.table import BadRow, Table
from kerascli.errors import DataError, Fault, Place, safe_text

_NARROW = {"float64": "float32", "float16": "float32", "uint16": "int32", "uint32": "int64", "uint64": "int64"}
"""What torch has no full support for, or a model would not compute in."""


@dataclass(frozen=True, slots=True)
class Route:
    """A pipeline with its place in the data section: what errors and learned facts are named after."""

    section: str
    name: str
    pipeline: Pipeline
    target: bool
    """Whether lookups work as in targets; false for a transform that inputs and targets share."""

    @property
    def id(self) -> tuple[str, str]:
        return self.section, self.name

    def key(self, index: int) -> str:
        """Where the facts of step `index` are kept."""
        shared = self.pipeline.steps[index].shared
        return f"shared.{shared}" if shared else f"{self.section}.{self.name}.{index}"

    def fault(self, text: str, index: int | None = None, hint: str | None = None) -> DataError:
        step = None if index is None else self.pipeline.steps[index]
        named = "" if step is None else f" ({step.transform.component_name})"
        at = () if step is None or step.place is None else (step.place,)
        path = ("data", self.section, self.name, *at)
        return DataError(Fault(f"{self.section}.{self.name}{named}: {text}", path, hint=hint))


def column_field(route: Route, known: Mapping[str, Field]) -> Field:
    """The field of the route's columns as one array. Raises DataError."""
    columns = route.pipeline.columns
    fields = [known[column] for column in columns]
    empty = next((field for field in fields if 0 in field.shape), None)
    if empty is not None:
        raise route.fault(f"the rows hold nothing (shape {empty.shape})")
    if route.pipeline.takes_columns:
        if len(set(columns)) < len(columns):
            raise route.fault("a column stands there twice")
        return Field((), "record", columns=tuple(zip(columns, fields, strict=True)))
    if not route.pipeline.stacked:
        return fields[0]
    if len({field.is_text for field in fields if field.dtype != "unknown"}) > 1:
        number = next(c for c, f in zip(columns, fields, strict=True) if not f.is_text)
        text = next(c for c, f in zip(columns, fields, strict=True) if f.is_text)
        said = f"column '{text}' holds text, column '{number}' holds numbers"
        raise route.fault(said, hint="make two inputs of them")
    shapes = [field.shape or (1,) for field in fields]
    if len({shape[:-1] for shape in shapes}) > 1 or any(shape[-1] is None for shape in shapes):
        raise route.fault(f"columns of shapes {', '.join(str(f.shape) for f in fields)} cannot stand side by side")
    dtypes = [field.dtype for field in fields]
    dtype = dtypes[0] if len(set(dtypes)) == 1 else _common(dtypes)
    width = sum(shape[-1] for shape in shapes if shape[-1] is not None)
    return Field((*shapes[0][:-1], width), dtype)


def _common(dtypes: list[str]) -> str:
    return "unknown" if "unknown" in dtypes else np.result_type(*dtypes).name


def read_columns(route: Route, table: Table, field: Field) -> np.ndarray:
    """The route's columns as one array like `field` (the training rows'); they are in memory. Raises DataError."""
    if field.columns:
        return _records(route, table, field)
    parts = [_column(table, name, field) for name in route.pipeline.columns]
    if route.pipeline.stacked:
        values = np.concatenate([part[:, None] if part.ndim == 1 else part for part in parts], axis=-1)
    else:
        values = parts[0]
    if values.shape[1:] != field.shape:
        raise route.fault(f"rows are of shape {values.shape[1:]}, those in training of {field.shape}")
    return values if field.is_text else _as_in_training(route, table, values, np.dtype(field.dtype))


def _records(route: Route, table: Table, field: Field) -> np.ndarray:
    """Columns side by side, each as it was in training. Raises DataError."""
    arrays: dict[str, np.ndarray] = {}
    for name, column in field.columns:
        values = _column(table, name, column)
        if values.shape[1:] != column.shape:
            raise route.fault(f"rows of '{name}' are of shape {values.shape[1:]}, those in training of {column.shape}")
        arrays[name] = values if column.is_text else _as_in_training(route, table, values, np.dtype(column.dtype))
    dtype = np.dtype([(name, values.dtype, values.shape[1:]) for name, values in arrays.items()])
    records = np.empty(len(next(iter(arrays.values()))), dtype)
    for name, values in arrays.items():
        records[name] = values
    return records


def _as_in_training(route: Route, table: Table, values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Numbers in the training rows' type; missing ones are left to a step that fills them. Raises DataError."""
    missing = np.zeros((), bool)
    if dtype.kind != "f" and values.dtype.kind == "f":
        if route.pipeline.steps and route.pipeline.steps[0].transform.fills_missing:
            missing = np.isnan(values)
        else:
            check_finite(route, values, table)
    try:
        alike = converted(np.where(missing, 0, values) if missing.any() else values, dtype)
    except BadRow as bad:
        text = f"{bad.text}; the training rows hold {dtype}"
        raise located(BadRow(bad.row, text), route, table) from None
    return values if missing.any() else alike


def _column(table: Table, name: str, field: Field) -> np.ndarray:
    if field.is_text:
        return table.text(name)
    values = table.array(name)
    if values.dtype == object:
        raise not_numbers(table, name, values)
    return values


def not_numbers(table: Table, name: str, values: np.ndarray) -> DataError:
    """A column of text where numbers are wanted: the first value that is none, and how many there are."""
    bad = [row for row, value in enumerate(values.tolist()) if value != "" and not is_number(value)]
    if not bad:
        text = f"column '{name}' holds text; expected numbers"
        return DataError(Fault(text, place=Place(table.name or "data")))
    text = f"'{safe_text(values[bad[0]], 40)}' is not a number ({len(bad)} of {len(values)} rows)"
    hint = "string_lookup turns words into numbers" if len(bad) > len(values) // 2 else None
    return DataError(Fault(text, place=table.place(bad[0], name), hint=hint))


def mostly_numbers(route: Route, table: Table) -> DataError | None:
    """A text column of the route that was meant to be numbers, told by its values; says which value spoils it.

    Of a table on disk the first rows are looked at.
    """
    table = next(table.parts(route.pipeline.columns))
    for name in route.pipeline.columns:
        values = table.array(name)
        words = values.tolist() if values.dtype == object and values.ndim == 1 else []
        present = [word for word in words if word != ""]
        if len(present) / 2 < sum(map(is_number, present)) < len(present):
            return not_numbers(table, name, values)
    return None


def is_number(text: str) -> bool:
    """A finite number as data files have it: no 'nan', no 'inf', no '1_000'."""
    try:
        return bool(np.isfinite(float(text))) and "_" not in text
    except ValueError:
        return False


def infer(route: Route, field: Field, learned: Mapping[str, Learned]) -> list[Field]:
    """The fields before every step and after the last. Raises DataError."""
    fields = [field]
    for index in range(len(route.pipeline.steps)):
        fields.append(infer_step(route, index, fields[-1], learned.get(route.key(index))))
    return fields


def infer_step(route: Route, index: int, field: Field, learned: Learned | None) -> Field:
    """The field after step `index`. Raises DataError."""
    try:
        return route.pipeline.steps[index].transform.infer(field, learned, target=route.target)
    except ValueError as error:
        raise route.fault(str(error), index) from None


def boundary(route: Route, fields: list[Field]) -> int:
    """How many steps run once over all rows; the rest is left to the batch."""
    steps = route.pipeline.steps
    count = len(steps)
    if route.section == "sample_weight":
        return count
    while count and steps[count - 1].transform.in_batch(fields[count - 1]):
        count -= 1
        if steps[count].transform.needs_rows:
            break
    return count


def run_step(route: Route, index: int, values: np.ndarray, field: Field, learned: Learned, table: Table) -> np.ndarray:
    """One step over all rows. Raises DataError naming the row."""
    step = route.pipeline.steps[index].transform
    try:
        step.check(values, field, learned, target=route.target)
        return step.apply(values, field, learned, target=route.target)
    except BadRow as bad:
        raise located(bad, route, table) from None
    except ValueError as error:
        raise route.fault(str(error), index) from None


def located(bad: BadRow, route: Route, table: Table) -> DataError:
    """A row of an array as a place in the file."""
    column = route.pipeline.columns[0] if len(route.pipeline.columns) == 1 else route.name
    return DataError(Fault(bad.text, place=table.place(bad.row, column), hint=bad.hint))


def prepare(route: Route, table: Table, fields: list[Field], learned: Mapping[str, Learned]) -> np.ndarray:
    """Columns in memory through the prefix, checked for missing values: what a split holds. Raises DataError."""
    values = read_columns(route, table, fields[0])
    steps = route.pipeline.steps
    until = boundary(route, fields)
    for index in range(until):
        values = run_step(route, index, values, fields[index], learned.get(route.key(index), NOTHING_LEARNED), table)
    check_finite(route, values, table)
    if until < len(steps) and steps[until].transform.needs_rows:
        step = steps[until].transform
        try:
            step.check(values, fields[until], learned.get(route.key(until), NOTHING_LEARNED), target=route.target)
        except BadRow as bad:
            raise located(bad, route, table) from None
    narrow = "float32" if route.section == "sample_weight" else _NARROW.get(values.dtype.name, values.dtype.name)
    try:
        values = converted(values, np.dtype(narrow))
    except BadRow as bad:
        raise located(bad, route, table) from None
    return _weights(route, values, table) if route.section == "sample_weight" else values


def _weights(route: Route, values: np.ndarray, table: Table) -> np.ndarray:
    """One number a row, none of them negative. Raises DataError."""
    if values.size != len(values):
        raise route.fault(f"expected one weight a row, got an array of shape {values.shape}")
    weights = values.reshape(len(values))
    if (weights < 0).any():
        row = int((weights < 0).argmax())
        raise located(BadRow(row, f"a weight cannot be negative, got {weights[row]:g}"), route, table)
    return weights


def check_finite(route: Route, values: np.ndarray, table: Table) -> None:
    """Refuse missing and infinite values, and text. Raises DataError naming the first row."""
    if values.dtype == object:
        if spoilt := mostly_numbers(route, table):
            raise spoilt
        text = f"ends in text ('{safe_text(str(values.flat[0]), 40)}'); a model takes numbers"
        raise route.fault(text, hint="add string_lookup (words) or cast (numbers in text)")
    if values.dtype.kind != "f":
        return
    bad = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))
    if not len(bad):
        return
    row = int(bad[0])
    wrong = ~np.isfinite(np.atleast_1d(values[row]).ravel())
    single = len(route.pipeline.columns) == len(wrong)
    column = route.pipeline.columns[int(wrong.argmax())] if single else route.name
    count = f"{len(bad)} row" + ("s" if len(bad) > 1 else "")
    missing = bool(np.isnan(values[row]).any())
    what = ("no label" if route.section == "targets" else "missing value") if missing else "infinite value"
    hint = "add impute to the pipeline" if missing and route.section != "targets" else None
    raise DataError(Fault(f"{what} ({count})", place=table.place(row, column), hint=hint))


def finished(fields: list[Field]) -> Field:
    """What the model gets: the last field, in a dtype that torch computes in."""
    last = fields[-1]
    if last.dtype == "unknown":
        return replace(last, dtype="float32")
    return replace(last, dtype=_NARROW.get(last.dtype, last.dtype))


class Stage(nn.Module):
    """Finishes batches on their device: the suffixes of pipelines, by input or target name."""

    def __init__(self, suffixes: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.names = tuple(suffixes)
        self.suffixes = nn.ModuleList(suffixes.values())

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:  # (N, *) -> (N, *)
        out = dict(batch)
        nodes = draws.node_stack()
        for name, suffix in zip(self.names, self.suffixes, strict=True):
            if name in out:
                nodes.append(f"data.{name}")
                out[name] = suffix(out[name])
                nodes.pop()
        return out


def suffix(route: Route, fields: list[Field], learned: Mapping[str, Learned]) -> nn.Module | None:
    """What is left of a pipeline for the batch, or nothing."""
    steps = route.pipeline.steps
    modules = [
        steps[i].transform.batch(fields[i], learned.get(route.key(i), NOTHING_LEARNED), target=route.target)
        for i in range(boundary(route, fields), len(steps))
    ]
    return nn.Sequential(*modules) if modules else None

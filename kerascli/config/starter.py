"""Generator of a first config for a table, from the kinds (numbers, words) of its columns: `kerascli init`."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from kerascli.config.composition.references import escape_references
from kerascli.config.yaml.dump import dump_yaml, flow_yaml
from kerascli.data.storage.table import Table
from kerascli.errors import ConfigError, DataError, Fault, Place, safe_text, suggestion
from kerascli.model.syntax.names import Names

MAX_WORDS = 50
"""Maximum number of different words in a text column; with more it is a name, an id or prose, and is left out."""
MAX_CLASSES = 20
"""Maximum number of different integers that are taken for classes, if there are 10 rows for each."""

Role = Literal["numbers", "words", "left out"]


@dataclass(frozen=True, slots=True)
class Column:
    """Use of a table's column in the generated config, with the reason if it is left out."""

    name: str
    role: Role
    has_gaps: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Starter:
    """Facts found about a table, from which `config_text` generates a config."""

    columns: list[Column]
    target: str
    classes: int | None
    """Number of classes of the target; None: the target is a number (regression)."""
    is_text: bool
    stratify: bool
    scale: float
    """Factor for a numeric target: a power of ten that brings its values near 1; 1 for classes."""
    inputs: dict[str, list[Any]]
    """Preprocessing pipeline of each input, in the form of a config."""


def study(table: Table, target: str) -> Starter:
    """Examine a table's columns. Raises ConfigError without a column `target`, DataError if it cannot be learned."""
    if target not in table:
        hint = f"the columns are: {', '.join(map(safe_text, list(table)[:20]))}"
        raise ConfigError(f"--target: there is no column '{target}'{suggestion(target, table)}", hint=hint)
    values = table.text(target) if table.like(target).dtype == bool else table.array(target)
    missing = _missing(values)
    if missing.any():
        place = table.place(int(missing.argmax()), target)
        hint = "remove those rows, or choose another target"
        rows = "1 row" if missing.sum() == 1 else f"{missing.sum():,} rows"
        raise DataError(Fault(f"the target is missing in {rows}", place=place, hint=hint))
    found, counts = np.unique(values, return_counts=True)
    is_text = values.dtype == object
    is_classes = is_text or (
        np.issubdtype(values.dtype, np.integer) and len(found) <= MAX_CLASSES and 10 * len(found) <= len(values)
    )
    if len(found) == 1 or (is_text and 2 * len(found) > len(values)):
        what = "has one value" if len(found) == 1 else f"has {len(found):,} different words in {len(values):,} rows"
        raise DataError(Fault(f"the target '{target}' {what}: nothing to learn", place=Place(table.name)))
    columns = [_study(name, table.array(name)) for name in table if name != target]
    if all(column.role == "left out" for column in columns):
        raise DataError(Fault("no column to learn from", place=Place(table.name), hint=_reasons(columns)))
    classes = len(found) if is_classes else None
    stratify = bool(is_classes and counts.min() >= 20)
    scale = 1.0 if is_classes else _scale(values)
    return Starter(columns, target, classes, is_text, stratify, scale, _inputs(columns))


def config_text(starter: Starter, *, file: str, csv: str, delimiter: str) -> str:
    """Return the text of a config for the table `csv`, a path relative to the config; `file` is the config's name."""
    target = _name(starter.target, [])
    return "\n".join(
        [
            f"# kerascli train {file}",
            "#",
            f"# {_sentence(starter)}",
            *_data(starter, target, csv, delimiter),
            "",
            *_model(starter, target),
            "",
            *_compile(starter),
            "",
            "fit:",
            "  epochs: 100                    # at most: training stops when validation no longer improves",
            "  batch_size: 32",
            "  validation_data: validation    # 'kerascli evaluate latest test' evaluates on the test rows",
            "  callbacks:",
            "    - early_stopping: {monitor: val_loss, patience: 10, restore_best_weights: true}",
            "",
        ]
    )


def _study(name: str, values: np.ndarray) -> Column:
    missing = _missing(values)
    present = values[~missing]
    found = np.unique(present)
    if len(found) < 2:
        return Column(name, "left out", reason="one value" if len(found) else "no value")
    if values.dtype == object:
        if len(found) > MAX_WORDS or 2 * len(found) > len(present):
            return Column(name, "left out", reason=f"{len(found):,} different words")
        return Column(name, "words", bool(missing.any()))
    if _is_count(values):
        return Column(name, "left out", reason="row numbers")
    return Column(name, "numbers", bool(missing.any()))


def _scale(values: np.ndarray) -> float:
    power = math.floor(math.log10(np.abs(values).max()))
    return float(f"1e{-power}") if abs(power) > 1 else 1.0


def _is_count(values: np.ndarray) -> bool:
    return bool(np.issubdtype(values.dtype, np.integer) and len(values) > 2 and (np.diff(values) == 1).all())


def _missing(values: np.ndarray) -> np.ndarray:
    if values.dtype == object:
        return np.asarray(values == "", bool)
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)


def _inputs(columns: list[Column]) -> dict[str, list[Any]]:
    """Return the inputs' pipelines: one input for all numeric columns together, and one for every text column."""
    inputs: dict[str, list[Any]] = {}
    numbers = [column for column in columns if column.role == "numbers"]
    if numbers:
        gaps = [{"impute": "median"}] if any(column.has_gaps for column in numbers) else []
        inputs["numbers"] = [_columns([column.name for column in numbers]), *gaps, "normalization"]
    for column in columns:
        if column.role == "words":
            name = _name(column.name, inputs)
            steps = [] if name == column.name else [_columns(column.name)]
            if column.has_gaps:
                steps.append({"impute": {"strategy": "constant", "fill_value": "missing"}})
            inputs[name] = [*steps, {"string_lookup": {"output_mode": "one_hot"}}]
    return inputs


def _columns(names: str | list[str]) -> dict[str, Any]:
    return {"columns": escape_references(names)}


def _name(column: str, taken: Iterable[str]) -> str:
    """Return a name for the input or target of a column: an identifier that is not the name of a component."""
    name = re.sub(r"[^A-Za-z0-9_]+", "_", column).strip("_") or "column"
    name = f"c_{name}" if name[0].isdigit() else name
    while Names().refuse(name) is not None or name in taken:
        name = f"{name}_column"
    return name


def _sentence(starter: Starter) -> str:
    target = safe_text(starter.target)
    if starter.classes is None:
        return f"Predicts the number '{target}'."
    return f"Classifies rows into {starter.classes} classes of '{target}'."


def _data(starter: Starter, target: str, csv: str, delimiter: str) -> list[str]:
    settings = {"path": escape_references(csv), **({} if delimiter == "," else {"delimiter": delimiter})}
    split: dict[str, Any] = {"validation": 0.15, "test": 0.15}
    if starter.stratify:
        split["stratify"] = escape_references(starter.target)
    steps: list[Any] = [] if target == starter.target else [_columns(starter.target)]
    if starter.classes is not None:
        steps.append("string_lookup" if starter.is_text else "integer_lookup")
    elif starter.scale != 1:
        steps.append({"rescaling": starter.scale})
    section = {"source": {"csv": settings}, "split": split, "inputs": starter.inputs, "targets": {target: steps}}
    lines = dump_yaml({"data": section}).splitlines()
    if starter.scale != 1:
        lines.append("    # rescaled to values near 1, which train faster: predictions are in this unit")
    return lines + [f"  # left out: {safe_text(c.name)} ({c.reason})" for c in starter.columns if c.role == "left out"]


def _model(starter: Starter, target: str) -> list[str]:
    lines = ["model:", "  layers:"]
    if len(starter.inputs) > 1:
        lines.append(f"    - concatenate: {flow_yaml(list(starter.inputs))}")
    lines += ["    - dense: {units: 64, activation: relu}", "    - dropout: 0.2"]
    lines += ["    - dense: {units: 32, activation: relu}"]
    if starter.classes is None:
        return [*lines, "    - dense: 1"]
    if starter.classes == 2:
        return [*lines, "    - dense: {units: 1, activation: sigmoid}       # the probability of the second class"]
    return [*lines, f"    - dense: {{units: $targets.{target}.num_classes, activation: softmax}}"]


def _compile(starter: Starter) -> list[str]:
    loss, metrics = "mse", "[mae]"
    if starter.classes is not None:
        kind = "binary" if starter.classes == 2 else "sparse_categorical"
        loss, metrics = f"{kind}_crossentropy", "[accuracy, auc]" if starter.classes == 2 else "[accuracy]"
    return ["compile:", f"  loss: {loss}", "  optimizer: adam", f"  metrics: {metrics}"]


def _reasons(columns: list[Column]) -> str:
    return ", ".join(f"{safe_text(column.name)}: {column.reason}" for column in columns[:6])

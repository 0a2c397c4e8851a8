"""Forecasting model of a run: the columns of a time series that it predicts, and those that it takes as inputs."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from torch import Tensor

from kerascli.data.base import FittedState, Inverse, States
from kerascli.data.pipeline.learned_state import COLUMNS, known_columns
from kerascli.data.pipeline.prepare import fitted_pipelines
from kerascli.data.section import DataSpec
from kerascli.data.sources.timeseries import NEXT, Timeseries
from kerascli.data.transforms.input_checks import float_dtype
from kerascli.foundation.errors import ConfigError, safe_text
from kerascli.metrics.comparisons import OutputTarget
from kerascli.training.classes import is_classification_loss
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.predict import significant


@dataclass(frozen=True, slots=True)
class ForecastTarget:
    """Model output that predicts the next values of columns of a time series, and its conversion to their units."""

    output: str
    columns: tuple[str, ...]
    """Names of the predicted columns of the series, without the suffix `_next`."""
    horizon: int
    """Number of rows after a window that the output predicts."""
    shape: tuple[int, ...]
    """Shape of the preprocessed target, without the row axis."""
    undo: Inverse
    """Function that inverts the target's preprocessing (result in the columns' units)."""
    has_units: bool
    """True if inverting the preprocessing by `undo` changes the numbers."""

    def values(self, output: Tensor) -> np.ndarray:
        """Return unrounded predictions (rows, horizon, columns) of a model output, in the columns' units."""
        predictions = self.undo(output.numpy().reshape(len(output), *self.shape))
        return predictions.reshape(len(output), self.horizon, len(self.columns))

    def shown(self, values: np.ndarray, output: np.ndarray, *, raw: bool) -> np.ndarray:
        """Return predictions (rows,) of one column in the form in which they are printed.

        `values` (rows,) are the predictions in the column's units, `output` (rows,) the model's numbers before the
        target's preprocessing is inverted. What is printed is `values`, rounded to nine significant digits; but with
        `raw`, or if inverting the preprocessing does not change them, `output`, unrounded.
        """
        return significant(values) if self.has_units and not raw else output


@dataclass(frozen=True, slots=True)
class SeriesModel:
    """Trained model that forecasts a time series, with the columns that it predicts and those of its inputs."""

    run: LoadedRun
    data: DataSpec
    source: Timeseries
    targets: tuple[ForecastTarget, ...]
    past: tuple[str, ...]
    """Names of the columns whose past values (windows of the series) are model inputs."""
    ahead: tuple[str, ...]
    """Names of the columns whose values in the predicted rows (`NAME_next`) are model inputs."""

    @classmethod
    def of(cls, run: LoadedRun) -> "SeriesModel":
        """Return the model of a run as a SeriesModel.

        Raises ConfigError or DataError if the model does not forecast a time series.
        """
        data = run.row_data
        if data is None:
            raise ConfigError("a forecast needs a model whose inputs are columns of a series", hint=_HINT)
        if not isinstance(data.source, Timeseries):
            name = data.source.component_name
            raise ConfigError(f"a forecast needs windows of a series; the source of this run is {name}", hint=_HINT)
        if any(weight.spec.is_state for weight in run.experiment.weights):
            text = "a forecast needs a model that sees windows alone; this one keeps states from batch to batch"
            raise ConfigError(text, hint="train one whose layers are not stateful, on longer windows")
        used = data.columns_of("inputs")
        past = tuple(column for column in used if not column.endswith(NEXT))
        ahead = tuple(column.removesuffix(NEXT) for column in used if column.endswith(NEXT))
        model = cls(run, data, data.source, tuple(_targets(run, data, data.source)), past, ahead)
        if both := [column for column in ahead if column in model.predicted]:
            raise ConfigError(f"'{safe_text(both[0])}{NEXT}' is an input and what is predicted: nothing is to forecast")
        if model.feeds_back and data.source.lead() < 1:
            text = f"the target is not after the window: 'offset' is {data.source.first_ahead()}"
            raise ConfigError(text, hint=f"a forecast needs at least {data.source.span(ahead=False) + 1}")
        return model

    @property
    def predicted(self) -> dict[str, ForecastTarget]:
        """Mapping from the name of each predicted column to the model output that predicts it."""
        return {column: target for target in self.targets for column in target.columns}

    @property
    def used(self) -> list[str]:
        """Names of the columns of the time series from which the model's inputs are computed."""
        return list(dict.fromkeys([*self.past, *self.ahead]))

    @property
    def exogenous(self) -> list[str]:
        """Names of input columns that the model does not predict, so that their future values must be known."""
        return [column for column in self.used if column not in self.predicted]

    @property
    def feeds_back(self) -> bool:
        """True if predicted columns are also inputs, so that a forecast is made in steps from earlier predictions."""
        return any(column in self.past for column in self.predicted)

    def is_text(self, column: str) -> bool:
        """Return True if the input column named `column` held text in training."""
        fields = self.run.raw_fields
        return next(fields[name].is_text for name in (column, column + NEXT) if name in fields)


_HINT = "data: {source: {timeseries: {source: {csv: {path: series.csv}}, sequence_length: 24}}, ...}"


def _targets(run: LoadedRun, data: DataSpec, source: Timeseries) -> Sequence[ForecastTarget]:
    pairs = run.experiment.spec.pairs
    later = [pair for pair in pairs if all(name.endswith(NEXT) for name in data.targets[pair.target].columns)]
    if not later:
        names = ", ".join(safe_text(pair.target) for pair in pairs) or "none"
        text = f"a forecast needs a target that follows the window, such as value{NEXT}; the targets are {names}"
        raise ConfigError(text, hint=f"data: {{targets: {{value{NEXT}: []}}}}")
    return [_target(run, data, source, pair) for pair in later]


def _target(run: LoadedRun, data: DataSpec, source: Timeseries, pair: OutputTarget) -> ForecastTarget:
    columns = tuple(column.removesuffix(NEXT) for column in data.targets[pair.target].columns)
    first = safe_text(columns[0])
    shape = tuple(size for size in run.stages.facts.targets[pair.target].shape if size is not None)
    built = run.experiment.spec.built.specs[pair.output].shape
    is_text = run.raw_fields[data.targets[pair.target].columns[0]].is_text
    if is_text or is_classification_loss(pair.loss):
        text = f"the output '{safe_text(pair.output)}' predicts a class of '{first}'; a forecast continues numbers"
        raise ConfigError(text, hint="predict without --horizon has the class after each window")
    if math.prod(shape) != math.prod(size or 0 for size in built) or pair.loss is None:
        text = f"the output '{safe_text(pair.output)}' has shape {built}, its target '{safe_text(pair.target)}' {shape}"
        raise ConfigError(f"{text}: it predicts no values of '{first}'")
    if math.prod(shape) != source.horizon * len(columns):
        text = f"'{first}' has {math.prod(shape) // source.horizon} numbers a row"
        raise ConfigError(f"{text}: a forecast takes columns of one", hint="give each a column of its own")
    undo = fitted_pipelines(data, run.learned)["targets", pair.target].full_inverse()
    has_units = pair.target in run.stages.inverses
    return ForecastTarget(pair.output, columns, source.horizon, shape, undo, has_units)


def with_floats(learned: States, columns: Sequence[str]) -> dict[str, FittedState]:
    """Return fitted preprocessing with a float dtype for integer input columns, so that they can hold predictions.

    `learned` is the state of the preprocessing, `columns` are the names of the predicted input columns.
    """
    fields = known_columns(learned)
    for name in columns:
        if name in fields and fields[name].is_integer:
            fields[name] = replace(fields[name], dtype=float_dtype(fields[name]), num_classes=None)
    return {**learned, COLUMNS: FittedState({name: asdict(field) for name, field in fields.items()}, {})}

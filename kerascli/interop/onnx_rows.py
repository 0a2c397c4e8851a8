"""Modules that prepare raw columns, run a model and convert its outputs, as the graph of an ONNX file with
preprocessing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce

import torch
from torch import Tensor, nn

from kerascli.data.base import Field, NotExportable, Refusal
from kerascli.data.pipeline.pipeline import NARROW, FittedPipeline
from kerascli.data.pipeline.steps import FittedStep
from kerascli.data.storage.convert import not_in
from kerascli.data.text.onnx_texts import mapped
from kerascli.foundation.errors import ConfigError, Fault
from kerascli.foundation.shapes import TensorSpec
from kerascli.interop.torch_files import Forward
from kerascli.training.classes import ClassReading

_HINT = "apply it before the model, and export without --preprocessing"
_SIGNED = {torch.uint16: torch.int32, torch.uint32: torch.int64, torch.uint64: torch.int64}


def steps_of(pipeline: FittedPipeline, column: str) -> Sequence[FittedStep]:
    """Return the transforms of a column: those of the pipeline, or the column's own in a transform of several
    columns."""
    first = next(iter(pipeline.steps), None)
    return pipeline.steps if first is None or not first.chains else first.chains[column]


def raw_inputs(pipelines: Iterable[FittedPipeline], fields: Mapping[str, Field]) -> dict[str, TensorSpec]:
    """Return shape and dtype of the columns that `pipelines` need, as inputs of an ONNX file. Raises ConfigError.

    Integers that `impute` fills are floats there, since integers cannot be missing, and dates are integers.
    """
    inputs: dict[str, TensorSpec] = {}
    for pipeline in pipelines:
        for column in pipeline.columns:
            field, steps = fields[column], steps_of(pipeline, column)
            if field.dtype in {"sequence", "unknown"}:
                text = f"--preprocessing: the column '{column}' holds sequences of different lengths"
                raise ConfigError(text, hint=_HINT)
            dtype = field.dtype
            if field.is_text and steps and steps[0].transform.coded_in_onnx:
                dtype = "int64"
            elif dtype.startswith(("int", "uint")) and fills_missing(pipeline):
                dtype = "float64"
            before = inputs.setdefault(column, TensorSpec(field.shape, dtype))
            if before.dtype != dtype and field.is_text:
                text = f"--preprocessing: the column '{column}' would be text for one pipeline, and dates for another"
                raise ConfigError(text, hint=_HINT)
            if before.dtype != dtype:
                inputs[column] = replace(before, dtype="float64")
    return inputs


def fills_missing(pipeline: FittedPipeline) -> bool:
    """Return True if a pipeline accepts missing values in its columns, which its first transform fills."""
    return bool(pipeline.steps) and pipeline.steps[0].transform.fills_missing


def transformed(step: FittedStep, x: Tensor, refused: list[Tensor], index: int) -> Tensor:
    """Return the rows (N, *) of a column after its transform number `index`, from 0; numbers of values that are refused
    are added to `refused`."""
    transform, field, state = step.transform, step.field, step.state
    if transform.coded_in_onnx and field.is_text and index:
        raise NotExportable("its input is not text in an ONNX file, so that no transform can be before it")
    x = transform.onnx(x, field, state)
    if step.made.is_text:
        return x
    refused += _counts(transform.refusals(x, field, state, target=False))
    return step.module(x)


def _joined(step: FittedStep, columns: Mapping[str, Tensor], refused: list[Tensor]) -> Tensor:
    """Return the rows (N, *) that the module of a transform of several columns gets, after the transforms of each."""
    parts: list[Tensor] = []
    for name, chain in step.chains.items():
        x = columns[name]
        for index, each in enumerate(chain):
            x = transformed(each, x, refused, index)
        parts.append(step.transform.onnx(x, step.field, step.state))
    return step.transform.joined(parts, step.field, step.state)


class Prepared(nn.Module):
    """Module of a pipeline's steps that run once over all rows (not per batch).

    The ONNX run fails if `predict` would refuse a row.
    """

    def __init__(self, pipeline: FittedPipeline) -> None:
        super().__init__()
        self.pipeline = pipeline
        self.steps = pipeline.steps[: pipeline.until or pipeline.named.takes_columns]  # whose columns are joined here
        chains = [each for step in self.steps for chain in step.chains.values() for each in chain]
        self.transforms = nn.ModuleList(step.module for step in (*self.steps, *chains) if not step.made.is_text)

    def forward(self, columns: Mapping[str, Tensor]) -> Tensor:  # each (N, *) -> (N, *)
        """Raises ConfigError for a transform that cannot be exported."""
        refused: list[Tensor] = []
        named, x = self.pipeline.named, self._read(columns, refused)
        for index, step in enumerate(self.steps):
            try:
                if isinstance(x, dict):
                    x = _joined(step, x, refused)
                    x = step.module(x) if self.pipeline.until else x
                else:
                    x = transformed(step, x, refused, index)
            except NotExportable as error:
                text = f"--preprocessing: {named.section}.{named.name} ({step.transform.component_name}): {error}"
                raise ConfigError(Fault(text, hint=_HINT)) from None
        assert isinstance(x, Tensor), "a pipeline of columns has a step that takes them"
        for step in self.pipeline.steps[self.pipeline.until :][:1]:
            refused += _counts(step.transform.refusals(x, step.field, step.state, target=False))
        name = str(x.dtype).removeprefix("torch.")
        x = x.to(getattr(torch, NARROW.get(name, name)))
        if x.is_floating_point():
            refused.append((x - x).isnan().sum())  # nan for nan and infinity
        return failing(x, sum(refused[1:], refused[0])) if refused else x

    def _read(self, columns: Mapping[str, Tensor], refused: list[Tensor]) -> Tensor | dict[str, Tensor]:
        """Return the raw columns as one tensor (stacked if several), in the dtype that they have in training."""
        pipeline, field, fills = self.pipeline.named, self.pipeline.fields[0], fills_missing(self.pipeline)
        if field.columns:
            return {name: _as_in_training(columns[name], column, refused) for name, column in field.columns}
        parts = [_as_in_training(columns[name], field, refused, fills=fills) for name in pipeline.columns]
        if not pipeline.stacked:
            return parts[0]
        dtype = next((part.dtype for part in parts if part.is_floating_point()), parts[0].dtype)
        return torch.cat([(part if part.ndim > 1 else part.unsqueeze(-1)).to(dtype) for part in parts], -1)


def _as_in_training(x: Tensor, field: Field, refused: list[Tensor], *, fills: bool = False) -> Tensor:
    """Return a raw column in the dtype of the training rows, but as it is if it has missing values that are filled.

    Unsigned integers are in a signed dtype.
    """
    dtype: torch.dtype = torch.int64 if field.is_text else getattr(torch, field.dtype)
    if x.dtype == dtype:
        return x.to(_SIGNED.get(dtype, dtype))
    is_filled = fills and x.is_floating_point() and not dtype.is_floating_point
    refused += _counts(not_in(field.dtype, torch.where(x.isnan(), 0, x) if is_filled else x))
    return x if is_filled else x.to(_SIGNED.get(dtype, dtype))


def _counts(refusals: Iterable[Refusal]) -> list[Tensor]:
    masks = [refusal.mask for refusal in refusals]
    return [reduce(torch.logical_or, masks).sum()] if masks else []


def failing(x: Tensor, count: Tensor) -> Tensor:
    """Return a tensor unchanged, but let the ONNX run fail if a count is above 0.

    An index in a list of one zero is then out of bounds, which is an error of every runtime.
    """
    wide = x if x.dtype.itemsize >= 4 else x.float() if x.is_floating_point() else x.long()  # what runtimes add
    return (wide + torch.zeros(1, dtype=wide.dtype).index_select(0, count.reshape(1))).to(x.dtype)


class Answer(nn.Module):
    """Module that converts an output of the model to outputs of an ONNX file.

    They are numbers, in units of the target's column if there is a module that undoes its transforms, or numbers, names
    of classes and probabilities if the model predicts classes.
    """

    def __init__(self, undo: nn.Module | None, shape: Sequence[int], reading: ClassReading | None) -> None:
        super().__init__()
        self.undo, self.shape, self.reading = undo, shape, reading

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:  # (N, *) -> (N, *), or (N, *), (N,), (N, classes)
        x = x.float() if x.is_floating_point() else x  # with mixed precision it is float16 or bfloat16
        if self.undo is not None:
            return (self.undo(x.double().reshape(x.shape[0], *self.shape)).reshape(x.shape),)
        if self.reading is None:
            return (x,)
        probabilities = self.reading.probabilities(x.float())
        names = mapped(self.reading.labels(probabilities), dict(enumerate(self.reading.names)), "")
        return x, names, probabilities.clone() if probabilities is x else probabilities  # an output has one name


class Rows(nn.Module):
    """Module that computes the outputs of an ONNX file from raw columns."""

    def __init__(
        self, columns: Sequence[str], pipelines: Iterable[FittedPipeline], model: Forward, answers: Iterable[Answer]
    ) -> None:
        """Initialize the module with a pipeline for each of the model's inputs, and an answer for each output."""
        super().__init__()
        self.columns, self.model = columns, model
        self.pipelines, self.answers = nn.ModuleList(map(Prepared, pipelines)), nn.ModuleList(answers)

    def forward(self, *columns: Tensor) -> tuple[Tensor, ...]:  # each (N, *) -> each (N, *)
        by_name = dict(zip(self.columns, columns, strict=True))
        outputs = self.model(*(pipeline(by_name) for pipeline in self.pipelines))
        return tuple(value for x, answer in zip(outputs, self.answers, strict=True) for value in answer(x))

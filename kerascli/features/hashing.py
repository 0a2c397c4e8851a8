"""Hashing and hashed crossing: strings or integers to bins without a vocabulary, as transforms and as layers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor, nn

from kerascli.data.base import NO_STATE, Field, FittedState, Refusal, Transform, transform
from kerascli.data.pipeline.steps import FittedStep
from kerascli.data.storage.column import pa
from kerascli.data.transforms.input_checks import encoded, gap, need_integers, need_like
from kerascli.foundation.shapes import PositiveInt, TensorSpec
from kerascli.language.component import Component
from kerascli.layers.base import Example, Layer, MergeLayer, ShapeMismatch, layer
from kerascli.preprocessing.categories import ENCODED, Dense, Encoded, OutputMode, vector_dtype
from kerascli.preprocessing.function import Function
from kerascli.preprocessing.hashing import Salt, buckets, buckets_of, crossed_of, fingerprints

_MISSING = -1
"""Code of a missing text that is no mask value, which is refused."""


class HashingSettings(Component):
    """Settings that the layer and the transform `hashing` share; both hash one column or tensor."""

    num_bins: PositiveInt
    """Number of bins, including the bin 0 of `mask_value`, if given."""
    mask_value: int | str | None = None
    """Value whose bin index is 0; all other values then get 1 or more. null: no such value."""
    salt: Salt | None = None
    """Key of SipHash, two integers or one for both; null: FarmHash."""
    output_mode: OutputMode = "int"
    sparse: Dense = False

    @model_validator(mode="after")
    def _room(self) -> Self:
        if self.mask_value is not None and self.num_bins < 2:
            raise ValueError("num_bins: must be at least 2 with a mask_value")
        return self

    def bins_of(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        """Hash integers to bins, with `mask_value` alone in bin 0."""
        if not isinstance(self.mask_value, int):
            return buckets_of(x, self.num_bins, self.salt)
        return torch.where(x.long() == self.mask_value, 0, buckets_of(x, self.num_bins - 1, self.salt) + 1)


class HashedCrossingSettings(Component):
    """Settings that the layer and the transform `hashed_crossing` share; they hash several columns together."""

    num_bins: PositiveInt
    """Number of hash bins."""
    output_mode: Annotated[Literal["int", "one_hot"], ENCODED] = "int"
    sparse: Dense = False


@transform(name="hashing")
class HashingTransform(HashingSettings, Transform):
    """Hashes strings or integers into `num_bins` bins, with the same bin index as keras.layers.Hashing.

    Different values may collide in one bin.
    """

    not_in_onnx = "to hash by FarmHash or SipHash: a string_lookup or integer_lookup keeps its table in the file"

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        if not field.is_text:
            need_integers(field)
        need_like(field, "mask_value", self.mask_value)
        facts = {"vocabulary_size": self.num_bins, "num_classes": None, "classes": None}
        return encoded(field, self.output_mode, self.num_bins, **facts)

    def codes(self, values: "pa.Array | Tensor", state: FittedState, *, target: bool) -> Tensor:
        if isinstance(values, Tensor):
            return self.bins_of(values)
        words, masks = values.to_pylist(), int(self.mask_value is not None)
        bins = buckets([word.encode() for word in words], self.num_bins - masks, self.salt) + masks
        bins = torch.where(torch.tensor([word == "" for word in words], dtype=torch.bool), _MISSING, bins)
        return torch.where(torch.tensor([word == self.mask_value for word in words]), 0, bins) if masks else bins

    def refusals(self, x: Tensor, field: Field, state: FittedState, *, target: bool) -> Iterable[Refusal]:
        if field.is_text:
            yield gap(x == _MISSING, "hashing, or set mask_value: ''")

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        return Encoded(self.output_mode, self.num_bins, getattr(torch, vector_dtype(self.output_mode)))


class Fingerprint(Transform):
    """Transform of a column to integers that are hashed together: strings to 64-bit hashes, integers unchanged."""

    not_in_onnx = "to hash by FarmHash: a string_lookup of a column with both values keeps its table in the file"

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        return Field((), "int64")

    def codes(self, values: "pa.Array | Tensor", state: FittedState, *, target: bool) -> Tensor:
        if isinstance(values, Tensor):
            return values.long()
        return fingerprints([word.encode() for word in values.to_pylist()])

    def refusals(self, x: Tensor, field: Field, state: FittedState, *, target: bool) -> Iterable[Refusal]:
        if field.is_text:
            yield gap(x == fingerprints([b""]), "hashed_crossing")

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        return nn.Flatten(0)


@transform(name="hashed_crossing")
class HashedCrossingTransform(HashedCrossingSettings, Transform):
    """Crosses columns of strings or integers: hashes the values of a row together into `num_bins` bins.

    The bin index is the same as that of keras.layers.HashedCrossing. Comes first, after a list of `columns`.
    """

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        if len(field.columns) < 2:
            raise ValueError("needs at least two columns, and must be first: [{columns: [a, b]}, hashed_crossing]")
        for name, column in field.columns:
            if not column.is_text and not column.is_integer:
                raise ValueError(f"needs strings or integers; column '{name}' holds {column.dtype}")
            if column.shape not in ((), (1,)):
                raise ValueError(f"needs one value per row; column '{name}' has shape {column.shape}")
        return encoded(field, self.output_mode, self.num_bins, vocabulary_size=self.num_bins, columns=())

    def chains(self, field: Field, state: FittedState | None) -> Mapping[str, Sequence[FittedStep]]:
        hashed = Field((), "int64")
        return {name: [FittedStep(Fingerprint(), column, hashed, NO_STATE)] for name, column in field.columns}

    def joined(self, columns: Sequence[Tensor], field: Field, state: FittedState) -> Tensor:
        return crossed_of(columns, self.num_bins)

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        return Encoded(self.output_mode, self.num_bins, torch.uint8)


IN_DATA = "tensors hold numbers; strings are hashed by the transform of that name, in the input's pipeline under data"


@layer(Example(input=(3,), output=(3,), config={"num_bins": 10}, dtype="int64"))
class Hashing(HashingSettings, Layer):
    """Hashes integers to bins, with the same result as Keras; different integers may share a bin.

    Input: integers (N, *). Output: (N, *), with values from 0 to num_bins - 1, or vectors over the bins.
    """

    takes_integers = True

    def build(self, x: TensorSpec) -> nn.Module:
        if isinstance(self.mask_value, str):
            raise ShapeMismatch(f"has a string as mask_value: '{self.mask_value}'", hint=IN_DATA, argument="mask_value")
        if not x.is_integer:
            raise ShapeMismatch(f"needs integers, got {x.dtype}", hint="discretization makes bins of numbers")
        return nn.Sequential(Function(self.bins_of), Encoded(self.output_mode, self.num_bins))


@layer(Example(input=[(1,), (1,)], output=(1,), config={"num_bins": 10}, dtype="int64"))
class HashedCrossing(HashedCrossingSettings, MergeLayer):
    """Hashes the integers of several inputs together to one bin, with the same result as Keras.

    Inputs: integers (N,) or (N, 1). Output: the same shape, with values from 0 to num_bins - 1, or vectors (N,
    num_bins).
    """

    takes_integers = True

    def build(self, xs: tuple[TensorSpec, ...]) -> nn.Module:
        if any(not x.is_integer for x in xs):
            raise ShapeMismatch(f"needs integers, got {' and '.join(x.dtype for x in xs)}", hint=IN_DATA)
        if len({x.shape for x in xs}) > 1 or xs[0].shape not in ((), (1,)):
            raise ShapeMismatch(f"needs inputs of one number each, got {' and '.join(map(str, xs))}")
        encoded = Encoded(self.output_mode, self.num_bins)
        return Function(lambda *xs: encoded(crossed_of(xs, self.num_bins)))

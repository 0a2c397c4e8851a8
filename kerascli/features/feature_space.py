"""Transform `feature_space`: preprocess columns of mixed types and concatenate them, with crosses, to one vector."""

import math
from collections.abc import Sequence
from functools import cached_property, partial, reduce
from itertools import accumulate
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import BeforeValidator, PlainValidator, WithJsonSchema, model_validator
from torch import Tensor, nn

from kerascli.data.base import FEATURES, NO_STATE, TRANSFORMS, Feature, Field, FittedState, NotExportable, Transform
from kerascli.data.pipeline.steps import FittedStep
from kerascli.data.storage.blocks import Blocks
from kerascli.data.storage.table import BadRow
from kerascli.features.discretization import DiscretizationTransform
from kerascli.foundation.errors import Fault, suggestion
from kerascli.foundation.shapes import PositiveInt, Words
from kerascli.language.component import Component, Invalid, collected
from kerascli.preprocessing.function import Constant
from kerascli.preprocessing.hashing import crossed_of


def _column(value: Any) -> tuple[Component, ...]:
    """Parse an entry of `features`: a feature type, or a list of transforms that ends in a feature type.

    Raises Invalid, ValueError.
    """
    if not isinstance(value, list | tuple):
        return (FEATURES.parse(value),)
    if not value:
        raise ValueError("expected a feature")
    steps: list[Component] = []
    faults: list[Fault] = []
    for index, entry in enumerate(value):
        registry: Any = FEATURES if index == len(value) - 1 else TRANSFORMS
        with collected(faults, (index,)):
            steps.append(registry.parse(entry))
    if faults:
        raise Invalid(faults)
    return tuple(steps)


_MOST = 2**24
"""Largest number up to which float32 has all integers."""
_STEP = {"anyOf": [{"x-component": "transform"}, {"x-component": "feature"}]}
_SCHEMA = {"anyOf": [{"x-component": "feature"}, {"type": "array", "items": _STEP}]}
Column = Annotated[tuple[Component, ...], PlainValidator(_column), WithJsonSchema(_SCHEMA)]


class Cross(Component):
    """Feature cross: the values of several features are hashed together, then one-hot encoded."""

    feature_names: Words
    """Names of the features to cross, at least two."""
    crossing_dim: PositiveInt | None = None
    """Number of hash bins; null: the setting `crossing_dim` of the feature space."""
    output_mode: Literal["one_hot"] = "one_hot"
    """Encoding of the cross in the output vector; only one_hot is possible."""

    @property
    def name(self) -> str:
        return "_X_".join(self.feature_names)

    def dump(self) -> dict[str, Any]:
        return {"feature_names": list(self.feature_names), "crossing_dim": self.crossing_dim, "output_mode": "one_hot"}


def _crosses(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        return value
    return tuple({"feature_names": one} if isinstance(one, list | tuple) else one for one in value)


@TRANSFORMS.named()
class FeatureSpace(Transform):
    """Preprocesses columns of mixed types and concatenates them to one vector (size,) float32.

    Parts are in order of the features' names, followed by the crosses. As keras.utils.FeatureSpace.
    """

    per_batch = "always"

    features: dict[str, Column]
    """Mapping from column to its feature type, or to a list of transforms that ends in a feature type."""
    output_mode: Literal["concat"] = "concat"
    """Form of the output; only concat (one vector) is possible. For separate features, define an input for each."""
    crosses: Annotated[tuple[Cross, ...], BeforeValidator(_crosses, json_schema_input_type=list[Words | Cross])] = ()
    """Features to cross: lists of feature names, or mappings with `feature_names` and `crossing_dim`."""
    crossing_dim: PositiveInt = 32
    """Default number of hash bins (vector size) of a cross."""
    hashing_dim: PositiveInt = 32
    """Default number of hash bins (vector size) of integer_hashed and string_hashed features."""
    num_discretization_bins: PositiveInt = 32
    """Default number of bins of float_discretized features."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if not self.features:
            raise ValueError("features: expected at least one")
        for cross in self.crosses:
            if len(set(cross.feature_names)) < 2:
                raise ValueError(f"crosses: expected at least two features, got {list(cross.feature_names)}")
            for name in cross.feature_names:
                if name not in self.features:
                    raise ValueError(f"crosses: there is no feature '{name}'{suggestion(name, self.features)}")
                if self._feature_steps[name][1] == "float":
                    raise ValueError(f"crosses: '{name}' is not encoded as integers, which crosses need")
        crossing = {name for cross in self.crosses for name in cross.feature_names}
        for name, (_, encoding) in self._feature_steps.items():
            if encoding == "int" and name not in crossing:
                raise ValueError(f"features: '{name}' has output_mode int and is in no cross, so it has no effect")
        return self

    @cached_property
    def _feature_steps(self) -> dict[str, tuple[tuple[Transform, ...], str]]:
        """Mapping from column to its transforms and its encoding, in the order of their parts in the output vector."""
        steps: dict[str, tuple[tuple[Transform, ...], str]] = {}
        for name, (*before, feature) in sorted(self.features.items()):
            assert isinstance(feature, Feature)
            last = feature.transform(getattr(self, feature.default_bins))
            steps[name] = (*(step for step in before if isinstance(step, Transform)), last), feature.encoding()
        return steps

    @cached_property
    def _sorted_crosses(self) -> list[Cross]:
        return sorted(self.crosses, key=lambda cross: cross.name)

    def own_columns(self) -> tuple[str, ...]:
        return tuple(self.features)

    def reads_text(self, column: str) -> bool:
        return column in self.features and any(step.takes_text for step in self._feature_steps[column][0])

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        if {name for name, _ in field.columns} != set(self.features):
            names = ", ".join(self.features)
            raise ValueError(f"must be first in a pipeline, over the columns of its features ({names})")
        widths = self._widths(field, state)
        if (size := sum(filter(None, widths))) > _MOST:
            raise ValueError(f"the vector has {size:,} elements; at most {_MOST:,} are possible")
        return Field((None if None in widths else size,), "float32")

    def _widths(self, field: Field, state: FittedState | None) -> list[int | None]:
        """Return the number of elements of each feature, then of each cross, in the order of the output vector; None
        before it is learned."""
        widths = [self._width(name, steps[-1].made) for name, steps in self.chains(field, state).items()]
        return [*widths, *(cross.crossing_dim or self.crossing_dim for cross in self._sorted_crosses)]

    def _places(self, field: Field, state: FittedState) -> list[tuple[str, range]]:
        """Return (encoding, places in the output vector) of each feature, then of each cross."""
        ends = [*accumulate((width or 0 for width in self._widths(field, state)), initial=0)]
        encodings = [*(encoding for _, encoding in self._feature_steps.values()), *["one_hot"] * len(self.crosses)]
        return [*zip(encodings, map(range, ends, ends[1:]), strict=True)]

    def fit(self, rows: Blocks, field: Field, *, target: bool) -> FittedState:
        facts: dict[str, list[Any]] = {}
        arrays: dict[str, np.ndarray] = {}
        for number, (name, steps) in enumerate(self.chains(field, None, rows).items()):
            facts[name] = [dict(step.state.facts) for step in steps]
            for index, step in enumerate(steps):
                arrays |= {f"{number}.{index}.{key}": array for key, array in step.state.arrays.items()}
        return FittedState({"features": facts}, arrays)

    def chains(
        self, field: Field, state: FittedState | None, rows: Blocks | None = None
    ) -> dict[str, list[FittedStep]]:
        """Return the transforms of each feature, in the order of the output vector's parts, with their states: those in
        `state`, or learned from training rows. Raises ValueError, and BadRow as `Transform.fit` does."""
        chains: dict[str, list[FittedStep]] = {}
        columns = dict(field.columns)
        for number, (name, (steps, _)) in enumerate(self._feature_steps.items()):
            column, chain = columns[name], chains.setdefault(name, [])
            for index, step in enumerate(steps):
                own = None if state is None else _inner(state, name, index, f"{number}.{index}.")
                try:
                    own = own if rows is None else _fitted(rows, name, chain, step, column)
                    made = step.infer(column, own, target=False)
                except ValueError as error:
                    raise ValueError(f"{name} ({step.component_name}): {error}") from None
                chain.append(FittedStep(step, column, made, own or NO_STATE))
                column = made
        return chains

    def joined(self, columns: Sequence[Tensor], field: Field, state: FittedState) -> Tensor:
        """Return rows (N, K) float32: places in the output vector that hold a one, then numbers that are not encoded.

        The place behind the vector is that of an integer without one. `_encoded` makes the vector, a batch at a time.
        """
        by_name, places = dict(zip(self._feature_steps, columns, strict=True)), self._places(field, state)
        bins = [
            crossed_of([by_name[name].reshape(-1) for name in cross.feature_names], len(own))
            for cross, (_, own) in zip(self._sorted_crosses, places[len(columns) :], strict=True)
        ]
        parts, size = [*zip((*columns, *bins), places, strict=True)], places[-1][1].stop
        ones = [
            torch.where((x >= 0) & (x < len(own)), x.long() + own.start, size)
            for x, (encoding, own) in parts if encoding == "one_hot"
        ]  # fmt: skip
        numbers = [x for x, (encoding, _) in parts if encoding == "float"]
        return torch.cat([(x.flatten(1) if x.ndim > 1 else x.unsqueeze(1)).float() for x in (*ones, *numbers)], 1)

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        places = self._places(field, state)
        numbers = [place for encoding, own in places if encoding == "float" for place in own]
        return Constant(partial(_encoded, size=places[-1][1].stop), torch.tensor(numbers, dtype=torch.int64))

    def onnx(self, x: Tensor, field: Field, state: FittedState) -> Tensor:
        if self.crosses:
            raise NotExportable("crosses are hashes, which ONNX has no operation for")
        return x

    def _width(self, name: str, field: Field) -> int | None:
        """Return the number of output elements that a feature takes; None if unknown. Raises ValueError."""
        steps, encoding = self._feature_steps[name]
        if encoding == "float":
            if field.is_text:
                raise ValueError(f"{name}: the output is text; a vector needs numbers")
            return None if None in field.shape else math.prod(size or 0 for size in field.shape)
        if not field.is_integer:
            raise ValueError(f"{name}: output_mode {encoding} needs integers, got {field.dtype}")
        if encoding == "int":
            return 0
        bins = "num_bins" if isinstance(steps[-1], DiscretizationTransform) else "num_tokens"
        return getattr(steps[-1], bins, None) or field.vocabulary_size  # as in Keras, the bins that are asked for


def _inner(state: FittedState, name: str, index: int, prefix: str) -> FittedState:
    """Return the state of a feature's transform, of an index, from that of the feature space."""
    arrays = {key.removeprefix(prefix): array for key, array in state.arrays.items() if key.startswith(prefix)}
    return FittedState(state.facts["features"][name][index], arrays)


def _fitted(rows: Blocks, name: str, before: Sequence[FittedStep], step: Transform, column: Field) -> FittedState:
    """Fit one transform of a column on the output of the transforms before it.

    Raises ValueError, and BadRow as `Transform.fit` does.
    """

    blocks = Blocks(lambda: (reduce(lambda values, each: each(values), before, block[name]) for block in rows))
    try:
        return step.fit(blocks, column, target=False)
    except BadRow as bad:
        raise BadRow(blocks.first + bad.row - rows.first, f"{name}: {bad.text}", hint=bad.hint) from None


def _encoded(x: Tensor, numbers: Tensor, size: int) -> Tensor:  # (N, K) -> (N, size)
    """Return vectors of zeros, with ones at the places that rows begin with, and their other numbers at the places
    `numbers`."""
    ones = x.shape[1] - len(numbers)
    vectors = x.new_zeros(x.shape[0], size + 1).scatter(1, x[:, :ones].long(), 1.0)
    return vectors.index_copy(1, numbers, x[:, ones:])[:, :size]

"""Transform `feature_space`: preprocess columns of mixed types and concatenate them, with crosses, to one vector."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BeforeValidator, PlainValidator, WithJsonSchema, model_validator

from kerascli.data.base import FEATURES, TRANSFORMS, Feature, Field, FittedState, Transform, transform
from kerascli.data.storage.blocks import Blocks
from kerascli.data.storage.table import BadRow
from kerascli.data.text.oov import of_column
from kerascli.data.transforms.discretization import Discretization
from kerascli.data.transforms.hashing import to_cross
from kerascli.foundation.errors import Fault, suggestion
from kerascli.foundation.shapes import PositiveInt, Words
from kerascli.language.component import Component, Invalid
from kerascli.preprocessing.categories import encode
from kerascli.preprocessing.hashing import crossed


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
        try:
            steps.append(registry.parse(entry))
        except Invalid as invalid:
            faults += invalid.below((index,)).faults
    if faults:
        raise Invalid(faults)
    return tuple(steps)


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


_NAMES = {"type": "array", "items": {"type": "string"}}
_CROSS = {"type": "object", "properties": {"feature_names": _NAMES, "crossing_dim": {"type": "integer", "minimum": 1}}}


def _crosses(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        return value
    return tuple({"feature_names": one} if isinstance(one, list | tuple) else one for one in value)


@dataclass(frozen=True, slots=True)
class FittedFeature:
    """Feature with the learned state of its transforms."""

    name: str
    steps: tuple[Transform, ...]
    learned: list[FittedState]
    fields: list[Field]
    """Fields (shape, dtype ...) of the feature's column before each transform and after the last one."""
    encoding: str
    """Encoding in the output vector: float (unchanged), one_hot, or int (if only feature crosses use the feature)."""
    width: int | None
    """Number of elements that the feature takes in the output vector; None if unknown."""


@transform()
class FeatureSpace(Transform):
    """Preprocesses columns of mixed types and concatenates them to one vector (size,) float32.

    Parts are in order of the features' names, followed by the crosses. As keras.utils.FeatureSpace.
    """

    needs_rows = True
    takes_columns = True

    features: dict[str, Column]
    """Mapping from column to its feature type, or to a list of transforms that ends in a feature type."""
    output_mode: Literal["concat"] = "concat"
    """Form of the output; only concat (one vector) is possible. For separate features, define an input for each."""
    crosses: Annotated[
        tuple[Cross, ...],
        BeforeValidator(_crosses),
        WithJsonSchema({"type": "array", "items": {"anyOf": [_NAMES, _CROSS]}}),
    ] = ()
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

    def own_columns(self) -> tuple[str, ...]:
        return tuple(self.features)

    def with_paths(self, change: Callable[[str], str], fields: Sequence[str] | None = None) -> Self:
        features = {name: tuple(_changed(part, change) for part in parts) for name, parts in self.features.items()}
        return type(self).model_validate(
            {**{f: getattr(self, f) for f in type(self).model_fields}, "features": features}
        )

    def infer(self, field: Field, learned: FittedState | None, *, target: bool) -> Field:
        if {name for name, _ in field.columns} != set(self.features):
            names = ", ".join(self.features)
            raise ValueError(f"must be first in a pipeline, over the columns of its features ({names})")
        widths = [feature.width for feature in self.fitted(field, learned)]
        widths += [cross.crossing_dim or self.crossing_dim for cross in self.crosses]
        sizes = [width for width in widths if width is not None]
        return Field((sum(sizes) if len(sizes) == len(widths) else None,), "float32")

    def learn(self, rows: Blocks, field: Field, *, target: bool) -> FittedState:
        facts: dict[str, list[Any]] = {}
        arrays: dict[str, np.ndarray] = {}
        columns = dict(field.columns)
        for number, (name, (steps, _)) in enumerate(self._feature_steps.items()):
            states: list[FittedState] = []
            for index, step in enumerate(steps):
                fields = _fields(name, steps, columns[name], states)
                state = _learn_step(name, steps, step, rows, fields, states)
                states.append(state)
                arrays |= {f"{number}.{index}.{key}": array for key, array in state.arrays.items()}
            facts[name] = [dict(state.facts) for state in states]
        return FittedState({"features": facts}, arrays)

    def apply(self, values: np.ndarray, field: Field, learned: FittedState, *, target: bool) -> np.ndarray:
        parts: list[np.ndarray] = []
        whole: dict[str, np.ndarray] = {}
        for feature in self.fitted(field, learned):
            name = feature.name
            of_column(name)
            try:
                out = _run(feature.steps, values[name], feature.fields, feature.learned)
            except BadRow as bad:
                raise BadRow(bad.row, f"{name}: {bad.text}", hint=bad.hint) from None
            if feature.encoding == "float":
                parts.append(out.reshape(len(out), -1))
                continue
            whole[name] = out
            if feature.encoding == "one_hot":
                assert feature.width is not None
                parts.append(encode(out.reshape(len(out), -1), "multi_hot", feature.width))
        for cross in sorted(self.crosses, key=lambda cross: cross.name):
            size = cross.crossing_dim or self.crossing_dim
            mixed = crossed([to_cross(whole[name].reshape(len(values))) for name in cross.feature_names], size)
            parts.append(encode(mixed, "one_hot", size))
        return np.concatenate(parts, axis=1, dtype=np.float32, casting="same_kind")

    def fitted(self, field: Field, learned: FittedState | None) -> list[FittedFeature]:
        """Return the features, in the order of the output vector's parts, with the states of their transforms.

        Without a learned state they have none. Raises ValueError.
        """
        columns, inner = dict(field.columns), {} if learned is None else self._inner(learned)
        features: list[FittedFeature] = []
        for name, (steps, encoding) in self._feature_steps.items():
            fields = _fields(name, steps, columns[name], inner.get(name))
            width = self._width(name, fields[-1])
            features.append(FittedFeature(name, steps, inner.get(name, []), fields, encoding, width))
        return features

    def _width(self, name: str, field: Field) -> int | None:
        """Return the number of output elements that a feature takes; None if unknown. Raises ValueError."""
        steps, encoding = self._feature_steps[name]
        if encoding == "float":
            if field.is_text:
                raise ValueError(f"{name}: the output is text; a vector needs numbers")
            sizes = [size for size in field.shape if size is not None]
            return math.prod(sizes) if len(sizes) == len(field.shape) else None
        if not field.is_integer:
            raise ValueError(f"{name}: output_mode {encoding} needs integers, got {field.dtype}")
        if encoding == "int":
            return 0
        bins = "num_bins" if isinstance(steps[-1], Discretization) else "num_tokens"
        return getattr(steps[-1], bins, None) or field.vocabulary_size  # as in Keras, the bins that are asked for

    def _inner(self, learned: FittedState) -> dict[str, list[FittedState]]:
        """Return a mapping from feature name to the learned states of its transforms; it is cached in `memo`."""
        if "inner" not in learned.memo:
            states: dict[str, list[FittedState]] = {}
            for number, name in enumerate(self._feature_steps):
                states[name] = []
                for index, facts in enumerate(learned.facts["features"][name]):
                    prefix = f"{number}.{index}."
                    arrays = {k.removeprefix(prefix): v for k, v in learned.arrays.items() if k.startswith(prefix)}
                    states[name].append(FittedState(facts, arrays))
            learned.memo["inner"] = states
        return learned.memo["inner"]


def _fields(name: str, steps: Sequence[Transform], column: Field, states: Sequence[FittedState] | None) -> list[Field]:
    """Return a column's fields (shape, dtype ...) before and after each step that has a state (None: all, unfitted).

    Raises ValueError.
    """
    fields = [column]
    for step, state in zip(steps, repeat(None) if states is None else states, strict=False):
        try:
            fields.append(step.infer(fields[-1], state, target=False))
        except ValueError as error:
            raise ValueError(f"{name} ({step.component_name}): {error}") from None
    return fields


def _changed(part: Component, change: Callable[[str], str]) -> Component:
    if isinstance(part, Transform):
        return part.with_paths(change)
    inner = getattr(part, "preprocessor", None)
    return part if inner is None else part.model_copy(update={"preprocessor": inner.with_paths(change)})


def _learn_step(
    name: str, steps: Sequence[Transform], step: Transform, rows: Blocks, fields: list[Field], states: list[FittedState]
) -> FittedState:
    """Fit one transform of a column on the output of the transforms before it.

    Raises ValueError, and BadRow as `Transform.learn` does.
    """

    def make() -> Iterator[np.ndarray]:
        for block in rows:
            yield _run(steps, block[name], fields, states)

    blocks = Blocks(make)
    try:
        return step.learn(blocks, fields[-1], target=False)
    except BadRow as bad:
        raise BadRow(blocks.first + bad.row - rows.first, f"{name}: {bad.text}", hint=bad.hint) from None
    except ValueError as error:
        raise ValueError(f"{name} ({step.component_name}): {error}") from None


def _run(steps: Sequence[Transform], values: np.ndarray, fields: list[Field], states: list[FittedState]) -> np.ndarray:
    """Apply a column's transforms to its values after checking them. Raises BadRow, ValueError."""
    for step, field, state in zip(steps, fields, states, strict=False):
        step.check(values, field, state, target=False)
        values = step.apply(values, field, state, target=False)
    return values

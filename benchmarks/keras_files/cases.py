"""A layer of Keras with drawn settings, and inputs that it takes: what all kinds of layers have in common."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import keras
import numpy as np

from benchmarks.keras_files.round_trip import ROWS, Made, predictions

SPREAD = 1e-3
"""Least difference between rows of each output: a constant output would prove nothing."""


@dataclass(frozen=True, slots=True)
class Given:
    """An input of a layer: its shape without the batch, and what its values are."""

    shape: tuple[int | None, ...]
    kind: str = "normal"
    """normal, positive, image (0 to 255), unit (0 to 1), integers (below `high`) or mask."""
    high: int = 5
    padded: bool = False
    """True if the last steps are zeros, which a Masking or an Embedding hides."""

    @property
    def dtype(self) -> str:
        return {"integers": "int32", "mask": "bool"}.get(self.kind, "float32")

    def values(self, generator: np.random.Generator) -> np.ndarray:
        shape = (ROWS, *(6 if size is None else size for size in self.shape))
        match self.kind:
            case "integers":
                found = generator.integers(0, self.high, shape)
            case "mask":
                found = generator.random(shape) < 0.7
                found[..., 0] = True
            case "image" | "unit":
                found = generator.random(shape) * (255 if self.kind == "image" else 1)
            case "positive":
                found = generator.random(shape) + 0.1
            case _:
                found = generator.normal(size=shape)
        if self.padded:
            for row in range(ROWS):
                found[row, shape[1] - 1 - row % 2 :] = 0
        return found.astype(self.dtype)


def first(layer: Any, tensors: list[Any]) -> Any:
    return layer(tensors[0])


def listed(layer: Any, tensors: list[Any]) -> Any:
    return layer(tensors)


def spread_out(layer: Any, tensors: list[Any]) -> Any:
    return layer(*tensors)


@dataclass(frozen=True, slots=True)
class Case:
    """A layer, its inputs, and how it is called on them."""

    layer: Any
    inputs: list[Given]
    call: Callable[[Any, list[Any]], Any] = first
    masked: bool = False
    """True if a Masking comes before the layer, for each input that is padded."""
    after: Callable[[], Any] | None = None
    """Makes a layer that the first result goes through, such as one that uses masks."""
    fixed_batch: bool = False
    weights: bool = True
    """False: the weights are what the constructor made of its arguments."""


Family = Callable[[Any, Random], Case]


@dataclass(slots=True)
class Kinds:
    """Families of layers by the names of the classes that they make."""

    families: dict[str, tuple[str, Family]] = field(default_factory=dict)

    def add(self, kind: str, names: str) -> Callable[[Family], Family]:
        """Register a family for classes; `#` in a name stands for 1, 2 and 3."""

        def register(family: Family) -> Family:
            for name in names.split():
                for each in [name.replace("#", n) for n in "123"] if "#" in name else [name]:
                    self.families[each] = (kind, family)
            return family

        return register


KINDS = Kinds()


def built(case: Case, seed: int) -> Made:
    """Return the model around a layer, with drawn weights, and inputs for it."""
    batch = ROWS if case.fixed_batch else None
    inputs = [
        keras.Input(given.shape, batch_size=batch, dtype=given.dtype, name=f"x{i}")
        for i, given in enumerate(case.inputs)
    ]
    tensors = [
        keras.layers.Masking()(x) if case.masked and given.padded and given.kind == "normal" else x
        for x, given in zip(inputs, case.inputs, strict=True)
    ]
    results = keras.tree.flatten(case.call(case.layer, tensors))
    if case.after is not None:
        results[0] = case.after()(results[0])
    model = keras.Model(inputs if len(inputs) > 1 else inputs[0], results if len(results) > 1 else results[0])
    generator = np.random.default_rng(seed)
    if case.weights:
        draw_weights(model, generator)
    return Made(model, {f"x{i}": given.values(generator) for i, given in enumerate(case.inputs)})


def draw_weights(model: Any, generator: np.random.Generator) -> None:
    """Draw every weight, since zeros and ones would hide a mix-up; variances are positive."""
    for weight in model.weights:
        if "float" not in str(weight.dtype):
            continue
        fan_in = max(1, int(np.prod(weight.shape[:-1])))
        values = generator.normal(0, min(0.6, 1.5 / fan_in**0.5), weight.shape)
        if "variance" in weight.path:
            values = np.abs(values) + 0.3
        elif weight.path.endswith(("gamma", "scale")):
            values += 1
        weight.assign(values.astype("float32"))


def depends_on_input(made: Made) -> bool:
    """Return True if every output of a model is finite, of the shape that Keras states, and differs between rows."""
    for output, values in zip(made.model.outputs, predictions(made.model, made.inputs), strict=True):
        if any(size not in (None, found) for size, found in zip(output.shape, values.shape, strict=True)):
            return False
        between = values.max(0) - values.min(0) if values.size else np.zeros(1)
        if not np.isfinite(values).all() or not between.max() > SPREAD:
            return False
    return True

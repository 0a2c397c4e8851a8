"""Initializers, regularizers and constraints apply to the same weights and outputs of every layer as in Keras."""

from collections.abc import Callable
from typing import Any

import keras
import pytest
import torch

from kerascli.foundation.shapes import TensorSpec
from kerascli.language.component import Component
from kerascli.layers.base import BaseLayer
from tests.parity import ledger, signatures
from tests.parity.test_shared import graph_of, run
from tests.support import layer_harness as harness

Pair = tuple[type[Component], Any]

PAIRS: list[Pair] = list(signatures.pairs("layer"))


def _fields(cls: type[Component], ending: str) -> list[str]:
    return [name for name in cls.model_fields if name.endswith(f"_{ending}") and not name.startswith("activity")]


def _having(ending: str) -> list[Any]:
    """Return the pairs of layers with an initializer, a regularizer or a constraint."""
    return [pytest.param(pair, id=pair[0].component_name) for pair in PAIRS if _fields(pair[0], ending)]


MORE: dict[str, dict[str, Any]] = {
    "einsum_dense": {"equation": "abc,cd->abd", "output_shape": [None, 4], "bias_axes": "d"},
    "reversible_embedding": {"tie_weights": False},
}
"""Arguments with which a layer has all its weights."""
SHAPES: dict[str, tuple[int, ...]] = {"einsum_dense": (3, 5)}


def _both(
    pair: Pair, fields: list[str], ours: Callable[[float], Any], theirs: Callable[[float], Any], **more: Any
) -> tuple[torch.nn.Module, Any]:
    """Return our module and Keras's layer, built, with a different component in each field."""
    cls, keras_class = pair
    assert issubclass(cls, BaseLayer)
    example = cls.examples[0]
    config = {**example.config, **MORE.get(cls.component_name, {}), **more}
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}
    numbers = {field: 0.1 * (1 + index) for index, field in enumerate(fields)}
    layer = cls.model_validate({**config, **{field: ours(number) for field, number in numbers.items()}})
    assert isinstance(layer, BaseLayer)
    other = keras_class(**{**plain, **{field: theirs(number) for field, number in numbers.items()}}, dtype="float64")
    shape = SHAPES.get(cls.component_name)
    specs = harness.specs_of(example) if shape is None else [TensorSpec(shape)]
    module = harness.materialise(harness.make(layer, *specs), dtype=torch.float64)
    other.build(*((2, *spec.shape) for spec in specs))
    return module, other


def _note(pair: Pair, fields: list[str], gap: float) -> None:
    ledger.note("layer", pair[0].component_name, ", ".join(fields), gap, called=fields)


@pytest.mark.parametrize("pair", _having("initializer"))
def test_weights_start_where_the_initializers_of_keras_let_them(pair: Pair) -> None:
    fields = _fields(pair[0], "initializer")
    _assert_same_start(pair, fields)
    _note(pair, fields, 1e-7)


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if "unit_forget_bias" in pair[0].model_fields])
def test_forget_gates_start_at_their_initializer_where_that_is_wanted(pair: Pair) -> None:
    _assert_same_start(pair, _fields(pair[0], "initializer"), unit_forget_bias=False)
    _note(pair, ["unit_forget_bias"], 1e-7)


def _assert_same_start(pair: Pair, fields: list[str], **more: Any) -> None:
    module, theirs = _both(pair, fields, lambda n: {"constant": n}, keras.initializers.Constant, **more)
    compared = ledger.Comparison(atol=1e-7, rtol=1e-7)  # Keras fills with float32
    found: set[float] = set()
    for (owner, spec), weight in zip(harness.weights(module), theirs.weights, strict=True):
        values = spec.to_keras(getattr(owner, spec.name)).detach()
        compared.same(values, weight.value.detach().double())
        found |= {round(float(value), 4) for value in values.unique()}
    assert found >= {round(0.1 * (1 + index), 4) for index in range(len(fields))}


def test_given_vectors_are_where_an_embedding_starts() -> None:
    config: dict[str, Any] = {"input_dim": 2, "output_dim": 3, "weights": [[0.5, -1.0, 2.0], [0.25, 3.0, 4.0]]}
    theirs = keras.layers.Embedding(2, 3, weights=[torch.tensor(config["weights"])])
    module = harness.materialise(harness.make(harness.parse("embedding", config), TensorSpec((2,), "int64")))
    ((owner, spec),) = harness.weights(module)
    assert torch.equal(getattr(owner, spec.name), theirs.weights[0].value)
    ledger.note("layer", "embedding", "weights", 0.0, config=config)


def _shaken(module: torch.nn.Module, theirs: Any) -> None:
    """Set the same random weights in both."""
    generator = torch.Generator().manual_seed(3)
    for (owner, spec), weight in zip(harness.weights(module), theirs.weights, strict=True):
        values = torch.randn(spec.shape, dtype=torch.float64, generator=generator)
        harness.set_weight(owner, spec, values)
        weight.assign(values.numpy())


@pytest.mark.parametrize("pair", _having("regularizer"))
def test_weights_are_penalized_as_in_keras(pair: Pair) -> None:
    fields = _fields(pair[0], "regularizer")
    module, theirs = _both(pair, fields, lambda n: {"l2": n}, keras.regularizers.L2)
    _shaken(module, theirs)
    parts = [
        spec.regularizer(spec.to_keras(getattr(owner, spec.name)))
        for owner, spec in harness.weights(module)
        if spec.regularizer is not None
    ]
    assert len(parts) == len(theirs.losses) >= len(fields)
    compared = ledger.Comparison(rtol=1e-7)  # Keras holds factors in float32
    compared.same(torch.stack(parts).sort().values, torch.stack(theirs.losses).sort().values)
    _note(pair, fields, compared.gap)


@pytest.mark.parametrize("pair", _having("constraint"))
def test_weights_are_constrained_as_in_keras(pair: Pair) -> None:
    fields = _fields(pair[0], "constraint")
    module, theirs = _both(pair, fields, lambda n: {"max_norm": n}, lambda n: keras.constraints.MaxNorm(n))  # pyright: ignore[reportArgumentType]
    _shaken(module, theirs)
    compared, count = ledger.Comparison(rtol=1e-7), 0  # Keras holds bounds in float32
    for (owner, spec), weight in zip(harness.weights(module), theirs.weights, strict=True):
        assert (spec.constraint is None) == (weight.constraint is None)
        if spec.constraint is not None:
            values = spec.to_keras(getattr(owner, spec.name))
            compared.same(spec.constraint(values), weight.constraint(weight.value))
            count += 1
    assert count >= len(fields)
    _note(pair, fields, compared.gap)


PENALIZED = [
    pytest.param(pair, id=pair[0].component_name)
    for pair in PAIRS
    if "activity_regularizer" in pair[0].model_fields and "attention" not in pair[0].component_name
]
"""Layers whose output is penalized; attention layers, which penalize more, have their own tests."""


@pytest.mark.usefixtures("graphs_compute_in_float64")
@pytest.mark.parametrize("pair", PENALIZED)
def test_results_are_penalized_as_in_keras(pair: Pair) -> None:
    cls, keras_class = pair
    assert issubclass(cls, BaseLayer)
    example = cls.examples[0]
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in example.config.items()}
    settings = {**example.config, "activity_regularizer": {"l2": 0.3}}
    shape: Any = list(harness.shapes_of(example.input)[0])
    given = shape if example.dtype == "float32" else {"shape": shape, "dtype": example.dtype}
    graph = graph_of(f"inputs: {{x: {given}}}\nlayers: [{{{cls.component_name}: {settings}}}]")
    (x,) = harness.inputs_of(example, 2, dtype=torch.float64)
    theirs = keras_class(**plain, activity_regularizer=keras.regularizers.L2(0.3), dtype="float64")
    theirs.activity_regularizer = keras.regularizers.L2(0.3)  # simple_rnn has forgotten it
    theirs(x)
    for weight, other in zip(graph.weights(), theirs.weights, strict=True):
        other.assign(weight.keras().numpy())
    theirs(x)
    losses = run(graph, {"x": x}, training=False).losses
    compared = ledger.Comparison(rtol=1e-7)  # Keras holds the factor in float32
    compared.same(torch.stack(list(losses.values())).sum(), torch.stack(theirs.losses).sum())
    _note(pair, ["activity_regularizer"], compared.gap)

"""Comparison of a layer with Keras's: outputs, gradients and updates for the same weights and inputs, in float64."""

import inspect
import os

os.environ["KERAS_BACKEND"] = "torch"

from typing import Any

import keras
import numpy as np
import torch
from keras.src import backend

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import LAYERS, Outcome
from tests.parity import ledger
from tests.support import layer_harness as harness


def keras_layer(name: str, config: dict[str, Any]) -> Any:
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}
    return getattr(keras.layers, name)(**plain, dtype="float64")


def assert_same(
    name: str, config: dict[str, Any], *shapes: tuple[int, ...], training: bool = True, **given: Any
) -> None:
    """Outputs and gradients, of weights and inputs, equal Keras's in float64.

    `inputs` are arrays instead of shapes; `theirs` is Keras's layer where the config does not say how it is made
    (a layer within a layer); `masks` are those that came along the edges. What else is given are call arguments.
    """
    case = ledger.describe(config, *shapes, training=training, **given)
    rng = np.random.default_rng(0)
    called = ["mask" if key == "masks" else key for key, value in given.items() if value is not None]
    arrays = given.pop("inputs", None) or [rng.normal(size=shape) for shape in shapes]
    theirs = given.pop("theirs", None) or keras_layer(name, config)
    xs = [torch.tensor(a, requires_grad=a.dtype == np.float64) for a in arrays]
    _build(theirs, xs)
    for weight in theirs.weights:
        weight.assign(
            np.abs(rng.normal(size=weight.shape)) + 0.1 if "variance" in weight.name else rng.normal(size=weight.shape)
        )

    layer = LAYERS.parse({name: config} if config else name)
    kind = {np.dtype("float64"): "float64", np.dtype("int64"): "int64"}
    module = harness.make(layer, *[TensorSpec(a.shape[1:], kind[a.dtype]) for a in arrays])
    harness.materialise(module, dtype=torch.float64).train(training)
    declared = [(spec.name, spec.shape) for _, spec in harness.weights(module)]
    assert declared == [(weight.name, tuple(weight.shape)) for weight in theirs.weights]
    harness.set_weights(module, [weight.value.detach().numpy() for weight in theirs.weights])

    ys = [torch.tensor(a, requires_grad=a.dtype == np.float64) for a in arrays]
    expected = _call(theirs, xs, training, {key: value for key, value in given.items() if value is not None})
    got = module(*ys, **given)
    outcome = got if isinstance(got, Outcome) else Outcome(got)
    expected_list, got_list = (keras.tree.flatten(v) for v in (expected, outcome.value))
    compared = ledger.Comparison()
    for a, b in zip(expected_list, got_list, strict=True):
        compared.same(b, a)
    cotangents = [torch.tensor(rng.normal(size=tuple(a.shape))) for a in expected_list]
    if any(a.requires_grad for a in expected_list):
        torch.autograd.backward(expected_list, cotangents)
        torch.autograd.backward(got_list, cotangents)
    for x, y in zip(xs, ys, strict=True):
        if x.grad is not None:
            assert y.grad is not None
            compared.same(y.grad, x.grad)
    for (owner, spec), weight in zip(harness.weights(module), theirs.weights, strict=True):
        if weight.trainable and weight.value.grad is not None:
            compared.same(spec.to_keras(getattr(owner, spec.name).grad), weight.value.grad)
    if theirs.losses and outcome.losses:
        compared.same(torch.stack(list(outcome.losses.values())).sum(), torch.stack(theirs.losses).sum())
    for update, value in outcome.updates.items():
        after = next(w for w in theirs.weights if w.name == update.rpartition("/")[2])
        compared.same(value, after.value.detach())
    ledger.note("layer", layer.component_name, case, compared.gap, config=config, called=called)


def _takes_them_apart(theirs: Any) -> bool:
    """Return True if Keras's layer takes several inputs as separate arguments, not as a list."""
    return next(iter(inspect.signature(theirs.call).parameters)) == "query"


def _build(theirs: Any, xs: list[torch.Tensor]) -> None:
    shapes = [x.shape for x in xs]
    theirs.build(*(shapes if len(xs) == 1 or _takes_them_apart(theirs) else [shapes]))


def _call(theirs: Any, xs: list[torch.Tensor], training: bool, arguments: dict[str, Any]) -> Any:
    """Call Keras's layer with the same arguments; masks of single inputs are attached to the tensors."""
    if theirs._call_has_training_arg:
        arguments["training"] = training
    masks = arguments.pop("masks", None)
    if not _takes_them_apart(theirs):
        return theirs(xs if len(xs) > 1 else xs[0], **arguments, **({} if masks is None else {"mask": masks}))
    for x, mask in zip(xs, masks or (), strict=False):
        backend.set_keras_mask(x, mask)
    return theirs(*xs, **arguments)


def mask_of(*rows: str) -> torch.Tensor:
    """Return a mask from a text such as '1101'."""
    return torch.tensor([[c == "1" for c in row] for row in rows])

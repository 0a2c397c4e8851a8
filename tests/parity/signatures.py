"""Arguments of Keras's classes, from their signatures, by kind of component."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import inspect
from collections.abc import Iterator
from typing import Any

import keras

from kerascli.language.component import Component, registries

MODULES: dict[str, Any] = {
    "layer": keras.layers,
    "augmentation": keras.layers,
    "activation": keras.activations,
    "optimizer": keras.optimizers,
    "schedule": keras.optimizers.schedules,
    "initializer": keras.initializers,
    "regularizer": keras.regularizers,
    "constraint": keras.constraints,
    "callback": keras.callbacks,
}
"""Kind -> Keras module. Losses and metrics are tested by `test_settings.py`."""

_FROM_THE_CLASS = {"rank", "pool_dimensions", "pool_mode", "cell", "factor"}
"""Arguments of base classes that a Keras class sets itself (`Conv2D`: `rank=2`), or refuses."""
_TENSORS = {"x", "inputs", "data", "sequences", "sequence", "query", "key", "value", "kwargs"}

Parameters = dict[str, inspect.Parameter]


def pairs(kind: str) -> Iterator[tuple[type[Component], Any]]:
    """Yield each component that Keras has, too, with Keras's class or function."""
    registry, module = registries()[kind], MODULES[kind]
    wanted = inspect.isfunction if kind == "activation" else inspect.isclass  # keras.layers.add is a function
    found = {name: each for name, each in vars(module).items() if wanted(each)}
    keys = {name.lower().replace("_", ""): each for name, each in found.items()}
    for cls in registry:
        names = (cls.component_name, *registry.aliases(cls.component_name))
        theirs = next((keys[key] for name in names if (key := name.replace("_", "")) in keys), None)
        if theirs is not None and cls.__module__.startswith("kerascli."):
            yield cls, theirs


def settings(theirs: Any) -> Parameters:
    """Return the arguments of a Keras class, including those passed on to its base classes."""
    if not inspect.isclass(theirs):
        return {name: each for name, each in inspect.signature(theirs).parameters.items() if name != "x"}
    found: Parameters = {}
    for cls in theirs.__mro__:
        if "__init__" not in vars(cls):
            continue
        parameters = inspect.signature(cls.__init__).parameters
        named = {n: p for n, p in parameters.items() if n != "self" and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        found = {**{n: p for n, p in named.items() if cls is theirs or n not in _FROM_THE_CLASS}, **found}
        if len(named) == len(parameters) - 1 or not issubclass(theirs, (keras.Layer, keras.optimizers.Optimizer)):
            break
    return found


def call_arguments(theirs: Any) -> set[str]:
    """Return the call arguments of a Keras layer, except its inputs."""
    return set(inspect.signature(theirs.call).parameters) - _TENSORS - {"self"}

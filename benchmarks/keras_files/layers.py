"""A corpus of models around every layer class of Keras, with settings drawn at random."""

import inspect
import warnings
import zlib
from collections.abc import Iterator
from functools import partial
from random import Random
from typing import Any

import keras

from benchmarks.keras_files import image_layers, layers_of_arrays, layers_of_steps  # noqa: F401  # register themselves
from benchmarks.keras_files.cases import KINDS, built, depends_on_input
from benchmarks.keras_files.round_trip import KerasModel, Made, NotMade
from benchmarks.keras_files.values import UnknownArgument

PER_LAYER = 4
MANY = frozenset({"convolution", "pooling", "recurrent", "attention", "wrapper", "normalization"})
"""Kinds of layers with so many settings that they get twice as many models."""
TRIES = 60
_BASE = "a base class, or made by every model"
_CODE = "code of another framework"
_TENSORFLOW = "runs in TensorFlow alone"
_LABELS = "changes labels with images, or boxes: no tensor comes out"
LEFT_OUT = {
    "InputLayer": _BASE, "InputSpec": _BASE, "Layer": _BASE, "Wrapper": _BASE,
    "FlaxLayer": _CODE, "JaxLayer": _CODE, "Lambda": _CODE, "TFSMLayer": _CODE, "TorchModuleWrapper": _CODE,
    "CutMix": _LABELS, "MixUp": _LABELS, "MaxNumBoundingBoxes": _LABELS,
    "Hashing": _TENSORFLOW, "HashedCrossing": _TENSORFLOW, "IntegerLookup": _TENSORFLOW, "StringLookup": _TENSORFLOW,
    "TextVectorization": _TENSORFLOW,
    "ContrastLimitedAdaptiveHistogramEqualization": "Keras on torch cuts its limit off",
    "Equalization": "Keras cannot put it into a functional model: its call returns its input",
    "RandomCrop": "at inference Keras hands on the whole image, against its own shape; kerascli resizes it",
}  # fmt: skip
_HALF = {"float16": 2**-11, "bfloat16": 2**-8}


def classes() -> dict[str, Any]:
    """Return Keras's layer classes by their own names, without those that are left out."""
    found = {each.__name__: each for _, each in inspect.getmembers(keras.layers, inspect.isclass)}
    return {name: found[name] for name in sorted(found) if name not in LEFT_OUT}


def models(seed: int = 0) -> Iterator[KerasModel]:
    """Yield some models around each layer. Raises UnknownArgument at a layer class that nothing is known of."""
    for name, cls in classes().items():
        if name not in KINDS.families:
            raise UnknownArgument(f"keras.layers has a class '{name}' that is neither drawn nor left out with a reason")
        kind, _ = KINDS.families[name]
        for number in range(PER_LAYER * 2 if kind in MANY else PER_LAYER):
            half = list(_HALF)[number // 4 % 2] if number % 8 == 3 else None
            make = partial(drawn_model, cls, f"{seed} {name} {number}", half)
            yield KerasModel(f"{name} {number}", make, _tolerance(half), least_spread=0, kind=kind)


def _tolerance(half: str | None) -> float:
    """Return the tolerance of a dtype.

    float32 sums some hundred products in another order. Keras rounds each step to a half precision, where kerascli
    computes in float32: some ten roundings of values that may be some times as large as the result.
    """
    return 64 * _HALF[half] if half else 1e-4


def drawn_model(cls: Any, seed: str, half: str | None) -> Made:
    """Draw settings until Keras takes them, and the outputs depend on the input."""
    why: Exception = ValueError("no output depends on the input")
    for number in range(TRIES):
        digest = zlib.crc32(f"{seed} {number}".encode())
        random = Random(digest)
        keras.backend.clear_session()
        keras.config.set_dtype_policy(f"mixed_{half}" if half else "float32")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                _, family = KINDS.families[cls.__name__]
                made = built(family(cls, random), digest)
                if depends_on_input(made):
                    return made
        except UnknownArgument:
            raise
        except Exception as error:
            why = error
    raise NotMade(f"Keras took none of {TRIES} drawn settings; at last: {why}") from why

"""Nothing is forgotten: every component was compared or says why not, and so does every name that Keras has."""

from pathlib import Path
from typing import Any

import keras
import pytest

from kerascli.component import registries
from tests.parity import ledger

HERE = Path(__file__).parent

_PLUMBING = {"get", "serialize", "deserialize"}

_CODE = "code of another framework"
_PIPELINE = "text or a table beside the weights: a transform of data's pipelines"
_MIXES = "changes labels with images: data.augment"

WITHOUT: dict[str, dict[str, str]] = {
    "layer": {
        "Layer": "a base class",
        "Wrapper": "a base class",
        "InputSpec": "no layer",
        "Input": "model.inputs",
        "InputLayer": "model.inputs",
        "MaxNumBoundingBoxes": "of boxes",
        **dict.fromkeys(("FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"), _CODE),
        **dict.fromkeys(("StringLookup", "TextVectorization"), _PIPELINE),
        **dict.fromkeys(("CutMix", "MixUp"), _MIXES),
    },
    "loss": {"Loss": "a base class"},
    "metric": {
        "Metric": "a base class",
        "Mean": "of values, not of targets and outputs: add_metric averages an expression",
        "Sum": "of values, not of targets and outputs",
        "MeanMetricWrapper": "of a Python function: add_metric takes an expression, a plugin a function",
    },
    "optimizer": {
        "Optimizer": "a base class",
        "legacy": "Keras 2's",
        "schedules": "a kind of its own",
        "MultiOptimizer": "fit.train_step has several optimizers",
        "OptimizerMap": "part of MultiOptimizer",
    },
    "schedule": {"LearningRateSchedule": "a base class"},
    "initializer": {"Initializer": "a base class"},
    "regularizer": {"Regularizer": "a base class"},
    "constraint": {"Constraint": "a base class"},
    "activation": {},
    "callback": {
        "Callback": "a base class",
        "CallbackList": "a list in a config is one",
        "History": "every run keeps history.csv",
        "OrbaxCheckpoint": "JAX's own format",
    },
}
"""What Keras has by a name that we have not, and why."""

MODULES: dict[str, Any] = {
    "layer": keras.layers,
    "loss": keras.losses,
    "metric": keras.metrics,
    "optimizer": keras.optimizers,
    "schedule": keras.optimizers.schedules,
    "callback": keras.callbacks,
    "activation": keras.activations,
    "initializer": keras.initializers,
    "regularizer": keras.regularizers,
    "constraint": keras.constraints,
}


@pytest.mark.parametrize("kind", MODULES)
def test_every_name_of_keras_is_known_or_has_its_reason(kind: str) -> None:
    names = {name for name in dir(MODULES[kind]) if not name.startswith("_")} - _PLUMBING
    unknown = {name for name in names if registries()[kind].find(name) is None}
    assert unknown == WITHOUT[kind].keys()


@pytest.mark.parametrize("kind", ledger.KINDS)
def test_every_component_was_compared_or_has_its_reason(request: pytest.FixtureRequest, kind: str) -> None:
    files = {path.name for path in HERE.glob("test_*.py")}
    chosen = {item.path.name for item in request.session.items if item.path.parent == HERE}
    if files - chosen or request.config.getoption("keyword") or request.config.getoption("lf", False):
        pytest.skip("only a part of the comparisons is run")
    noted = {entry.name for entry in ledger.ENTRIES if entry.kind == kind}
    left_out = {name for known, name in ledger.LEFT_OUT if known == kind}
    ours = {cls.component_name for cls in registries()[kind] if cls.__module__.startswith("kerascli.")}  # not plugins'
    assert ours - noted - left_out == set()
    assert left_out - ours == set()

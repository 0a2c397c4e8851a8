"""Completeness: every component was compared or has a reason, and so does every name of Keras."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import pytest

from kerascli.language.component import registries
from kerascli.layers.base import call_arguments
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
"""Names that only Keras has, and the reason."""

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


def _settings_of(kind: str, name: str) -> tuple[str, ...]:
    """Return all arguments and call arguments of a component."""
    cls: type[Any] = registries()[kind].get(name)
    return (*cls.model_fields, *(call_arguments(cls) if kind == "layer" else ()))


def test_a_component_that_was_not_compared_and_one_that_is_none_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Completeness is checked when all tests of all processes have ended, in tests/parity/books.py."""
    everything = [
        ledger.Entry(kind, name, "a case", None, _settings_of(kind, name))
        for kind in ledger.KINDS
        for name in registries()[kind].names()
    ]
    monkeypatch.setattr(ledger, "ENTRIES", [])
    ledger.take([each.kind, each.name, each.case, each.gap, each.settings] for each in everything)
    assert ledger.open_accounts() == []
    ledger.ENTRIES.remove(ledger.Entry("loss", "huber", "a case", None, _settings_of("loss", "huber")))
    ledger.ENTRIES.remove(ledger.Entry("layer", "relu", "a case", None, _settings_of("layer", "relu")))
    ledger.note("layer", "relu", "another case", config={"max_value": 6.0})
    ledger.note("layer", "relu", "another case", config={"max_value": 6.0, "threshold": 0.0})
    monkeypatch.setitem(ledger.LEFT_OUT, ("layer", "no_such"), "a reason")
    assert ledger.open_accounts() == [
        "layer 'no_such' has a reason, and is no component",
        "loss 'huber' was not compared, and has no reason",
        "layer 'relu': 'negative_slope' was compared at its default alone",
        "layer 'relu': 'threshold' was compared at its default alone",
    ]


def test_the_entries_of_other_processes_are_taken_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "ENTRIES", [])
    ledger.note("layer", "dense", "units=3", 1e-12)
    ledger.note("layer", "dense", "units=4", config={"units": 4, "use_bias": False})
    entries, plain = list(ledger.ENTRIES), json.loads(json.dumps(ledger.dumped()))
    ledger.ENTRIES.clear()
    ledger.take(plain)
    assert entries == ledger.ENTRIES


NOTED = """
import pytest

from tests.parity import ledger


@pytest.mark.parametrize("name", ["cosine_decay", "exponential_decay"])
def test_one(name):
    ledger.note("schedule", name, "a case", 1e-9)
"""


def test_two_processes_make_one_report(tmp_path: Path) -> None:
    root, page, tests = HERE.parent.parent, tmp_path / "parity.md", tmp_path / "test_noted.py"
    tests.write_text(NOTED)
    arguments = [str(tests), "-n", "2", "--parity-report", str(page), "-p", "no:cacheprovider", "-p", "tests.conftest"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", str(root / "pyproject.toml"), *arguments],
        cwd=root, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout
    report = page.read_text(encoding="utf-8")
    assert f"## Schedules: 2 of {len(registries()['schedule'].names())} compared" in report

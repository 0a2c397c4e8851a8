"""Every argument of Keras's losses and metrics is compared at a value other than its default, or refused."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras
import pytest

from kerascli.language.component import Component, Invalid, Registry
from kerascli.losses.base import LOSSES
from kerascli.metrics.base import METRICS
from tests.parity import test_losses, test_metrics, test_regions
from tests.parity.ledger import REFUSED_SETTINGS

KINDS: dict[str, tuple[Registry[Any], Any]] = {"loss": (LOSSES, keras.losses), "metric": (METRICS, keras.metrics)}

Compared = tuple[str, dict[str, Any]]


def _cases(kind: str) -> Iterator[Compared]:
    """Yield each case compared with Keras: component, by any of its names, and arguments."""
    if kind == "loss":
        yield from ((name, arguments) for name, _, arguments in test_losses.CASES)
        yield from ((name, {**arguments, "axis": [1, 2]}) for name, _, arguments in test_losses.AXES)
        yield from (("circle", arguments) for arguments in test_losses.CIRCLES)
        yield from (("sparse_categorical_crossentropy", arguments) for arguments in test_losses.CLASSES_FIRST)
        reduced = [name for name, _, arguments in test_losses.CASES if not arguments]
        yield from ((name, {"reduction": each}) for name in [*reduced, "ctc"] for each in test_losses.REDUCTIONS)
    else:
        yield from ((name, arguments) for name, _, arguments in [*test_metrics.CASES, *test_regions.REGIONS])
        yield from ((name, {"axis": [1, 2]}) for name in test_metrics.AXES)
        yield from ((name, {"axis": 1}) for name, _, _ in test_regions.CLASSES_FIRST)
        yield "sparse_categorical_crossentropy", {"axis": 1}
        yield from ((name, arguments) for name, cases in test_metrics.FUNCTIONS.items() for _, arguments in cases)


def _of_keras(cls: type[Component], module: Any) -> Callable[..., Any] | None:
    """Return Keras's class or function; None for a component that only kerascli has."""
    return getattr(module, cls.__name__, None) or getattr(module, cls.component_name, None)


def _settings(theirs: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(theirs).parameters
    return {name: each for name, each in parameters.items() if name not in {"y_true", "y_pred"}}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_is_compared_or_has_its_reason(kind: str) -> None:
    registry, module = KINDS[kind]
    compared: dict[str, list[dict[str, Any]]] = {name: [] for name in registry.names()}
    for name, arguments in _cases(kind):
        compared[registry.get(name).component_name].append(arguments)
    missing = []
    for cls in registry:
        theirs = _of_keras(cls, module)
        for setting, parameter in _settings(theirs).items() if theirs is not None else ():
            values = [arguments[setting] for arguments in compared[cls.component_name] if setting in arguments]
            if setting not in REFUSED_SETTINGS[kind] and all(_plain(v) == _plain(parameter.default) for v in values):
                missing.append(f"{cls.component_name}.{setting}")
    assert missing == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_compared_is_refused_by_name(kind: str) -> None:
    registry, module = KINDS[kind]
    for cls in registry:
        theirs = _of_keras(cls, module)
        for setting in _settings(theirs) if theirs is not None else ():
            if setting in cls.model_fields:
                assert setting == "name" or setting not in REFUSED_SETTINGS[kind]
                continue
            with pytest.raises(Invalid, match=setting):
                registry.parse({cls.component_name: {setting: "float64"}})


@pytest.mark.parametrize("kind", KINDS)
def test_no_setting_is_ours_alone(kind: str) -> None:
    registry, module = KINDS[kind]
    for cls in registry:
        theirs = _of_keras(cls, module)
        if theirs is not None and cls.__name__ != "Accuracy":
            own = {"name"} if kind == "metric" else {"reduction"}
            assert set(cls.model_fields) - own <= set(_settings(theirs)), cls.component_name
